/** A bar of parts of a whole, with their numbers below it. */

import type { JSX } from "preact";

import { number, percent } from "../format";
import type { Tone } from "./basics";

export interface Share {
  name: string;
  value: number;
  tone: Tone;
}

export function Shares({ title, shares }: { title: string; shares: Share[] }): JSX.Element {
  const total = shares.reduce((sum, { value }) => sum + value, 0);
  let from = 0;
  return (
    <figure class="shares">
      <figcaption>{title}</figcaption>
      <svg viewBox={`0 0 ${total || 1} 1`} preserveAspectRatio="none" aria-hidden="true">
        {shares.map(({ name, value, tone }) => {
          const x = from;
          from += value;
          return <rect key={name} class={tone} x={x} y={0} width={value} height={1} />;
        })}
      </svg>
      <ul>
        {shares.map(({ name, value, tone }) => (
          <li key={name}>
            <span class={`key ${tone}`}>{name}</span> <strong>{number(value)}</strong>{" "}
            {total > 0 && <span class="note">{percent(value / total)}</span>}
          </li>
        ))}
      </ul>
    </figure>
  );
}
