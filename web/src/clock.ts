/** The time, for ages on the page that grow while one looks at them. */

import { useEffect } from "preact/hooks";

import { store, useStore } from "./store";

const now = store(Date.now());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** Returns the time in milliseconds since 1970, anew each second. One timer serves the whole page. */
export function useNow(): number {
  useEffect(() => {
    if (users++ === 0) timer = setInterval(() => now.set(Date.now()), 1_000);
    return () => {
      if (--users === 0) clearInterval(timer);
    };
  }, []);
  return useStore(now);
}
