/** The fields of a selection. */

import type { ComponentChildren, JSX } from "preact";

import { call, GET } from "../api";
import { count, utc } from "../format";
import { useLive } from "../live";
import { causeName } from "../words";
import { type Field, type FieldProblem, type Form, toUtc } from "./selection";

export interface FieldsProps {
  form: Form;
  change: (changes: Partial<Form>) => void;
  problem: FieldProblem | undefined;
}

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function Fields({ operations, ...props }: FieldsProps & { operations: string[] }): JSX.Element {
  return (
    <>
      <div class="fields">
        <Cause {...props} />
        <Text {...props} field="operation" label="Operation" hint="such as send.email" list={operations} />
        <Moment {...props} field="createdAfter" label="Created at or after" />
        <Moment {...props} field="createdBefore" label="Created before" />
        <Text {...props} field="createdBy" label="Created by" hint="as the application names its authors" />
        <Text {...props} field="limit" label="At most" hint="how many to send" numeric />
        <Ids {...props} />
        <Text {...props} field="note" label="Note" hint="why, in your own words; it stays with the run" />
      </div>
      <Check {...props} field="prove" label="Prove the fix" disabled={!props.form.cause}>
        Send one first, then five, then twenty, and the rest only while none fails again. Needs a cause.
      </Check>
      <Check {...props} field="includeManual" label="Also what is on the worklist">
        As if you had retried each of them. A cause includes them anyway.
      </Check>
    </>
  );
}

/** A field with its label, its hint, and what is wrong with it. `input` gets what it has to have. */
function Row({
  field,
  label,
  hint,
  problem,
  input,
}: {
  field: Field;
  label: string;
  hint?: ComponentChildren;
  problem: FieldsProps["problem"];
  input: (attributes: { id: string; "aria-describedby": string; "aria-invalid": boolean }) => JSX.Element;
}): JSX.Element {
  const wrong = problem?.field === field;
  const about = `${field}-about`;
  return (
    <div>
      <label for={field}>{label}</label>
      {input({ id: field, "aria-describedby": about, "aria-invalid": wrong })}
      <div id={about}>
        {wrong && <p class="wrong">{problem.text}</p>}
        {hint && <p class="hint">{hint}</p>}
      </div>
    </div>
  );
}

function Text({
  form,
  change,
  problem,
  field,
  label,
  hint,
  list,
  numeric,
}: FieldsProps & {
  field: "operation" | "createdBy" | "limit" | "note";
  label: string;
  hint: string;
  list?: string[];
  numeric?: boolean;
}): JSX.Element {
  return (
    <Row
      {...{ field, label, hint, problem }}
      input={(attributes) => (
        <>
          <input
            {...attributes}
            type="text"
            inputMode={numeric ? "numeric" : undefined}
            pattern={numeric ? "\\s*[0-9]{1,10}\\s*" : undefined}
            autocomplete="off"
            list={list && `${field}-list`}
            value={form[field]}
            onInput={(event) => change({ [field]: event.currentTarget.value })}
          />
          {list && (
            <datalist id={`${field}-list`}>
              {list.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          )}
        </>
      )}
    />
  );
}

function Moment({
  form,
  change,
  problem,
  field,
  label,
}: FieldsProps & { field: "createdAfter" | "createdBefore"; label: string }): JSX.Element {
  const at = toUtc(form[field]);
  return (
    <Row
      {...{ field, label, problem }}
      hint={at ? utc(at) : `in ${ZONE}`}
      input={(attributes) => (
        <input
          {...attributes}
          type="datetime-local"
          step="any"
          value={form[field]}
          onInput={(event) => change({ [field]: event.currentTarget.value })}
        />
      )}
    />
  );
}

function Ids({ form, change, problem }: FieldsProps): JSX.Element {
  return (
    <Row
      {...{ field: "primaryIds", label: "Ids", problem }}
      hint="of the application, one per line, at most 1,000"
      input={(attributes) => (
        <textarea
          {...attributes}
          rows={3}
          spellcheck={false}
          value={form.primaryIds}
          onInput={(event) => change({ primaryIds: event.currentTarget.value })}
        />
      )}
    />
  );
}

function Cause({ form, change, problem }: FieldsProps): JSX.Element {
  const { data, error } = useLive("causes", (signal) => call(GET("/causes", { signal })));
  const causes = data?.causes.filter(({ folded }) => !folded) ?? [];
  const chosen = causes.find(({ id }) => id === form.cause);
  return (
    <Row
      {...{ field: "cause", label: "Cause", problem }}
      hint={chosen ? `${chosen.operation}, ${count(chosen.count, "communication")} in the last scan` : error?.message}
      input={(attributes) => (
        <select
          {...attributes}
          value={form.cause}
          onChange={({ currentTarget: { value } }) => change(value ? { cause: value } : { cause: value, prove: false })}
        >
          <option value="">any</option>
          {form.cause && !chosen && (
            <option value={form.cause}>{data ? `${form.cause} (not seen)` : form.cause}</option>
          )}
          {causes.map((cause) => (
            <option key={cause.id} value={cause.id}>
              {cause.operation}: {causeName(cause)}
            </option>
          ))}
        </select>
      )}
    />
  );
}

function Check({
  form,
  change,
  problem,
  field,
  label,
  disabled,
  children,
}: FieldsProps & {
  field: "includeManual" | "prove";
  label: string;
  disabled?: boolean;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <div class="option">
      <label>
        <input
          id={field}
          type="checkbox"
          checked={form[field]}
          disabled={disabled}
          aria-describedby={`${field}-about`}
          onChange={(event) => change({ [field]: event.currentTarget.checked })}
        />{" "}
        {label}
      </label>
      <div id={`${field}-about`}>
        {problem?.field === field && <p class="wrong">{problem.text}</p>}
        <p class="hint">{children}</p>
      </div>
    </div>
  );
}
