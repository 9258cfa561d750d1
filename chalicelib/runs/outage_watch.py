"""Watches a scan of the schedule for outages: whether one begins, goes on or is settled, and whom it hits."""

from collections.abc import Iterable, Iterator
from functools import cached_property

import msgspec

from chalicelib.errors import ManifestLost
from chalicelib.ledger import Ledger
from chalicelib.ledger.situations import KnownCause, ScanPoint
from chalicelib.manifests import Manifests
from chalicelib.models.notifications import Incident, Notification
from chalicelib.models.outages import Affected, Outage, OutageCause
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.notifications import outage_mails, policy
from chalicelib.runs import outages
from chalicelib.runs.affected import AffectedWriter, digests_of
from chalicelib.runs.eligibility import Candidate
from chalicelib.runs.outages import FAILURES_ROSE, Seen
from chalicelib.runs.tally import Snapshot

# How many of the newest runs a scan looks at, to find those that have taken place in an outage since the last one.
_RUNS = 50

# In how many objects an outage keeps whom it has hit. With a scan each minute, an outage of a week would have ten
# thousand: more than the 400 KB of its item, and each scan would have to read them all.
_PARTS = 50


class OutageWatch:
    """Watches the scan of a run for the outage that is open or that begins with it."""

    def __init__(self, run: Run, ledger: Ledger, manifests: Manifests) -> None:
        self._run = run
        self._ledger = ledger
        self._manifests = manifests
        self._newest = ledger.outages.newest()
        self._open = self._newest if self._newest and self._newest.is_open else None
        self._lost: set[str] = set()  # the parts that the bucket has deleted, after 90 days
        self._affected = AffectedWriter(self._open, digests_of(self._members()))

    def close(self) -> None:
        """Delete the temporary file."""
        self._affected.close()

    def _members(self) -> Iterator[Affected]:
        for part in self._open.parts if self._open else ():
            try:
                yield from (affected for _, affected in self._manifests.read_affected(part))
            except ManifestLost:
                self._lost.add(part)

    def look_at(self, candidate: Candidate) -> None:
        """Note a communication that the scan has listed."""
        self._affected.add(candidate)

    def note(self, snapshot: Snapshot, earlier: Iterable[ScanPoint]) -> None:
        """Write what the scan has made of the outage; `earlier` are the scans of the day before.

        One write counts. What is put into the bucket before it is of no use to anybody without it.
        """
        seen, usual = self._seen(snapshot), outages.usual_failures(self._at_usual_times(earlier))
        outage = outages.observe(self._newest, seen, self._incident(), usual)
        if outage is None or outage == self._newest:
            return
        outage = self._keep_affected(outage, complete=seen.complete)
        outage = outages.with_runs(outage, self._further_runs(outage))
        self._ledger.outages.write(outage, self._newest, _mail(outage, self._open))

    def _at_usual_times(self, scans: Iterable[ScanPoint]) -> list[int]:
        """Return how many failed in each of the complete scans outside of the last outage."""
        complete = (scan for scan in scans if scan.complete and scan.run_id != self._run.run_id)
        return [scan.failing for scan in complete if not self._is_in_last_outage(scan.at)]

    def _is_in_last_outage(self, at: int) -> bool:
        last = self._newest
        return last is not None and last.began_at <= at and (last.over_at is None or at < last.over_at)

    def _seen(self, snapshot: Snapshot) -> Seen:
        affected, failing = self._affected, [_failing(cause) for cause in snapshot.causes]
        return Seen(
            scan=self._run.run_id,
            # Not the time of the scan: if AWS delivers an event twice at once, both collectors begin the same outage.
            at=self._run.requested_at,
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
            parts = [part for part in (*outage.parts, key) if part not in self._lost]
            outage = msgspec.structs.replace(outage, parts=self._few(outage.outage_id, parts))
        still = self._affected.listed(with_new=bool(grows))
        if not complete and outage.listed:
            still |= self._manifests.read_listed(outage.listed)
        listed = self._manifests.put_listed(outage.outage_id, still)
        return msgspec.structs.replace(outage, listed=listed)

    def _few(self, outage_id: str, parts: list[str]) -> list[str]:
        return parts if len(parts) <= _PARTS else [self._manifests.merge_affected(outage_id, parts)]

    @cached_property
    def _runs(self) -> list[Run]:
        """The newest runs, newest first, without the one of this scan: if it finds nothing, it is deleted."""
        runs, _ = self._ledger.runs.page(_RUNS)
        return [run for run in runs if run.run_id != self._run.run_id]

    def _incident(self) -> Incident | None:
        """Return the incident that the last scheduled run met, since its end. None if that went well.

        The one that people know of may have begun long before in another kind, and ends hours after it has returned.
        """
        known = self._ledger.incidents.read()
        if known is None:
            return None
        last = next((run for run in self._runs if run.trigger == Trigger.SCHEDULE and run.closed), None)
        if last is None or last.incident is None or _was_only_rejected(last):
            return None
        return msgspec.structs.replace(known, kind=last.incident, since=last.ended_at or known.since)

    def _further_runs(self, outage: Outage) -> list[str]:
        """Return the ids of the runs that took place in an outage and that it does not have yet, oldest first."""
        known, began_at = set(outage.run_ids), outage.began_at
        in_it = (run.run_id for run in reversed(self._runs) if run.ended_at is None or run.ended_at >= began_at)
        return [run_id for run_id in in_it if run_id not in known]


def _was_only_rejected(run: Run) -> bool:
    """Whether nothing of a run was accepted because of its communications, and the application is well."""
    tried = {Outcome.FAILED, Outcome.UNKNOWN, Outcome.DEFERRED, Outcome.NOT_ATTEMPTED} & set(run.counts)
    return run.incident == policy.NOTHING_ACCEPTED and run.status == RunStatus.PARTIAL and not tried


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
