/** What is around every screen: the way to the others, how fresh the data is, and who is signed in. */

import type { ComponentChildren, JSX } from "preact";

import { CallFailed, type Schemas } from "../api";
import { useNow } from "../clock";
import { duration } from "../format";
import { freshness, type Live } from "../live";
import { link, type Place } from "../router";
import { caller } from "../roles";
import { signOut } from "../session";
import { useStore } from "../store";
import { Messages } from "./actions";
import { KeysButton } from "./keys";
import { SCREENS } from "./screen";

/** Under which of the screens in the navigation a screen is. */
const PARENT: Record<string, string> = { communications: "worklist" };

export function Shell({
  place,
  summary,
  children,
}: {
  place: Place;
  summary: Live<Schemas["SummaryView"]>;
  children: ComponentChildren;
}): JSX.Element {
  const [first = ""] = place.path;
  const current = PARENT[first] ?? first;
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/">
          comms-reprocess
        </a>
        <nav aria-label="Screens">
          {SCREENS.map(({ path, name }) => (
            <a key={path} href={link([path])} aria-current={path === current ? "page" : undefined}>
              {name}
              <Waits path={path} summary={summary.data} />
            </a>
          ))}
        </nav>
        <div class="about">
          <Freshness />
          <KeysButton />
          <SignedIn />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <Messages />
    </>
  );
}

function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** How many of a screen's things wait for a person. */
function Waits({ path, summary }: { path: string; summary: Schemas["SummaryView"] | undefined }): JSX.Element | null {
  const numbers: Record<string, [number, string]> = {
    runs: [summary?.awaitingApproval ?? 0, "waiting for approval"],
    worklist: [summary?.worklist ?? 0, "on the worklist"],
    outages: [summary?.outage ? 1 : 0, "not settled"],
  };
  const [value, meaning] = numbers[path] ?? [0, ""];
  if (!value) return null;
  return (
    <span class="waits" title={`${value} ${meaning}`}>
      {value > 999 ? "999+" : value}
      <span class="hidden"> {meaning}</span>
    </span>
  );
}

function Freshness(): JSX.Element | null {
  const now = useNow();
  const loaded = [...useStore(freshness).values()];
  const times = loaded.flatMap(({ at }) => (at === undefined ? [] : [at]));
  const lost = loaded.find(({ error, at }) => error && at !== undefined);
  if (!times.length) return null;
  const age = duration((now - Math.min(...times)) / 1000);
  return lost ? (
    <span class="freshness lost" role="status" title={lost.error?.message}>
      {connected(lost.error) ? "The service answers with errors" : "No connection"}; this is {age} old
    </span>
  ) : (
    <span class="freshness">Updated {age} ago</span>
  );
}

/** Whether an answer came, though not the right one. */
const connected = (error: Error | undefined): boolean => error instanceof CallFailed && error.status > 0;

function SignedIn(): JSX.Element {
  const who = useStore(caller);
  return (
    <>
      {who && (
        <span class="who">
          {who.name} ({who.role})
        </span>
      )}
      <button type="button" class="quiet" onClick={() => signOut()}>
        Sign out
      </button>
    </>
  );
}
