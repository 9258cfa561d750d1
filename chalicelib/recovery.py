"""What the next scheduled collector does about runs that were lost, died, or ended without a report."""

from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import times, words
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.models import AWAITING, Notification, Run

# Lambda's own limit of 15 minutes (Lambda Developer Guide, "Quotas") and a minute: what collected has ended by then.
COLLECTOR_LIFE = 16 * 60_000

# How often a collector is tried for one run, before the run is given up and people are told.
COLLECTIONS = 3


class Recovery:
    """Helps the open runs that can do no further by themselves.

    `report` closes a run, given what broke it, and has people told before.
    """

    def __init__(
        self,
        ledger: Ledger,
        executions: Executions,
        collect_again: Callable[[str], None],
        report: Callable[[str, str, Callable[[Notification], None]], Notification],
        notify: Callable[[Notification], None],
        clock: times.Clock,
    ) -> None:
        self._ledger = ledger
        self._executions = executions
        self._collect_again = collect_again
        self._report = report
        self._notify = notify
        self._clock = clock
        self._refusals: list[Exception] = []

    def look_after_all(self) -> None:
        """Look at each open run once. All of it may be repeated, and may die anywhere.

        A mail that AWS refuses is raised when all is done, for the collector's alarm: no run stays open for it, as that
        would keep every schedule from its turn.
        """
        self._refusals.clear()
        for run in self._ledger.runs.open_runs():
            if run.status in ("running", AWAITING):
                self._look_after_running(run)
            elif self._clock() - max(run.requested_at, run.collected_at or 0) >= COLLECTOR_LIFE:
                self._look_after_collecting(run)
        if self._refusals:
            raise self._refusals[0]

    def _look_after_running(self, run: Run) -> None:
        status = self._executions.status(run.run_id)
        if status is None:
            # The collector died between pinning the manifest and starting the execution.
            self._executions.start(run)
        elif status != "RUNNING":
            self._report(run.run_id, f"the execution ended as {status} without its report", self._tell)

    def _look_after_collecting(self, run: Run) -> None:
        if run.trigger == "request" and run.collections < COLLECTIONS:
            self._collect_again(run.run_id)
            return
        error = "the collector died, or was never run"
        self._tell(words.never_started(run, error))
        if self._ledger.runs.change(run, status="failed", error=error):
            self._ledger.runs.end_turn(run.run_id)

    def _tell(self, notification: Notification) -> None:
        if notification.topic != "nobody":
            try:
                self._notify(notification)
            except (ClientError, BotoCoreError) as error:
                self._refusals.append(error)
