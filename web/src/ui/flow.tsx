/** Where things went: a table, and a picture beside it in which each band is as thick as its number. */

import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { number, percent } from "../format";
import type { Tone } from "./basics";

export interface Leaf {
  name: string;
  value: number;
  tone: Tone;
  /** What it means, for who does not know the word. */
  meaning?: string | undefined;
  /** Where to see them. */
  href?: string | undefined;
}

export interface Group {
  name: string;
  leaves: Leaf[];
}

/** In pixels: how thick all bands are together, and how thick the thinnest is. */
const THICKNESS = 150;
const THINNEST = 2;

/** In pixels: what keeps the bands of two rows apart. */
const GAP = 6;

/** Of 100: where the columns begin, and how wide their bars are. */
const COLUMNS = [0, 46, 96] as const;
const BAR = 4;

/** The vertical part of the picture that a row of the table has beside it, in pixels. */
interface Span {
  top: number;
  height: number;
}

export function Flow({ name, total, groups }: { name: string; total: number; groups: Group[] }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const spans = useSpans(box);
  const shown = groups
    .map((group) => ({ ...group, leaves: group.leaves.filter(({ value }) => value > 0) }))
    .filter(({ leaves }) => leaves.length);
  const thick = (value: number): number => Math.max(THINNEST, (value / total) * THICKNESS);
  return (
    <div ref={box} class="flow">
      <Picture groups={shown} spans={spans} thick={thick} />
      <table>
        <caption>
          <span class="number">{number(total)}</span> {name}
        </caption>
        {shown.map((group) => (
          <Rows key={group.name} group={group} total={total} thick={thick} />
        ))}
      </table>
    </div>
  );
}

function Rows({ group, total, thick }: { group: Group; total: number; thick: (value: number) => number }): JSX.Element {
  const sum = sumOf(group);
  return (
    <tbody>
      <tr class="group">
        <th scope="rowgroup">{group.name}</th>
        <td class="number">{number(sum)}</td>
        <td class="number">{percent(sum / total)}</td>
      </tr>
      {group.leaves.map((leaf) => (
        <tr key={leaf.name} class="leaf" style={{ height: `${thick(leaf.value) + GAP}px` }}>
          <th scope="row">
            <span class={`key ${leaf.tone}`}>{leaf.href ? <a href={leaf.href}>{leaf.name}</a> : leaf.name}</span>
            {leaf.meaning && <span class="hint">{leaf.meaning}</span>}
          </th>
          <td class="number">{number(leaf.value)}</td>
          <td class="number">{percent(leaf.value / total)}</td>
        </tr>
      ))}
    </tbody>
  );
}

const sumOf = ({ leaves }: Group): number => leaves.reduce((sum, { value }) => sum + value, 0);

/** Measures the table's rows: the picture follows them, also when the text wraps or is magnified. */
function useSpans(box: { current: HTMLDivElement | null }): Span[] {
  const [spans, setSpans] = useState<Span[]>([]);
  const measure = (): void => {
    const element = box.current;
    if (!element) return;
    const { top } = element.getBoundingClientRect();
    const found = [...element.querySelectorAll("tr.leaf")].map((row) => {
      const rectangle = row.getBoundingClientRect();
      return { top: rectangle.top - top, height: rectangle.height };
    });
    setSpans((before) => (JSON.stringify(before) === JSON.stringify(found) ? before : found));
  };
  useLayoutEffect(measure);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(measure);
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return spans;
}

function Picture({
  groups,
  spans,
  thick,
}: {
  groups: Group[];
  spans: Span[];
  thick: (value: number) => number;
}): JSX.Element | null {
  const last = spans.at(-1);
  const leaves = groups.flatMap((group) => group.leaves);
  if (!last || spans.length !== leaves.length) return null;
  const height = last.top + last.height;
  const all = leaves.reduce((sum, { value }) => sum + thick(value), 0);
  const start = Math.max(0, (height - all) / 2);
  return (
    <svg viewBox={`0 0 100 ${height}`} style={{ height: `${height}px` }} preserveAspectRatio="none" aria-hidden="true">
      <rect class="plain" x={COLUMNS[0]} y={start} width={BAR} height={all} />
      {bandsOf(groups, spans, thick, start)}
    </svg>
  );
}

/** Draws each group from the top down: its band from the left bar, its own bar, and the bands to its leaves. */
function bandsOf(groups: Group[], spans: Span[], thick: (value: number) => number, start: number): JSX.Element[] {
  let [from, place] = [start, 0];
  return groups.flatMap((group) => {
    const own = spans.slice(place, (place += group.leaves.length));
    const size = group.leaves.reduce((sum, { value }) => sum + thick(value), 0);
    const top = (middle(own[0]) + middle(own.at(-1)) - size) / 2;
    const left = <Band key={group.name} tone="plain" from={from} to={top} size={size} column={0} />;
    from += size;
    let at = top;
    const right = group.leaves.map((leaf, index) => {
      const band = thick(leaf.value);
      const to = middle(own[index]) - band / 2;
      at += band;
      return (
        <g key={`${group.name}/${leaf.name}`}>
          <Band tone={leaf.tone} from={at - band} to={to} size={band} column={1} />
          <rect class={leaf.tone} x={COLUMNS[2]} y={to} width={BAR} height={band} />
        </g>
      );
    });
    return [
      left,
      <rect key={`${group.name}/`} class="plain" x={COLUMNS[1]} y={top} width={BAR} height={size} />,
      ...right,
    ];
  });
}

const middle = (span: Span | undefined): number => (span ? span.top + span.height / 2 : 0);

function Band({
  tone,
  from,
  to,
  size,
  column,
}: {
  tone: Tone;
  from: number;
  to: number;
  size: number;
  column: 0 | 1;
}): JSX.Element {
  const [x, end] = [COLUMNS[column] + BAR, COLUMNS[column + 1] ?? 100];
  const bend = (x + end) / 2;
  const path =
    `M${x} ${from}C${bend} ${from} ${bend} ${to} ${end} ${to}v${size}` +
    `C${bend} ${to + size} ${bend} ${from + size} ${x} ${from + size}Z`;
  return <path class={`band ${tone}`} d={path} />;
}
