/** The way through a list that comes in pages. Its place is in the address, so the browser's Back is the way back. */

import type { JSX } from "preact";

import { link, type Place } from "../router";

export function Pager({ place, next }: { place: Place; next: string | null }): JSX.Element | null {
  const { cursor, ...query } = Object.fromEntries(place.query);
  if (!cursor && !next) return null;
  return (
    <nav class="actions" aria-label="Pages">
      {cursor && <a href={link(place.path, query)}>First page</a>}
      {next && <a href={link(place.path, { ...query, cursor: next })}>Next page</a>}
    </nav>
  );
}
