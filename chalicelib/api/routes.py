"""The table of all routes. Chalice's routes, the authorizer's policies and the OpenAPI document all follow from it."""

from typing import Any, Literal

import msgspec

from chalicelib.api.schemas import bulk, causes, communications, outages, runs, service, summary
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


HEALTH = Route("getHealth", "GET", "/health", None, "Check that the API answers", service.Health)
OPENAPI = Route("getOpenapi", "GET", "/openapi.json", "viewer", "Get this document", service.Document)

_LOCATION = {"Location": "the path of the run that was started"}

REPROCESS = Route(
    "startRun",
    "POST",
    "/reprocess",
    "operator",
    "Start a run, or with dryRun preview it",
    runs.StartedRun,
    body=Selection,
    status=202,
    conflicts=True,
    also={200: runs.PreviewView},
    headers={202: _LOCATION},
)
RUNS = Route("listRuns", "GET", "/runs", "viewer", "List runs, newest first", runs.RunsPage, query=runs.RunsQuery)
RUN = Route("getRun", "GET", "/runs/{run_id}", "viewer", "Get a run", runs.RunView)
OUTCOMES = Route(
    "listOutcomes",
    "GET",
    "/runs/{run_id}/communications",
    "viewer",
    "List a run's communications and their outcomes",
    runs.OutcomesPage,
    query=runs.OutcomesQuery,
)
STOP = Route(
    "stopRun",
    "POST",
    "/runs/{run_id}/stop",
    "operator",
    "Stop a run after what is in flight",
    runs.RunView,
    conflicts=True,
)
APPROVE = Route(
    "approveRun",
    "POST",
    "/runs/{run_id}/approve",
    "approver",
    "Approve a run that somebody else requested",
    runs.RunView,
    conflicts=True,
)
REJECT = Route(
    "rejectRun",
    "POST",
    "/runs/{run_id}/reject",
    "approver",
    "Reject a run",
    runs.RunView,
    conflicts=True,
)

COMMUNICATIONS = Route(
    "listCommunications",
    "GET",
    "/communications",
    "viewer",
    "List the worklist, longest there first",
    communications.CommunicationsPage,
    query=communications.CommunicationsQuery,
)
EXPORT = Route(
    "exportCommunications",
    "GET",
    "/communications.csv",
    "viewer",
    "Export the worklist as a CSV file",
    None,
    query=communications.ExportQuery,
    headers={200: {"X-Next-Cursor": "the cursor of the next rows, if there are more"}},
)
COMMUNICATION = Route(
    "getCommunication",
    "GET",
    "/communications/{communication_id}",
    "viewer",
    "Get a communication with its history across runs",
    communications.CommunicationDetail,
)
RETRY = Route(
    "retryCommunication",
    "POST",
    "/communications/{communication_id}/retry",
    "operator",
    "Retry a communication, with fresh attempts",
    communications.RetryResult,
    body=communications.Retry,
    conflicts=True,
)
DISMISS = Route(
    "dismissCommunication",
    "POST",
    "/communications/{communication_id}/dismiss",
    "operator",
    "Dismiss a communication: it is never sent again",
    communications.CommunicationDetail,
    body=communications.Dismissal,
    conflicts=True,
)
RESTORE = Route(
    "restoreCommunication",
    "POST",
    "/communications/{communication_id}/restore",
    "operator",
    "Undo a dismissal: the communication is what it was before",
    communications.CommunicationDetail,
    conflicts=True,
)
BULK_RETRY = Route(
    "retryCommunications",
    "POST",
    "/communications/retry",
    "operator",
    "Retry many communications, or start a run that retries all that match",
    bulk.BulkResult,
    body=bulk.BulkRetry,
    conflicts=True,
    also={202: runs.StartedRun},
    headers={202: _LOCATION},
)
BULK_DISMISS = Route(
    "dismissCommunications",
    "POST",
    "/communications/dismiss",
    "operator",
    "Dismiss many communications, or start a run that dismisses all that match",
    bulk.BulkResult,
    body=bulk.BulkDismissal,
    conflicts=True,
    also={202: runs.StartedRun},
    headers={202: _LOCATION},
)

OUTAGES = Route(
    "listOutages",
    "GET",
    "/outages",
    "viewer",
    "List outages, newest first",
    outages.OutagesPage,
    query=outages.OutagesQuery,
)
OUTAGE = Route("getOutage", "GET", "/outages/{outage_id}", "viewer", "Get an outage", outages.OutageView)
AFFECTED = Route(
    "exportAffected",
    "GET",
    "/outages/{outage_id}/affected.csv",
    "viewer",
    "Export the communications that an outage has hit as a CSV file",
    None,
    query=outages.AffectedQuery,
    headers={200: {"X-Next-Cursor": "the cursor of the next rows, if there are more"}},
)
CAUSES = Route(
    "listCauses",
    "GET",
    "/causes",
    "viewer",
    "List why communications are failing, most frequent first",
    causes.CausesView,
    query=causes.CausesQuery,
)
CAUSE = Route("getCause", "GET", "/causes/{cause_id}", "viewer", "Get a cause", causes.CauseView)

SUMMARY = Route("getSummary", "GET", "/summary", "viewer", "Get what goes on now, at one look", summary.SummaryView)

SCHEDULE = Route("getSchedule", "GET", "/schedule", "viewer", "Get the schedule", service.ScheduleView)
PAUSE = Route("pauseSchedule", "POST", "/schedule/pause", "operator", "Pause the schedule", service.ScheduleView)
RESUME = Route("resumeSchedule", "POST", "/schedule/resume", "operator", "Resume the schedule", service.ScheduleView)

PACE = Route("getPace", "GET", "/pace", "viewer", "Get the pace: how fast the application is called", service.PaceView)
SET_PACE = Route(
    "setPace",
    "PUT",
    "/pace",
    "operator",
    "Set the pace by hand, for a while",
    service.PaceView,
    body=service.NewPace,
)
RELEASE_PACE = Route(
    "releasePace",
    "DELETE",
    "/pace",
    "operator",
    "Let the pace find out again what the application can take",
    service.PaceView,
)

ALL = tuple(each for each in list(globals().values()) if isinstance(each, Route))
