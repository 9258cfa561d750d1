"""What `deploy.py status` says of comms-reprocess: also whether its schedule is paused, the worklist and the runs."""

from collections.abc import Iterator
from typing import Any

from chalicelib import times
from chalicelib.ledger.runs import Runs
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.models.communications import CommunicationStatus
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunKind
from deployment import chalice_names, status
from deployment.clients import Clients
from deployment.comms_reprocess import configuration
from deployment.stage import Stage
from deployment.status import MISSING, Row

# How many runs are shown, and how far the worklist is counted.
_RUNS, _MAX_COUNT = 5, 10_000

# What is shown of a run: which of its counts, and what that means.
_DONE = {
    RunKind.REPROCESS: (Outcome.ACCEPTED.value, "accepted"),
    RunKind.RETRY: ("changed", "retried"),
    RunKind.DISMISS: ("changed", "dismissed"),
}


def rows(stage: Stage, clients: Clients) -> Iterator[Row]:
    """Yield what there is to say about a stage. NotDeployed if nothing of it exists."""
    dynamodb = clients("dynamodb")
    rule = chalice_names.schedule_rule(stage.names, "collector")
    yield from status.of_functions(stage, clients)
    yield "schedule", status.schedule(clients("events"), rule, _pause(dynamodb, stage))
    yield from status.of_messages(stage, clients)
    yield from _ledger(dynamodb, stage)


def _pause(client: Any, stage: Stage) -> str | None:
    """Return who has paused the schedule; None if nobody has, or there is no table: its own row says so."""
    try:
        pause = Schedule(Table(client, stage.names.table), times.now).paused()
    except client.exceptions.ResourceNotFoundException:
        return None
    return f"PAUSED by {pause.by} since {_minute(pause.at)}: POST /schedule/resume" if pause else None


def _ledger(client: Any, stage: Stage) -> Iterator[Row]:
    table, retention = Table(client, stage.names.table), configuration.settings(stage).retention_ms
    try:
        size = table.count_index("worklist", CommunicationStatus.MANUAL, _MAX_COUNT)
        runs, _ = Runs(table, times.now, retention).page(_RUNS)
    except client.exceptions.ResourceNotFoundException:
        yield "table", MISSING
        return
    yield "worklist", f"{size}{' or more' if size >= _MAX_COUNT else ''} need a person"
    for run in runs:
        yield "run", _run(run)
    if not runs:
        yield "run", "none yet"


def _run(run: Run) -> str:
    counted, done = _DONE[run.kind]
    number = run.counts.get(counted, 0)
    return f"{_minute(run.requested_at)}  {run.status:<10} {number} of {run.matched} {done}  {run.run_id}"


def _minute(moment: int) -> str:
    return times.format_iso(moment)[:16].replace("T", " ") + " UTC"
