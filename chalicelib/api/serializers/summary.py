"""Turns what goes on now into what the API returns."""

from chalicelib import times
from chalicelib.api.schemas.summary import CallerView, IncidentView, OperationView, ScanView, SummaryView
from chalicelib.api.serializers.causes import cause_view
from chalicelib.api.serializers.moments import moment
from chalicelib.api.serializers.outages import outage_view
from chalicelib.api.serializers.runs import run_view
from chalicelib.api.serializers.service import pace_view, schedule_view
from chalicelib.ledger.situations import OperationCounts, Situation
from chalicelib.runs.summary import ScanResult, Summary

# How many causes the summary shows.
_CAUSES = 10


def summary_view(summary: Summary, caller: CallerView) -> SummaryView:
    """Return what goes on now."""
    situation = summary.situation or Situation(run_id="", at=0)
    incident = summary.incident
    return SummaryView(
        caller=caller,
        as_of=moment(situation.at or None),
        complete=situation.complete,
        last_complete=moment(situation.last_complete),
        operations={name: _operation(counts) for name, counts in situation.by_operation.items()},
        skipped=situation.skipped,
        oldest=moment(situation.oldest),
        worklist=situation.worklist,
        scans=[_scan(each) for each in summary.scans],
        runs=[run_view(each.run, each.progress, each.halt_reason) for each in summary.under_way],
        runs_under_way=summary.under_way_count,
        awaiting_approval=summary.awaiting_approval,
        incident=IncidentView(kind=incident.kind, since=times.format_iso(incident.since)) if incident else None,
        schedule=schedule_view(summary.schedule),
        pace=pace_view(summary.pace),
        causes=[cause_view(each) for each in situation.causes[:_CAUSES] if each.count],
        outage=outage_view(summary.outage, summary.outage_end) if summary.outage else None,
    )


def _operation(counts: OperationCounts) -> OperationView:
    return OperationView(
        failing=counts.failing, on_worklist=counts.on_worklist, sent=counts.sent, dismissed=counts.dismissed
    )


def _scan(result: ScanResult) -> ScanView:
    point = result.point
    return ScanView(
        at=times.format_iso(point.at),
        run_id=point.run_id,
        complete=point.complete,
        failing=point.failing,
        on_worklist=point.on_worklist,
        sent=point.sent,
        accepted=result.accepted,
        failed=result.failed,
    )
