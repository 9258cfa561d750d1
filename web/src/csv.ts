/** CSV files, which the API gives in parts. */

import { call } from "./api";
import { count } from "./format";
import { announce } from "./ui/actions";

/** One part of the file, after a cursor; that of the next part is in a header of the answer. */
export type LoadPart = (cursor: string | undefined) => Promise<{ data?: string; error?: unknown; response: Response }>;

/** Loads all parts of a CSV file and saves them as one. It saves nothing if one of them fails. Returns the message. */
export async function downloadCsv(name: string, load: LoadPart): Promise<string> {
  const parts: string[] = [];
  let rows = 0;
  let cursor: string | undefined;
  do {
    const answer = load(cursor);
    const part = await call(answer);
    cursor = (await answer).response.headers.get("X-Next-Cursor") ?? undefined;
    // Each part repeats the line with the names of the columns, which contain no line break.
    parts.push(parts.length ? part.slice(part.indexOf("\n") + 1) : part);
    rows += rowsOf(part);
    if (cursor) announce(`Loading ${name}: ${count(rows, "row")} so far …`);
  } while (cursor);
  save(name, new Blob(parts, { type: "text/csv" }));
  return `Saved ${name} with ${count(rows, "row")}.`;
}

/** How many rows a part has besides its first line. A quoted cell may contain line breaks, and quotes come in pairs. */
function rowsOf(part: string): number {
  let lines = 0;
  let quoted = false;
  for (const character of part) {
    if (character === '"') quoted = !quoted;
    else if (character === "\n" && !quoted) lines += 1;
  }
  return Math.max(0, lines - 1);
}

function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser reads it after the click; a minute is long enough for that.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
