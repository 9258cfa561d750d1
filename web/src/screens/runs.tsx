import type { JSX } from "preact";

import { Heading } from "../ui/basics";
import type { Screen } from "../ui/screen";

export function Runs(_: Screen): JSX.Element {
  return <Heading title="Runs">Runs</Heading>;
}
