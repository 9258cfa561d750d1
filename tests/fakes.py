"""What the tests pass in: fakes for the clock, the ledger, the application and AWS, and ready-made records."""

import math
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.application.config import Configuration, Source
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationOverloaded,
    ApplicationUnavailable,
    CommunicationRejected,
    ListingFailed,
    OutcomeUnknown,
    ReprocessError,
    UnexpectedRedirect,
)
from chalicelib.ledger import Ledger, claims
from chalicelib.ledger.claims import AlreadySettled, ClaimRefused, HistoryEntry, Rules, State
from chalicelib.ledger.pace import Pace
from chalicelib.ledger.pace_feedback import refused
from chalicelib.ledger.table import Table
from chalicelib.ledger.worklist import (
    Change,
    Decision,
    Refusal,
    Refuse,
    Worklist,
    WorklistEntry,
    is_carried_out,
    with_decision,
)
from chalicelib.manifests import ManifestWriter
from chalicelib.models.batches import Batch, Task
from chalicelib.models.communications import Communication, CommunicationStatus
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.models.selections import Selection, WorklistSelection
from chalicelib.settings import Settings

# In milliseconds.
HOUR = 3_600_000
DAY = 24 * HOUR
NOON = times.parse_iso("2026-11-20T12:00:00Z")


def make_run(run_id: str = "run", **fields: Any) -> Run:
    """Return a requested run that is under way, with other fields if the test gives them."""
    defaults = {
        "trigger": Trigger.REQUEST,
        "requested_by": "bob",
        "status": RunStatus.RUNNING,
        "requested_at": NOON,
    }
    return Run(run_id=run_id, **defaults | fields)


def item_size(value: Any) -> int:
    """Return the bytes of a value in an item (Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats")."""
    if isinstance(value, dict):
        return 3 + sum(1 + len(name) + item_size(each) for name, each in value.items())
    if isinstance(value, list):
        return 3 + sum(1 + item_size(each) for each in value)
    if isinstance(value, bool):
        return 1
    return math.ceil(len(str(value)) / 2) + 1 if isinstance(value, int) else len(value.encode())


class FakePacing:
    """The pace, without a table."""

    def __init__(self, clock: times.Clock) -> None:
        self.pace = Pace()
        self._clock = clock

    def read(self) -> Pace:
        return self.pace

    def change(self, rule: Callable[[Pace, int], tuple[Any, Pace]]) -> Any:
        result, self.pace = rule(self.pace, self._clock())
        return result

    def refused(self, epoch: int, reason: str, retry_after: int | None) -> None:
        self.pace = refused(self.pace, epoch, reason, retry_after, self._clock())


class FakeClock:
    """A clock that only a test moves: by `advance`, or by setting `now` (milliseconds since 1970)."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, milliseconds: int) -> int:
        self.now += milliseconds
        return self.now


class FakeCommunications:
    """`chalicelib.ledger.Communications` in memory, where each call is atomic, on the same pure rules."""

    def __init__(self, clock: times.Clock) -> None:
        self._clock = clock
        self._states: dict[tuple[str, str], WorklistEntry] = {}

    def read(self, communications: Iterable[Communication]) -> dict[tuple[str, str], State]:
        keys = {communication.key for communication in communications}
        return {key: self._states[key] for key in keys if key in self._states}

    def claim(self, task: Task, rules: Rules) -> State | AlreadySettled | ClaimRefused:
        communication = task.communication
        state = self._state(communication)
        if state.owner == task.owner:
            settled = claims.settled_before(state, rules)
            return settled or self._change(
                state, claims.changes_of_repeated_claim(state, _new_id(), self._clock(), rules)
            )
        reason = claims.refusal_reason(state, communication.listed_at, rules.max_attempts)
        if reason:
            return ClaimRefused(reason="duplicate" if state.owner.startswith(f"{task.run_id}#") else reason)
        return self._keep(self._claimed(state, task, rules))

    def _claimed(self, state: State, task: Task, rules: Rules) -> State:
        now = self._clock()
        return msgspec.structs.replace(
            state,
            status=CommunicationStatus.SENDING,
            previous_status=state.status,
            attempts=state.attempts + 1,
            attempts_before=state.attempts,
            until=now + rules.cool_down,
            previous_until=state.until,
            owner=task.owner,
            claim_id=_new_id(),
            key=state.key or _new_id(),
            created=state.created or times.format_iso(now),
            created_by=state.created_by or task.communication.created_by or task.requested_by,
            answer=None,
            reason=None,
            in_doubt=False,
            history=[*state.history, HistoryEntry(owner=task.owner, at=now, answer="sending")],
        )

    def record_answer(self, claim: State, answer: str, reason: str | None, rules: Rules) -> None:
        state = self._states[claim.operation, claim.primary_id]
        if (state.claim_id, state.status) == (claim.claim_id, "sending"):
            self._change(claim, claims.changes_of_answer(claim, answer, reason, self._clock(), rules))

    def move_to_worklist(self, communication: Communication, owner: str, reason: str) -> bool:
        state = self._state(communication)
        if state.status == "manual":
            return state.manual_by == owner
        is_owner = state.owner == owner and state.status not in ("sending", "accepted")
        if state.status == "dismissed" or not (is_owner or state.until < communication.listed_at):
            return False
        manual = {"status": "manual", "manualBy": owner, "manualReason": reason, "manualSince": self._clock()}
        manual["failureReason"] = communication.failure_reason
        self._change(state, manual)
        return True

    def _state(self, communication: Communication) -> WorklistEntry:
        operation, primary_id = communication.key
        return self._states.get((operation, primary_id)) or WorklistEntry(operation=operation, primary_id=primary_id)

    def _change(self, state: State, changes: dict[str, Any]) -> State:
        attributes = msgspec.to_builtins(state) | changes
        kept = {name: value for name, value in attributes.items() if value is not None}
        return self._keep(msgspec.convert(kept, WorklistEntry))

    def _keep(self, state: WorklistEntry) -> State:
        self._states[state.operation, state.primary_id] = state
        return state


class FakeWorklist(Worklist):
    """`chalicelib.ledger.Worklist` over FakeCommunications, where each call is atomic, on the same pure rules."""

    def __init__(self, communications: FakeCommunications, clock: times.Clock) -> None:
        super().__init__(Table(None, "none"), clock, retention=90 * DAY)
        self._communications = communications

    def read(self, operation: str, primary_id: str) -> WorklistEntry | None:
        return self._communications._states.get((operation, primary_id))

    def _decide(
        self, operation: str, primary_id: str, decision: Decision, refuse: Refuse, change: Change
    ) -> Refusal | None:
        entry = self.read(operation, primary_id)
        if entry is None:
            return Refusal.UNKNOWN
        if is_carried_out(decision, entry):
            return None
        refusal = refuse(entry)
        if refusal is None:
            self._communications._change(entry, change(entry) | with_decision(entry, decision))
        return refusal


def _new_id() -> str:
    return uuid.uuid4().hex


def attempt(communications: Any, task: Task, answer: str | None, rules: Rules, reason: str | None = "a_code") -> State:
    """Claim a task's communication, record the answer to its POST, and return the claim.

    `answer` is `accepted` or the name of an error; None: the Lambda died before it got an answer.
    """
    claim = communications.claim(task, rules)
    assert isinstance(claim, State), claim
    if answer:
        communications.record_answer(claim, answer, reason, rules)
    return claim


@dataclass(frozen=True)
class Behaviour:
    """What the application does with a POST: whether it processes it, and the error that its client raises."""

    processed: bool
    error: ReprocessError | None = None


ACCEPTED = Behaviour(processed=True)
ANSWER_LOST = Behaviour(processed=True, error=OutcomeUnknown("no_answer_in_time"))
CONNECTION_CUT = Behaviour(processed=False, error=OutcomeUnknown("connection_cut"))
UNAVAILABLE = Behaviour(processed=False, error=ApplicationUnavailable("connection_refused"))
OVERLOADED = Behaviour(processed=False, error=ApplicationOverloaded("http_429", retry_after=30_000))
ERROR_500 = Behaviour(processed=False, error=ApplicationError("http_500"))
ERROR_500_AFTER_PROCESSING = Behaviour(processed=True, error=ApplicationError("http_500"))
REJECTED = Behaviour(processed=False, error=CommunicationRejected("no_such_address"))
REDIRECTED = Behaviour(processed=True, error=UnexpectedRedirect("http_303"))
MISCONFIGURED = Behaviour(processed=False, error=ApplicationMisconfigured("http_401"))

BEHAVIOURS = {
    "accepted": ACCEPTED,
    "answer_lost": ANSWER_LOST,
    "connection_cut": CONNECTION_CUT,
    "unavailable": UNAVAILABLE,
    "overloaded": OVERLOADED,
    "error_500": ERROR_500,
    "error_500_after_processing": ERROR_500_AFTER_PROCESSING,
    "rejected": REJECTED,
    "redirected": REDIRECTED,
    "misconfigured": MISCONFIGURED,
}


@dataclass(frozen=True)
class Post:
    """A POST as the application received it, and whether the application processed it."""

    payload: dict[str, str]
    key: str
    run_id: str
    at: int
    processed: bool


class FakeApplication:
    """The client of an application that behaves as `script` says, POST by POST, and then accepts everything."""

    def __init__(self, clock: times.Clock, *script: Behaviour) -> None:
        self.posts: list[Post] = []
        self.script = list(script)
        self._clock = clock

    def reprocess(self, payload: dict[str, str], key: str, run_id: str) -> None:
        behaviour = self.script.pop(0) if self.script else ACCEPTED
        self.posts.append(Post(payload, key, run_id, self._clock(), behaviour.processed))
        if behaviour.error:
            raise type(behaviour.error)(behaviour.error.reason, behaviour.error.retry_after)


class FakeLists:
    """The application's list of failed communications: pages of ids, each of which takes `page_ms` milliseconds.

    Every communication failed a day ago, except those with the ids `fresh` (1 ms) and `stale` (8 days). With `fails`,
    the list fails after its last page. `timeouts` are those of the sources whose list was read.
    """

    def __init__(self, clock: FakeClock, *pages: list[str], page_ms: int = 0, fails: bool = False) -> None:
        self.timeouts: list[float] = []
        self._clock, self._pages, self._page_ms, self._fails = clock, pages, page_ms, fails

    def failed_pages(self, source: Source, _selection: Selection, _start: PageRequest | None = None) -> Iterator[Page]:
        self.timeouts.append(source.timeout)
        for number, ids in enumerate(self._pages, 1):
            listed_at = self._clock()
            self._clock.advance(self._page_ms)
            listed = [
                Communication(operation=source.operation, primary_id=each, listed_at=listed_at, since=self._since(each))
                for each in ids
            ]
            next_page = PageRequest(source.list, {"page": number + 1}) if number < len(self._pages) else None
            yield Page(listed, PageRequest(source.list, {"page": number}), next_page)
        if self._fails:
            raise ListingFailed(f"{source.operation}: the list failed")

    def _since(self, primary_id: str) -> int:
        ages = {"fresh": 1, "stale": 8 * DAY}
        return self._clock() - ages.get(primary_id, DAY)


class FakeManifests:
    """The bucket with the manifests of runs and the selections of requests, by their keys."""

    def __init__(self, manifests: dict[str, list[Batch]] | None = None) -> None:
        self._manifests = manifests or {}
        self._selections: dict[str, Selection | WorklistSelection] = {}

    def upload(self, run_id: str, manifest: ManifestWriter) -> str:
        key = f"runs/{run_id}/manifest"
        with manifest.file:
            self._manifests[key] = msgspec.json.decode(manifest.file.read(), type=list[Batch])
        return key

    def read(self, key: str) -> list[Batch]:
        return self._manifests[key]

    def put_selection(self, run_id: str, selection: Selection | WorklistSelection) -> str:
        key = f"runs/{run_id}/selection-{selection}"
        self._selections[key] = selection
        return key

    def read_selection(self, key: str, _kind: object) -> Selection | WorklistSelection:
        return self._selections[key]


class FakeExecutions:
    """Step Functions: the runs that were started, the task tokens that wait for approval, and how each wait ended."""

    def __init__(self, *waiting: str) -> None:
        self.started: list[Run] = []
        self.waiting = set(waiting)
        self._report: Callable[[], object] = lambda: None
        self.ended: list[tuple[str, str]] = []

    def start(self, run: Run) -> None:
        self.started.append(run)

    def approve(self, token: str) -> bool:
        return self._end_wait(token, "approved")

    def decline(self, token: str) -> bool:
        return self._end_wait(token, "declined")

    def expire_waits(self, report: Callable[[], object] = lambda: None) -> None:
        """Forget all task tokens. `report` is what the execution does while somebody decides."""
        self.waiting.clear()
        self._report = report

    def _end_wait(self, token: str, decision: str) -> bool:
        if token not in self.waiting:
            self._report()
            return False
        self.waiting.remove(token)
        self.ended.append((token, decision))
        return True


class FakeCall:
    """A call of a route, as its handler gets it: by `Jo`, with this query or body. `audit` are the details logged."""

    def __init__(self, ledger: Ledger, configuration: Configuration | None = None, **request: Any) -> None:
        settings = Settings(resource_prefix="comms-test")
        self.deps = SimpleNamespace(ledger=ledger, configuration=configuration, settings=settings)
        self.caller, self.role = "Jo", "operator"
        self.query = request.get("query")
        self.body = request.get("body")
        self.request = SimpleNamespace(headers=request.get("headers", {}))
        self.audit: list[dict[str, object]] = []

    def log_change(self, **details: object) -> None:
        self.audit.append(details)

    def path_to(self, path: str) -> str:
        return f"/api{path}"


class InterruptedTable:
    """A table that another process seems to interrupt: a given call is made just before its second update."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._updates = 0
        self._interruption: Callable[[], object] | None = None

    def before_second_update(self, interruption: Callable[[], object]) -> None:
        """Make this call before the second update from now."""
        self._updates, self._interruption = 0, interruption

    def cancel_interruption(self) -> Callable[[], object]:
        """Keep the call from being made. Return it, or a call that does nothing if it has been made already."""
        interruption, self._interruption = self._interruption, None
        return interruption or (lambda: None)

    def before_update(self, number: int, interruption: Callable[[], object]) -> None:
        """Make this call before the given update from now."""
        self._updates, self._interruption = 2 - number, interruption

    def update(self, *arguments: Any) -> None:
        self._count_update()
        self._table.update(*arguments)

    def update_and_get(self, *arguments: Any) -> Any:
        self._count_update()
        return self._table.update_and_get(*arguments)

    def transact(self, *arguments: Any) -> Any:
        self._count_update()
        return self._table.transact(*arguments)

    def _count_update(self) -> None:
        self._updates += 1
        if self._updates == 2:
            self.cancel_interruption()()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)
