"""The table of all routes. Chalice's routes, the authorizer's policies and the OpenAPI document all follow from it."""

from typing import Any, Literal

import msgspec

from chalicelib.api import schemas
from chalicelib.ledger.tokens import Role
from chalicelib.models.selections import Selection


class Route(msgspec.Struct, frozen=True):
    """One route.

    `answer` is the type of a successful answer, `None` a CSV file. `also` has the types of its other successful answers
    by status. `headers` are those of successful answers by status, with what they contain. `conflicts`: it may answer
    409.
    """

    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    role: Role | None
    summary: str
    answer: Any
    query: Any = None
    body: Any = None
    status: int = 200
    conflicts: bool = False
    also: dict[int, Any] = {}
    headers: dict[int, dict[str, str]] = {}

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


HEALTH = Route("getHealth", "GET", "/health", None, "Check that the API answers", schemas.Health)
OPENAPI = Route("getOpenapi", "GET", "/openapi.json", "viewer", "Get this document", schemas.Document)

_LOCATION = {"Location": "the path of the run that was started"}

REPROCESS = Route(
    "startRun",
    "POST",
    "/reprocess",
    "operator",
    "Start a run, or with dryRun preview it",
    schemas.StartedRun,
    body=Selection,
    status=202,
    conflicts=True,
    also={200: schemas.PreviewView},
    headers={202: _LOCATION},
)
RUNS = Route("listRuns", "GET", "/runs", "viewer", "List runs, newest first", schemas.RunsPage, query=schemas.RunsQuery)
RUN = Route("getRun", "GET", "/runs/{run_id}", "viewer", "Get a run", schemas.RunView)
OUTCOMES = Route(
    "listOutcomes",
    "GET",
    "/runs/{run_id}/communications",
    "viewer",
    "List a run's communications and their outcomes",
    schemas.OutcomesPage,
    query=schemas.OutcomesQuery,
)
STOP = Route(
    "stopRun",
    "POST",
    "/runs/{run_id}/stop",
    "operator",
    "Stop a run after what is in flight",
    schemas.RunView,
    conflicts=True,
)
APPROVE = Route(
    "approveRun",
    "POST",
    "/runs/{run_id}/approve",
    "approver",
    "Approve a run that somebody else requested",
    schemas.RunView,
    conflicts=True,
)
REJECT = Route(
    "rejectRun",
    "POST",
    "/runs/{run_id}/reject",
    "approver",
    "Reject a run",
    schemas.RunView,
    conflicts=True,
)

COMMUNICATIONS = Route(
    "listCommunications",
    "GET",
    "/communications",
    "viewer",
    "List the worklist, longest there first",
    schemas.CommunicationsPage,
    query=schemas.CommunicationsQuery,
)
EXPORT = Route(
    "exportCommunications",
    "GET",
    "/communications.csv",
    "viewer",
    "Export the worklist as a CSV file",
    None,
    query=schemas.ExportQuery,
    headers={200: {"X-Next-Cursor": "the cursor of the next rows, if there are more"}},
)
COMMUNICATION = Route(
    "getCommunication",
    "GET",
    "/communications/{communication_id}",
    "viewer",
    "Get a communication with its history across runs",
    schemas.CommunicationDetail,
)
RETRY = Route(
    "retryCommunication",
    "POST",
    "/communications/{communication_id}/retry",
    "operator",
    "Retry a communication, with fresh attempts",
    schemas.RetryResult,
    body=schemas.Retry,
    conflicts=True,
)
DISMISS = Route(
    "dismissCommunication",
    "POST",
    "/communications/{communication_id}/dismiss",
    "operator",
    "Dismiss a communication: it is never sent again",
    schemas.CommunicationDetail,
    body=schemas.Dismissal,
    conflicts=True,
)
RESTORE = Route(
    "restoreCommunication",
    "POST",
    "/communications/{communication_id}/restore",
    "operator",
    "Undo a dismissal: the communication is what it was before",
    schemas.CommunicationDetail,
    conflicts=True,
)
BULK_RETRY = Route(
    "retryCommunications",
    "POST",
    "/communications/retry",
    "operator",
    "Retry many communications, or start a run that retries all that match",
    schemas.BulkResult,
    body=schemas.BulkRetry,
    conflicts=True,
    also={202: schemas.StartedRun},
    headers={202: _LOCATION},
)
BULK_DISMISS = Route(
    "dismissCommunications",
    "POST",
    "/communications/dismiss",
    "operator",
    "Dismiss many communications, or start a run that dismisses all that match",
    schemas.BulkResult,
    body=schemas.BulkDismissal,
    conflicts=True,
    also={202: schemas.StartedRun},
    headers={202: _LOCATION},
)

OUTAGES = Route(
    "listOutages",
    "GET",
    "/outages",
    "viewer",
    "List outages, newest first",
    schemas.OutagesPage,
    query=schemas.OutagesQuery,
)
OUTAGE = Route("getOutage", "GET", "/outages/{outage_id}", "viewer", "Get an outage", schemas.OutageView)
AFFECTED = Route(
    "exportAffected",
    "GET",
    "/outages/{outage_id}/affected.csv",
    "viewer",
    "Export the communications that an outage has hit as a CSV file",
    None,
    query=schemas.AffectedQuery,
    headers={200: {"X-Next-Cursor": "the cursor of the next rows, if there are more"}},
)
CAUSES = Route(
    "listCauses",
    "GET",
    "/causes",
    "viewer",
    "List why communications are failing, most frequent first",
    schemas.CausesView,
    query=schemas.CausesQuery,
)
CAUSE = Route("getCause", "GET", "/causes/{cause_id}", "viewer", "Get a cause", schemas.CauseView)

SUMMARY = Route("getSummary", "GET", "/summary", "viewer", "Get what goes on now, at one look", schemas.SummaryView)

SCHEDULE = Route("getSchedule", "GET", "/schedule", "viewer", "Get the schedule", schemas.ScheduleView)
PAUSE = Route("pauseSchedule", "POST", "/schedule/pause", "operator", "Pause the schedule", schemas.ScheduleView)
RESUME = Route("resumeSchedule", "POST", "/schedule/resume", "operator", "Resume the schedule", schemas.ScheduleView)

PACE = Route("getPace", "GET", "/pace", "viewer", "Get the pace: how fast the application is called", schemas.PaceView)
SET_PACE = Route(
    "setPace",
    "PUT",
    "/pace",
    "operator",
    "Set the pace by hand, for a while",
    schemas.PaceView,
    body=schemas.NewPace,
)
RELEASE_PACE = Route(
    "releasePace",
    "DELETE",
    "/pace",
    "operator",
    "Let the pace find out again what the application can take",
    schemas.PaceView,
)

ALL = tuple(each for each in list(globals().values()) if isinstance(each, Route))
