"""Whatever scans, sends and people do, and wherever the bookkeeping is interrupted: each relapse counts once.

Random walks on the real collector and ledger. A judge of its own keeps which run got what accepted, and what has been
listed since: no run may have counted more than that. In the end everything is listed as failed again, and then each run
must have counted all that it got accepted. After each complete scan, the situation and the outage must add up to what
is listed, and after each bulk run its numbers to its decisions.
"""

import contextlib
import random
from collections import Counter

import boto3
import pytest

from chalicelib.models.communications import Communication, CommunicationStatus
from chalicelib.models.runs import RunKind
from chalicelib.runs.causes import cause_of
from chalicelib.runs.outage_queries import list_affected
from tests.integration.collector.fakes import MINUTE, FakeDeployment, Killed

COOL_DOWN = 60 * MINUTE
KEYS = [(operation, str(number)) for operation in ("send.email", "send.sms") for number in range(8)]
STEPS = 70
STEP_NAMES = ("scan", "scan", "scan", "send", "send", "wait", "wait", "request", "decide", "bulk")
BULK = (RunKind.RETRY, RunKind.RETRY, RunKind.DISMISS)

# Where a listed communication counts in the situation, and what may have become of one that an outage has hit.
PLACES = ("failing", "on_worklist", "sent", "dismissed")
STATES = ("recovered", "waiting", "sent", "on_worklist", "dismissed")

# How many walks, so that they take seconds; each has some thirty scans.
WALKS = 4


@pytest.fixture(scope="module")
def s3(moto):  # noqa: ARG001 (moto runs as long as this fixture)
    return boto3.client("s3", region_name="eu-central-1")


def place_of(listed, state):
    """Where a listed communication counts in the situation."""
    if state is None:
        return "failing"
    if state.status in (CommunicationStatus.MANUAL, CommunicationStatus.DISMISSED):
        return "dismissed" if state.status == CommunicationStatus.DISMISSED else "on_worklist"
    accepted = state.answer == "accepted" or state.status == CommunicationStatus.SENDING
    return "sent" if accepted and state.until >= listed.listed_at else "failing"


class Walk:
    """One deployment and its application, in which anything may happen."""

    def __init__(self, deployment, seed):
        self.deployment = deployment
        self.choose = random.Random(seed)
        self.events = self.complete_scans = 0
        self.outages: set[str] = set()
        self.unsent: list[str] = []
        # Which run got a communication accepted, until when that may still arrive, and whether it was listed since.
        self.accepted: list[list] = []
        self.pages = deployment.lists.failed_pages
        deployment.lists.failed_pages = self.watched_pages
        for key in KEYS:
            self.fail(key)

    def watched_pages(self, *arguments):
        for page in self.pages(*arguments):
            for each in page.communications:
                for entry in self.accepted:
                    entry[3] |= entry[1] == each.key and each.listed_at > entry[2]
            yield page

    # -- the application

    def fail(self, key):
        """The application lists a communication as failed, unless it does already."""
        operation, primary_id = key
        failed = self.deployment.lists.failed.setdefault(operation, [])
        if primary_id not in [each["primary_id"] for each in failed]:
            self.deployment.add_failed(operation, primary_id)

    def process(self, key):
        """The application processes what it accepted, and may fail to send it: then it is listed again."""
        failed = self.deployment.lists.failed[key[0]]
        failed[:] = [each for each in failed if each["primary_id"] != key[1]]
        if self.choose.random() < 0.7:
            self.fail(key)

    # -- steps

    def scan(self):
        """A scheduled run begins; its scan may be incomplete, or killed at any write."""
        self.events += 1
        kind = self.choose.choice(["whole", "whole", "cut", "broken", "killed", "killed", "refused", "twice"])
        if kind == "killed":
            self.deployment.writes_left = self.choose.randint(1, 12)
        if kind == "broken":
            self.deployment.lists.broken_after_first_page.add("send.email")
        if kind == "refused":
            self.deployment.refused.add("transact_write_items")
        if kind == "twice":
            self.before_second_list(self.request)
        options = {"time_left": lambda: 0} if kind == "cut" else {}
        with contextlib.suppress(Killed):
            self.judge_scan(self.deployment.fire(self.events, **options))
        self.undisturbed()
        self.note_started()

    def undisturbed(self):
        self.deployment.writes_left = None
        self.deployment.lists.broken_after_first_page.clear()
        self.deployment.refused.clear()
        self.deployment.lists.meanwhile = None

    def before_second_list(self, call):
        """Make a call when a scan has found the relapses of its first list, and has not counted them yet."""

        def arm():
            self.deployment.lists.meanwhile = call

        self.deployment.lists.meanwhile = arm

    def request(self):
        self.events += 1
        self.deployment.request(f"asked-{self.events}")
        self.note_started()

    def note_started(self):
        known = set(self.unsent)
        self.unsent += [each for each in self.deployment.executions.started if each not in known]

    def send(self):
        """A run that has begun some time ago is sent and reported; its report may be killed and repeated."""
        open_runs = [each for each in self.unsent if not self.deployment.ledger.runs.read(each).closed]
        if not open_runs:
            return
        run_id = self.choose.choice(open_runs)
        answers = ["accepted"] * 4 + [
            "ApplicationUnavailable",
            "OutcomeUnknown",
            "ApplicationError",
            "CommunicationRejected",
        ]
        for operation, primary_id, answer in self.deployment.send(run_id, lambda: self.choose.choice(answers)):
            if answer == "accepted":
                key = (operation, primary_id)
                self.accepted.append([run_id, key, self.deployment.clock() + COOL_DOWN, False])
                self.process(key)
        self.deployment.writes_left = self.choose.choice([None, 1, 2, 3])
        with contextlib.suppress(Killed):
            self.deployment.report(run_id)
        self.deployment.writes_left = None
        self.deployment.report(run_id)

    def decide(self):
        """Somebody retries what is on the worklist, or dismisses or restores something."""
        worklist, key = self.deployment.ledger.worklist, self.choose.choice(KEYS)
        entry = worklist.read(*key)
        if entry and entry.status == CommunicationStatus.MANUAL:
            worklist.retry(*key, "olga", COOL_DOWN)
        elif entry and entry.status == CommunicationStatus.DISMISSED:
            worklist.restore(*key, "olga")
        else:
            worklist.dismiss(*key, "olga", "gone")

    def bulk(self):
        """Somebody retries or dismisses all of an operation; the collector may be killed, and its event is repeated."""
        self.events += 1
        run_id, operation = f"bulk-{self.events}", self.choose.choice(KEYS)[0]
        self.deployment.request_bulk(self.choose.choice(BULK), run_id, operation=operation, note="gone")
        self.deployment.writes_left = self.choose.choice([None, 1, 2, 3, 5, 8])
        with contextlib.suppress(Killed):
            self.deployment.collect_requested(run_id)
        self.undisturbed()
        self.deployment.collect_requested(run_id)
        self.judge_bulk(self.deployment.ledger.runs.read(run_id))

    def wait(self):
        self.deployment.clock.advance(self.choose.choice([MINUTE, 20 * MINUTE, COOL_DOWN + 1]))

    def step(self):
        getattr(self, self.choose.choice(STEP_NAMES))()
        self.judge()

    # -- the judge

    def judge_scan(self, run_id):
        """What a complete scan has written adds up to what is listed: each communication counts once."""
        situation = self.deployment.ledger.situations.read()
        if situation is None or situation.run_id != run_id or not situation.complete:
            return  # an earlier run is under way, or the scan was not complete
        self.complete_scans += 1
        listed = self.listed()
        places = {
            (operation, place): getattr(counts, place)
            for operation, counts in situation.by_operation.items()
            for place in PLACES
        }
        assert +Counter(places) == Counter((each.operation, place_of(each, state)) for each, state in listed)
        causes = {(each.operation, each.kind, each.reason): each.count for each in situation.causes}
        found = [cause for each, state in listed if (cause := cause_of(each, state))]
        assert +Counter(causes) == Counter((each.operation, each.kind, each.reason) for each in found)
        self.judge_outage(run_id, {each.key for each, state in listed if place_of(each, state) in ("failing", "sent")})

    def judge_outage(self, run_id, waiting):
        """All that an outage has hit is what its numbers say, and while it goes on, it has hit all that waits."""
        outage = self.deployment.ledger.outages.newest()
        if outage is None or outage.scan != run_id:
            return
        self.outages.add(outage.outage_id)
        rows, _ = list_affected(outage, self.deployment.ledger, self.deployment.manifests, 100, (0, 0))
        hit = {(row.operation, row.primary_id) for row in rows}
        assert len(hit) == len(rows) == outage.hit == sum(outage.by_operation.values())
        assert Counter(row.state for row in rows) == +Counter({name: getattr(outage, name) for name in STATES})
        assert outage.over_at or waiting <= hit
        assert not outage.settled_at or not (outage.waiting or outage.sent)

    def listed(self):
        """What the application lists now, and what the ledger knows of it."""
        now = self.deployment.clock()
        found = [
            Communication(operation=operation, listed_at=now, **record)
            for operation, records in self.deployment.lists.failed.items()
            for record in records
        ]
        states = self.deployment.ledger.communications.read(found)
        return [(each, states.get(each.key)) for each in found]

    def judge_bulk(self, run):
        """A bulk run has ended, and has changed as many as have its decision, each once."""
        entries = [self.deployment.ledger.worklist.read(*key) for key in KEYS]
        decided = [each.run_id for entry in entries if entry for each in entry.decisions].count(run.run_id)
        assert run.closed
        assert run.counts.get("changed", 0) == decided
        assert run.counts.get("refused", 0) == sum(run.refused.values()) == run.matched - decided

    def counted(self):
        return {run.run_id: run.relapsed for run in self.runs() if run.relapsed}

    def runs(self):
        found, key = self.deployment.ledger.runs.page(200)
        assert key is None
        return found

    def judge(self):
        """No run has counted what was not accepted, or not listed since, and a settled run stays settled."""
        listed_since = Counter(run_id for run_id, _, _, listed in self.accepted if listed)
        assert not {run_id: number for run_id, number in self.counted().items() if number > listed_since[run_id]}, (
            listed_since
        )

    def end(self):
        """Everything fails after all, and a few scans are complete: then nothing is left to count or to settle."""
        for run_id in self.unsent:
            self.deployment.report(run_id)
        self.deployment.clock.advance(COOL_DOWN + 1)
        for key in KEYS:
            self.fail(key)
        # A scan counts one relapse of each communication, and several scans may have been interrupted.
        for _ in range(8):
            self.events += 1
            self.deployment.clock.advance(COOL_DOWN + 1)
            self.deployment.complete(fired) if (fired := self.fired()) else None
            self.judge_scan(self.deployment.fire(self.events))
        assert self.counted() == Counter(run_id for run_id, *_ in self.accepted)
        ended = [run for run in self.runs() if run.closed]
        got = Counter(run_id for run_id, *_ in self.accepted)
        for run in ended:
            if got[run.run_id]:
                assert (run.settled_at is not None, run.recovery) == (True, 0.0)
        return sum(got.values())

    def fired(self):
        """The scheduled run that is under way, if there is one."""
        holder, _ = self.deployment.ledger.schedule.lock_holder()
        return holder if holder in self.deployment.executions.started else None


def test_each_relapse_counts_once_on_the_run_that_sent_it(ministack, s3, clock):
    """However scans overlap, are cut short, refused or killed, and reports are repeated."""
    relapses = complete_scans = outages = 0
    for seed in range(WALKS):
        walk = Walk(FakeDeployment(ministack, s3, clock), seed)
        for _ in range(STEPS):
            walk.step()
        relapses += walk.end()
        complete_scans += walk.complete_scans
        outages += len(walk.outages)
    assert relapses > 15 * WALKS
    assert complete_scans > 5 * WALKS
    assert outages > WALKS // 2
