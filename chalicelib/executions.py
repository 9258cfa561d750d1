"""The only module that knows Step Functions: start, describe and stop the execution of a run."""

from typing import Any

import msgspec

from chalicelib.errors import ApprovalDeclined
from chalicelib.models import AWAITING, Run
from chalicelib.settings import Names, Settings

# An inline Map runs at most 40 iterations at once (AWS Step Functions Developer Guide, "Inline map state").
MAX_INLINE = 40


class Executions:
    """The executions of one deployment's state machine; `client` is boto3's `stepfunctions` client."""

    def __init__(self, client: Any, names: Names, settings: Settings) -> None:
        self._client = client
        self._names = names
        self._settings = settings

    def start(self, run: Run) -> None:
        """Start the execution of a run that has its manifest; starting it again changes nothing.

        The name is the run's id and the input holds no clock, so AWS itself makes sure that there is one execution.
        """
        run_input = {
            "runId": run.run_id,
            "requestedBy": run.requested_by,
            "bucket": self._names.bucket,
            "manifest": run.manifest,
            "concurrency": concurrency(self._settings),
            "approval": {
                "required": run.status == AWAITING,
                "timeoutSeconds": self._settings.approval_timeout_s,
            },
        }
        try:
            self._client.start_execution(
                stateMachineArn=self._names.state_machine,
                name=run.run_id,
                input=msgspec.json.encode(run_input).decode(),
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return

    def approve(self, token: str) -> bool:
        """End the wait for approval that a task token stands for, so that the run goes on; False if it has ended."""
        return self._end_wait(self._client.send_task_success, taskToken=token, output="{}")

    def decline(self, token: str) -> bool:
        """End the wait for approval that a task token stands for, and the run with it; False if it has ended."""
        return self._end_wait(self._client.send_task_failure, taskToken=token, error=ApprovalDeclined.__name__)

    def _end_wait(self, send: Any, **request: str) -> bool:
        gone = self._client.exceptions
        try:
            send(**request)
        except (gone.TaskTimedOut, gone.TaskDoesNotExist, gone.InvalidToken):
            return False
        return True

    def status(self, run_id: str) -> str | None:
        """Return RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED; None if the execution was never started."""
        try:
            answer = self._client.describe_execution(executionArn=self._names.execution(run_id))
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        return str(answer["status"])


def batch_size(settings: Settings) -> int:
    """Return how many communications a batch holds: all of a batch are worked on at once, so at most `CONCURRENCY`."""
    return min(settings.batch_size, settings.concurrency, MAX_INLINE)


def concurrency(settings: Settings) -> dict[str, int]:
    """Return how many batches, and communications of each, are worked on at once: together `CONCURRENCY` POSTs."""
    inner = batch_size(settings)
    return {"batches": max(1, settings.concurrency // inner), "communications": inner}
