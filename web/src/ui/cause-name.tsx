import type { JSX } from "preact";

import type { Schemas } from "../api";
import { CAUSE_KIND } from "../words";
import { Foreign } from "./basics";

/** Why communications fail, in our words and with the application's code. */
export function CauseName({ of }: { of: Pick<Schemas["CauseView"], "kind" | "reason"> }): JSX.Element {
  if (!of.reason) return <>{CAUSE_KIND[of.kind]}</>;
  return (
    <>
      {CAUSE_KIND[of.kind]}: <Foreign text={of.reason} />
    </>
  );
}
