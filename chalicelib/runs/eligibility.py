"""Whether a listed communication may be sent now. No I/O here.

The one place that judges: for the collector, the dry run and `deploy.py check`.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from chalicelib.application.config import Source
from chalicelib.ledger.claims import State, refusal_reason
from chalicelib.ledger.worklist import retry_refusal
from chalicelib.models.communications import Communication, CommunicationStatus, SkipReason
from chalicelib.runs.causes import Cause, cause_of

# What only a person can help is handed over to the worklist by a run, so it has to enter the manifest once.
HAND_OVER = (SkipReason.RELAPSED, SkipReason.ATTEMPTS_USED_UP)


class Candidate(msgspec.Struct, frozen=True):
    """A listed communication, what the ledger knows about it, and why the collector skips it (None: it does not)."""

    source: Source
    listed: Communication
    state: State | None
    skip_reason: SkipReason | None

    @property
    def cause(self) -> Cause | None:
        """Why it is failing; None if it was sent and may still arrive, or if somebody has dismissed it."""
        return cause_of(self.listed, self.state)

    @property
    def is_manual(self) -> bool:
        """Whether it is on the worklist."""
        return self.state is not None and self.state.status == CommunicationStatus.MANUAL

    def communication(self, *, include_manual: bool) -> Communication:
        """Return the communication as it enters the manifest.

        Its age is counted from its last retry, otherwise it would expire again. `include_manual` makes the run retry
        what is on the worklist, as of its listing.
        """
        retry = include_manual and self.is_manual
        retried_at = self.listed.listed_at if retry else (self.state.retried_at if self.state else None)
        since = self.listed.since
        if retried_at is not None and since is not None:
            since = max(since, retried_at)
        return msgspec.structs.replace(self.listed, since=since, retry=retry)

    def left_out_reason(self, *, include_manual: bool) -> str | None:
        """Return why it does not enter the manifest, or None if it does."""
        if self.state and self.skip_reason == SkipReason.MANUAL and include_manual:
            return retry_refusal(self.state, self.listed.listed_at, self.source.cool_down_ms)
        return self.skip_reason

    def not_sent_reason(self, now: int, max_attempts: int, *, include_manual: bool = False) -> str | None:
        """Return why a run would not send it, or None: also what a run only finds out while it sends."""
        reason = self.left_out_reason(include_manual=include_manual)
        if reason is None and self.state and not (include_manual and self.is_manual):
            reason = refusal_reason(self.state, self.listed.listed_at, max_attempts)
        if reason is None and is_expired(self.communication(include_manual=include_manual), self.source, now):
            reason = SkipReason.EXPIRED
        return reason


def judge(
    source: Source,
    communications: Sequence[Communication],
    states: Mapping[tuple[str, str], State],
    now: int,
    max_attempts: int,
) -> Iterator[Candidate]:
    """Yield a Candidate for each communication of a source."""
    for communication in communications:
        state = states.get(communication.key)
        yield Candidate(source, communication, state, _skip_reason(source, communication, state, now, max_attempts))


def _skip_reason(
    source: Source, communication: Communication, state: State | None, now: int, max_attempts: int
) -> SkipReason | None:
    since = communication.since
    if source.min_age_ms is not None and since is not None and now - since < source.min_age_ms:
        return SkipReason.TOO_FRESH
    reason = refusal_reason(state, communication.listed_at, max_attempts) if state else None
    return None if reason in HAND_OVER else reason


def is_expired(communication: Communication, source: Source, now: int) -> bool:
    """Whether a communication is too old to be sent."""
    limit = source.max_age_ms
    return limit is not None and communication.since is not None and now - communication.since > limit
