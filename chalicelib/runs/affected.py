"""Which communications an outage has hit: those that it knows, and those that a scan finds besides."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable
from typing import IO

import msgspec

from chalicelib.ledger.claims import State
from chalicelib.models.communications import Communication, CommunicationStatus
from chalicelib.models.outages import Affected, Outage
from chalicelib.runs.causes import cause_of
from chalicelib.runs.eligibility import Candidate

# How many communications an outage keeps: their hashes take some 60 MB of the collector's memory.
MOST = 500_000

# In bytes: fewer are kept in memory, more in a file in Lambda's /tmp. One scan writes no more than the last number: the
# run's manifest needs the rest of the 512 MB there (AWS Lambda Developer Guide, "Lambda quotas").
_IN_MEMORY, _LARGEST = 10_000_000, 150_000_000


class AffectedWriter:
    """Sorts what a scan lists into what an outage has hit before (`known`) and what it hits now.

    Closing it deletes its temporary file.
    """

    def __init__(self, outage: Outage | None, known: set[int], largest: int = _LARGEST) -> None:
        self.states: Counter[str] = Counter()
        self.new: Counter[str] = Counter()
        self.new_states: Counter[str] = Counter()
        self.overfull = False
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (closed by __exit__)
        self._began_at = outage.began_at if outage else None
        self._known = known
        self._largest = largest
        self._listed: set[int] = set()
        self._added: set[int] = set()

    def close(self) -> None:
        """Delete the temporary file."""
        self.file.close()

    def add(self, candidate: Candidate) -> None:
        """Note a communication that the scan has listed."""
        digest = digest_of(*candidate.listed.key)
        if digest in self._known:
            if digest not in self._listed:
                self._listed.add(digest)
                self.states[state_of(candidate.listed, candidate.state)] += 1
        elif digest not in self._added and self._is_hit(candidate):
            self._add(candidate, digest)

    def _is_hit(self, candidate: Candidate) -> bool:
        """Whether an outage of now has hit a communication: not if a person had it, or it was sent again, before."""
        state = candidate.state
        if state is None:
            return True
        if state.status in (CommunicationStatus.MANUAL, CommunicationStatus.DISMISSED):
            since = state.manual_since or 0
        elif candidate.cause:
            return True
        else:
            since = state.history[-1].at if state.history else 0
        return self._began_at is not None and since >= self._began_at

    def _add(self, candidate: Candidate, digest: int) -> None:
        if len(self._known) + len(self._added) >= MOST or self.file.tell() >= self._largest:
            self.overfull = True
            return
        listed = candidate.listed
        self._added.add(digest)
        self.new[listed.operation] += 1
        self.new_states[state_of(listed, candidate.state)] += 1
        affected = Affected(operation=listed.operation, primary_id=listed.primary_id, since=listed.since)
        self.file.write(msgspec.json.encode(affected) + b"\n")

    def listed(self, *, with_new: bool) -> set[int]:
        """Return the digests of what the outage has hit and the scan has listed, perhaps also of what it hits now."""
        return self._listed | self._added if with_new else self._listed


def digest_of(operation: str, primary_id: str) -> int:
    """Return 64 bits that stand for a communication: of a million, two are alike with a chance of 1 to 37 million."""
    digest = hashlib.blake2b(f"{operation}#{primary_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def digests_of(affected: Iterable[Affected]) -> set[int]:
    """Return the digests of communications."""
    return {digest_of(each.operation, each.primary_id) for each in affected}


def state_of(listed: Communication, state: State | None) -> str:
    """Return what has become of a communication that is still listed: the name of a field of Outage."""
    if state and state.status == CommunicationStatus.DISMISSED:
        return "dismissed"
    if state and state.status == CommunicationStatus.MANUAL:
        return "on_worklist"
    return "waiting" if cause_of(listed, state) else "sent"
