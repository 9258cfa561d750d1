/** Asks for the token. The screen that the address names opens afterwards. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { session, signIn } from "../session";
import { useStore } from "../store";

export function SignIn(): JSX.Element {
  const { problem } = useStore(session);
  const [token, setToken] = useState("");
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sign in · comms-reprocess";
    input.current?.focus();
  }, []);

  function submit(event: Event): void {
    event.preventDefault();
    // A header cannot contain other characters.
    const clean = token.trim().replace(/[^\x21-\x7e]/g, "");
    if (clean) signIn(clean);
  }

  return (
    <main id="main" class="sign-in">
      <h1>comms-reprocess</h1>
      <form onSubmit={submit}>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <label for="token">Token</label>
        <input
          id="token"
          ref={input}
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
          aria-describedby="token-help"
        />
        <p id="token-help">
          Whoever runs this service gives you one. It stays in this tab, and is forgotten when you close it.
        </p>
        <button type="submit" class="primary">
          Sign in
        </button>
      </form>
    </main>
  );
}
