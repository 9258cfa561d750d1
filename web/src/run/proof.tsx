/** How far a run is that proves a fix: one, then five, then twenty, then the rest. */

import type { JSX } from "preact";

import { count, number } from "../format";
import { link } from "../router";
import { Section } from "../ui/basics";
import { eligible, isOpen, type Run } from "../ui/runs";

type Proof = NonNullable<Run["proof"]>;
type Stage = Proof["stage"];
type State = "done" | "now" | "failed" | "left";

const SIZES = [1, 5, 20];

const WORDS: Record<State, string> = {
  done: "ended well",
  now: "under way",
  failed: "failed again",
  left: "not sent",
};

export function ProofSteps({ run, proof }: { run: Run; proof: Proof }): JSX.Element {
  const stages = stagesOf(proof.stage);
  const at = stages.indexOf(proof.stage);
  return (
    <Section title="Proof of the fix" aside={<a href={link(["causes", proof.cause])}>The cause</a>}>
      <ol class="stages">
        {stages.map((stage, place) => {
          const state = stateOf(run, proof, place - at);
          return (
            <li key={place} class={state} aria-current={state === "now" ? "step" : undefined}>
              <strong class="number">{stage === "all" ? "the rest" : number(stage)}</strong>
              <span>{stage === "all" && state === "left" ? rest(run) : WORDS[state]}</span>
            </li>
          );
        })}
      </ol>
      <p>{sentence(run, proof)}</p>
    </Section>
  );
}

/** The sizes of the batches: with smaller ones configured, none is larger than these. */
function stagesOf(stage: Stage): Stage[] {
  const most = stage === "all" || SIZES.includes(stage) ? Infinity : stage;
  return [...SIZES.map((size) => Math.min(size, most)), "all"];
}

/** `distance`: how many steps a step is from the one that the last communication was in. */
function stateOf(run: Run, proof: Proof, distance: number): State {
  if (distance > 0 || !(proof.sent || isOpen(run))) return "left";
  if (distance < 0) return "done";
  if (proof.failedAgain) return "failed";
  if (isOpen(run)) return run.status === "running" ? "now" : "left";
  return run.status === "succeeded" ? "done" : "left";
}

function rest(run: Run): string {
  if (run.status === "succeeded") return "nothing was left";
  return isOpen(run) ? "if all goes well" : "not sent";
}

function sentence(run: Run, proof: Proof): string {
  const { sent, failedAgain } = proof;
  if (failedAgain) {
    const of = `${number(failedAgain)} of the ${number(sent)} that were sent failed again`;
    return `${of}, so the run ${isOpen(run) ? "sends" : "sent"} nothing else.`;
  }
  if (!sent) return isOpen(run) ? "Nothing has been sent so far." : "Nothing was sent, so nothing is proved.";
  if (isOpen(run)) return `${count(sent, "communication")} of ${number(eligible(run))} sent, and none failed again.`;
  if (run.status === "succeeded") return `The fix holds: none of the ${number(sent)} failed again.`;
  return `None of the ${number(sent)} that were sent failed again for the same cause.`;
}
