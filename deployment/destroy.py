"""Removes a deployment: the steps backwards, each removing exactly what it creates."""

from collections.abc import Callable, Sequence

from deployment.steps import Step, announce, guarded

# Asks a person a question and returns the answer.
Ask = Callable[[str], str]


class Declined(Exception):
    """The person did not agree."""


def destroy(steps: Sequence[Step], prefix: str, *, with_data: bool, ask: Ask) -> None:
    """Remove what the steps created, after asking. What holds data is kept unless `with_data`."""
    removable = [step for step in reversed(steps) if step.remove]
    doomed = [step for step in removable if with_data or not step.holds_data]
    print("This removes:\n" + "\n".join(f"  {step.label}" for step in doomed))
    kept = [step for step in removable if step not in doomed]
    if kept:
        print("It keeps (use --with-data to remove them too):\n" + "\n".join(f"  {step.label}" for step in kept))
    if ask(f"Type {prefix} to remove it: ").strip() != prefix:
        raise Declined("nothing was removed")
    removed = [_remove(step, doomed) for step in doomed]
    print(f"Done: {sum(removed)} removed." if any(removed) else "Done: there was nothing left to remove.")


def _remove(step: Step, steps: Sequence[Step]) -> bool:
    announce(step.label, steps)
    assert step.remove
    removed = guarded(step.label, step.remove, "Then run the same command again; it continues where it stopped.")
    print("removed" if removed else "did not exist")
    return removed
