/** What people do: a button, perhaps a question before it, and a message after it. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { reloadAll } from "../live";
import { caller, refusedFor, type Role } from "../roles";
import { store, useStore } from "../store";

interface Message {
  text: string;
  failed?: boolean;
  /** Takes back what the message says. */
  undo?: (() => Promise<unknown>) | undefined;
}

const message = store<Message | undefined>(undefined);

export function announce(text: string, undo?: () => Promise<unknown>): void {
  message.set({ text, undo });
}

/** Does something, says how it went, and brings every screen up to date. Returns whether it succeeded. */
export async function perform(what: () => Promise<Message | string>): Promise<boolean> {
  try {
    const said = await what();
    message.set(typeof said === "string" ? { text: said } : said);
    return true;
  } catch (problem) {
    message.set({ text: problem instanceof Error ? problem.message : String(problem), failed: true });
    return false;
  } finally {
    reloadAll();
  }
}

/** The message about what was done last, read out by a screen reader. It stays until the next one, or until closed. */
export function Messages(): JSX.Element {
  const current = useStore(message);
  const undo = current?.undo;
  return (
    <div class="messages">
      <div role={current?.failed ? "alert" : "status"}>
        {current && <p class={current.failed ? "message failed" : "message"}>{current.text}</p>}
      </div>
      {undo && (
        <button type="button" onClick={() => void perform(async () => (await undo(), "Undone."))}>
          Undo
        </button>
      )}
      {current && (
        <button type="button" class="quiet" aria-label="Close the message" onClick={() => message.set(undefined)}>
          ×
        </button>
      )}
    </div>
  );
}

interface ActionProps {
  children: ComponentChildren;
  /** The role that it needs. */
  role: Role;
  run: () => Promise<Message | string>;
  /** A question to answer first, with what will happen and to how many. */
  confirm?: { title: string; text: ComponentChildren; yes: string } | undefined;
  /** Why it cannot be done now, whoever asks. */
  refused?: string | undefined;
  primary?: boolean;
  danger?: boolean;
}

/** A button that does something. If that cannot be done, it stays visible and says why. */
export function Action(props: ActionProps): JSX.Element {
  useStore(caller);
  const refused = props.refused ?? refusedFor(props.role);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);

  async function act(): Promise<void> {
    setBusy(true);
    await perform(props.run);
    setBusy(false);
  }

  function click(): void {
    if (refused) announce(refused);
    else if (busy) return;
    else if (props.confirm) setAsking(true);
    else void act();
  }

  return (
    <>
      <button
        type="button"
        class={props.danger ? "danger" : props.primary ? "primary" : undefined}
        aria-disabled={refused || busy ? "true" : undefined}
        title={refused}
        onClick={click}
      >
        {props.children}
      </button>
      {asking && props.confirm && (
        <Dialog title={props.confirm.title} close={() => setAsking(false)}>
          <div>{props.confirm.text}</div>
          <div class="buttons">
            <button type="button" onClick={() => setAsking(false)}>
              Cancel
            </button>
            <button
              type="button"
              class={props.danger ? "danger" : "primary"}
              onClick={() => {
                setAsking(false);
                void act();
              }}
            >
              {props.confirm.yes}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** A dialog in front of the screen: Escape closes it, and the focus returns to where it was. */
export function Dialog({
  title,
  close,
  children,
}: {
  title: string;
  close: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onCancel={close}>
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}
