"""The verdict of the experiment: compares the ledger, the application and the providers with what was promised."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from chalicelib.ledger.runs import MAIL_DUE, OPEN
from sandbox.chaos.records import open_run_ids, query_application, read_index, read_table
from sandbox.chaos.sums import Check
from sandbox.system import System


def open_runs(system: System) -> int:
    """Return how many runs have not ended, or have a mail that is due."""
    return len(open_run_ids(system)) + len(read_index(system, "open", MAIL_DUE))


def unfinished(system: System) -> int:
    """Return how many communications are neither sent nor for people to decide."""
    unsent = {row[0] for row in query_application(system, "SELECT id FROM communications WHERE sent = 0")}
    return len(unsent - _for_people(system, "manual") - _for_people(system, "dismissed"))


def show(system: System, faults: Counter[str], sums: list[Check], console: Console) -> bool:
    """Print what happened and what was promised; return whether every promise was kept. `sums` have been compared."""
    items, stats = read_table(system), system.application.stats()
    communications = stats["total"]
    runs = [item for item in items if item["sk"] == "RUN"]
    statuses = Counter(str(run["status"]) for run in runs)
    worklist = [item for item in items if item["sk"] == "COMM" and item["status"] == "manual"]
    reasons = Counter(str(item["manualReason"]) for item in worklist)
    console.print(f"{len(runs)} runs ({_join(statuses)}), {stats['payloads']} POSTs to the application,")
    console.print(f"{len(system.mailbox.messages())} mails to the person on duty, on the worklist: {_join(reasons)}")
    table = Table("what", "count", "expected", "", box=None)
    rows = [
        ("communications sent, or for people to decide", communications - unfinished(system), communications),
        *_promises(system, stats, runs),
        ("runs that failed, because their manifest was deleted", _failed(runs), faults["manifests deleted"]),
        *sums,
    ]
    for what, count, expected in rows:
        table.add_row(what, str(count), str(expected), "ok" if count == expected else "WRONG")
    console.print(table)
    return all(count == expected for _, count, expected in rows)


def _failed(runs: list[dict[str, Any]]) -> int:
    """Return how many runs failed although the lists could be read."""
    return sum(run["status"] == "failed" and not run.get("listErrors") for run in runs)


def _promises(system: System, stats: dict[str, int], runs: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Return what must not have happened, how often it did, and 0."""
    delivered = Counter(str(each["X-Communication-Id"]) for each in system.email.messages())
    delivered.update(each.communication_id for each in system.sms.messages())
    closed = [run for run in runs if run.get("open") != OPEN]
    unequal = [run for run in closed if sum(run.get("counts", {}).values()) != run.get("matched", 0)]
    return [
        ("communications delivered twice (counted by the providers)", sum(n > 1 for n in delivered.values()), 0),
        ("communications delivered twice (counted by the application)", stats["delivered_twice"], 0),
        ("communications sent again under another idempotency key", stats["two_keys"], 0),
        ("idempotency keys used with two different bodies", stats["changed_bodies"], 0),
        ("runs that have not ended", len(runs) - len(closed), 0),
        ("mails that nobody has got", sum("mail" in run for run in runs), 0),
        ("runs whose outcomes do not add up", len(unequal), 0),
    ]


def _join(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"


def _for_people(system: System, status: str) -> set[str]:
    """Return the ids of the communications that are manual or dismissed."""
    return {str(item["primaryId"]) for item in read_index(system, "worklist", status)}
