import type { JSX } from "preact";

import { Heading } from "../ui/basics";
import type { Screen } from "../ui/screen";

export function ScheduleAndPace(_: Screen): JSX.Element {
  return <Heading title="Schedule and pace">Schedule and pace</Heading>;
}
