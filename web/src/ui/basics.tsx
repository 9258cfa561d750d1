/** The small parts that every screen is made of. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { useNow } from "../clock";
import { ago, moment, number, utc } from "../format";

/** The heading of a screen. It takes the focus when the screen opens, so that a screen reader begins there. */
export function Heading({ children, title }: { children: ComponentChildren; title: string }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title.slice(0, 100)} · comms-reprocess`;
  }, [title]);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

/** A moment in the reader's zone; UTC is in its tooltip. */
export function Time({ at }: { at: string | null }): JSX.Element {
  if (!at) return <span class="none">–</span>;
  return (
    <time dateTime={at} title={utc(at)}>
      {moment(at)}
    </time>
  );
}

/** How long ago, or how long until. */
export function Ago({ at }: { at: string | null }): JSX.Element {
  const now = useNow();
  if (!at) return <span class="none">–</span>;
  return (
    <time dateTime={at} title={`${moment(at)} (${utc(at)})`}>
      {ago(at, now)}
    </time>
  );
}

/** A number in a column of numbers. */
export function Count({ value }: { value: number | null }): JSX.Element {
  return <span class="number">{value === null ? "–" : number(value)}</span>;
}

/** A text of the application's, of whatever length and direction. It is data: shown as it is, and kept apart. */
export function Foreign({ text, most = 200 }: { text: string; most?: number }): JSX.Element {
  return (
    <bdi class="foreign" title={text.length > 80 ? `${text.slice(0, 1000)}` : undefined}>
      {text.length > most ? `${text.slice(0, most)}…` : text}
    </bdi>
  );
}

export type Tone = "good" | "bad" | "warn" | "busy" | "plain";

/** A state in one or two words. Its tone is only in the colour, so the words say it all. */
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }): JSX.Element {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** A part of a screen with a heading of its own. */
export function Section({
  title,
  children,
  aside,
}: {
  title: string;
  children: ComponentChildren;
  aside?: ComponentChildren;
}): JSX.Element {
  const id = `section-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return (
    <section aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** What a screen shows before its data is there, or instead of it. */
export function Waiting({ error }: { error: Error | undefined }): JSX.Element {
  if (error) return <Problem error={error} />;
  return <p class="waiting">Loading …</p>;
}

export function Problem({ error }: { error: Error }): JSX.Element {
  return (
    <p class="problem" role="alert">
      {error.message}
    </p>
  );
}
