/** What the roles may do. The server decides; the page only says it before somebody tries. */

import type { Schemas } from "./api";
import { store } from "./store";

export type Role = Schemas["CallerView"]["role"];

const ORDER: Role[] = ["viewer", "operator", "approver"];

/** Whose token this is; undefined until the first answer. */
export const caller = store<Schemas["CallerView"] | undefined>(undefined);

/** Returns why the caller may not do what needs a role, undefined if it may or if nobody knows yet. */
export function refusedFor(role: Role): string | undefined {
  const has = caller.get()?.role;
  if (!has || ORDER.indexOf(has) >= ORDER.indexOf(role)) return undefined;
  return `This needs the role ${role}; your token has the role ${has}.`;
}
