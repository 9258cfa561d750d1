"""Watches a scan of the schedule for outages: whether one begins, goes on or is settled, and whom it hits."""

from collections.abc import Iterable

import msgspec

from chalicelib.ledger import Ledger
from chalicelib.ledger.situations import KnownCause, ScanPoint
from chalicelib.manifests import Manifests
from chalicelib.models import Affected, Notification, Outage, OutageCause
from chalicelib.notifications import outage_mails
from chalicelib.runs import outages
from chalicelib.runs.affected import AffectedWriter, digests_of
from chalicelib.runs.eligibility import Candidate
from chalicelib.runs.outages import FAILURES_ROSE, Seen
from chalicelib.runs.tally import Snapshot

# How many of the newest runs a scan looks at, to find those that have taken place in an outage since the last one.
_RUNS = 50


class OutageWatch:
    """Watches one scan, that of the run `scan`, for the outage that is open or that begins with it."""

    def __init__(self, scan: str, ledger: Ledger, manifests: Manifests) -> None:
        self._scan = scan
        self._ledger = ledger
        self._manifests = manifests
        self._newest = ledger.outages.newest()
        self._open = self._newest if self._newest and self._newest.is_open else None
        self._affected = AffectedWriter(self._open, digests_of(self._members()))

    def close(self) -> None:
        """Delete the temporary file."""
        self._affected.close()

    def _members(self) -> list[Affected]:
        parts = self._open.parts if self._open else []
        return [affected for part in parts for _, affected in self._manifests.read_affected(part)]

    def look_at(self, candidate: Candidate) -> None:
        """Note a communication that the scan has listed."""
        self._affected.add(candidate)

    def note(self, snapshot: Snapshot, earlier: Iterable[ScanPoint]) -> None:
        """Write what the scan has made of the outage; `earlier` are the scans of the day before.

        One write counts. What is put into the bucket before it is of no use to anybody without it.
        """
        seen, usual = self._seen(snapshot), outages.usual_failures(self._at_usual_times(earlier))
        outage = outages.observe(self._newest, seen, self._ledger.incidents.read(), usual)
        if outage is None or outage == self._newest:
            return
        outage = self._keep_affected(outage, complete=seen.complete)
        outage = outages.with_runs(outage, self._runs_since(outage))
        self._ledger.outages.write(outage, self._newest, _mail(outage, self._open))

    def _at_usual_times(self, scans: Iterable[ScanPoint]) -> list[int]:
        """Return how many failed in each of the complete scans outside of the last outage."""
        complete = (scan for scan in scans if scan.complete and scan.run_id != self._scan)
        return [scan.failing for scan in complete if not self._is_in_last_outage(scan.at)]

    def _is_in_last_outage(self, at: int) -> bool:
        last = self._newest
        return last is not None and last.began_at <= at and (last.over_at is None or at < last.over_at)

    def _seen(self, snapshot: Snapshot) -> Seen:
        affected, failing = self._affected, [_failing(cause) for cause in snapshot.causes]
        return Seen(
            scan=self._scan,
            at=snapshot.at,
            complete=not snapshot.unfinished,
            failing=sum(cause.most for cause in failing),
            new=affected.new,
            new_states=affected.new_states,
            causes=[cause for cause in failing if cause.most],
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
        return [run.run_id for run in reversed(runs) if since <= run.requested_at < outage.scanned_at]


def _mail(outage: Outage, before: Outage | None) -> Notification | None:
    """Return the mail that is due with a change of an outage.

    The mail of the run that met trouble has told of an outage that began so, and the one that the incident is over of
    one that hit nobody.
    """
    if before is None and outage.reason == FAILURES_ROSE:
        return outage_mails.began(outage)
    return outage_mails.settled(outage) if outage.settled_at and outage.hit else None


def _failing(cause: KnownCause) -> OutageCause:
    """Return a cause with how many wait to be sent: what is on the worklist is for people, whatever goes on."""
    number = cause.count - cause.on_worklist
    return OutageCause(operation=cause.operation, kind=cause.kind, reason=cause.reason, most=number)
