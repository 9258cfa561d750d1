"""The chaos experiment: failed communications, a minute of faults, recovery, and the verdict."""

import shutil
import time

from rich.console import Console

from sandbox.chaos import faults, quiet, sums, verdict
from sandbox.chaos.load import approve_waiting_runs
from sandbox.project import APPLICATION_TOML, ROOT
from sandbox.system import System

FOLDER = ROOT / ".sandbox" / "chaos"

EMAILS, SMS = 1800, 1200
COMMUNICATIONS = EMAILS + SMS

# One email of so many has an address that can never work, so that there is something on the worklist all the time.
_INVALID = 10

# In seconds. A POST may take 2 s, so that sending may take 9 s.
_COOL_DOWN = 10

# Together with the deployment, the whole experiment must end within five minutes.
_FAULT_SECONDS, _RECOVERY_SECONDS = 55.0, 180.0

# How many causes runs prove in vain to be fixed.
_PROOFS = 3

_SETTINGS = {
    "SCHEDULE": "rate(1 hour)",
    "COOL_DOWN": f"{_COOL_DOWN}s",
    "CONCURRENCY": "20",
    "BREAKER_BATCHES": "5",
    "MAX_ATTEMPTS": "8",
    "APPROVAL_THRESHOLD": str(COMMUNICATIONS // 2),
    "REMIND_AFTER": "10s",  # an incident that has returned is over after that
}


def main() -> int:
    """Run the experiment; return 0 if comms-reprocess kept every promise, else 1."""
    console = Console(highlight=False)
    shutil.rmtree(FOLDER, ignore_errors=True)
    toml = APPLICATION_TOML.read_text(encoding="utf-8").replace("timeout = 10", "timeout = 2")
    console.print("Deploying comms-reprocess to an embedded AWS on this machine ...")
    with System(FOLDER, _SETTINGS, toml, rounds=1, requeue_after=0.2) as system:
        system.deploy()
        _let_fail(system, console)
        quiet.meet_trouble(system)
        console.print(f"Breaking everything at once for {_FAULT_SECONDS:.0f} s:")
        console.print("  the application returns errors, answers late and cuts connections;")
        console.print(
            "  Lambda functions are killed, and some are invoked twice; AWS throttles calls and loses answers;"
        )
        console.print("  runs of several people and the schedule overlap, are approved, and lose a manifest ...")
        counts = faults.inject(system, _FAULT_SECONDS, _COOL_DOWN)
        console.print("  " + ", ".join(f"{count} {fault}" for fault, count in sorted(counts.items())) + ".")
        console.print("Everything works again. First the schedule looks at what is left, and nothing is sent ...")
        checks = _look(system)
        console.print("The schedule fires until nothing is left to send, and everything is settled ...")
        _recover(system)
        quiet.settle(system, _COOL_DOWN)
        checks += [*sums.causes(system, "in the end"), *sums.outages(system), *sums.runs(system)]
        kept = verdict.show(system, counts, checks, console)
    logs = f"Logs: {FOLDER.relative_to(ROOT)}"
    console.print(
        f"Nothing was lost or sent twice. {logs}" if kept else f"A promise was BROKEN: see WRONG above. {logs}"
    )
    return 0 if kept else 1


def _let_fail(system: System, console: Console) -> None:
    console.print(f"The providers are down: {EMAILS} emails and {SMS} SMS fail for good ...")
    system.email.down = system.sms.down = True
    system.application.create("emails", EMAILS // _INVALID, recipient="nobody")
    system.application.create("emails", EMAILS - EMAILS // _INVALID)
    system.application.create("sms", SMS)
    system.application.wait_for_stats(120, failed=COMMUNICATIONS)
    system.email.down = system.sms.down = False


def _look(system: System) -> list[sums.Check]:
    """Compare what a scan sees with what is there, and let runs prove in vain that causes are fixed."""
    quiet.look_without_sending(system, _COOL_DOWN)
    checks = sums.causes(system, "at rest")
    quiet.go_on(system)
    return checks + sums.proofs(system, quiet.prove_in_vain(system, _PROOFS))


def _recover(system: System) -> None:
    """Fire the schedule until no run is open, and everything is sent or on the worklist."""
    deadline = time.monotonic() + _RECOVERY_SECONDS
    approver = system.token("approver", "order")
    while time.monotonic() < deadline:
        system.fire()
        time.sleep(_COOL_DOWN / 2)
        approve_waiting_runs(system, approver)
        if not verdict.open_runs(system) and not verdict.unfinished(system):
            return
