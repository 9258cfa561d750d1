/** A value that components read, and that changes outside of them. */

import { useEffect, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(value: T): void;
  subscribe(listener: () => void): () => void;
}

export function store<T>(value: T): Store<T> {
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Returns the store's value, and renders the component again when it changes. */
export function useStore<T>(of: Store<T>): T {
  const [value, setValue] = useState<{ value: T }>({ value: of.get() });
  useEffect(() => {
    const update = (): void => setValue({ value: of.get() });
    update();
    return of.subscribe(update);
  }, [of]);
  return value.value;
}
