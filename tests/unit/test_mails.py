"""The mails about scheduled runs: few, each with everything that is new, and to the topic of those who have to act."""

import itertools

import pytest

from chalicelib.ledger.runs import run_key
from chalicelib.models.batches import BatchRecord
from chalicelib.models.notifications import Incident, Notification, NotifyReason, Topic
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import RunStatus, Trigger
from chalicelib.notifications import policy
from chalicelib.runs.report import report
from chalicelib.settings import Settings
from tests.fakes import HOUR, NOON, FakeManifests, make_run

MINUTE = 60_000
SETTINGS = Settings(resource_prefix="comms-test", remind_after="6h")


class Schedule:
    """Scheduled runs on the real ledger, one after the other."""

    def __init__(self, ledger, clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._numbers = itertools.count(1)

    def run(self, decided_by: str | None = None, **counts: int) -> Notification:
        """Report a run with so many communications of each outcome, an hour after the last one.

        `expired` and `rejected` go to the worklist.
        """
        self._clock.advance(HOUR)
        self.run_id = f"run-{next(self._numbers)}"
        outcomes = [self._outcome(name) for name, number in counts.items() for _ in range(number)]
        fields = {"trigger": Trigger.SCHEDULE, "requested_at": self._clock(), "batches": 1, "matched": len(outcomes)}
        self._ledger.runs.create(make_run(self.run_id, decided_by=decided_by, **fields))
        self._ledger.runs.record_batch(self.run_id, BatchRecord(index=0, outcomes=outcomes, at=self._clock()))
        return self.report()

    def report(self) -> Notification:
        """Report the last run again."""
        return report(self.run_id, None, self._ledger, FakeManifests(), SETTINGS)

    def _outcome(self, name: str) -> OutcomeRecord:
        outcome = Outcome.SKIPPED if name == "expired" else Outcome(name)
        manual = name in ("expired", "rejected")
        return OutcomeRecord(operation="send.email", primary_id="1", outcome=outcome, reason=name, manual=manual)


@pytest.fixture
def schedule(ledger, clock):
    return Schedule(ledger, clock)


def told(mails) -> list[Notification]:
    return [mail for mail in mails if mail.topic != Topic.NONE]


WEEKEND = 64  # hours, and runs: from Friday at five in the afternoon to Monday at nine in the morning


def test_a_weekend_in_which_every_run_adds_to_the_worklist_is_one_mail_each_remind_after(schedule):
    """The subject of each has the number of all that are new since the last one."""
    mails = told(schedule.run(accepted=1, rejected=2) for _ in range(WEEKEND))
    assert len(mails) == 1 + (WEEKEND - 1) // 6
    assert mails[0].subject == "comms-reprocess: partial, 1 of 3 accepted, 2 new on the worklist"
    assert {mail.subject for mail in mails[1:]} == {
        "comms-reprocess: still partial, 1 of 3 accepted, 12 new on the worklist"
    }
    assert "New on the worklist since the last mail, from earlier runs: 10" in mails[1].message


def test_an_incident_that_changes_to_and_fro_is_told_once_for_each_of_its_kinds(schedule):
    """Half of the application is down, and no two runs end alike."""
    mails = told(schedule.run(**counts) for counts in [{"accepted": 1, "failed": 1}, {"failed": 1}] * 3)
    assert [mail.subject for mail in mails] == [
        "comms-reprocess: partial, 1 of 2 accepted",
        "comms-reprocess: partial, 0 of 1 accepted",
    ]


def test_an_incident_that_comes_and_goes_all_weekend_is_one_mail_each_remind_after(schedule):
    """Half of the application is down, and every other run goes well by chance."""
    mails = told(schedule.run(**counts) for counts in [{"accepted": 1, "failed": 1}, {"accepted": 1}] * (WEEKEND // 2))
    subjects = [mail.subject.removeprefix("comms-reprocess: ") for mail in mails]
    assert subjects[:3] == ["partial, 1 of 2 accepted", "recovered, 1 of 1 accepted", "again partial, 1 of 2 accepted"]
    assert subjects[3:] == ["still partial, 1 of 2 accepted"] * ((WEEKEND - 3) // 6)
    assert "once all runs have gone well for REMIND_AFTER" in mails[2].message


def test_an_incident_that_has_returned_is_over_when_all_has_gone_well_for_remind_after(schedule, ledger):
    """The next one may recover at once: it is one that begins."""
    for counts in [{"failed": 1}, {"accepted": 1}, {"failed": 1}]:
        schedule.run(**counts)
    assert told(schedule.run(accepted=1) for _ in range(5)) == []
    assert schedule.run(accepted=1).subject == "comms-reprocess: recovered, 1 of 1 accepted"
    assert schedule.report().subject == "comms-reprocess: recovered, 1 of 1 accepted"
    assert (ledger.incidents.read(), schedule.run(accepted=1).topic) == (None, Topic.SUCCEEDED)
    for _ in range(5):
        schedule.run(accepted=1)
    assert schedule.run(failed=1).subject == "comms-reprocess: partial, 0 of 1 accepted"
    assert schedule.run(accepted=1).subject == "comms-reprocess: recovered, 1 of 1 accepted"


@pytest.mark.parametrize(("counts", "topic"), [({"accepted": 1}, "succeeded"), ({"failed": 1}, "failed")])
def test_how_an_approved_run_ended_is_told_even_while_an_incident_goes_on(schedule, ledger, counts, topic):
    """Somebody has decided about it, and waits for its end. The incident goes on if it did before."""
    for each in [{"failed": 1}, {"accepted": 1}, {"failed": 1}]:
        schedule.run(**each)
    assert schedule.run(decided_by="anna", **counts).topic == topic
    assert ledger.incidents.read().returned
    assert schedule.run(failed=1).topic == Topic.NONE


def test_a_run_of_which_everything_expired_is_told_to_those_who_act(schedule, ledger):
    """It recovered nothing, so an incident that people know of goes on."""
    ledger.incidents.write(Incident(kind=policy.NOTHING_ACCEPTED, since=NOON, notified_at=NOON))
    mail = schedule.run(expired=3)
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: 0 of 0 accepted, 3 new on the worklist")
    assert ledger.runs.read(schedule.run_id).notify_reason == NotifyReason.CHANGED
    assert schedule.run(expired=1).topic == Topic.NONE


def test_an_incident_is_over_only_when_something_was_accepted(schedule, ledger):
    """A run that skips everything shows nothing."""
    schedule.run(failed=1)
    assert schedule.run(skipped=1).topic == Topic.NONE
    mail = schedule.run(accepted=1)
    assert (mail.topic, mail.subject) == ("succeeded", "comms-reprocess: recovered, 1 of 1 accepted")
    assert ledger.incidents.read() is None


def test_a_recovery_after_which_the_worklist_has_grown_is_told_to_those_who_act(schedule):
    """Nobody has heard yet of what went there during the incident."""
    schedule.run(failed=1)
    schedule.run(failed=1, rejected=4)
    mail = schedule.run(accepted=1)
    assert (mail.topic, mail.subject) == (
        "failed",
        "comms-reprocess: recovered, 1 of 1 accepted, 4 new on the worklist",
    )


def test_a_repeated_report_counts_what_is_new_on_the_worklist_once(schedule, clock):
    """Whether it was told or not; and a repeated mail is the same."""
    schedule.run(accepted=1, rejected=1)
    schedule.run(accepted=1, rejected=1)
    schedule.report()
    clock.advance(6 * HOUR)
    mail = schedule.run(accepted=1, rejected=1)
    assert mail.subject == "comms-reprocess: still partial, 1 of 2 accepted, 2 new on the worklist"
    assert schedule.report() == mail


def test_an_incident_of_an_earlier_version_goes_on(schedule, ledger):
    """Its item has neither earlier kinds nor a number."""
    ledger.incidents.write(Incident(kind="partial", since=NOON, notified_at=NOON))
    assert schedule.run(accepted=1, failed=1).topic == Topic.NONE
    assert schedule.run(failed=1).topic == Topic.FAILED


# -- the mails that are due


# The key of the run with the mail.
R = run_key("r")


def close_with_mail(ledger) -> Notification:
    mail = Notification(topic=Topic.FAILED, subject="s", message="m")
    run = make_run("r")
    ledger.runs.create(run)
    ledger.runs.change(run, mail=mail, status=RunStatus.FAILED)
    return mail


def test_a_mail_is_due_from_the_write_that_closes_its_run_until_it_is_sent(ledger):
    """The run is not open any more."""
    mail = close_with_mail(ledger)
    assert ledger.runs.open_runs() == []
    assert list(ledger.mails.due()) == [R]
    assert ledger.mails.take(R) == mail
    assert list(ledger.mails.due()) == [R]
    ledger.mails.mark_sent(R)
    assert list(ledger.mails.due()) == []
    assert ledger.mails.take(R) is None
    assert ledger.runs.read("r").status == "failed"


def test_a_mail_is_taken_by_one_collector_at_a_time(ledger, clock):
    """Another one may take it when it was given back, or when whoever took it has died."""
    mail = close_with_mail(ledger)
    assert [ledger.mails.take(R), ledger.mails.take(R)] == [mail, None]
    ledger.mails.give_back(R)
    assert [ledger.mails.take(R), ledger.mails.take(R)] == [mail, None]
    clock.advance(3 * MINUTE)
    assert ledger.mails.take(R) == mail


def test_the_mail_of_a_run_that_is_gone_leaves_nothing(ledger):
    """DynamoDB may delete its item at any time after RETENTION."""
    ledger.mails.mark_sent(("RUN#gone", "RUN"))
    ledger.mails.give_back(("RUN#gone", "RUN"))
    assert ledger.mails.take(("RUN#gone", "RUN")) is None
    assert ledger.runs.page(10) == ([], None)


def test_one_of_two_recoveries_at_once_begins(ledger, clock):
    """The other one leaves the run alone. The same write again, which the SDK may repeat, changes nothing."""
    ledger.runs.create(make_run("r"))
    run = ledger.runs.read("r")
    assert ledger.runs.begin_recovery(run).recoveries == 1
    assert ledger.runs.begin_recovery(run).recoveries == 1
    clock.advance(1)
    assert ledger.runs.begin_recovery(run) is None
    assert ledger.runs.begin_recovery(ledger.runs.read("r")).recoveries == 2
