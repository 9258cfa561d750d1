/** The time, for ages on the page that grow while one looks at them. */

import { useEffect } from "preact/hooks";

import { store, useStore } from "./store";

/** In milliseconds: a smaller difference is only the way of an answer, and the whole seconds of its header. */
const LEAST_SKEW = 5_000;

/** How far the service's clock is ahead of this computer's, in milliseconds. */
let skew = 0;

/** Sets the clock by an answer's header `Date`. All moments are the service's, so ages are right on its clock only. */
export function setClock(date: string | null): void {
  const found = Date.parse(date ?? "") - Date.now();
  if (!Number.isNaN(found)) skew = Math.abs(found) < LEAST_SKEW ? 0 : found;
}

/** Returns the time at the service, in milliseconds since 1970. */
export const time = (): number => Date.now() + skew;

const now = store(time());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** Returns the time in milliseconds since 1970, anew each second. One timer serves the whole page. */
export function useNow(): number {
  useEffect(() => {
    if (users++ === 0) {
      now.set(time());
      timer = setInterval(() => now.set(time()), 1_000);
    }
    return () => {
      if (--users === 0) clearInterval(timer);
    };
  }, []);
  return useStore(now);
}
