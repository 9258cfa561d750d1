"""The runs in the ledger: for each its item, its switch and its batches."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from chalicelib import run_ids, times
from chalicelib.errors import RunNotFound
from chalicelib.ledger.pace import CANARY
from chalicelib.ledger.table import ConditionFailed, Item, Table, change_of
from chalicelib.models.base import PageKey, Record
from chalicelib.models.batches import BatchRecord
from chalicelib.models.notifications import Notification
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import CLOSED, Proof, Run

# The sort key of a run's item.
RUN = "RUN"

# The attribute that each field of a Run is stored as.
_ATTRIBUTES = dict(zip(Run.__struct_fields__, Run.__struct_encode_fields__, strict=True))


def run_key(run_id: str) -> tuple[str, str]:
    """Return the table's key of a run's item."""
    return f"RUN#{run_id}", RUN


def switch_key(run_id: str) -> tuple[str, str]:
    """Return the table's key of a run's switch, which `statemachine.json` reads too."""
    return f"RUN#{run_id}", "SWITCH"


# What the index `open` holds: the runs that have not ended, those that have ended with a mail that is due, those whose
# accepted communications may still relapse, and those that turned out worse than their mail said, until people know.
OPEN, MAIL_DUE, UNSETTLED, WORSE = "OPEN", "MAIL", "UNSETTLED", "WORSE"

# The SDK may repeat a write that has succeeded.
_MAY_RECOVER = (
    "#status = :status AND (attribute_not_exists(#recoveries) OR #recoveries = :known"
    " OR (#recoveries = :recoveries AND #recoveredAt = :recoveredAt))"
)


class Switch(Record, frozen=True):
    """What every batch of a run checks before it starts. `reason`: why the run is halted, None if it is not.

    `proof` is that of a run that proves a fix. Then `recorded` are the batches that have ended, and `proved` those of
    which something was accepted, until these are enough.
    """

    reason: str | None = None
    proof: Proof | None = None
    recorded: set[int] = set()
    proved: set[int] = set()

    @property
    def is_proved(self) -> bool:
        """Whether as many batches got something accepted as a canary has."""
        return len(self.proved) >= len(CANARY)


class Runs:
    """The runs in one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def create(self, run: Run) -> bool:
        """Write a run's item; return False if a run of that id exists already."""
        item = msgspec.to_builtins(run) | {
            "pk": run_key(run.run_id)[0],
            "sk": RUN,
            "runs": "RUN",
            "open": OPEN,
            "expiresAt": self._expiry(),
        }
        return self._table.put_new(item)

    def read(self, run_id: str) -> Run:
        """Return a run. RunNotFound if there is none of that id."""
        item = self._table.get(*run_key(run_id)) if len(run_id) <= run_ids.MAX_LENGTH else None
        if item is None:
            raise RunNotFound(f"there is no run {run_id[: run_ids.MAX_LENGTH]!r}")
        return _run(item)

    def open_runs(self) -> list[Run]:
        """Return the runs that have not ended, oldest first; eventually consistent."""
        return [_run(item) for item in self._table.query_index("open", OPEN)]

    def page(self, size: int, after: PageKey | None = None) -> tuple[list[Run], PageKey | None]:
        """Return at most `size` runs, newest first, and the key of the next page; eventually consistent."""
        items, key = self._table.page(("runs", "RUN", "requestedAt"), size, after, oldest_first=False)
        return [_run(item) for item in items], key

    def change(self, run: Run, *, mail: Notification | None = None, **changes: Any) -> Run | None:
        """Set fields of a run with the status of `run`, and in hand the page of `run`; return it. None: it moved on.

        A status that closes the run also removes it from the open ones and sets `ended_at`. `mail` is due then, and is
        part of the same write: see chalicelib.ledger.mails. A run that got nothing accepted is settled at once.
        """
        values = {_ATTRIBUTES[name]: msgspec.to_builtins(value) for name, value in changes.items()}
        removed = ""
        if changes.get("status", run.status) in CLOSED:
            accepted = changes.get("counts", run.counts).get(Outcome.ACCEPTED, 0)
            values["endedAt"] = self._clock()
            values |= {} if accepted else {"settledAt": values["endedAt"]}
            if mail:
                values |= {"open": MAIL_DUE, "mail": msgspec.to_builtins(mail)}
            elif accepted:
                values["open"] = UNSETTLED
            else:
                removed = " REMOVE #open"
        pages = {"oldPages": run.pages} if run.pages else {}
        unmoved = "#pages = :oldPages" if run.pages else "attribute_not_exists(#pages)"
        condition = f"#status = :oldStatus AND {unmoved}"
        return self._update(run, values, {"oldStatus": run.status} | pages, condition, removed)

    def begin_recovery(self, run: Run) -> Run | None:
        """Count that somebody tries to help an open run, and return it; None if it moved on, or another was faster."""
        values = {"recoveries": run.recoveries + 1, "recoveredAt": self._clock()}
        return self._update(run, values, {"status": run.status, "known": run.recoveries}, _MAY_RECOVER)

    def _update(self, run: Run, values: Item, compared: Item, condition: str, removed: str = "") -> Run | None:
        """Set attributes of a run if the condition is met, and return the run; otherwise None."""
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values) + removed
        try:
            return _run(self._table.update_and_get(run_key(run.run_id), expression, values | compared, condition))
        except ConditionFailed:
            return None

    def delete(self, run: Run) -> None:
        """Delete the item of a scheduled run that found nothing to do."""
        self._table.delete(*run_key(run.run_id))

    # -- how a run turns out

    def unsettled(self) -> Iterator[Run]:
        """Yield the runs that have ended and are not settled, oldest first; eventually consistent.

        A run is here until it is settled or expires, so none is forgotten however long nobody looks.
        """
        return map(_run, self._table.query_index("open", UNSETTLED))

    def settle(self, run_id: str) -> None:
        """Note that a run is settled, once. If anything of it has relapsed, it is one of the `worse` from then on.

        If a relapse is counted at the same moment, the next complete scan settles it.
        """
        item = self._table.get(*run_key(run_id)) or {}  # the index may not have what was counted just now
        relapsed = item.get("relapsed")
        changes = {"settledAt": item.get("settledAt", self._clock()), "open": WORSE if relapsed else None}
        try:
            self._table.update(run_key(run_id), *change_of(changes, {"open": UNSETTLED, "relapsed": relapsed}))
        except ConditionFailed:
            return

    def worse(self) -> Iterator[Run]:
        """Yield the settled runs of which something has relapsed and no mail has told, oldest first.

        Eventually consistent.
        """
        return map(_run, self._table.query_index("open", WORSE))

    def mark_told(self, run_id: str) -> None:
        """Note that a mail tells that a run turned out worse. May be repeated."""
        try:
            self._table.update(run_key(run_id), "REMOVE #open", {"worse": WORSE}, "#open = :worse")
        except ConditionFailed:
            return

    # -- batches and progress

    def record_batch(self, run_id: str, record: BatchRecord) -> bool:
        """Write the outcomes of a batch, once; return False if they are there already."""
        return self._table.put_new(self._batch(run_id, record))

    def _batch(self, run_id: str, record: BatchRecord) -> Item:
        key = {"pk": run_key(run_id)[0], "sk": _batch_key(record.index), "expiresAt": self._expiry()}
        item: Item = msgspec.to_builtins(record)
        return item | key

    def replace_batch(self, run_id: str, record: BatchRecord) -> None:
        """Write the outcomes of a batch in place of those that were recorded."""
        self._table.put(self._batch(run_id, record))

    def batches(self, run_id: str, first: int = 0) -> Iterator[BatchRecord]:
        """Yield a run's recorded batches by index, from `first` on."""
        for item in self._table.query(run_key(run_id)[0], "BATCH#", _batch_key(first) if first else None):
            yield msgspec.convert(item, BatchRecord)

    def read_batch(self, run_id: str, index: int) -> BatchRecord:
        """Return a batch that has been recorded."""
        return msgspec.convert(self._table.get(run_key(run_id)[0], _batch_key(index)), BatchRecord)

    def add_progress(
        self, run_id: str, counts: Mapping[str, int], post_times: list[int], failed_again: int = 0
    ) -> None:
        """Add a batch's outcomes, the milliseconds of its POSTs, and what failed again in it, to the run's counters.

        They show progress and how fast the application is; no decision about sending depends on them.
        """
        added = {f"n_{outcome}": number for outcome, number in counts.items()}
        if post_times:
            added |= {"postMs": sum(post_times), "posts": len(post_times)}
        if failed_again:
            added["failedAgain"] = failed_again
        self._table.update(run_key(run_id), "ADD " + ", ".join(f"#{name} :{name}" for name in added), added)

    # -- the switch

    def halt(self, run_id: str, reason: str) -> None:
        """Keep further batches of a run from starting. If it is halted already, the first reason stays."""
        try:
            self._table.update(
                switch_key(run_id),
                "SET #halted = :yes, #reason = :reason, #expiresAt = :expiresAt",
                {"yes": True, "reason": reason, "expiresAt": self._expiry()},
                "attribute_not_exists(#halted)",
            )
        except ConditionFailed:
            return

    def halt_reasons(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Return those of some runs, all different, that are halted, and why."""
        switches = self._table.batch_get([switch_key(run_id) for run_id in run_ids])
        return {item["pk"].removeprefix("RUN#"): item["reason"] for item in switches if item.get("halted")}

    def halt_reason(self, run_id: str) -> str | None:
        """Return why no further batch of a run starts, or None if it is not halted."""
        return self.read_switch(run_id).reason

    def read_switch(self, run_id: str) -> Switch:
        """Return what a batch of a run checks before it starts."""
        return msgspec.convert(self._table.get(*switch_key(run_id)) or {}, Switch)

    def begin_proof(self, run_id: str, proof: Proof) -> None:
        """Let the batches of a run begin one by one, until they have proved a fix. It may be repeated."""
        values = {"proof": msgspec.to_builtins(proof), "expiresAt": self._expiry()}
        self._table.update(switch_key(run_id), "SET #proof = :proof, #expiresAt = :expiresAt", values)

    def record_proof(self, run_id: str, index: int, *, accepted: bool) -> None:
        """Note that a batch of a run that proves a fix has ended, and whether something in it was accepted.

        Nothing is noted any more once the fix is proved. It may be repeated.
        """
        added = "ADD #recorded :index" + (", #proved :index" if accepted else "")
        condition = "attribute_not_exists(#proved) OR size(#proved) < :enough"
        try:
            self._table.update(switch_key(run_id), added, {"index": {index}, "enough": len(CANARY)}, condition)
        except ConditionFailed:
            return

    def record_unsuccessful_batch(self, run_id: str, index: int) -> set[int]:
        """Note that nothing in a batch was accepted; return all such batches since the last success."""
        item = self._table.update_and_get(
            switch_key(run_id),
            "SET #expiresAt = :expiresAt ADD #barren :index",
            {"index": {index}, "expiresAt": self._expiry()},
        )
        return set(item["barren"])

    def reset_breaker(self, run_id: str) -> None:
        """Note that something in a batch was accepted: unsuccessful batches before it no longer count."""
        self._table.update(
            switch_key(run_id), "SET #expiresAt = :expiresAt REMOVE #barren", {"expiresAt": self._expiry()}
        )

    def _expiry(self) -> int:
        return (self._clock() + self._retention) // 1000


def _batch_key(index: int) -> str:
    return f"BATCH#{index:06d}"


def _run(item: Item) -> Run:
    counts = {name.removeprefix("n_"): value for name, value in item.items() if name.startswith("n_")}
    return msgspec.convert({"counts": counts} | item, Run)
