/** The selection of a run: as the form has it, as the API takes it, and as the address names it. */

import type { Schemas } from "../api";

export type Selection = Schemas["Selection"];

/** What is in the form: texts as they were typed, times in the reader's zone. */
export interface Form {
  operation: string;
  createdAfter: string;
  createdBefore: string;
  createdBy: string;
  primaryIds: string;
  limit: string;
  cause: string;
  note: string;
  includeManual: boolean;
  prove: boolean;
}

export type Field = keyof Form;

/** What is wrong, and with which field; undefined: with the whole. */
export interface FieldProblem {
  field: Field | undefined;
  text: string;
}

export function fromAddress(query: URLSearchParams): Form {
  const text = (field: Field): string => query.get(field) ?? "";
  const flag = (field: Field): boolean => ["true", "1"].includes(text(field));
  return {
    operation: text("operation"),
    createdAfter: toLocal(text("createdAfter")),
    createdBefore: toLocal(text("createdBefore")),
    createdBy: text("createdBy"),
    primaryIds: text("primaryIds"),
    limit: text("limit"),
    cause: text("cause"),
    note: text("note"),
    includeManual: flag("includeManual"),
    prove: flag("prove"),
  };
}

/** Says which time of an address cannot be read: without it, more would be selected than was meant. */
export function unreadTime(query: URLSearchParams): FieldProblem | undefined {
  const times = ["createdAfter", "createdBefore"] as const;
  const field = times.find((each) => query.get(each) && !toLocal(query.get(each) ?? ""));
  return field && { field, text: `The address names a time that cannot be read: ${query.get(field)}` };
}

/** What is not given is null. The API says what is wrong with the rest. */
export function toSelection(form: Form): Selection {
  const ids = form.primaryIds.split("\n").map((line) => line.trim());
  return {
    operation: form.operation.trim() || null,
    createdAfter: toUtc(form.createdAfter),
    createdBefore: toUtc(form.createdBefore),
    createdBy: form.createdBy.trim() || null,
    primaryIds: ids.some(Boolean) ? [...new Set(ids.filter(Boolean))] : null,
    limit: form.limit.trim() ? Number(form.limit) : null,
    cause: form.cause || null,
    note: form.note.trim() || null,
    includeManual: form.includeManual,
    prove: form.prove,
    dryRun: false,
  };
}

export function toAddress(selection: Selection): Record<string, string | undefined> {
  const { dryRun: _, primaryIds, ...rest } = selection;
  const texts = Object.entries(rest).map(([field, value]) => [field, value ? String(value) : undefined]);
  return { ...Object.fromEntries(texts), primaryIds: primaryIds?.join("\n") };
}

/** What says whether two selections are the same, whatever their notes. */
export const identity = (selection: Selection): string => JSON.stringify({ ...selection, note: null });

/** The times that the reader's clocks show twice, and of which an address has meant the second. */
const repeated = new Map<string, string>();

/** A time as an input of the type datetime-local has it. An empty text if it is none. */
function toLocal(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString();
  const text = local.slice(0, local.endsWith(":00.000Z") ? 16 : local.endsWith(".000Z") ? 19 : 23);
  repeated.delete(text);
  if (toUtc(text) !== at.toISOString()) repeated.set(text, at.toISOString());
  return text;
}

export function toUtc(local: string): string | null {
  if (!local) return null;
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? local : (repeated.get(local) ?? at.toISOString());
}

/** Which field an error of the API is about: its messages begin with `field: `. */
export function problemIn(message: string): FieldProblem {
  const [, name = "", text = message] = /^(\w+)\S*: (.*)$/s.exec(message) ?? [];
  return FIELDS.includes(name) ? { field: name as Field, text } : { field: undefined, text: message };
}

const FIELDS: string[] = [
  ...["operation", "createdAfter", "createdBefore", "createdBy", "primaryIds"],
  ...["limit", "cause", "note", "includeManual", "prove"],
];
