/** The page: who is not signed in is asked for a token, everybody else sees the screen that the address names. */

import { render, type ComponentChildren, type JSX } from "preact";
import { useEffect, useErrorBoundary } from "preact/hooks";

import { call, GET } from "./api";
import { useLive } from "./live";
import { caller } from "./roles";
import { usePlace } from "./router";
import { CauseScreen } from "./screens/cause";
import { Causes } from "./screens/causes";
import { CommunicationScreen } from "./screens/communication";
import { Now } from "./screens/now";
import { OutageScreen } from "./screens/outage";
import { Outages } from "./screens/outages";
import { RunScreen } from "./screens/run";
import { Runs } from "./screens/runs";
import { ScheduleAndPace } from "./screens/schedule";
import { SignIn } from "./screens/sign-in";
import { StartRun } from "./screens/start";
import { Worklist } from "./screens/worklist";
import { session } from "./session";
import { useStore } from "./store";
import { Heading } from "./ui/basics";
import { useKeys } from "./ui/keys";
import { isMoving } from "./ui/runs";
import { Shell } from "./ui/shell";
import type { Screen } from "./ui/screen";

/** The screens with a list, and those with one thing of it, by the first part of the address. */
const LISTS: Record<string, (screen: Screen) => JSX.Element> = {
  "": Now,
  causes: Causes,
  runs: Runs,
  worklist: Worklist,
  outages: Outages,
  start: StartRun,
  schedule: ScheduleAndPace,
};

const DETAILS: Record<string, (screen: Screen & { id: string }) => JSX.Element> = {
  causes: CauseScreen,
  runs: RunScreen,
  outages: OutageScreen,
  communications: CommunicationScreen,
};

function App(): JSX.Element {
  const { token } = useStore(session);
  return token ? <SignedIn key={token} /> : <SignIn />;
}

function SignedIn(): JSX.Element {
  const place = usePlace();
  const summary = useLive(
    "summary",
    (signal) => call(GET("/summary", { signal })),
    (data) => data.runsUnderWay > data.awaitingApproval || data.runs.some(isMoving),
  );
  const who = summary.data?.caller;
  useEffect(() => caller.set(who), [who?.name, who?.role]);
  useKeys();

  const [first = "", id] = place.path;
  const Detail = id ? DETAILS[first] : undefined;
  const List = LISTS[first];
  return (
    <Shell place={place} summary={summary}>
      <Guarded key={place.path.join("/")}>
        {Detail && id ? (
          <Detail key={`${first}/${id}`} id={id} place={place} summary={summary} />
        ) : List && !id ? (
          <List key={first} place={place} summary={summary} />
        ) : (
          <Heading title="Not found">There is no such screen</Heading>
        )}
      </Guarded>
    </Shell>
  );
}

/** Says so when a screen fails, as it does if the tab is older than the service, whose answers have something new. */
function Guarded({ children }: { children: ComponentChildren }): JSX.Element {
  const [failure] = useErrorBoundary();
  if (!failure) return <>{children}</>;
  return (
    <div role="alert">
      <p class="problem">
        The page does not understand what the service has answered. Perhaps it is of an older version. Load the page
        again; if that does not help, tell whoever runs this service.
      </p>
      <button type="button" onClick={() => location.reload()}>
        Load the page again
      </button>
    </div>
  );
}

document.body.replaceChildren();
render(<App />, document.body);
