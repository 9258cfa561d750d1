import type { JSX } from "preact";

import { count, number } from "../format";
import { Foreign } from "./basics";

/** Ids that somebody asked for and that no list contains. */
export function NotFound({ ids, count: all }: { ids: string[]; count: number }): JSX.Element | null {
  if (!all) return null;
  return (
    <>
      <p>
        {count(all, "id")} that you named, but that no list has. They are not failed, or not ids of the application:
      </p>
      <ul>
        {ids.map((id) => (
          <li key={id}>
            <Foreign text={id} />
          </li>
        ))}
        {all > ids.length && <li>and {number(all - ids.length)} more</li>}
      </ul>
    </>
  );
}
