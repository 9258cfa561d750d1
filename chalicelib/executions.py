"""The only module that talks to Step Functions: it starts executions, and ends their wait for approval."""

from typing import Any

import msgspec

from chalicelib.errors import ApprovalDeclined, ExecutionNameTaken
from chalicelib.models.runs import Run, RunStatus
from chalicelib.names import Names
from chalicelib.settings import Settings

# The status of an execution that has not ended (AWS Step Functions API Reference, DescribeExecution).
RUNNING = "RUNNING"


class Executions:
    """The executions of one deployment's state machine; `client` is boto3's `stepfunctions` client."""

    def __init__(self, client: Any, names: Names, settings: Settings) -> None:
        self._client = client
        self._names = names
        self._settings = settings

    def start(self, run: Run) -> None:
        """Start the execution of a run that has its manifest. Starting it again changes nothing.

        Its name is the run's id and its input holds no time, so AWS itself makes sure that there is only one.
        ExecutionNameTaken if another run has had this id: an Idempotency-Key may outlive its run's item, but an
        execution's name stays taken for 90 days after its end (AWS Step Functions API Reference, StartExecution).
        """
        arn, run_input = self._names.state_machine_arn, msgspec.json.encode(self._input(run)).decode()
        try:
            self._client.start_execution(stateMachineArn=arn, name=run.run_id, input=run_input)
        except self._client.exceptions.ExecutionAlreadyExists:
            if self._manifest(run.run_id) != run.manifest:
                raise ExecutionNameTaken("an earlier run had the same Idempotency-Key; use a new key") from None

    def _manifest(self, run_id: str) -> Any:
        """Return the manifest of an execution: what tells its run from others. Settings may have changed since."""
        answer = self._client.describe_execution(executionArn=self._names.execution_arn(run_id))
        return msgspec.json.decode(answer["input"]).get("manifest")

    def _input(self, run: Run) -> dict[str, Any]:
        settings = self._settings
        return {
            "runId": run.run_id,
            "requestedBy": run.requested_by,
            "bucket": self._names.bucket,
            "manifest": run.manifest,
            "concurrency": {"batches": settings.batches_at_once, "communications": settings.communications_per_batch},
            "approval": {
                "required": run.status == RunStatus.AWAITING_APPROVAL,
                "timeoutSeconds": settings.approval_timeout_s,
            },
        }

    def approve(self, token: str) -> bool:
        """End the wait for approval that a task token stands for: the run goes on. False if it is over already."""
        return self._end_wait(self._client.send_task_success, taskToken=token, output="{}")

    def decline(self, token: str) -> bool:
        """End the wait for approval that a task token stands for: nothing is sent. False if it is over already."""
        return self._end_wait(self._client.send_task_failure, taskToken=token, error=ApprovalDeclined.__name__)

    def _end_wait(self, send: Any, **request: str) -> bool:
        errors = self._client.exceptions
        try:
            send(**request)
        except (errors.TaskTimedOut, errors.TaskDoesNotExist, errors.InvalidToken):
            return False
        return True

    def status(self, run_id: str) -> str | None:
        """Return RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED; None if the execution was never started."""
        try:
            answer = self._client.describe_execution(executionArn=self._names.execution_arn(run_id))
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        return str(answer["status"])
