/** Which part of the worklist is shown. It is in the address, so it can be sent to somebody, and Back undoes it. */

import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

import type { Schemas } from "../api";
import { number } from "../format";
import { go, link, type Place } from "../router";
import { causeName } from "../words";

export function WorklistFilter({
  place: { query },
  operations,
  causes,
}: {
  place: Place;
  operations: string[];
  causes: Schemas["CauseView"][];
}): JSX.Element {
  const given = (name: string): string => query.get(name) ?? "";
  const dismissed = given("status") === "dismissed";
  const selectable = causes.filter((cause) => !cause.folded && (cause.onWorklist || cause.id === given("cause")));
  return (
    <form class="fields filter" role="search" onSubmit={apply}>
      <Select name="status" label="Show" value={given("status")}>
        <option value="">on the worklist</option>
        <option value="dismissed">dismissed</option>
      </Select>
      <Select name="operation" label="Operation" value={given("operation")}>
        <option value="">all</option>
        {withGiven(operations, given("operation")).map((each) => (
          <option key={each}>{each}</option>
        ))}
      </Select>
      <Select name="cause" label="Cause" value={dismissed ? "" : given("cause")} disabled={dismissed}>
        <option value="">{dismissed ? "none: it is dismissed" : "all"}</option>
        {selectable.map((cause) => (
          <option key={cause.id} value={cause.id}>
            {cause.operation}, {causeName(cause)} ({number(cause.onWorklist)})
          </option>
        ))}
        {given("cause") && !selectable.some(({ id }) => id === given("cause")) && (
          <option value={given("cause")}>{given("cause")}</option>
        )}
      </Select>
      <Text name="reason" label="Reason" value={given("reason")} most={100} />
      <Text name="primaryId" label="Id in the application" value={given("primaryId")} most={512} />
      <p class="actions">
        <button type="submit">Search</button>
        {query.size > 0 && <a href={link(["worklist"])}>Clear</a>}
      </p>
    </form>
  );
}

const withGiven = (names: string[], given: string): string[] => [...new Set([...names, given])].filter(Boolean);

function apply(event: Event): void {
  event.preventDefault();
  const fields = new FormData(event.currentTarget as HTMLFormElement);
  const filter = Object.fromEntries([...fields].map(([name, value]) => [name, String(value).trim()]));
  if (filter.status === "dismissed") delete filter.cause; // what is dismissed has none
  go(["worklist"], filter);
}

function Select({
  name,
  label,
  value,
  disabled = false,
  children,
}: {
  name: string;
  label: string;
  value: string;
  disabled?: boolean;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <div>
      <label for={name}>{label}</label>
      <select
        id={name}
        name={name}
        value={value}
        disabled={disabled}
        onChange={(event) => event.currentTarget.form?.requestSubmit()}
      >
        {children}
      </select>
    </div>
  );
}

function Text({ name, label, value, most }: { name: string; label: string; value: string; most: number }): JSX.Element {
  const [text, setText] = useState(value);
  // Not after painting: what somebody has typed by then would be gone.
  useLayoutEffect(() => setText(value), [value]);
  return (
    <div>
      <label for={name}>{label}</label>
      <input
        id={name}
        name={name}
        type="search"
        autocomplete="off"
        spellcheck={false}
        maxLength={most}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
    </div>
  );
}
