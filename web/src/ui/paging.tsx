/** The way through a list in pages. The cursor is in the address, so the browser's Back works as well. */

import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { link, type Place } from "../router";

/** The cursor of the page before, by the cursor of a page. The API's cursors only lead forward. */
const before = new Map<string, string>();

export function Paging({ place, next }: { place: Place; next: string | null }): JSX.Element | null {
  const { cursor = "", ...filters } = Object.fromEntries(place.query);
  const previous = before.get(cursor);
  const at = (page: string): string => link(place.path, { ...filters, cursor: page });
  // Not after painting: whoever goes on at once would not find the way back.
  useLayoutEffect(() => {
    if (next) before.set(next, cursor);
  }, [next, cursor]);
  if (!cursor && !next) return null;
  return (
    <nav class="actions" aria-label="Pages">
      {cursor && previous !== "" && (
        <a class="button" href={at("")}>
          First page
        </a>
      )}
      {previous !== undefined && (
        <a class="button" href={at(previous)}>
          Previous page
        </a>
      )}
      {next && (
        <a class="button" href={at(next)}>
          Next page
        </a>
      )}
    </nav>
  );
}

/** Begins another page at its top. The link that led there is gone, and the focus with it. */
export function useTopOf(place: Place): void {
  const cursor = place.query.get("cursor");
  const shown = useRef(cursor);
  useLayoutEffect(() => {
    if (shown.current === cursor) return;
    shown.current = cursor;
    scrollTo(0, 0);
    if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
  }, [cursor]);
}
