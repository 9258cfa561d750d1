/** The calls of the API, typed by docs/openapi.json. */

import createClient, { type Middleware } from "openapi-fetch";

import { setClock } from "./clock";
import type { components, paths } from "./schema";
import { session, signOut } from "./session";

export type Schemas = components["schemas"];

/** The API's address, with the path of its stage: this script is one folder below it. */
export const BASE = new URL("..", import.meta.url).href.replace(/\/$/, "");

/** Why a call did not do what it was to do. `status` is that of the answer, 0 if none came. */
export class CallFailed extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const authorization: Middleware = {
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${session.get().token ?? ""}`);
    return request;
  },
  onResponse({ response }) {
    setClock(response.headers.get("Date"));
  },
};

/** In milliseconds. API Gateway answers within 29 seconds; the rest is for a long answer on a slow line. */
const LONGEST = 60_000;

/** Gives a call up that nothing answers, as after the computer has changed networks. */
async function fetchInTime(request: Request): Promise<Response> {
  const late = new AbortController();
  setTimeout(() => late.abort(new DOMException("No answer came in time.", "TimeoutError")), LONGEST);
  return fetch(request, { signal: AbortSignal.any([request.signal, late.signal]) });
}

const client = createClient<paths>({
  baseUrl: BASE,
  credentials: "omit",
  cache: "no-store",
  redirect: "error",
  fetch: fetchInTime,
});
client.use(authorization);

export const { GET, POST, PUT, DELETE } = client;

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Returns what a call answers. CallFailed says why it did not, in the API's words if it has any. */
export async function call<T>(answer: Promise<Answer<T>>): Promise<T> {
  return (await answered(answer)).data;
}

/** The same, with the headers of the answer. */
export async function answered<T>(answer: Promise<Answer<T>>): Promise<{ data: T; headers: Headers }> {
  const token = session.get().token;
  const { data, error, response } = await answer.catch((problem: unknown) => {
    if (problem instanceof DOMException && problem.name === "AbortError") throw problem;
    throw new CallFailed(0, "The service cannot be reached.");
  });
  if (response.ok) return { data: data as T, headers: response.headers };
  // A call that was still under way when somebody signed in again says nothing about the new token.
  if (response.status === 401 && session.get().token === token) {
    signOut("The token is not valid: it may have been revoked, or have expired. Ask for a new one.");
  }
  throw new CallFailed(response.status, messageOf(error, response));
}

/** In milliseconds: for so long, asking for the same again is a repetition, and not meant as a second run. */
const REPETITION = 600_000;

const begun = new Map<string, { key: string; at: number; what: unknown }>();

/**
 * Calls what starts a run, with an Idempotency-Key. If no answer came, the run may have been started all the same:
 * then the next call for the same `what` has the same key, so that there is never a second run. `name` says what
 * counts as the same; `start` gets what was asked for first, because a key belongs to one body.
 */
export async function once<T, What>(
  what: What,
  start: (headers: { "Idempotency-Key": string }, what: What) => Promise<T>,
  name = JSON.stringify(what),
): Promise<T> {
  const before = begun.get(name);
  const isRecent = before && Date.now() - before.at < REPETITION;
  const first = isRecent ? before : { key: crypto.randomUUID(), at: Date.now(), what };
  begun.set(name, first);
  const result = await start({ "Idempotency-Key": first.key }, first.what as What);
  begun.delete(name);
  return result;
}

function messageOf(problem: unknown, response: Response): string {
  if (problem && typeof problem === "object") {
    const { Message, message } = problem as { Message?: unknown; message?: unknown };
    const said = Message ?? message;
    if (typeof said === "string") return said;
  }
  return `The service answered ${response.status} ${response.statusText}.`;
}
