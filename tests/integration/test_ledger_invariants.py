"""The ledger's promises under any interleaving: runs, batches, retries, repeated deliveries, deaths, old listings.

Hypothesis plays the state machine, AWS, the application and the people: it claims, POSTs and writes answers down, step
by step and in any order, and lets Lambdas die between any two steps. The judge looks at the record of POSTs, and at
which answers got through to the ledger; not at what the ledger makes of them.
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
from chalicelib.ledger import Communications
from chalicelib.ledger.claims import ClaimRefused, Rules, State
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.table import ConditionFailed
from chalicelib.models import Communication, Task
from chalicelib.runs import reprocess
from tests.fakes import BEHAVIOURS, FakeApplication, FakeClock, FakeCommunications, Meanwhile, Post

SECOND = 1000
COOL_DOWN = 3600 * SECOND

# How long a Lambda lives that has claimed, whatever it waits for (lambda_timeout in .chalice/config.json).
LAMBDA = 30 * SECOND

# How much later something happens: while a Lambda lives, and around the end of a cool-down.
SOON = (1, 5 * SECOND, 20 * SECOND)
LATER = (0, COOL_DOWN // 2, COOL_DOWN, COOL_DOWN + 1, COOL_DOWN + LAMBDA)

SURELY_NOT = ("ApplicationUnavailable", "ApplicationMisconfigured")

_numbers = itertools.count()

_WHICH = (0, 0, 1, 2)

# What may happen next: its name, and what its arguments are chosen from.
STEPS = (
    ("a_run_lists_it", LATER, (1, 1, 2)),
    ("time_goes_by", SOON + LATER),
    ("is_claimed", _WHICH),
    ("goes_on", _WHICH, tuple(BEHAVIOURS)),
    ("goes_on", _WHICH, tuple(BEHAVIOURS)),
    ("goes_through", _WHICH, tuple(BEHAVIOURS)),
    ("goes_through", _WHICH, tuple(BEHAVIOURS)),
    ("dies", _WHICH),
    ("an_answer_is_written_again", _WHICH),
    ("is_delivered_twice_at_once", _WHICH),
    ("is_claimed_while_another_goes_on", _WHICH, _WHICH, tuple(BEHAVIOURS)),
    ("is_claimed_while_it_is_handed_over", _WHICH),
    ("is_ruled_on", _WHICH, ("expired", "dismissed")),
)
MAX_ATTEMPTS = (2, 3, 10)
NOBODY_RULES_BEFORE = (5, 20, 50)
LENGTH = 50


class FakeWorld:
    """The ledger in memory."""

    def __init__(self, clock):
        self.communications = FakeCommunications(clock)

    def dismiss(self, it):
        """A person says: never again. Not while it is being sent."""
        state = self.communications._state(it)
        if state.status == "sending":
            return False
        self.communications._change(state, {"status": "dismissed"})
        return True

    def claim(self, task, rules, meanwhile):
        """Claim just after something else has happened."""
        meanwhile()
        return self.communications.claim(task, rules)

    def leftover(self):
        """What was to come in between and has not happened."""
        return lambda: None


class RealWorld:
    """The real ledger on moto."""

    def __init__(self, clock, table):
        self._table = Meanwhile(table)
        self.communications = Communications(self._table, clock)

    def dismiss(self, it):
        """A person says: never again. Not while it is being sent."""
        values = {"operation": it.operation, "primaryId": it.primary_id, "dismissed": "dismissed", "sending": "sending"}
        expression = "SET #operation = :operation, #primaryId = :primaryId, #status = :dismissed REMOVE #worklist"
        try:
            self._table.update(key_of(it.operation, it.primary_id), expression, values, "#status <> :sending")
        except ConditionFailed:
            return False
        return True

    def claim(self, task, rules, meanwhile):
        """Claim, and have something else happen between the two writes that this may take."""
        self._table.happens(meanwhile)
        return self.communications.claim(task, rules)

    def leftover(self):
        """What was to come in between and has not happened: there was one write only."""
        return self._table.leftover()


@dataclass(eq=False)
class Delivery:
    """One call of the Lambda `reprocess` for a task, once it has its claim; `at` is when it got that."""

    task: Task
    claim: State
    at: int
    sent: "Sent | None" = None
    answer: str = ""


@dataclass(eq=False)
class Sent:
    """A POST, and what a judge must know of it: on which listing it rests, and when its cool-down ends."""

    delivery: Delivery
    post: Post
    ends: int
    told: str | None = None

    @property
    def owner(self):
        return self.delivery.task.owner

    @property
    def listed_at(self):
        return self.delivery.task.communication.listed_at


def fault(first, second, *, honours_key):
    """Why the second POST of a communication must not have followed the first, or None (docs/design.md)."""
    same_key = first.post.key == second.post.key
    if same_key and first.post.payload != second.post.payload:
        return "a repetition that is not byte-identical"
    if second.listed_at > first.ends:
        return None
    if not same_key:
        return "two keys within one cool-down"
    if first.told in SURELY_NOT:
        return None
    if honours_key and (first.owner == second.owner or first.told == "ApplicationError"):
        return None
    return "a second POST on a listing older than the end of the cool-down"


class Interleavings(RuleBasedStateMachine):
    """One communication (others are other items), any number of runs that list it."""

    def __init__(self, make_world, honours_key):
        super().__init__()
        self.honours_key = honours_key
        self.clock = FakeClock()
        self.world = make_world(self.clock)
        self.ledger = self.world.communications
        self.application = FakeApplication(self.clock)
        # One table of moto's serves all examples.
        self.primary_id = f"example {next(_numbers)}"
        self.tasks = []
        self.in_flight = []
        self.written = []
        self.sent = []
        self.runs = 0
        self.ruled = False
        self.faults = []

    @initialize(max_attempts=st.sampled_from(MAX_ATTEMPTS), nobody_rules_before=st.sampled_from(NOBODY_RULES_BEFORE))
    def begins(self, max_attempts, nobody_rules_before):
        self.nobody_rules_before = nobody_rules_before
        self.rules = Rules(
            cool_down=COOL_DOWN, honours_key=self.honours_key, max_attempts=max_attempts, retention=90 * COOL_DOWN
        )
        self.tasks = [self.listed()]

    # One rule for all: Hypothesis leaves whole rules out of most examples, and then nothing is ever sent.
    @rule(what=st.one_of(st.tuples(st.just(name), *map(st.sampled_from, choices)) for name, *choices in STEPS))
    def then(self, what):
        self.nobody_rules_before -= 1
        name, *arguments = what
        getattr(self, name)(*arguments)

    # -- collectors

    def listed(self, index=0):
        it = Communication(operation="send.email", primary_id=self.primary_id, listed_at=self.clock())
        return Task(run_id=f"run{self.runs}", index=index, communication=it, requested_by=f"person{self.runs}")

    def a_run_lists_it(self, wait, pages):
        """The newest task comes first; listings that nobody has worked on grow old."""
        self.clock.advance(wait)
        self.runs += 1
        self.tasks = [self.listed(page) for page in range(pages)] + self.tasks

    # -- deliveries of a task: the first, the state machine's retries, AWS's repetitions; nobody knows which is which

    def is_claimed(self, which):
        self.claim(self.task(which), lambda: None)

    def is_delivered_twice_at_once(self, which):
        self.claim(self.task(which), lambda: self.claim(self.task(which), lambda: None))

    def is_claimed_while_another_goes_on(self, which, other, behaviour):
        self.claim(self.task(which), lambda: self.goes_on(other, behaviour))

    def is_claimed_while_it_is_handed_over(self, which):
        self.claim(self.task(which), lambda: self.hand_over(self.task(which)))

    def goes_on(self, which, behaviour):
        if self.in_flight:
            self.go_on(self.in_flight[which % len(self.in_flight)], behaviour)

    def dies(self, which):
        """Before the POST, or after it and before its answer is written down."""
        if self.in_flight:
            self.in_flight.pop(which % len(self.in_flight))

    def goes_through(self, which, behaviour):
        delivery = self.claim(self.task(which), lambda: None)
        if delivery:
            self.go_on(delivery, behaviour)
            self.go_on(delivery, behaviour)

    def task(self, which):
        return self.tasks[which % len(self.tasks)]

    def claim(self, task, meanwhile):
        delivery = None
        try:
            claim = self.world.claim(task, self.rules, meanwhile)
        except OutcomeUnknown:
            claim = None
        if isinstance(claim, State):
            if self.ruled:
                self.faults.append("a claim of what is manual or dismissed")
            delivery = Delivery(task, claim, self.clock())
            self.in_flight.append(delivery)
        self.world.leftover()()
        return delivery

    def go_on(self, delivery, behaviour):
        """One step of chalicelib.reprocessor: the POST, or else writing down its answer."""
        if self.clock() - delivery.at > LAMBDA:
            self.in_flight.remove(delivery)
        elif delivery.sent is None:
            self.post(delivery, behaviour)
        else:
            self.in_flight.remove(delivery)
            self.write_answer(delivery)

    def post(self, delivery, behaviour):
        self.application.script = [BEHAVIOURS[behaviour]]
        claim = delivery.claim
        try:
            self.application.reprocess(reprocess.payload(claim), claim.key, delivery.task.run_id)
            delivery.answer = "accepted"
        except ReprocessError as error:
            delivery.answer = type(error).__name__
        delivery.sent = Sent(delivery, self.application.posts[-1], ends=delivery.at + COOL_DOWN)
        self.judge(delivery.sent)
        self.sent.append(delivery.sent)

    def write_answer(self, delivery):
        it, sent = delivery.task.communication, delivery.sent
        self.ledger.record_answer(delivery.claim, delivery.answer, "a_reason", self.rules)
        self.written.append(delivery)
        state = self.ledger.read([it])[it.operation, it.primary_id]
        if (state.claim_id, state.answer) == (delivery.claim.claim_id, delivery.answer):
            sent.told = delivery.answer
            definite = ("CommunicationRejected", *SURELY_NOT)
            if sent.told not in ((*definite, "ApplicationError") if self.honours_key else definite):
                sent.ends = self.clock() + COOL_DOWN

    def an_answer_is_written_again(self, which):
        """As the SDK does when it hears nothing of its write; until its Lambda dies."""
        if self.written:
            delivery = self.written[which % len(self.written)]
            if self.clock() - delivery.at <= LAMBDA:
                self.ledger.record_answer(delivery.claim, delivery.answer, "a_reason", self.rules)

    # -- RecordBatch and people

    def is_ruled_on(self, which, ruling):
        if ruling == "expired":
            self.hand_over(self.task(which))
        elif self.nobody_rules_before < 0:
            self.ruled = self.world.dismiss(self.task(which).communication) or self.ruled

    def hand_over(self, task):
        if self.nobody_rules_before < 0:
            self.ruled = self.ledger.move_to_worklist(task.communication, task.owner, "expired") or self.ruled

    def time_goes_by(self, wait):
        self.clock.advance(wait)

    # -- the judge

    def judge(self, sent):
        self.faults += filter(None, (fault(each, sent, honours_key=self.honours_key) for each in self.sent))
        repeats = any((each.post.key, each.owner) == (sent.post.key, sent.owner) for each in self.sent)
        if self.ruled and not (repeats and self.honours_key):
            self.faults.append("a POST of what is manual or dismissed")

    @invariant()
    def no_post_breaks_the_rules(self):
        assert not self.faults

    def teardown(self):
        """Whatever has died: after the cool-down the next run either may send it or hands it to a person."""
        if not self.tasks:
            return
        self.a_run_lists_it(2 * COOL_DOWN, 1)
        task = self.tasks[0]
        claim = self.ledger.claim(task, self.rules)
        assert isinstance(claim, ClaimRefused if self.ruled else State | ClaimRefused)
        if isinstance(claim, ClaimRefused):
            assert claim.reason in (("manual", "dismissed") if self.ruled else ("relapsed", "attempts_used_up"))
            assert self.ruled or self.ledger.move_to_worklist(task.communication, task.owner, claim.reason)


def walk(make_world, honours_key, seed):
    """A walk at random: far cheaper than Hypothesis's examples, and no two alike; a failure tells all of its steps."""
    choose = random.Random(seed).choice
    it = Interleavings(make_world, honours_key)
    it.begins(choose(MAX_ATTEMPTS), choose(NOBODY_RULES_BEFORE))
    taken = []
    for _ in range(LENGTH):
        name, *choices = choose(STEPS)
        taken.append((name, *map(choose, choices)))
        it.then(taken[-1])
        assert not it.faults, taken
    it.teardown()


keys = pytest.mark.parametrize("honours_key", [True, False], ids=["keys honoured", "keys not honoured"])


@keys
def test_the_rules_hold_under_any_interleaving(honours_key):
    """No interleaving makes the application send twice, and none leaves a communication stuck; with atomic calls."""
    run_state_machine_as_test(
        lambda: Interleavings(FakeWorld, honours_key),
        settings=settings(max_examples=60, stateful_step_count=LENGTH, derandomize=True, deadline=None, database=None),
    )


@keys
def test_the_rules_hold_on_any_walk(honours_key):
    """The same, over ground that Hypothesis does not reach in the time."""
    for seed in range(1500):
        walk(FakeWorld, honours_key, seed)


@keys
def test_the_table_holds_the_rules_on_any_walk(honours_key, table):
    """The same of the real ledger, where others may come in between two writes of one claim."""
    for seed in range(12):
        walk(lambda clock: RealWorld(clock, table), honours_key, seed)
