"""What the tests pass in: a clock that stands still, a ledger in memory, an application that does what it is told."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationUnavailable,
    CommunicationRejected,
    OutcomeUnknown,
    ReprocessError,
)
from chalicelib.ledger import claims
from chalicelib.ledger.claims import AlreadySettled, ClaimRefused, HistoryEntry, Rules, State
from chalicelib.models import Batch, Communication, CommunicationStatus, Task

NOON = times.parse_iso("2026-11-20T12:00:00Z")


class FakeClock:
    """A clock that moves only when it is told to; set `now` to any time (milliseconds since 1970)."""

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
        self._states: dict[tuple[str, str], State] = {}

    def read(self, communications: Iterable[Communication]) -> dict[tuple[str, str], State]:
        keys = {(each.operation, each.primary_id) for each in communications}
        return {key: self._states[key] for key in keys if key in self._states}

    def claim(self, task: Task, rules: Rules) -> State | AlreadySettled | ClaimRefused:
        it = task.communication
        state = self._state(it)
        if state.owner == task.owner:
            settled = claims.settled_before(state, rules)
            return settled or self._change(
                state, claims.changes_of_repeated_claim(state, _new_id(), self._clock(), rules)
            )
        against = claims.refusal_reason(state, it.listed_at, rules.max_attempts)
        if against:
            return ClaimRefused(reason="duplicate" if state.owner.startswith(f"{task.run_id}#") else against)
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

    def move_to_worklist(self, it: Communication, owner: str, reason: str) -> bool:
        state = self._state(it)
        if state.status == "manual":
            return state.manual_by == owner
        mine = state.owner == owner and state.status != "sending"
        if state.status == "dismissed" or not (mine or state.until < it.listed_at):
            return False
        manual = {"status": "manual", "manualBy": owner, "manualReason": reason, "manualSince": self._clock()}
        self._change(state, manual)
        return True

    def _state(self, it: Communication) -> State:
        return self._states.get((it.operation, it.primary_id)) or State(
            operation=it.operation, primary_id=it.primary_id
        )

    def _change(self, state: State, changes: dict[str, Any]) -> State:
        attributes = msgspec.to_builtins(state) | changes
        return self._keep(msgspec.convert({k: v for k, v in attributes.items() if v is not None}, State))

    def _keep(self, state: State) -> State:
        self._states[state.operation, state.primary_id] = state
        return state


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Behaviour:
    """What the application does with a POST: whether it processes it, and what it answers (None: accepted)."""

    processed: bool
    error: ReprocessError | None = None


ACCEPTED = Behaviour(processed=True)
ANSWER_LOST = Behaviour(processed=True, error=OutcomeUnknown("no_answer_in_time"))
CONNECTION_CUT = Behaviour(processed=False, error=OutcomeUnknown("connection_cut"))
UNAVAILABLE = Behaviour(processed=False, error=ApplicationUnavailable("http_503"))
BROKE = Behaviour(processed=False, error=ApplicationError("http_500"))
BROKE_AFTERWARDS = Behaviour(processed=True, error=ApplicationError("http_500"))
REJECTED = Behaviour(processed=False, error=CommunicationRejected("no_such_address"))
MISCONFIGURED = Behaviour(processed=False, error=ApplicationMisconfigured("http_401"))

BEHAVIOURS = {
    "accepted": ACCEPTED,
    "answer_lost": ANSWER_LOST,
    "connection_cut": CONNECTION_CUT,
    "unavailable": UNAVAILABLE,
    "broke": BROKE,
    "broke_afterwards": BROKE_AFTERWARDS,
    "rejected": REJECTED,
    "misconfigured": MISCONFIGURED,
}


@dataclass(frozen=True)
class Post:
    """A POST as the application received it."""

    payload: dict[str, str]
    key: str
    run_id: str
    at: int
    processed: bool


class FakeApplication:
    """Records every POST and answers by a script, afterwards with "accepted"."""

    def __init__(self, clock: times.Clock, *script: Behaviour) -> None:
        self.posts: list[Post] = []
        self.script = list(script)
        self._clock = clock

    def reprocess(self, payload: dict[str, str], key: str, run_id: str) -> None:
        behaviour = self.script.pop(0) if self.script else ACCEPTED
        self.posts.append(Post(payload, key, run_id, self._clock(), behaviour.processed))
        if behaviour.error:
            raise type(behaviour.error)(behaviour.error.reason)


class FakeManifests:
    """The bucket, holding one run's manifest."""

    def __init__(self, key: str, batches: list[Batch]) -> None:
        self._manifests = {key: batches}

    def read(self, key: str) -> list[Batch]:
        return self._manifests[key]


class Meanwhile:
    """A table before whose next but one `update` something else happens, as if another machine came in between."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._updates = 0
        self._what: Callable[[], object] | None = None

    def happens(self, what: Callable[[], object]) -> None:
        self._updates, self._what = 0, what

    def leftover(self) -> Callable[[], object]:
        """What has not happened yet, and now will not."""
        what, self._what = self._what, None
        return what or (lambda: None)

    def update(self, *arguments: Any) -> Any:
        self._updates += 1
        if self._updates == 2:
            self.leftover()()
        return self._table.update(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)
