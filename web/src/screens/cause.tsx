import type { JSX } from "preact";

import { Heading } from "../ui/basics";
import type { Screen } from "../ui/screen";

export function CauseScreen(_: Screen & { id: string }): JSX.Element {
  return <Heading title="Cause">Cause</Heading>;
}
