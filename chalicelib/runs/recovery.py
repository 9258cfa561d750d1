"""What a collector does first: help the runs that were lost, died, or ended without a report."""

from collections.abc import Callable

from chalicelib.errors import NotificationFailed
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.models import Notification, Run, RunStatus, Topic, Trigger
from chalicelib.notifications import messages

# In milliseconds: Lambda's limit of 15 minutes (Lambda Developer Guide, "Quotas") and one more. No collector lives
# longer.
COLLECTOR_LIFETIME = 16 * 60_000

# How many collectors are tried for one run before it is given up and people are notified.
MAX_COLLECTIONS = 3


class Recovery:
    """Helps the open runs that cannot go on by themselves.

    `report` closes a run, given what broke it, and notifies people before.
    """

    def __init__(
        self,
        ledger: Ledger,
        executions: Executions,
        invoke_collector: Callable[[str], None],
        report: Callable[[str, str, Callable[[Notification], None]], Notification],
        notify: Callable[[Notification], None],
    ) -> None:
        self._ledger = ledger
        self._executions = executions
        self._invoke_collector = invoke_collector
        self._report = report
        self._notify = notify
        self._refused: list[NotificationFailed] = []

    def recover_open_runs(self) -> None:
        """Look at each open run once. All of it may be repeated, and may die anywhere.

        NotificationFailed is raised after everything else is done, to trigger the collector's alarm: no run stays open
        because of a mail, as that would keep every schedule from starting.
        """
        self._refused.clear()
        for run in self._ledger.runs.open_runs():
            if run.status in (RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL):
                self._recover_running(run)
            elif self._ledger.clock() - max(run.requested_at, run.collected_at or 0) >= COLLECTOR_LIFETIME:
                self._recover_collecting(run)
        if self._refused:
            raise self._refused[0]

    def _recover_running(self, run: Run) -> None:
        status = self._executions.status(run.run_id)
        if status is None:
            # The collector died after it had pinned the manifest, and before it started the execution.
            self._executions.start(run)
        elif status != "RUNNING":
            self._report(run.run_id, f"the execution ended as {status} without a report", self._try_notify)

    def _recover_collecting(self, run: Run) -> None:
        if run.trigger == Trigger.REQUEST and run.collections < MAX_COLLECTIONS:
            self._invoke_collector(run.run_id)
            return
        error = "its collector died, or was never invoked"
        self._try_notify(messages.never_started(run, error))
        if self._ledger.runs.change(run, status=RunStatus.FAILED, error=error):
            self._ledger.schedule.release_lock(run.run_id)

    def _try_notify(self, notification: Notification) -> None:
        if notification.topic != Topic.NONE:
            try:
                self._notify(notification)
            except NotificationFailed as error:
                self._refused.append(error)
