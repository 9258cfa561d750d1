"""Whether the sums agree: what comms-reprocess says of causes, outages and runs, and what the records behind it say.

Each check counts for itself, from the application's database and from the items of communications in the ledger.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from chalicelib.models.runs import RunKind
from sandbox.chaos.records import Item, query_application, read_item, read_table
from sandbox.system import System

# What a check compares: what it is about, the count, and the count that is expected.
Check = tuple[str, int, int]

# What is listed stands for one of these: an operation, where it stands, and its cause.
_Standing = tuple[str, str, str, str | None]

_ROWS_AT_ONCE = 500

# What the application said to a POST, and the kind of a cause.
_KINDS = {
    "accepted": "relapsed",
    "CommunicationRejected": "rejected",
    "ApplicationError": "failed",
    "OutcomeUnknown": "unknown",
    "UnexpectedRedirect": "unknown",
    "ApplicationUnavailable": "deferred",
    "ApplicationOverloaded": "deferred",
    "ApplicationMisconfigured": "deferred",
    "sending": "unknown",
}

# Kinds of a try after which nobody knows whether the next one, which was not processed, is the only one.
_DOUBTFUL = {"failed", "unknown"}


# -- causes


def causes(system: System, when: str) -> list[Check]:
    """Compare the situation with what the application lists, while nothing may still arrive."""
    items = {(item["operation"], item["primaryId"]): item for item in read_table(system) if item["sk"] == "COMM"}
    listed = query_application(
        system, "SELECT operation, id, error_code FROM communications WHERE state = 'failed' ORDER BY operation, id"
    )
    expected = Counter(_standing(row, items.get((row["operation"], row["id"]))) for row in listed)
    situation = read_item(system, "SITUATION", "SITUATION")["situation"]
    on_worklist = sum(item["status"] == "manual" for item in items.values())
    return [
        (f"causes {when}: communications in them", _in_causes(situation).total(), _with_cause(expected).total()),
        (f"causes {when}: different ones", len(_in_causes(situation)), len(_with_cause(expected))),
        (f"causes {when}: counted in another one", _difference(_in_causes(situation), _with_cause(expected)), 0),
        (f"operations {when}: counted elsewhere", _difference(_in_operations(situation), _sums(expected)), 0),
        (f"worklist {when}", int(situation.get("worklist", 0)), on_worklist),
    ]


def _standing(row: Any, item: Item | None) -> _Standing:
    """Return where a listed communication stands, and why it is failing."""
    status = item["status"] if item else "open"
    if status == "dismissed":
        return row["operation"], status, "", None
    kind = _kind(item or {"status": "open"})
    where = "onWorklist" if status == "manual" else "failing"
    return row["operation"], where, kind, _reason(row, item or {}, kind)


def _kind(item: Item) -> str:
    if item["status"] == "manual" and item["manualReason"] in ("expired", "relapsed"):
        return str(item["manualReason"])
    answers = [entry["answer"] for entry in item.get("history", ()) if entry["owner"] == item.get("owner")]
    kinds = [_KINDS[answer] for answer in answers]
    if not kinds:
        return "untried"
    return "unknown" if kinds[-1] == "deferred" and set(kinds) & _DOUBTFUL else kinds[-1]


def _reason(row: Any, item: Item, kind: str) -> str | None:
    if kind == "unknown" and "answer" not in item:
        return "died_while_sending"
    reason: str | None = item.get("reason") or item.get("failureReason") or row["error_code"]
    return reason


def _with_cause(expected: Counter[_Standing]) -> Counter[tuple[str, str, str | None]]:
    found = Counter[tuple[str, str, str | None]]()
    for (operation, _, kind, reason), number in expected.items():
        found[operation, kind, reason] += number if kind else 0
    return +found


def _in_causes(situation: Item) -> Counter[tuple[str, str, str | None]]:
    counts = {(each["operation"], each["kind"], each.get("reason")): each for each in situation["causes"]}
    return +Counter({cause: int(each.get("count", 0)) for cause, each in counts.items()})


def _sums(expected: Counter[_Standing]) -> Counter[tuple[str, str]]:
    found = Counter[tuple[str, str]]()
    for (operation, where, _, _), number in expected.items():
        found[operation, where] += number
    return found


def _in_operations(situation: Item) -> Counter[tuple[str, str]]:
    return Counter(
        {
            (operation, where): int(number)
            for operation, counts in situation["byOperation"].items()
            for where, number in counts.items()
        }
    )


def _difference(one: Counter[Any], other: Counter[Any]) -> int:
    return ((one - other) + (other - one)).total()


# -- outages


def outages(system: System) -> list[Check]:
    """Compare each outage with those that it has hit, and these with what was delivered."""
    token = system.token("viewer", "outages")
    found = system.call("GET", "/outages?limit=50", token).json()["outages"]
    hit = {each["outageId"]: list(_affected(system, token, each["outageId"])) for each in found}
    rows = [row for each in hit.values() for row in each]
    keys = [{(row["operation"], row["primaryId"]) for row in each} for each in hit.values()]
    return [
        ("outages that are settled", sum(each["settledAt"] is not None for each in found), len(found)),
        ("outages: communications hit", sum(each["hit"] for each in found), len(rows)),
        ("outages: different communications hit", sum(map(len, keys)), len(rows)),
        ("outages: sums of what became of them", sum(map(_sum, found)), len(rows)),
        ("outages: recovered", sum(each["recovered"] for each in found), _with_state(rows, "recovered")),
        ("outages: delivered, and not recovered", _not_recovered(system, found, hit), 0),
        *_newest(found[:1], hit),
    ]


def _affected(system: System, token: str, outage_id: str) -> Iterator[dict[str, str]]:
    """Yield the rows of an outage's CSV file, page by page."""
    query = f"?limit={_ROWS_AT_ONCE}"
    while query:
        answer = system.call("GET", f"/outages/{outage_id}/affected.csv{query}", token)
        yield from csv.DictReader(answer.text.splitlines())
        cursor = answer.headers.get("X-Next-Cursor")
        query = f"?limit={_ROWS_AT_ONCE}&cursor={cursor}" if cursor else ""


def _sum(outage: Item) -> int:
    return sum(int(outage[each]) for each in ("recovered", "waiting", "sent", "onWorklist", "dismissed"))


def _with_state(rows: Iterable[dict[str, str]], *states: str) -> int:
    return sum(row["state"] in states for row in rows)


def _not_recovered(system: System, found: list[Item], hit: dict[str, list[dict[str, str]]]) -> int:
    """Return how many were delivered before their outage was settled, and are not called recovered."""
    delivered = {row[0]: row[1] for row in query_application(system, "SELECT communication_id, at FROM deliveries")}
    settled = {each["outageId"]: each["settledAt"] or "9" for each in found}
    rows = [(row, settled[outage_id]) for outage_id, rows in hit.items() for row in rows]
    return sum(row["state"] != "recovered" and delivered.get(row["primaryId"], "9") < before for row, before in rows)


def _newest(found: list[Item], hit: dict[str, list[dict[str, str]]]) -> list[Check]:
    """Compare the outage that is of now with its rows: nobody has decided anything since."""
    names = {"waiting": "waiting", "sent": "sent", "onWorklist": "on_worklist", "dismissed": "dismissed"}
    return [
        (f"the last outage: {state}", int(each[name]), _with_state(hit[each["outageId"]], state))
        for each in found
        for name, state in names.items()
    ]


# -- runs


def runs(system: System) -> list[Check]:
    """Compare what runs have counted with the histories and the decisions of communications."""
    items = read_table(system)
    found = [item for item in items if item["sk"] == "RUN"]
    communications = [item for item in items if item["sk"] == "COMM"]
    relapsed = Counter({run["runId"]: int(run["relapsed"]) for run in found if run.get("relapsed")})
    expected = _relapses(system, communications)
    bulk = [run for run in found if run.get("kind", RunKind.REPROCESS) != RunKind.REPROCESS]
    changed, decided = _changed(bulk), _decisions(communications)
    return [
        ("relapses that runs have counted", relapsed.total(), expected.total()),
        ("relapses counted on another run", _difference(relapsed, expected), 0),
        ("runs that are settled", sum("settledAt" in run for run in found), len(found)),
        ("bulk runs: communications changed", changed.total(), decided.total()),
        ("bulk runs: changed by another one", _difference(changed, decided), 0),
        ("bulk runs: refused, by reason", _refused(bulk), _count(bulk, "refused")),
        ("bulk runs: found", sum(int(run.get("matched", 0)) for run in bulk), changed.total() + _refused(bulk)),
    ]


def _relapses(system: System, communications: list[Item]) -> Counter[str]:
    """Return how much of what each run got accepted was listed again: it was tried again, or is listed now."""
    listed = {(row[0], row[1]) for row in query_application(system, _LISTED)}
    relapsed = Counter[str]()
    for item in communications:
        history = item.get("history", [])
        is_listed = (item["operation"], item["primaryId"]) in listed
        again = history if is_listed else history[:-1]
        owners = {entry["owner"] for entry in again if entry["answer"] == "accepted"}
        relapsed.update(owner.rpartition("#")[0] for owner in owners)
    return relapsed


_LISTED = "SELECT operation, id FROM communications WHERE state = 'failed'"


def _changed(bulk: list[Item]) -> Counter[str]:
    return +Counter({run["runId"]: int(run.get("counts", {}).get("changed", 0)) for run in bulk})


def _refused(bulk: list[Item]) -> int:
    return sum(int(number) for run in bulk for number in run.get("refused", {}).values())


def _count(bulk: list[Item], name: str) -> int:
    return sum(int(run.get("counts", {}).get(name, 0)) for run in bulk)


def _decisions(communications: list[Item]) -> Counter[str]:
    """Return how many decisions name each bulk run."""
    decisions = [decision for item in communications for decision in item.get("rulings", [])]
    return Counter(decision["runId"] for decision in decisions if "runId" in decision)


def proofs(system: System, run_ids: Iterable[str]) -> list[Check]:
    """Check that runs sent six at most when all that they sent failed for the cause that was to be fixed."""
    query = "SELECT count(DISTINCT communication_id) FROM payloads WHERE run_id = ? AND NOT refused"
    sent = [int(query_application(system, query, run_id)[0][0]) for run_id in run_ids]
    return [("sent by a run that proves a fix in vain, at most 6", number, min(number, 6)) for number in sent]
