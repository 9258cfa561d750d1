/** The keyboard: one letter for each screen after `g`, arrows through lists, and a list of all keys. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { reloadAll } from "../live";
import { go } from "../router";
import { store, useStore } from "../store";
import { Dialog } from "./actions";
import { SCREENS } from "./screen";

const SETTING = "comms-reprocess.keys";

/** Whether single letters are shortcuts. Who dictates to the computer has to be able to switch them off (WCAG 2.1.4). */
const enabled = store(localStorage.getItem(SETTING) !== "off");
const open = store(false);

function setEnabled(on: boolean): void {
  localStorage.setItem(SETTING, on ? "on" : "off");
  enabled.set(on);
}

/** In milliseconds: how long a key counts as the one before. */
const SEQUENCE = 1_500;

export function useKeys(): void {
  useEffect(() => {
    let wentAt = -Infinity;
    const onKey = (event: KeyboardEvent): void => {
      if (!enabled.get() || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector("dialog[open]")) return;
      const goes = event.timeStamp - wentAt < SEQUENCE;
      wentAt = -Infinity;
      const screen = goes && SCREENS.find(({ key }) => key === event.key);
      if (screen) go([screen.path]);
      else if (event.key === "g") wentAt = event.timeStamp;
      else if (event.key === "?") open.set(true);
      else if (event.key === "r") event.repeat || reloadAll();
      else if (event.key === "/") focusOn("main input, main select");
      else if (event.key === "j") step(1);
      else if (event.key === "k") step(-1);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** Where letters belong to what is focused. A box to tick takes none. */
const TYPING = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches(TYPING);
}

function focusOn(selector: string): void {
  document.querySelector<HTMLElement>(selector)?.focus();
}

/** Moves the focus to the next or the previous row of the screen's lists: to its first link or control. */
function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("main tbody tr")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  row?.querySelector<HTMLElement>("a, button, input")?.focus();
}

export function KeysButton(): JSX.Element {
  const shown = useStore(open);
  return (
    <>
      <button type="button" class="quiet" aria-label="Keyboard shortcuts" title="?" onClick={() => open.set(true)}>
        ?
      </button>
      {shown && <Keys />}
    </>
  );
}

function Keys(): JSX.Element {
  const [on, setOn] = useState(enabled.get());
  const close = (): void => open.set(false);
  const rows: [string, string][] = [
    ...SCREENS.map(({ key, name }): [string, string] => [`g ${key}`, name]),
    ["j, k", "next and previous row"],
    ["/", "the first field of the screen"],
    ["r", "load everything again"],
    ["?", "this list"],
    ["Esc", "close a dialog"],
  ];
  return (
    <Dialog title="Keyboard shortcuts" close={close}>
      <dl class="keys">
        {rows.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p>Tab, Enter and Space work everywhere, as usual.</p>
      <div class="buttons">
        <label>
          <input
            type="checkbox"
            checked={on}
            onChange={(event) => {
              setOn(event.currentTarget.checked);
              setEnabled(event.currentTarget.checked);
            }}
          />{" "}
          Use single letters
        </label>
        <button type="button" class="primary" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
