"""What a scheduled scan learns about outages: whether one begins, goes on or is settled, and whom it hits."""

from collections.abc import Sequence
from typing import Self

import msgspec

from chalicelib.ledger import Ledger
from chalicelib.manifests import Manifests
from chalicelib.models import Affected, Notification, Outage, OutageCause
from chalicelib.notifications import outage_mails
from chalicelib.runs import outages
from chalicelib.runs.affected import AffectedWriter, digests_of
from chalicelib.runs.eligibility import Candidate
from chalicelib.runs.outages import FAILURES_ROSE, Seen

# How many of the newest runs a scan looks at, to find those that have taken place in an outage since the last one.
_RUNS = 50


class OutageWatch:
    """Watches one scan, the one with the id `scan`, for the outage that is open or that begins with it.

    As a context manager it deletes its temporary file in the end.
    """

    def __init__(self, scan: str, ledger: Ledger, manifests: Manifests) -> None:
        self._scan = scan
        self._at = ledger.clock()
        self._ledger = ledger
        self._manifests = manifests
        self._newest = ledger.outages.newest()
        self._open = self._newest if self._newest and self._newest.is_open else None
        self._affected = AffectedWriter(self._open, digests_of(self._members()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._affected.__exit__()

    def _members(self) -> list[Affected]:
        parts = self._open.parts if self._open else []
        return [affected for part in parts for _, affected in self._manifests.read_affected(part)]

    def add(self, candidate: Candidate) -> None:
        """Note a communication that the scan has listed."""
        self._affected.add(candidate)

    def finish(self, *, failing: int, earlier: Sequence[int], causes: Sequence[OutageCause], complete: bool) -> None:
        """Write what the scan has made of the outage. `earlier` is how many failed in the complete scans before it.

        One write counts; what is in the bucket before it is of no use to anybody otherwise.
        """
        seen = self._seen(failing, causes, complete=complete)
        incident = self._ledger.incidents.read()
        outage = outages.observe(self._newest, seen, incident, outages.usual_failures(earlier))
        if outage is None or outage == self._newest:
            return
        outage = outages.with_runs(self._keep_affected(outage, complete=complete), self._runs_since(outage))
        self._ledger.outages.write(outage, self._newest, _mail(outage, self._open))

    def _seen(self, failing: int, causes: Sequence[OutageCause], *, complete: bool) -> Seen:
        affected = self._affected
        return Seen(
            scan=self._scan,
            at=self._at,
            complete=complete,
            failing=failing,
            new=affected.new,
            causes=causes,
            overfull=affected.overfull,
            **affected.states,
        )

    def _keep_affected(self, outage: Outage, *, complete: bool) -> Outage:
        """Put into the bucket whom the outage hits now, and who of all is still listed."""
        grows = outage.over_at is None and self._affected.new.total()
        if grows:
            key = self._manifests.put_affected(outage.outage_id, self._affected.file)
            outage = msgspec.structs.replace(outage, parts=[*outage.parts, key])
        still = self._affected.listed(with_new=bool(grows))
        if not complete and outage.listed:
            still |= self._manifests.read_listed(outage.listed)
        listed = self._manifests.put_listed(outage.outage_id, still)
        return msgspec.structs.replace(outage, listed=listed)

    def _runs_since(self, outage: Outage) -> list[str]:
        """Return the ids of the runs that were begun in an outage since its last scan, oldest first."""
        since = self._open.scanned_at if self._open else outage.began_at
        runs, _ = self._ledger.runs.page(_RUNS)
        return [run.run_id for run in reversed(runs) if since <= run.requested_at < self._at]


def _mail(outage: Outage, before: Outage | None) -> Notification | None:
    """Return the mail that is due with a change of an outage.

    The mail of the run that met trouble has told of an outage that began so, and the one that the incident is over of
    one that hit nobody.
    """
    if before is None and outage.reason == FAILURES_ROSE:
        return outage_mails.began(outage)
    return outage_mails.settled(outage) if outage.settled_at and outage.hit else None
