"""Whatever interleaves, the ledger lets no communication be sent twice, and leaves none stuck.

Hypothesis and random walks play the state machine, AWS, the application and the people: they claim, POST and record
answers, step by step and in any order, and let Lambdas die between any two steps. Bulk runs pin the communication, and
decide about it whenever it suits them, and again. The judge looks at the POSTs, and at which answers reached the
ledger, but not at what the ledger makes of them.
"""

import itertools
import random
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chalicelib.errors import OutcomeUnknown, ReprocessError
from chalicelib.ledger import Communications, Worklist
from chalicelib.ledger.claims import ClaimRefused, Rules, State
from chalicelib.ledger.worklist import Stay
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication
from chalicelib.runs import reprocess
from tests.fakes import (
    BEHAVIOURS,
    FakeApplication,
    FakeClock,
    FakeCommunications,
    FakeWorklist,
    InterruptedTable,
    Post,
)

OPERATION = "send.email"
SECOND = 1000
COOL_DOWN = 3600 * SECOND

# How long a Lambda may still live after its claim (lambda_timeout in .chalice/config.json).
LAMBDA_LIFETIME = 30 * SECOND

# How much time may pass: while a Lambda lives, and around the end of a cool-down.
WITHIN_LAMBDA = (1, 5 * SECOND, 20 * SECOND)
AROUND_COOL_DOWN = (0, COOL_DOWN // 2, COOL_DOWN, COOL_DOWN + 1, COOL_DOWN + LAMBDA_LIFETIME)

NOT_PROCESSED = ("ApplicationUnavailable", "ApplicationOverloaded", "ApplicationMisconfigured")

_numbers = itertools.count()

# Which of the tasks, or of the deliveries in flight. Mostly the first: that is the newest task.
INDEXES = (0, 0, 1, 2)

# The possible steps: the name of a method, and the values of its arguments.
STEPS = (
    ("list_again", AROUND_COOL_DOWN, (1, 1, 2), (False, False, True)),
    ("advance_time", WITHIN_LAMBDA + AROUND_COOL_DOWN),
    ("claim_task", INDEXES),
    ("continue_one", INDEXES, tuple(BEHAVIOURS)),
    ("continue_one", INDEXES, tuple(BEHAVIOURS)),
    ("deliver", INDEXES, tuple(BEHAVIOURS)),
    ("deliver", INDEXES, tuple(BEHAVIOURS)),
    ("die", INDEXES),
    ("record_answer_again", INDEXES),
    ("claim_twice_at_once", INDEXES),
    ("claim_while_another_continues", INDEXES, INDEXES, tuple(BEHAVIOURS)),
    ("claim_while_moved_to_worklist", INDEXES),
    ("decide", INDEXES, ("expired", "dismiss", "restore", "retry", "retry")),
    ("pin_for_bulk_run", ("retry", "dismiss")),
    ("carry_out_bulk_run", INDEXES),
)
MAX_ATTEMPTS = (2, 3, 10)
NO_DECISIONS_BEFORE = (5, 20, 50)
STEPS_PER_EXAMPLE = 50


class FakeBackend:
    """The ledger's communications in memory."""

    def __init__(self, clock):
        self.clock = clock
        self.communications = FakeCommunications(clock)
        self.worklist = FakeWorklist(self.communications, clock)

    def claim(self, task, rules, meanwhile):
        """Claim just after something else has happened."""
        meanwhile()
        return reprocess.claim_or_retry(task, self, rules)

    def cancel_interruption(self):
        """What should have happened during the claim and has not."""
        return lambda: None


class RealBackend:
    """The ledger's communications in a table of moto's."""

    def __init__(self, clock, table):
        self.clock = clock
        self._table = InterruptedTable(table)
        self.communications = Communications(self._table, clock)
        self.worklist = Worklist(self._table, clock, 90 * COOL_DOWN)

    def claim(self, task, rules, meanwhile):
        """Claim, and let something else happen between the two writes that a claim may need."""
        self._table.before_second_update(meanwhile)
        return reprocess.claim_or_retry(task, self, rules)

    def cancel_interruption(self):
        """What should have happened during the claim and has not, because there was only one write."""
        return self._table.cancel_interruption()


@dataclass(eq=False)
class Delivery:
    """A call of the Lambda `reprocess` that has claimed its task, `at` this time."""

    task: Task
    claim: State
    at: int
    sent: "Sent | None" = None
    answer: str = ""


@dataclass(eq=False)
class Sent:
    """A POST; `ends` is the end of its cool-down, and `recorded` the answer that reached the ledger.

    `retries` is how often somebody had retried the communication before.
    """

    delivery: Delivery
    post: Post
    ends: int
    retries: int
    recorded: str | None = None

    @property
    def owner(self):
        return self.delivery.task.owner

    @property
    def listed_at(self):
        return self.delivery.task.communication.listed_at


@dataclass(eq=False)
class Pinned:
    """A bulk run that has pinned the communication, and whether it has changed it (None: nobody has tried yet)."""

    action: str
    stay: Stay
    changed: bool | None = None


def violation(first, second, *, honours_key):
    """Why the second POST of a communication must not have followed the first, or None (docs/design.md)."""
    same_key = first.post.key == second.post.key
    if same_key and first.post.payload != second.post.payload:
        return "a repetition that is not byte-identical"
    if second.listed_at > first.ends:
        return None
    if first.recorded in NOT_PROCESSED and (same_key or first.retries < second.retries):
        return None
    if not same_key:
        return "two keys within one cool-down"
    if honours_key and (first.owner == second.owner or first.recorded == "ApplicationError"):
        return None
    return "a second POST on a listing older than the end of the cool-down"


class Interleavings(RuleBasedStateMachine):
    """One communication, and any number of runs that list it. Others would be other items."""

    def __init__(self, make_backend, honours_key):
        super().__init__()
        self.honours_key = honours_key
        self.clock = FakeClock()
        self.backend = make_backend(self.clock)
        self.communications = self.backend.communications
        self.worklist = self.backend.worklist
        self.application = FakeApplication(self.clock)
        # All examples share one table.
        self.primary_id = f"example {next(_numbers)}"
        self.key = OPERATION, self.primary_id
        self.tasks = []
        self.in_flight = []
        self.answered = []
        self.sent = []
        self.runs = 0
        # What people or `record` have made of it (`manual`, `dismissed` or neither), and when.
        self.decided = ""
        self.before_dismissal = ""
        self.decided_at = 0
        self.retries = 0
        self.pinned = []
        self.violations = []

    @initialize(max_attempts=st.sampled_from(MAX_ATTEMPTS), no_decisions_before=st.sampled_from(NO_DECISIONS_BEFORE))
    def begin(self, max_attempts, no_decisions_before):
        self.no_decisions_before = no_decisions_before
        self.rules = Rules(
            cool_down=COOL_DOWN, honours_key=self.honours_key, max_attempts=max_attempts, retention=90 * COOL_DOWN
        )
        self.tasks = [self.list_now()]

    # One rule for all steps: Hypothesis leaves whole rules out of most examples, so nothing would ever be sent.
    @rule(chosen=st.one_of(st.tuples(st.just(name), *map(st.sampled_from, choices)) for name, *choices in STEPS))
    def step(self, chosen):
        self.no_decisions_before -= 1
        name, *arguments = chosen
        getattr(self, name)(*arguments)

    # -- collectors

    def list_now(self, index=0, *, retry=False):
        listed = Communication(operation=OPERATION, primary_id=self.primary_id, listed_at=self.clock(), retry=retry)
        return Task(run_id=f"run{self.runs}", index=index, communication=listed, requested_by=f"person{self.runs}")

    def list_again(self, wait, pages, retry=False):
        """Another run lists the communication, perhaps to retry it. The newest task comes first."""
        self.clock.advance(wait)
        self.runs += 1
        self.tasks = [self.list_now(page, retry=retry) for page in range(pages)] + self.tasks

    # -- deliveries of a task: the first, retries of the state machine, repetitions by AWS. They all look alike

    def claim_task(self, index):
        self.claim(self.task(index), lambda: None)

    def claim_twice_at_once(self, index):
        self.claim(self.task(index), lambda: self.claim(self.task(index), lambda: None))

    def claim_while_another_continues(self, index, other, behaviour):
        self.claim(self.task(index), lambda: self.continue_one(other, behaviour))

    def claim_while_moved_to_worklist(self, index):
        self.claim(self.task(index), lambda: self.move_to_worklist(self.task(index)))

    def continue_one(self, index, behaviour):
        if self.in_flight:
            self.continue_delivery(self.in_flight[index % len(self.in_flight)], behaviour)

    def die(self, index):
        """A Lambda dies: before the POST, or after it and before its answer is recorded."""
        if self.in_flight:
            self.in_flight.pop(index % len(self.in_flight))
            self.judge_history()

    def deliver(self, index, behaviour):
        delivery = self.claim(self.task(index), lambda: None)
        if delivery:
            self.continue_delivery(delivery, behaviour)
            self.continue_delivery(delivery, behaviour)

    def task(self, index):
        return self.tasks[index % len(self.tasks)]

    def claim(self, task, meanwhile):
        delivery = None
        try:
            claim = self.backend.claim(task, self.rules, meanwhile)
        except OutcomeUnknown:
            claim = None
        if self.retries_kept() > self.retries:
            self.retried_by_run(task)
        if isinstance(claim, State):
            if self.decided:
                self.violations.append("a claim of what is manual or dismissed")
            delivery = Delivery(task, claim, self.clock())
            self.in_flight.append(delivery)
        self.backend.cancel_interruption()()
        return delivery

    def continue_delivery(self, delivery, behaviour):
        """One step of `chalicelib.runs.reprocess`: the POST, or else recording its answer."""
        if self.clock() - delivery.at > LAMBDA_LIFETIME:
            self.in_flight.remove(delivery)
        elif delivery.sent is None:
            self.post(delivery, behaviour)
        else:
            self.in_flight.remove(delivery)
            self.record_answer(delivery)

    def post(self, delivery, behaviour):
        self.application.script = [BEHAVIOURS[behaviour]]
        claim = delivery.claim
        try:
            self.application.reprocess(reprocess.payload(claim), claim.key, delivery.task.run_id)
            delivery.answer = "accepted"
        except ReprocessError as error:
            delivery.answer = type(error).__name__
        post = self.application.posts[-1]
        delivery.sent = Sent(delivery, post, ends=delivery.at + COOL_DOWN, retries=self.retries)
        self.judge(delivery.sent)
        self.sent.append(delivery.sent)

    def record_answer(self, delivery):
        communication, sent = delivery.task.communication, delivery.sent
        self.communications.record_answer(delivery.claim, delivery.answer, "a_reason", self.rules)
        self.answered.append(delivery)
        state = self.communications.read([communication])[communication.operation, communication.primary_id]
        if (state.claim_id, state.answer) == (delivery.claim.claim_id, delivery.answer):
            sent.recorded = delivery.answer
            definite = ("CommunicationRejected", *NOT_PROCESSED)
            if sent.recorded not in ((*definite, "ApplicationError") if self.honours_key else definite):
                sent.ends = self.clock() + COOL_DOWN
        self.judge_history()

    def record_answer_again(self, index):
        """The SDK does that when its write is not answered, until the Lambda dies."""
        if self.answered:
            delivery = self.answered[index % len(self.answered)]
            if self.clock() - delivery.at <= LAMBDA_LIFETIME:
                self.communications.record_answer(delivery.claim, delivery.answer, "a_reason", self.rules)

    # -- `record` and people

    def decide(self, index, decision):
        if decision == "expired":
            self.move_to_worklist(self.task(index))
        elif decision == "dismiss":
            self.dismiss()
        elif decision == "restore":
            self.restore()
        else:
            self.retry()

    def move_to_worklist(self, task):
        if self.no_decisions_before >= 0:
            return
        moved = self.communications.move_to_worklist(task.communication, task.owner, "expired")
        if moved and self.decided == "dismissed":
            self.violations.append("what was dismissed is on the worklist")
        if moved and not self.decided:
            self.decided, self.decided_at = "manual", self.clock()

    def dismiss(self):
        if self.no_decisions_before < 0 and self.worklist.dismiss(*self.key, "olga", "gone") is None:
            self.before_dismissal = self.decided
            self.decided, self.decided_at = "dismissed", self.clock()

    def restore(self):
        refusal = self.worklist.restore(*self.key, "olga")
        if (refusal is None) != (self.decided == "dismissed"):
            self.violations.append("a communication was restored that nobody had dismissed, or could not be")
        if refusal is None:
            self.decided, self.decided_at = self.before_dismissal, self.clock()

    def retry(self):
        if self.worklist.retry(*self.key, "olga", COOL_DOWN) is None:
            self.retried()

    def retried(self):
        if self.decided != "manual":
            self.violations.append("a retry of what is not on the worklist")
        self.decided = ""
        self.retries += 1

    def retried_by_run(self, task):
        """A run with `includeManual` has retried it, as it was when the run listed it."""
        if not task.communication.retry or self.decided_at > task.communication.listed_at:
            self.violations.append("a retry by a run that knows nothing of it")
        self.retried()

    # -- bulk runs

    def pin_for_bulk_run(self, action):
        """A bulk run finds it on the worklist. Whatever happens from then on is another stay, or at a later time."""
        entry = self.worklist.read(*self.key)
        if self.decided == "manual":
            self.clock.advance(1)
            stay = Stay(run_id=f"bulk{len(self.pinned)}", since=entry.manual_since, as_of=self.clock())
            self.pinned.insert(0, Pinned(action, stay))

    def carry_out_bulk_run(self, index):
        """A collector decides about what is pinned: the first one, one that is late, or one that repeats it."""
        if not self.pinned:
            return
        pinned = self.pinned[index % len(self.pinned)]
        known = self.decisions_kept()
        changed = self.decide_within(pinned) is None
        if pinned.changed not in (None, changed):
            self.violations.append("a bulk run that comes to another end when it is repeated")
        if self.decisions_kept() > known:
            self.changed_by_bulk_run(pinned)
        pinned.changed = changed

    def decide_within(self, pinned):
        if pinned.action == "retry":
            return self.worklist.retry(*self.key, "olga", COOL_DOWN, stay=pinned.stay)
        return self.worklist.dismiss(*self.key, "olga", "gone", stay=pinned.stay)

    def changed_by_bulk_run(self, pinned):
        if pinned.changed is not None:
            self.violations.append("a bulk run that decides twice")
        if (self.decided, self.decided_at) != ("manual", pinned.stay.since):
            self.violations.append("a bulk run that decides about another stay than it has found")
        if pinned.action == "retry":
            self.retried()
        else:
            self.before_dismissal, self.decided, self.decided_at = self.decided, "dismissed", self.clock()

    def decisions_kept(self):
        entry = self.worklist.read(*self.key)
        return len(entry.decisions) + entry.decisions_forgotten

    def retries_kept(self):
        """How often the communication was retried, as the ledger has it."""
        entry = self.worklist.read(*self.key)
        return sum(each.action == "retry" for each in entry.decisions) if entry else 0

    def advance_time(self, wait):
        self.clock.advance(wait)

    # -- the judge

    def judge(self, sent):
        self.violations += filter(None, (violation(each, sent, honours_key=self.honours_key) for each in self.sent))
        repeats = any((each.post.key, each.owner) == (sent.post.key, sent.owner) for each in self.sent)
        if self.decided and not (repeats and self.honours_key):
            self.violations.append("a POST of what is manual or dismissed")

    def judge_history(self):
        """A run's report rests on the history: it must not call `deferred` what may have arrived."""
        entry = self.worklist.read(*self.key)
        for owner in {sent.owner for sent in self.sent if sent.post.processed}:
            last = entry.entry_of(owner)
            if last and last.answer in NOT_PROCESSED:
                self.violations.append("a history that calls not processed what was processed")

    @invariant()
    def no_post_breaks_the_rules(self):
        assert not self.violations

    def teardown(self):
        """After the cool-down, the next run may send the communication or must move it to the worklist."""
        if not self.tasks:
            return
        self.list_again(2 * COOL_DOWN, 1)
        task = self.tasks[0]
        claim = self.communications.claim(task, self.rules)
        assert isinstance(claim, ClaimRefused if self.decided else State | ClaimRefused)
        if isinstance(claim, ClaimRefused):
            assert claim.reason in (("manual", "dismissed") if self.decided else ("relapsed", "attempts_used_up"))
            assert self.decided or self.communications.move_to_worklist(task.communication, task.owner, claim.reason)


def walk(make_backend, honours_key, seed):
    """Take random steps: far cheaper than Hypothesis's examples. A failure shows all of its steps."""
    choose = random.Random(seed).choice
    machine = Interleavings(make_backend, honours_key)
    machine.begin(choose(MAX_ATTEMPTS), choose(NO_DECISIONS_BEFORE))
    steps = []
    for _ in range(STEPS_PER_EXAMPLE):
        name, *choices = choose(STEPS)
        steps.append((name, *map(choose, choices)))
        machine.step(steps[-1])
        assert not machine.violations, steps
    machine.teardown()


each_kind_of_application = pytest.mark.parametrize(
    "honours_key", [True, False], ids=["keys honoured", "keys not honoured"]
)


@each_kind_of_application
def test_no_interleaving_sends_a_communication_twice_or_leaves_it_stuck(honours_key):
    """Hypothesis chooses the steps; each call of the ledger is atomic."""
    run_state_machine_as_test(
        lambda: Interleavings(FakeBackend, honours_key),
        settings=settings(
            max_examples=60, stateful_step_count=STEPS_PER_EXAMPLE, derandomize=True, deadline=None, database=None
        ),
    )


@each_kind_of_application
def test_no_random_walk_sends_a_communication_twice_or_leaves_it_stuck(honours_key):
    """Random walks reach what Hypothesis does not reach in the time."""
    for seed in range(1500):
        walk(FakeBackend, honours_key, seed)


@each_kind_of_application
def test_no_random_walk_with_the_real_table_sends_twice_or_leaves_a_communication_stuck(honours_key, table):
    """Here other steps may come between the two writes of one claim."""
    for seed in range(12):
        walk(lambda clock: RealBackend(clock, table), honours_key, seed)
