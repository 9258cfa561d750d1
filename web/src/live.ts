/** Data that stays fresh by itself. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { CallFailed } from "./api";
import { time } from "./clock";
import { store } from "./store";

/** In milliseconds: how often data is loaded while something goes on, and while nothing does. */
const FAST = 3_000;
const SLOW = 30_000;

export interface Live<T> {
  /** What was loaded last; undefined before that. */
  data: T | undefined;
  /** Why the last call failed; undefined if it did not. */
  error: Error | undefined;
  reload(): void;
}

interface Loaded {
  at?: number;
  error?: Error | undefined;
}

/** When each of the things on the screen was loaded: the header says how old they are. */
export const freshness = store<ReadonlyMap<string, Loaded>>(new Map());

/** Asks every screen to load its data again, as after a change. */
export const reloads = store(0);

export function reloadAll(): void {
  reloads.set(reloads.get() + 1);
}

/**
 * Loads something, and loads it again and again while the tab can be seen: often while `isBusy`, otherwise seldom.
 * `key` says what it is; with another key it begins anew. What was loaded stays when a later call fails.
 */
export function useLive<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  isBusy: (data: T) => boolean = () => false,
): Live<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: Error | undefined }>({ key });
  const latest = useRef({ load, isBusy });
  latest.current = { load, isBusy };
  const again = useRef<() => void>(() => undefined);

  useEffect(() => {
    const poll = new Poll<T>(
      (signal) => latest.current.load(signal),
      (data) => latest.current.isBusy(data),
      (data, error) => {
        setState((before) => ({ key, data: data ?? (before.key === key ? before.data : undefined), error }));
        note(key, error);
      },
    );
    again.current = () => poll.now();
    const stopListening = reloads.subscribe(again.current);
    poll.now();
    return () => {
      stopListening();
      poll.stop();
      forget(key);
    };
  }, [key]);

  const reload = useCallback(() => again.current(), []);
  const current = state.key === key ? state : { data: undefined, error: undefined };
  return { data: current.data, error: current.error, reload };
}

/** Calls one after the other. */
class Poll<T> {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private controller: AbortController | undefined;
  private failures = 0;
  private pause = SLOW;

  constructor(
    private readonly load: (signal: AbortSignal) => Promise<T>,
    private readonly isBusy: (data: T) => boolean,
    private readonly show: (data: T | undefined, error: Error | undefined) => void,
  ) {
    document.addEventListener("visibilitychange", this.onVisible);
    addEventListener("online", this.onVisible);
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.onVisible);
    removeEventListener("online", this.onVisible);
    this.cancel();
  }

  now(): void {
    this.cancel();
    void this.run();
  }

  private cancel(): void {
    clearTimeout(this.timer);
    this.controller?.abort();
  }

  private readonly onVisible = (): void => {
    if (!document.hidden) this.now();
  };

  private async run(): Promise<void> {
    const controller = new AbortController();
    this.controller = controller;
    try {
      const data = await this.load(controller.signal);
      if (controller.signal.aborted) return;
      this.failures = 0;
      this.pause = this.isBusy(data) ? FAST : SLOW;
      this.show(data, undefined);
    } catch (problem) {
      if (controller.signal.aborted) return;
      const error = problem instanceof Error ? problem : new Error(String(problem));
      // What the API refuses, it refuses again; only a lost connection or a failing service comes back by itself.
      const mayHelp = error instanceof CallFailed && (error.status === 0 || error.status >= 429);
      this.pause = mayHelp ? Math.min(SLOW, FAST * 2 ** this.failures++) : SLOW;
      this.show(undefined, error);
    }
    if (!document.hidden) this.timer = setTimeout(() => void this.run(), this.pause);
  }
}

function note(key: string, error: Error | undefined): void {
  const before = freshness.get();
  const at = error ? before.get(key)?.at : time();
  freshness.set(new Map(before).set(key, at === undefined ? { error } : { at, error }));
}

function forget(key: string): void {
  const rest = new Map(freshness.get());
  rest.delete(key);
  freshness.set(rest);
}
