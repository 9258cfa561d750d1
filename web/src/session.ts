/** The token that the person has typed in: kept for this tab only, and sent in the Authorization header only. */

import { store } from "./store";

const KEY = "comms-reprocess.token";

/** The token, undefined while nobody is signed in; `problem` says why the last one does not work any more. */
export const session = store<{ token?: string; problem?: string }>({
  token: sessionStorage.getItem(KEY) ?? undefined,
});

export function signIn(token: string): void {
  sessionStorage.setItem(KEY, token);
  session.set({ token });
}

export function signOut(problem?: string): void {
  sessionStorage.removeItem(KEY);
  session.set({ problem });
}
