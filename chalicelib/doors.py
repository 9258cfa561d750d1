"""All routes of the API, said once: Chalice's routes, the authorizer's policies and the OpenAPI document follow."""

from typing import Any, Literal

import msgspec

from chalicelib import views
from chalicelib.ledger.tokens import Role
from chalicelib.models import Selection


class Door(msgspec.Struct, frozen=True):
    """One route.

    `answer` is the type of a success, `None` a CSV file; `also` holds the types of its other successes by status;
    `conflicts` says that it may answer 409.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    role: Role | None
    summary: str
    answer: Any
    query: Any = None
    body: Any = None
    status: int = 200
    conflicts: bool = False
    also: dict[int, Any] = {}

    @property
    def parameters(self) -> list[str]:
        """The variable parts of the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


HEALTH = Door("health", "GET", "/health", None, "Whether the API answers", views.Health)
OPENAPI = Door("openapi", "GET", "/openapi.json", "viewer", "This document", views.Document)

REPROCESS = Door(
    "reprocess",
    "POST",
    "/reprocess",
    "operator",
    "Start a run for what the body selects, or with dryRun tell what it would do",
    views.Started,
    body=Selection,
    status=202,
    conflicts=True,
    also={200: views.Preview},
)
RUNS = Door("listRuns", "GET", "/runs", "viewer", "The runs, newest first", views.RunsPage, query=views.RunsQuery)
RUN = Door("readRun", "GET", "/runs/{run_id}", "viewer", "How a run stands", views.RunView)
OUTCOMES = Door(
    "listOutcomes",
    "GET",
    "/runs/{run_id}/communications",
    "viewer",
    "How each communication ended a run",
    views.OutcomesPage,
    query=views.OutcomesQuery,
)
STOP = Door(
    "stopRun",
    "POST",
    "/runs/{run_id}/stop",
    "operator",
    "Let a run end after what is in flight",
    views.RunView,
    conflicts=True,
)
APPROVE = Door(
    "approveRun",
    "POST",
    "/runs/{run_id}/approve",
    "approver",
    "Let a run send that somebody else has asked for",
    views.RunView,
    conflicts=True,
)
REJECT = Door(
    "rejectRun",
    "POST",
    "/runs/{run_id}/reject",
    "approver",
    "Let a run that waits for approval send nothing",
    views.RunView,
    conflicts=True,
)

COMMUNICATIONS = Door(
    "listCommunications",
    "GET",
    "/communications",
    "viewer",
    "The worklist: what needs a person, oldest first",
    views.CommunicationsPage,
    query=views.CommunicationsQuery,
)
EXPORT = Door(
    "exportCommunications",
    "GET",
    "/communications.csv",
    "viewer",
    "The worklist as a CSV file",
    None,
    query=views.ExportQuery,
)
COMMUNICATION = Door(
    "readCommunication",
    "GET",
    "/communications/{communication_id}",
    "viewer",
    "A communication's history across runs",
    views.CommunicationDetail,
)
RETRY = Door(
    "retryCommunication",
    "POST",
    "/communications/{communication_id}/retry",
    "operator",
    "Put a communication of the worklist back into the pool, with fresh attempts",
    views.Retried,
    body=views.Retry,
    conflicts=True,
)
DISMISS = Door(
    "dismissCommunication",
    "POST",
    "/communications/{communication_id}/dismiss",
    "operator",
    "Let a communication never be sent again",
    views.CommunicationDetail,
    body=views.Dismissal,
    conflicts=True,
)
RESTORE = Door(
    "restoreCommunication",
    "POST",
    "/communications/{communication_id}/restore",
    "operator",
    "Bring a dismissed communication back to the worklist",
    views.CommunicationDetail,
    conflicts=True,
)
RETRY_MANY = Door(
    "retryCommunications",
    "POST",
    "/communications/retry",
    "operator",
    "Retry a list of communications, or all of a reason",
    views.Changed,
    body=views.RetryMany,
)
DISMISS_MANY = Door(
    "dismissCommunications",
    "POST",
    "/communications/dismiss",
    "operator",
    "Dismiss a list of communications, or all of a reason",
    views.Changed,
    body=views.DismissMany,
)

SCHEDULE = Door("readSchedule", "GET", "/schedule", "viewer", "The schedule", views.ScheduleView)
PAUSE = Door(
    "pauseSchedule", "POST", "/schedule/pause", "operator", "Let the schedule begin no run", views.ScheduleView
)
RESUME = Door("resumeSchedule", "POST", "/schedule/resume", "operator", "Let it begin runs again", views.ScheduleView)

ALL = tuple(each for each in list(globals().values()) if isinstance(each, Door))
