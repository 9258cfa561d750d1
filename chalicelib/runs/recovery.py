"""What a collector does last: help the runs that were lost, died, or ended without a report, and send the mails due."""

from collections.abc import Callable, Iterator

from chalicelib.errors import OutOfTime
from chalicelib.executions import RUNNING, Executions
from chalicelib.ledger import Ledger
from chalicelib.ledger.runs import run_key
from chalicelib.manifests import Manifests
from chalicelib.models.notifications import Notification
from chalicelib.models.runs import Run, RunKind, RunStatus, Trigger
from chalicelib.notifications import bulk_result, messages, policy
from chalicelib.runs.approval import deliver_again
from chalicelib.runs.closing import Notify, close_failed, send_mail
from chalicelib.runs.report import report
from chalicelib.settings import Settings
from chalicelib.telemetry import logs, metrics

# In milliseconds: the collector's `lambda_timeout` in .chalice/config.json. No collector lives longer. It is shorter
# than the usual schedule of 15 minutes, so that the next firing takes over from one that was killed.
COLLECTOR_LIFETIME = 14 * 60_000

# How many collectors are tried for one run before it is given up and people are notified, and how many reports.
MAX_COLLECTIONS = MAX_RECOVERIES = 3

# In milliseconds: what closing a run, its mail and the collector's metrics still need after a report's last batch.
RESERVED_MS = 60_000


class Recovery:
    """Helps the open runs that cannot go on by themselves; `time_left` returns the milliseconds that the Lambda has.

    Each try is counted in the run, so that collectors at the same time do not try twice, and that a run that nobody can
    help is given up in the end.
    """

    def __init__(
        self,
        ledger: Ledger,
        executions: Executions,
        manifests: Manifests,
        settings: Settings,
        invoke_collector: Callable[[str], None],
        notify: Notify,
        time_left: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._executions = executions
        self._manifests = manifests
        self._settings = settings
        self._invoke_collector = invoke_collector
        self._notify = notify
        self._time_left = time_left

    def recover_open_runs(self) -> None:
        """Look at each open run and each mail that is due once. All of it may be repeated, and may die anywhere.

        A run that cannot be helped keeps no other from being helped. The first error is raised in the end, to trigger
        the collector's alarm.
        """
        errors: list[Exception] = []
        for run in self._ledger.runs.open_runs():
            if self._out_of_time():
                break
            errors += self._isolated(run.run_id, self._recover, run)
        for key in self._ledger.mails.due():
            errors += self._isolated("#".join(key), self._send_mail, key)
        if errors:
            raise errors[0]

    def _isolated(self, name: str, call: Callable[..., None], *arguments: object) -> Iterator[Exception]:
        """Make a call that helps what is called so, mostly a run; yield its error, if there is one."""
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other runs need help too)
            logs.log_error(error, name)
            yield error

    def _recover(self, run: Run) -> None:
        if run.kind != RunKind.REPROCESS or run.status not in (RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL):
            if self._is_time(run, max(run.requested_at, run.collected_at or 0)):
                self._recover_collecting(run)
            return
        status = self._executions.status(run.run_id)
        if status == RUNNING:
            deliver_again(run, self._ledger, self._executions)
        elif self._is_time(run, 0):
            self._recover_ended(run, status)

    def _is_time(self, run: Run, last_sign_of_life: int) -> bool:
        """Whether no collector can be working on a run any more."""
        return self._ledger.clock() - max(last_sign_of_life, run.recovered_at) >= COLLECTOR_LIFETIME

    def _recover_collecting(self, run: Run) -> None:
        if run.trigger == Trigger.SCHEDULE or max(run.collections, run.recoveries) >= MAX_COLLECTIONS:
            error = "its collector died, or was never invoked"
            if run.kind == RunKind.REPROCESS:
                self._close(run, policy.NEVER_STARTED, error, messages.never_started)
            else:
                self._close(run, policy.UNREPORTED, error, bulk_result.failed)
        elif self._ledger.runs.begin_recovery(run):
            self._invoke_collector(run.run_id)

    def _recover_ended(self, run: Run, status: str | None) -> None:
        """Help a run whose execution has ended as `status`, or was never started (None)."""
        failure = f"the execution ended as {status} without a report" if status else "its execution cannot be started"
        if run.recoveries >= MAX_RECOVERIES:
            self._close(run, policy.UNREPORTED, failure, messages.unreported)
        elif self._ledger.runs.begin_recovery(run):
            if status:
                self._report(run, failure)
            else:
                # The collector died after it had pinned the manifest, and before it started the execution.
                self._executions.start(run)

    def _report(self, run: Run, failure: str) -> None:
        ledger, settings = self._ledger, self._settings
        try:
            report(
                run.run_id, failure, ledger, self._manifests, settings, keep_mail=True, out_of_time=self._out_of_time
            )
        except OutOfTime as stopped:
            if stopped.completed:
                # The next collector goes on at once; however many it takes, the run is not given up.
                ledger.runs.change(run, recoveries=0, recovered_at=0)
            return
        metrics.run_ended(settings.resource_prefix, ledger.runs.read(run.run_id))
        self._send_mail(run_key(run.run_id))

    def _close(self, run: Run, incident: str, error: str, write_mail: Callable[[Run], Notification]) -> None:
        close_failed(run, incident, error, write_mail, self._ledger, self._settings)
        self._send_mail(run_key(run.run_id))

    def _send_mail(self, key: tuple[str, str]) -> None:
        send_mail(key, self._ledger, self._notify)

    def _out_of_time(self) -> bool:
        return self._time_left() < RESERVED_MS
