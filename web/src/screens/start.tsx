import type { JSX } from "preact";

import { Heading } from "../ui/basics";
import type { Screen } from "../ui/screen";

export function StartRun(_: Screen): JSX.Element {
  return <Heading title="Start a run">Start a run</Heading>;
}
