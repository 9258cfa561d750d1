/** The charts: what each scan saw and what came of it, and the trend of a cause. */

import type { JSX } from "preact";

import type { Schemas } from "../api";
import { count, moment, number } from "../format";

const HEIGHT = 120;
const BAR = 8;

/** So that a few scans do not become walls. */
const LEAST_BARS = 48;

type Scan = Schemas["ScanView"];

/** What waited at each scan and what its run sent, oldest on the left; and below it, on request, the numbers. */
export function ScanChart({ scans }: { scans: Scan[] }): JSX.Element {
  const most = Math.max(1, ...scans.map((scan) => Math.max(scan.failing, (scan.accepted ?? 0) + (scan.failed ?? 0))));
  const bars = Math.max(LEAST_BARS, scans.length);
  const first = bars - scans.length;
  const accepted = scans.reduce((sum, scan) => sum + (scan.accepted ?? 0), 0);
  const failed = scans.reduce((sum, scan) => sum + (scan.failed ?? 0), 0);
  const waiting = number(scans.at(-1)?.failing ?? 0);
  const label = `In the last 24 hours: ${count(accepted, "communication")} accepted, ${number(failed)} failed again; ${waiting} waiting now`;
  return (
    <figure class="chart">
      <figcaption>
        Each scan of the last 24 hours, up to {number(most)}: <span class="key waiting">waiting</span>{" "}
        <span class="key good">accepted</span> <span class="key bad">failed again</span>
      </figcaption>
      <svg viewBox={`0 0 ${bars * (BAR + 2)} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
        {scans.map((scan, place) => (
          <Bar key={scan.runId} scan={scan} x={(first + place) * (BAR + 2)} scale={HEIGHT / most} />
        ))}
      </svg>
      <details>
        <summary>Show the numbers</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label="Scans">
          <table>
            <thead>
              <tr>
                <th scope="col">Scan</th>
                <th scope="col" class="number">
                  Waiting
                </th>
                <th scope="col" class="number">
                  Accepted
                </th>
                <th scope="col" class="number">
                  Failed again
                </th>
              </tr>
            </thead>
            <tbody>
              {[...scans].reverse().map((scan) => (
                <tr key={scan.runId}>
                  <td>
                    {moment(scan.at)}
                    {!scan.complete && " (incomplete)"}
                  </td>
                  <td class="number">{number(scan.failing)}</td>
                  <td class="number">{scan.accepted === null ? "–" : number(scan.accepted)}</td>
                  <td class="number">{scan.failed === null ? "–" : number(scan.failed)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function Bar({ scan, x, scale }: { scan: Scan; x: number; scale: number }): JSX.Element {
  const accepted = (scan.accepted ?? 0) * scale;
  const failed = (scan.failed ?? 0) * scale;
  const waiting = scan.failing * scale;
  const words = `${moment(scan.at)}: ${number(scan.accepted ?? 0)} accepted, ${number(scan.failed ?? 0)} failed again`;
  return (
    <g>
      <title>{`${words}; ${number(scan.failing)} waiting before that`}</title>
      <rect class="ground" x={x} y={0} width={BAR} height={HEIGHT} />
      <rect class="waiting" x={x} y={HEIGHT - waiting} width={BAR / 2} height={waiting} />
      <rect class="good" x={x + BAR / 2} y={HEIGHT - accepted} width={BAR / 2} height={accepted} />
      <rect class="bad" x={x + BAR / 2} y={HEIGHT - accepted - failed} width={BAR / 2} height={failed} />
    </g>
  );
}

/** How a cause's count has changed over the last scans: a line, and a word for it. */
export function Trend({ trend }: { trend: number[] }): JSX.Element {
  const most = Math.max(1, ...trend);
  const points = trend.map((value, place) => `${place * 6},${20 - (value / most) * 18}`).join(" ");
  const direction = directionOf(trend);
  return (
    <span class={`trend ${direction}`}>
      <svg viewBox={`0 0 ${Math.max(1, trend.length - 1) * 6} 22`} aria-hidden="true">
        <polyline points={points} />
      </svg>
      {direction}
    </span>
  );
}

/** Compares the last scan with those before it. Less than a tenth more or less is as good as the same. */
export function directionOf(trend: number[]): "rising" | "falling" | "steady" | "gone" {
  const last = trend.at(-1) ?? 0;
  if (!last) return "gone";
  const before = trend.at(-4) ?? trend[0] ?? 0;
  if (last > before * 1.1) return "rising";
  return last < before * 0.9 ? "falling" : "steady";
}

/** How far something is, of how many. */
export function Progress({ done, of }: { done: number; of: number }): JSX.Element {
  const share = of ? Math.min(1, done / of) : 0;
  return (
    <span class="progress">
      <progress value={share} max={1} aria-label={`${number(done)} of ${number(of)}`} />
      <span class="number">
        {number(done)} of {number(of)}
      </span>
    </span>
  );
}
