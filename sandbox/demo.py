"""`make demo`: the main job from end to end, each step as it happens, and a verdict at the end."""

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

# How many of each kind fail; the whole demo has 90 seconds.
EMAILS = SMS = 60

_PATIENCE = 60.0


def main() -> int:
    """Run the demo; return 0 if everything that it promises happened, else 1."""
    console = Console(highlight=False)
    shutil.rmtree(FOLDER, ignore_errors=True)
    began = time.monotonic()
    with System(FOLDER, {"SCHEDULE": "rate(1 hour)"}, requeue_after=0.5) as system:
        _deploy(system, console)
        failed = _fail(system, console)
        mail = _reprocess(system, console)
        happened = _summary(system, failed, mail, console)
    console.print(f"\n{'Everything went as it should' if happened else 'Something did NOT happen'}", end="")
    console.print(f" ({time.monotonic() - began:.0f} s; logs in {FOLDER.relative_to(ROOT)}).")
    return 0 if happened else 1


def _deploy(system: System, console: Console) -> None:
    console.rule("1. Deploy comms-reprocess to AWS (embedded: moto on this machine)", align="left")
    console.print(system.deploy().strip(), markup=False)


def _fail(system: System, console: Console) -> int:
    console.rule("2. The email and SMS providers go down; the application tries, and gives up", align="left")
    system.email.down = system.sms.down = True
    system.application.create("emails", EMAILS)
    system.application.create("sms", SMS)
    console.print(f"{EMAILS} emails and {SMS} SMS go through the queue, the dead letter queue and 3 rounds.")
    with _bar(console, "finally failed", EMAILS + SMS) as show:
        _watch(show, lambda: system.application.stats()["failed"], EMAILS + SMS)
    system.email.down = system.sms.down = False
    console.print("The providers are back. Until today, somebody would now resend them by hand.")
    return system.application.stats()["failed"]


def _reprocess(system: System, console: Console) -> str:
    console.rule("3. The schedule fires: collect, reprocess in batches of 20, report", align="left")
    system.fire()
    token = system.token("viewer")
    with _bar(console, "accepted", EMAILS + SMS) as show:
        _watch(show, lambda: _accepted(system, token), EMAILS + SMS)
    with _bar(console, "really sent", EMAILS + SMS) as show:
        _watch(show, lambda: system.application.stats()["sent"], EMAILS + SMS)
    try:
        mail = system.mailbox.wait_for(lambda _: True, _PATIENCE)
    except TimeoutError:
        return ""
    return f"Subject: {mail['Subject']}\n\n{mail.get_content()}"


def _accepted(system: System, token: str) -> int:
    executions = system.client("stepfunctions").list_executions(stateMachineArn=_machine(system))["executions"]
    runs = [system.call("GET", f"/runs/{each['name']}", token).json() for each in executions]
    return sum(run["counts"].get("accepted", 0) for run in runs)


def _machine(system: System) -> str:
    return str(system.client("stepfunctions").list_state_machines()["stateMachines"][0]["stateMachineArn"])


def _summary(system: System, failed: int, mail: str, console: Console) -> bool:
    console.rule("4. What the person on duty gets, and what the customers got", align="left")
    console.print(mail or "no mail arrived", style="cyan", markup=False)
    stats = system.application.stats()
    delivered = {str(each["X-Communication-Id"]) for each in system.email.messages()}
    texted = {each.communication_id for each in system.sms.messages()}
    rows = [
        ("finally failed, after 3 rounds each", failed, EMAILS + SMS),
        ("accepted by the application, once each", stats["payloads"], EMAILS + SMS),
        ("emails in the customers' mailbox", len(delivered), EMAILS),
        ("SMS at the SMS provider", len(texted), SMS),
        ("marked sent = 1", stats["sent"], EMAILS + SMS),
        ("delivered twice", stats["delivered_twice"], 0),
        ("result mails", len(system.mailbox.messages()), 1),
    ]
    table = Table("what", "count", "expected", "", box=None)
    for what, count, expected in rows:
        table.add_row(what, str(count), str(expected), "ok" if count == expected else "WRONG")
    console.print(table)
    happened = all(count == expected for _, count, expected in rows)
    if not happened:
        (FOLDER / "stats.json").write_text(json.dumps(stats), encoding="utf-8")
    return happened


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description:>15}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda number: progress.update(task, completed=number)


def _watch(show: Callable[[int], None], count: Callable[[], int], wanted: int) -> None:
    """Show a count until it is what is wanted, or patience ends: the summary tells then."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        number = count()
        show(number)
        if number >= wanted:
            return
        time.sleep(0.3)
