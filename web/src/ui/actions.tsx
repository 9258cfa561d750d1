/** What people do: a button, perhaps a question before it, and a message after it. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

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

/** Says what went wrong. `undo` is still to be done, if that is what failed. */
export function complain(problem: unknown, undo?: Message["undo"]): void {
  message.set({ text: problem instanceof Error ? problem.message : String(problem), failed: true, undo });
}

/** Does something, says how it went, and brings every screen up to date. Returns whether it succeeded. */
export async function perform(what: () => Promise<Message | string>, undo?: Message["undo"]): Promise<boolean> {
  try {
    const said = await what();
    message.set(typeof said === "string" ? { text: said } : said);
    return true;
  } catch (problem) {
    complain(problem, undo);
    return false;
  } finally {
    reloadAll();
  }
}

/** The message about what was done last, read out by a screen reader. It stays until the next one, or until closed. */
export function Messages(): JSX.Element {
  const current = useStore(message);
  // It was for whoever was signed in before.
  useEffect(() => message.set(undefined), []);
  return (
    <div class="messages">
      <div role={current?.failed ? "alert" : "status"}>
        {current && <p class={current.failed ? "message failed" : "message"}>{current.text}</p>}
      </div>
      {current?.undo && <Undo undo={current.undo} />}
      {current && <Close />}
    </div>
  );
}

function Undo({ undo }: { undo: () => Promise<unknown> }): JSX.Element {
  const [busy, setBusy] = useState(false);
  useFocusKept();

  async function click(): Promise<void> {
    if (busy) return;
    setBusy(true);
    await perform(async () => (await undo(), "Undone."), undo);
    setBusy(false);
  }

  return (
    <button type="button" aria-disabled={busy ? "true" : undefined} onClick={() => void click()}>
      Undo
    </button>
  );
}

function Close(): JSX.Element {
  useFocusKept();
  return (
    <button
      type="button"
      class="quiet"
      aria-label="Close the message"
      // After a double click on Undo, it may be where that was.
      onClick={(event) => isSecond(event) || message.set(undefined)}
    >
      ×
    </button>
  );
}

/** Gives the focus to the screen when what had it goes away: otherwise it would be lost, and Tab begin at the top. */
function useFocusKept(): void {
  useLayoutEffect(
    () => () => {
      if (document.activeElement === document.body) return;
      queueMicrotask(() => {
        if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
      });
    },
    [],
  );
}

/** Whether a click is the second one of a double click: what it meets may have come after the first one. */
export const isSecond = (event: MouseEvent): boolean => event.detail > 1;

/** What a person is asked before something is done: what will happen, and to how many. */
export interface Question {
  title: string;
  text: ComponentChildren;
  yes: string;
  /** Whether the person has to say why, in a note. */
  note?: boolean;
}

interface ActionProps {
  children: ComponentChildren;
  /** The role that it needs. */
  role: Role;
  run: (note: string) => Promise<Message | string>;
  /** The question to answer first; a function if something has to be looked up for it. */
  confirm?: Question | (() => Promise<Question>) | undefined;
  /** Why it cannot be done now, whoever asks. */
  refused?: string | undefined;
  primary?: boolean;
  danger?: boolean;
  /** In a form, Enter in a field does it as well. */
  submit?: boolean;
}

/** A button that does something. If that cannot be done, it stays visible and says why. */
export function Action(props: ActionProps): JSX.Element {
  useStore(caller);
  useFocusKept();
  const refused = props.refused ?? refusedFor(props.role);
  const [asked, setAsked] = useState<Question | "as given">();
  const [busy, setBusy] = useState(false);
  const question = asked === "as given" ? (props.confirm as Question) : asked;

  async function during(work: Promise<unknown>): Promise<void> {
    setBusy(true);
    await work;
    setBusy(false);
  }

  function click(event: MouseEvent): void {
    if (isSecond(event)) return;
    if (refused) announce(refused);
    else if (busy) return;
    else if (typeof props.confirm === "function") void during(props.confirm().then(setAsked, complain));
    else if (props.confirm) setAsked("as given");
    else void during(perform(() => props.run("")));
  }

  return (
    <>
      <button
        type={props.submit ? "submit" : "button"}
        class={props.danger ? "danger" : props.primary ? "primary" : undefined}
        aria-disabled={refused || busy ? "true" : undefined}
        title={refused}
        onClick={click}
      >
        {props.children}
      </button>
      {question && (
        <Confirmation
          question={question}
          tone={props.danger ? "danger" : "primary"}
          close={() => setAsked(undefined)}
          // What the question is about may be gone by now.
          yes={(note) => (refused ? announce(refused) : void during(perform(() => props.run(note))))}
        />
      )}
    </>
  );
}

function Confirmation({
  question,
  tone,
  close,
  yes,
}: {
  question: Question;
  tone: string;
  close: () => void;
  yes: (note: string) => void;
}): JSX.Element {
  const [note, setNote] = useState("");

  function submit(event: Event): void {
    event.preventDefault();
    close();
    yes(note.trim());
  }

  return (
    <Dialog title={question.title} close={close}>
      <form onSubmit={submit}>
        <div>{question.text}</div>
        {question.note && <Note value={note} change={setNote} />}
        <div class="buttons">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class={tone}>
            {question.yes}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Note({ value, change }: { value: string; change: (note: string) => void }): JSX.Element {
  return (
    <p class="field">
      <label for="note">Why? Your note is kept with the decision.</label>
      <textarea
        id="note"
        required
        maxLength={300}
        rows={3}
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
    </p>
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
