"""Turns communications of the ledger into what the API returns."""

from typing import Any

from chalicelib import times
from chalicelib.api import ids
from chalicelib.api.schemas.communications import (
    AttemptView,
    CommunicationDetail,
    CommunicationView,
    DecisionView,
    SampleItem,
)
from chalicelib.api.serializers.moments import moment
from chalicelib.ledger.worklist import WorklistEntry
from chalicelib.models.batches import run_of
from chalicelib.models.communications import CommunicationStatus


def communication_view(entry: WorklistEntry) -> CommunicationView:
    """Return a communication as listings show it."""
    return CommunicationView(**_common(entry))


def communication_detail(entry: WorklistEntry) -> CommunicationDetail:
    """Return a communication with its history."""
    history = [
        AttemptView(run_id=run_of(each.owner), at=times.format_iso(each.at), answer=each.answer, reason=each.reason)
        for each in entry.history
    ]
    decisions = [
        DecisionView(action=each.action, by=each.by, at=times.format_iso(each.at), note=each.note, run_id=each.run_id)
        for each in entry.decisions
    ]
    return CommunicationDetail(
        **_common(entry), history=history, decisions=decisions, decisions_forgotten=entry.decisions_forgotten
    )


def _common(entry: WorklistEntry) -> dict[str, Any]:
    for_people = entry.status in (CommunicationStatus.MANUAL, CommunicationStatus.DISMISSED)
    return {
        "id": ids.encode_id(entry.operation, entry.primary_id),
        "operation": entry.operation,
        "primary_id": entry.primary_id,
        "status": entry.status,
        "attempts": entry.attempts,
        "reason": entry.manual_reason if for_people else entry.reason,
        "since": moment(entry.manual_since) if for_people else None,
        "cool_down_until": moment(entry.cool_down_until or None),
    }


def sample_item(operation: str, primary_id: str) -> SampleItem:
    """Return a communication of which only its key is shown."""
    return SampleItem(id=ids.encode_id(operation, primary_id), operation=operation, primary_id=primary_id)
