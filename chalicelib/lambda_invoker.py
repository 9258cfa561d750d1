"""The only module that talks to AWS Lambda: it invokes the collector for a requested run."""

import uuid
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.names import Names


class CollectorInvoker:
    """Invokes the collector of one deployment; `client` is boto3's `lambda` client."""

    def __init__(self, client: Any, names: Names, clock: times.Clock) -> None:
        self._client = client
        self._names = names
        self._clock = clock

    def __call__(self, run_id: str) -> None:
        """Invoke the collector for a requested run; returns as soon as Lambda has queued the event."""
        location = self._names.location
        event = requested_event(run_id, location.account, location.region, self._clock())
        self._client.invoke(
            FunctionName=self._names.function("collector"), InvocationType="Event", Payload=msgspec.json.encode(event)
        )


def requested_event(run_id: str, account: str, region: str, now: int) -> dict[str, Any]:
    """Return the collector's event for a requested run, in the shape of a scheduled event of EventBridge."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Reprocess Request",
        "source": "comms-reprocess",
        "account": account,
        "region": region,
        "time": times.format_iso(now),
        "resources": [],
        "detail": {"runId": run_id},
    }
