"""`make demo`: the main job from end to end, step by step, with a check of the result."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sandbox.project import ROOT
from sandbox.system import System

FOLDER = ROOT / ".sandbox" / "demo"

# How many of each fail. The whole demo has 90 seconds.
EMAILS = SMS = 60
COMMUNICATIONS = EMAILS + SMS

_TIMEOUT = 60.0


def main() -> int:
    """Run the demo; return 0 if everything went as it should, else 1."""
    console = Console(highlight=False)
    shutil.rmtree(FOLDER, ignore_errors=True)
    began = time.monotonic()
    console.print("All of this runs on your machine: AWS, an application, its email and SMS providers.")
    with System(FOLDER, {"SCHEDULE": "rate(1 hour)"}, requeue_after=0.5) as system:
        _deploy(system, console)
        failed = _let_fail(system, console)
        mail = _reprocess(system, console)
        succeeded = _check(system, failed, mail, console)
    took, logs = f"{time.monotonic() - began:.0f} s", FOLDER.relative_to(ROOT)
    if not succeeded:
        console.print(f"\nSomething went WRONG after {took}: see the table above, and the logs in {logs}.")
        return 1
    console.print(f"\nEverything went as it should, in {took}. Logs: {logs}")
    console.print("Next: `make serve` runs the same system until Ctrl-C, for you to try.")
    return 0


def _deploy(system: System, console: Console) -> None:
    console.rule("1. Deploy comms-reprocess to an embedded AWS on this machine", align="left")
    console.print(system.deploy().strip(), markup=False)
    console.print("(Deployed to real AWS, the API would be at this address.)")


def _let_fail(system: System, console: Console) -> int:
    """Return how many communications have finally failed."""
    console.rule("2. The email and SMS providers go down, and the application gives up", align="left")
    console.print(f"The application tries to send {EMAILS} emails and {SMS} SMS, three times each.")
    system.email.down = system.sms.down = True
    system.application.create("emails", EMAILS)
    system.application.create("sms", SMS)
    with _bar(console, "given up", COMMUNICATIONS) as show:
        _watch(show, lambda: system.application.stats()["failed"], COMMUNICATIONS)
    system.email.down = system.sms.down = False
    console.print("The providers are back, but the application has given up and will not try again.")
    return system.application.stats()["failed"]


def _reprocess(system: System, console: Console) -> str:
    """Return the mail about the run; empty if none arrives."""
    console.rule("3. The schedule starts a run of comms-reprocess", align="left")
    console.print("It lists what failed and posts it to the application again: first 1, then 5, then 20 at a time.")
    system.fire()
    token = system.token("viewer")
    with _bar(console, "accepted again", COMMUNICATIONS) as show:
        _watch(show, lambda: _accepted(system, token), COMMUNICATIONS)
    with _bar(console, "sent", COMMUNICATIONS) as show:
        _watch(show, lambda: system.application.stats()["sent"], COMMUNICATIONS)
    try:
        mail = system.mailbox.wait_for(lambda _: True, _TIMEOUT)
    except TimeoutError:
        return ""
    return f"Subject: {mail['Subject']}\n\n{mail.get_content()}"


def _accepted(system: System, token: str) -> int:
    """Return how many communications the application has accepted in all runs."""
    client = system.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    executions = client.list_executions(stateMachineArn=machine)["executions"]
    runs = [system.call("GET", f"/runs/{each['name']}", token).json() for each in executions]
    return sum(run["counts"].get("accepted", 0) for run in runs)


def _check(system: System, failed: int, mail: str, console: Console) -> bool:
    """Print the mail, and what arrived compared with what was expected; return whether they are equal."""
    console.rule("4. The mail that the person on duty gets", align="left")
    console.print(mail or "No mail arrived.", style="cyan", markup=False, soft_wrap=True)
    console.rule("5. Check: did everything arrive, and only once?", align="left")
    stats = system.application.stats()
    emails = {str(each["X-Communication-Id"]) for each in system.email.messages()}
    sms = {each.communication_id for each in system.sms.messages()}
    rows = [
        ("failed for good in step 2", failed, COMMUNICATIONS),
        ("POSTs that the application received", stats["payloads"], COMMUNICATIONS),
        ("emails that reached the email provider", len(emails), EMAILS),
        ("SMS that reached the SMS provider", len(sms), SMS),
        ("marked as sent by the application", stats["sent"], COMMUNICATIONS),
        ("delivered twice", stats["delivered_twice"], 0),
        ("mails about the run", len(system.mailbox.messages()), 1),
    ]
    table = Table("what", "count", "expected", "", box=None)
    for what, count, expected in rows:
        table.add_row(what, str(count), str(expected), "ok" if count == expected else "WRONG")
    console.print(table)
    succeeded = all(count == expected for _, count, expected in rows)
    if not succeeded:
        (FOLDER / "stats.json").write_text(json.dumps(stats), encoding="utf-8")
    return succeeded


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; the block gets a function that sets its value."""
    columns = (TextColumn("{task.description:>15}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda number: progress.update(task, completed=number)


def _watch(show: Callable[[int], None], count: Callable[[], int], expected: int) -> None:
    """Show a count until it is as expected, or for a minute; the final check then reports what is missing."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        number = count()
        show(number)
        if number >= expected:
            return
        time.sleep(0.3)
