"""The ledger reads the items that earlier versions have written, under the names that these gave them."""

import json
from pathlib import Path

import pytest

# Each kind of item, from a deployment of the version; see tests/e2e/test_upgrade.py.
DATA = Path(__file__).parents[1] / "data"
VERSIONS = sorted(folder.name for folder in DATA.iterdir() if folder.name != "first")  # which has only a run


@pytest.fixture(params=VERSIONS)
def version(request, dynamodb, table):
    """A version whose items are in the table."""
    for item in json.loads((DATA / request.param / "items.json").read_text()):
        dynamodb.put_item(TableName=table._name, Item=item)
    return request.param


@pytest.fixture
def run(version, ledger):
    """A scheduled run that was truncated, approved, and ended as partial."""
    return ledger.runs.read(json.loads((DATA / version / "execution.json").read_text())["runId"])


def test_a_run_of_an_earlier_version_is_read_with_its_outcomes(run, ledger):
    """With its approval and why people were notified."""
    assert (run.status, run.trigger, run.counts) == ("partial", "schedule", {"accepted": 2, "rejected": 1})
    assert run.truncated
    assert (run.decision, run.decided_by, ledger.approvals.token(run.run_id)) == ("approved", "anna", "a-task-token")
    assert (run.notify_reason, run.incident) == ("began", "partial")
    (batch,) = ledger.runs.batches(run.run_id)
    assert [(each.outcome, each.manual) for each in batch.outcomes] == [
        ("rejected", True),
        ("accepted", False),
        ("accepted", False),
    ]


def test_requested_runs_of_an_earlier_version_are_read(run, ledger):
    """All runs are listed, newest first: one that was stopped, one with an id that is not listed, the scheduled one."""
    (stopped, requested, scheduled), _ = ledger.runs.page(10)
    assert (stopped.status, ledger.runs.halt_reason(stopped.run_id)) == ("stopped", "hand:olga")
    assert (requested.note, requested.requested_by, requested.collections) == ("recorded", "olga", 1)
    assert (requested.not_found, requested.not_found_count) == (["unlisted"], 1)
    assert scheduled == run


@pytest.mark.usefixtures("version")
def test_the_schedules_items_of_an_earlier_version_are_read(ledger):
    """The incident, the checkpoint, the pause, and the lock, which nobody holds."""
    assert ledger.incidents.read().kind == "partial"
    checkpoint = ledger.checkpoints.read()
    assert (checkpoint.operation, "/emails/failed" in checkpoint.page) == ("send.email", True)
    assert ledger.schedule.paused().by == "olga"
    holder, since = ledger.schedule.lock_holder()
    assert (holder, since > 0) == ("", True)


def test_a_communication_of_an_earlier_version_keeps_its_history_and_decisions(version, ledger):
    """It was rejected, dismissed and restored, so it is on the worklist, and can be dismissed again."""
    entry = ledger.worklist.read("send.email", f"{version}-1")
    assert (entry.status, entry.attempts, [each.answer for each in entry.history]) == (
        "manual",
        1,
        ["CommunicationRejected"],
    )
    assert [(each.action, each.by, each.note) for each in entry.decisions] == [
        ("dismiss", "olga", "a wrong number"),
        ("restore", "olga", None),
    ]
    assert ledger.worklist.dismiss("send.email", f"{version}-1", "anna", "still wrong") is None
    assert len(ledger.worklist.read("send.email", f"{version}-1").decisions) == 3
