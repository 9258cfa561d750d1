/** Downloads a CSV file that the API returns in parts. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { answered } from "../api";
import { number } from "../format";
import { announce, complain, isSecond } from "./actions";

/** In characters: a browser keeps it all in memory. All that an outage keeps, 500,000 of some 105 characters, fit. */
const MOST = 100_000_000;

/** In milliseconds: how long the browser may take to begin to save a file. */
const SAVING = 60_000;

type Part = Promise<{ data?: string; error?: unknown; response: Response }>;

export function Download({
  name,
  label = "Download as CSV",
  part,
}: {
  name: string;
  label?: string;
  /** Gets the part at a cursor. */
  part: (cursor: string | undefined, signal: AbortSignal) => Part;
}): JSX.Element {
  const [size, setSize] = useState<number>();
  const controller = useRef<AbortController>(null);
  useEffect(() => () => controller.current?.abort(), []);

  async function download(): Promise<void> {
    const { signal } = (controller.current = new AbortController());
    setSize(0);
    try {
      save(name, await collect((cursor) => part(cursor, signal), setSize));
      announce(`${name} is downloaded.`);
    } catch (problem) {
      if (!signal.aborted) complain(problem);
    }
    setSize(undefined);
  }

  return size === undefined ? (
    <button type="button" onClick={() => void download()}>
      {label}
    </button>
  ) : (
    <button type="button" onClick={(event) => isSecond(event) || controller.current?.abort()}>
      Stop the download ({number(Math.round(size / 100_000) / 10)} MB so far)
    </button>
  );
}

async function collect(
  part: (cursor: string | undefined) => Part,
  progress: (size: number) => void,
): Promise<string[]> {
  const parts: string[] = [];
  let cursor: string | undefined;
  let size = 0;
  do {
    const { data, headers } = await answered(part(cursor));
    parts.push(parts.length ? withoutHeader(data) : data);
    size += data.length;
    if (size > MOST) throw new Error("This is more than 100 MB, too much for a browser. Narrow the filter.");
    progress(size);
    cursor = headers.get("X-Next-Cursor") ?? undefined;
  } while (cursor);
  return parts;
}

/** Each part is a file of its own, and begins with the names of the columns. */
function withoutHeader(csv: string): string {
  return csv.slice(csv.indexOf("\n") + 1);
}

function save(name: string, parts: string[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type: "text/csv;charset=utf-8" }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), SAVING);
}
