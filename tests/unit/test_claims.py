"""Claims and answers: every row of the tables in docs/design.md, against the fake and the real ledger."""

import msgspec
import pytest

from chalicelib import times
from chalicelib.errors import OutcomeUnknown
from chalicelib.ledger import Communications, claims
from chalicelib.ledger.claims import AlreadySettled, ClaimRefused, Rules, State
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication
from chalicelib.models.outcomes import Outcome
from chalicelib.runs.reprocess import payload
from tests.fakes import HOUR, NOON, InterruptedTable, attempt

HONOURED = Rules(cool_down=HOUR, honours_key=True, max_attempts=3, retention=24 * HOUR)
NOT_HONOURED = msgspec.structs.replace(HONOURED, honours_key=False)

with_and_without_keys = pytest.mark.parametrize(
    "rules", [HONOURED, NOT_HONOURED], ids=["keys honoured", "keys not honoured"]
)
certainly_not_processed = pytest.mark.parametrize(
    "answer", ["ApplicationUnavailable", "ApplicationOverloaded", "ApplicationMisconfigured"]
)
perhaps_processed = pytest.mark.parametrize("answer", ["ApplicationError", "OutcomeUnknown"])


def listed(at=NOON, created_by="author"):
    """Return the communication as it is in a list that was read at `at`."""
    return Communication(operation="send.email", primary_id="7", listed_at=at, created_by=created_by)


def task(run="first", at=NOON, index=0, created_by="author"):
    """Return the task of a run, and of a batch of it, for the communication as it was listed at `at`."""
    return Task(run_id=run, index=index, communication=listed(at, created_by), requested_by="somebody")


FIRST, OTHER = task("first"), task("other")


def state_of(communications):
    """Return what the ledger knows about the communication."""
    return communications.read([listed()])["send.email", "7"]


def later_run(clock, milliseconds=HOUR + 1, run="later"):
    """Advance the clock, and return the task of a run that lists the communication then."""
    return task(run, at=clock.advance(milliseconds))


# -- the claim


def test_a_first_claim_assumes_that_its_post_will_be_processed(communications, clock):
    """Attempt, cool-down, key, body and history are in the ledger before the POST."""
    claim = communications.claim(FIRST, HONOURED)
    assert claim == state_of(communications)
    assert (claim.status, claim.attempts, claim.owner) == ("sending", 1, "first#0")
    assert claim.until == clock() + HOUR
    assert claim.key
    assert payload(claim) == {
        "primaryId": "7",
        "operation": "send.email",
        "createdBy": "author",
        "created": times.format_iso(NOON),
    }
    assert [(entry.owner, entry.answer, entry.at) for entry in claim.history] == [("first#0", "sending", NOON)]


def test_created_by_is_the_runs_requester_if_the_list_names_no_author(communications):
    """Otherwise `createdBy` is the communication's own author."""
    claim = communications.claim(task(created_by=None), HONOURED)
    assert payload(claim)["createdBy"] == "somebody"


def test_reading_an_unclaimed_communication_returns_nothing(communications):
    """A listed communication gets an item only when a run claims it or moves it to the worklist."""
    assert communications.read([listed()]) == {}


@with_and_without_keys
@pytest.mark.parametrize("answer", ["accepted", "OutcomeUnknown"])
def test_no_other_run_may_claim_before_the_cool_down_has_passed(communications, clock, rules, answer):
    """The POST was, or may have been, processed; the last millisecond of the cool-down still belongs to it."""
    attempt(communications, FIRST, answer, rules)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")
    assert communications.claim(later_run(clock, HOUR), rules) == ClaimRefused(reason="cool_down")
    assert isinstance(communications.claim(later_run(clock, 1), rules), State)


@with_and_without_keys
def test_the_cool_down_is_compared_with_the_time_of_the_listing_not_with_now(communications, clock, rules):
    """A run that waited long must not resend what another run has delivered meanwhile."""
    attempt(communications, FIRST, "accepted", rules)
    clock.advance(10 * HOUR)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")


@with_and_without_keys
def test_the_cool_down_starts_when_the_post_is_accepted(communications, clock, rules):
    """The application gets the whole cool-down, however long the POST took."""
    claim = communications.claim(FIRST, rules)
    clock.advance(20_000)
    communications.record_answer(claim, "accepted", None, rules)
    assert state_of(communications).until == clock() + HOUR


@with_and_without_keys
def test_a_communication_that_is_being_sent_is_refused_as_in_flight(communications, rules):
    """The claim alone keeps other runs away, before there is an answer."""
    communications.claim(FIRST, rules)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="in_flight")


@with_and_without_keys
def test_a_communication_listed_twice_by_one_run_is_refused_as_a_duplicate(communications, rules):
    """It can appear on two pages and so be in two batches; a run id that is a prefix of another is another run."""
    attempt(communications, FIRST, "accepted", rules)
    assert communications.claim(task("first", index=1), rules) == ClaimRefused(reason="duplicate")
    assert communications.claim(task("firs", index=1), rules) == ClaimRefused(reason="cool_down")


@with_and_without_keys
def test_a_claim_without_an_answer_blocks_others_only_until_its_cool_down_ends(communications, clock, rules):
    """A Lambda that died after its claim must not block the communication for ever; the next POST is the same."""
    dead = communications.claim(FIRST, rules)
    claim = communications.claim(later_run(clock), rules)
    assert (claim.attempts, claim.key, claim.relapsed) == (2, dead.key, False)
    assert payload(claim) == payload(dead)


@with_and_without_keys
def test_no_claim_succeeds_after_the_last_attempt(communications, clock, rules):
    """Each of the POSTs may have been processed."""
    for number in range(rules.max_attempts):
        attempt(communications, later_run(clock, run=f"run{number}"), "OutcomeUnknown", rules)
    assert communications.claim(later_run(clock), rules) == ClaimRefused(reason="attempts_used_up")


@with_and_without_keys
def test_a_claim_of_a_communication_that_was_accepted_before_is_a_relapse(communications, clock, rules):
    """After the last attempt, a claim is refused as `relapsed`."""
    assert not attempt(communications, FIRST, "accepted", rules).relapsed
    for number in range(rules.max_attempts - 1):
        assert attempt(communications, later_run(clock, run=f"run{number}"), "accepted", rules).relapsed
    assert communications.claim(later_run(clock), rules) == ClaimRefused(reason="relapsed")


@with_and_without_keys
@certainly_not_processed
def test_an_attempt_that_was_certainly_not_processed_does_not_end_a_relapse(communications, clock, rules, answer):
    """Such an attempt changes nothing but the history."""
    attempt(communications, FIRST, "accepted", rules)
    attempt(communications, later_run(clock), answer, rules)
    assert state_of(communications).status == "accepted"
    assert communications.claim(later_run(clock, 1, run="next"), rules).relapsed


# -- after the POST


@with_and_without_keys
@certainly_not_processed
def test_certainly_not_processed_undoes_the_claim(communications, rules, answer):
    """The attempt is not counted, there is no cool-down, and every run may try again at once."""
    attempt(communications, FIRST, answer, rules)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until, state.in_doubt) == ("open", 0, 0, False)
    assert state.entry_of("first#0").answer == answer
    assert isinstance(communications.claim(OTHER, rules), State)


@with_and_without_keys
@certainly_not_processed
def test_certainly_not_processed_restores_the_cool_down_of_an_earlier_post(communications, clock, rules, answer):
    """A listing older than the last POST that may have arrived stays too old."""
    attempt(communications, FIRST, "OutcomeUnknown", rules)
    attempt(communications, later_run(clock), answer, rules)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until) == ("unknown", 1, NOON + HOUR)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")
    assert isinstance(communications.claim(task("other", at=NOON + HOUR + 1), rules), State)


@certainly_not_processed
def test_certainly_not_processed_does_not_settle_an_earlier_unknown_try_of_the_same_owner(
    communications, clock, answer
):
    """The first POST may have arrived, so its attempt and cool-down stay, and the outcome is unknown."""
    attempt(communications, FIRST, "OutcomeUnknown", HONOURED)
    clock.advance(10_000)
    attempt(communications, FIRST, answer, HONOURED)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until) == ("unknown", 1, NOON + HOUR)
    assert [entry.answer for entry in state.history] == ["OutcomeUnknown"]
    assert communications.claim(OTHER, HONOURED) == ClaimRefused(reason="cool_down")


@with_and_without_keys
def test_after_a_500_another_run_may_claim_at_once_only_where_keys_are_honoured(communications, clock, rules):
    """It may have been processed, so only with the same key may it be sent again before the cool-down is over."""
    claim = attempt(communications, FIRST, "ApplicationError", rules)
    other = communications.claim(OTHER, rules)
    if rules.honours_key:
        assert (other.key, other.attempts, payload(other)) == (claim.key, 2, payload(claim))
    else:
        assert other == ClaimRefused(reason="cool_down")
        assert isinstance(communications.claim(later_run(clock), rules), State)


@with_and_without_keys
def test_a_rejected_communication_cannot_be_claimed_before_it_is_on_the_worklist(communications, rules):
    """RecordBatch moves it there seconds after the answer; its key ends at once."""
    attempt(communications, FIRST, "CommunicationRejected", rules)
    state = state_of(communications)
    assert (state.status, state.attempts, state.key, state.reason) == ("open", 1, None, "a_code")
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")


# -- the same owner claims again


@with_and_without_keys
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("accepted", "accepted"), ("CommunicationRejected", "rejected")],
    ids=["accepted", "rejected"],
)
def test_claiming_again_after_a_final_answer_returns_its_outcome(communications, rules, answer, outcome):
    """A task that is delivered again must not send again."""
    attempt(communications, FIRST, answer, rules, reason=None)
    before = state_of(communications)
    assert communications.claim(FIRST, rules) == AlreadySettled(outcome=outcome, reason=None)
    assert state_of(communications) == before


@with_and_without_keys
@certainly_not_processed
def test_a_retry_after_certainly_not_processed_claims_again_with_the_same_key(communications, clock, rules, answer):
    """The state machine's retry sends the same body, and counts as the same attempt."""
    first = attempt(communications, FIRST, answer, rules)
    clock.advance(2000)
    again = communications.claim(FIRST, rules)
    assert (again.key, again.attempts, again.until) == (first.key, 1, clock() + HOUR)
    assert payload(again) == payload(first)
    assert again.claim_id != first.claim_id
    assert (again.answer, again.reason) == (None, None)
    assert len(again.history) == 1


@perhaps_processed
def test_a_retry_after_perhaps_processed_claims_again_where_keys_are_honoured(communications, clock, answer):
    """The application recognises the key; the body is the same, byte by byte, even if the listed author has changed."""
    first = attempt(communications, FIRST, answer, HONOURED)
    clock.advance(2000)
    again = communications.claim(task(created_by="renamed"), HONOURED)
    assert (again.key, payload(again)) == (first.key, payload(first))


@perhaps_processed
def test_a_retry_after_perhaps_processed_is_settled_where_keys_are_not_honoured(communications, answer):
    """A second POST might be a second email."""
    attempt(communications, FIRST, answer, NOT_HONOURED)
    outcome = claims.outcome_of(answer)
    assert communications.claim(FIRST, NOT_HONOURED) == AlreadySettled(outcome=outcome, reason="a_code")


def test_a_retry_after_no_answer_claims_again_where_keys_are_honoured(communications, clock):
    """Whether the first try died or is still in flight, the same key may be sent again, as the same attempt."""
    first = communications.claim(FIRST, HONOURED)
    clock.advance(5000)
    again = communications.claim(FIRST, HONOURED)
    assert (again.key, payload(again), again.attempts) == (first.key, payload(first), 1)
    assert again.in_doubt


def test_a_retry_after_no_answer_is_settled_as_unknown_where_keys_are_not_honoured(communications):
    """Nobody can tell whether the first POST arrived."""
    communications.claim(FIRST, NOT_HONOURED)
    assert communications.claim(FIRST, NOT_HONOURED) == AlreadySettled(outcome=Outcome.UNKNOWN, reason=None)


@certainly_not_processed
def test_a_retry_that_was_certainly_not_processed_leaves_an_unanswered_try_in_doubt(communications, clock, answer):
    """The first POST may still be on its way when the second is refused, so its cool-down stays."""
    communications.claim(FIRST, HONOURED)
    clock.advance(5000)
    attempt(communications, FIRST, answer, HONOURED)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until) == ("unknown", 1, NOON + HOUR)


def test_a_500_to_a_retry_keeps_the_cool_down_of_an_unanswered_first_try(communications, clock):
    """A 500 lets others claim at once only if no earlier try is in doubt."""
    communications.claim(FIRST, HONOURED)
    clock.advance(5000)
    attempt(communications, FIRST, "ApplicationError", HONOURED)
    assert state_of(communications).until == NOON + HOUR
    assert communications.claim(OTHER, HONOURED) == ClaimRefused(reason="cool_down")


def test_a_claim_by_another_run_does_not_end_the_doubt_about_an_earlier_post(communications, clock):
    """The first POST may still be processed, under the same key, when the other run's is turned away."""
    attempt(communications, FIRST, "ApplicationError", HONOURED)
    clock.advance(5000)
    attempt(communications, OTHER, "ApplicationUnavailable", HONOURED)
    state = state_of(communications)
    assert (state.attempts, state.doubt_until) == (1, NOON + HOUR)
    assert state.entry_of(OTHER.owner).answer == "ApplicationUnavailable"


@certainly_not_processed
def test_an_unknown_try_of_an_owner_stays_unknown_though_another_run_tried_in_between(communications, answer):
    """Otherwise it would count as not reached, although its first POST may have arrived."""
    attempt(communications, FIRST, "ApplicationError", HONOURED)
    attempt(communications, OTHER, "ApplicationUnavailable", HONOURED)
    attempt(communications, FIRST, answer, HONOURED)
    assert state_of(communications).entry_of(FIRST.owner).answer == "OutcomeUnknown"
    assert [entry.owner for entry in state_of(communications).history] == ["first#0", "other#0", "first#0"]


@with_and_without_keys
@certainly_not_processed
def test_a_second_try_that_dies_is_not_told_as_the_answer_to_the_first(communications, clock, rules, answer):
    """The second POST may have arrived, and the ledger says `sending`: so must the history."""
    attempt(communications, FIRST, answer, rules)
    clock.advance(2000)
    attempt(communications, FIRST, None, rules)
    entry = state_of(communications).entry_of(FIRST.owner)
    assert (entry.answer, entry.at, entry.reason) == ("sending", clock(), None)


@pytest.mark.parametrize("answer", ["accepted", "CommunicationRejected"])
def test_after_a_definite_answer_the_next_claim_has_no_doubt_and_a_new_key(communications, clock, answer):
    """After `accepted` or a rejection, the next POST is a different one."""
    first = attempt(communications, FIRST, "OutcomeUnknown", HONOURED)
    attempt(communications, FIRST, answer, HONOURED)
    state = state_of(communications)
    assert (state.in_doubt, state.key, state.created, state.created_by) == (False, None, None, None)
    assert state.doubt_until == 0
    later = communications.claim(later_run(clock), HONOURED)
    assert later.key != first.key
    assert payload(later)["created"] == times.format_iso(clock())


@with_and_without_keys
@pytest.mark.parametrize(
    "answer", ["OutcomeUnknown", "ApplicationError", "ApplicationUnavailable", "ApplicationOverloaded"]
)
def test_a_key_is_kept_across_runs_until_a_definite_answer(communications, clock, rules, answer):
    """The application can recognise the later POST as the same one, byte by byte."""
    first = attempt(communications, FIRST, answer, rules)
    later = communications.claim(task("later", at=clock.advance(HOUR + 1), created_by="renamed"), rules)
    assert (later.key, payload(later)) == (first.key, payload(first))


def test_an_answer_to_an_earlier_run_does_not_settle_the_claim_of_a_later_run(communications):
    """It says nothing about the POST that is on its way now."""
    attempt(communications, FIRST, "ApplicationUnavailable", NOT_HONOURED)
    communications.claim(OTHER, NOT_HONOURED)
    assert communications.claim(OTHER, NOT_HONOURED) == AlreadySettled(outcome=Outcome.UNKNOWN, reason=None)


def test_a_retry_is_refused_if_another_run_has_sent_in_between(communications):
    """The history shows both tries, in the order in which the ledger saw them."""
    attempt(communications, FIRST, "ApplicationUnavailable", HONOURED)
    attempt(communications, OTHER, "accepted", HONOURED)
    assert communications.claim(FIRST, HONOURED) == ClaimRefused(reason="cool_down")
    history = state_of(communications).history
    assert [(entry.owner, entry.answer) for entry in history] == [
        ("first#0", "ApplicationUnavailable"),
        ("other#0", "accepted"),
    ]


# -- writing the answer


@with_and_without_keys
def test_writing_the_same_answer_again_changes_nothing(communications, clock, rules):
    """The SDK repeats a write whose response it did not get."""
    claim = attempt(communications, FIRST, "accepted", rules)
    before = state_of(communications)
    clock.advance(1000)
    communications.record_answer(claim, "accepted", None, rules)
    assert state_of(communications) == before


def test_a_late_answer_does_not_overwrite_a_newer_claim_of_the_same_owner(communications):
    """A superseded delivery must not free what the newer one may be sending."""
    late = communications.claim(FIRST, HONOURED)
    newer = communications.claim(FIRST, HONOURED)
    communications.record_answer(late, "ApplicationUnavailable", "http_503", HONOURED)
    assert state_of(communications) == newer
    communications.record_answer(newer, "accepted", None, HONOURED)
    communications.record_answer(late, "ApplicationUnavailable", "http_503", HONOURED)
    assert state_of(communications).status == "accepted"


def test_of_two_deliveries_that_claim_again_at_once_only_one_succeeds(table, clock):
    """The other one raises OutcomeUnknown, which the state machine retries."""
    interrupted = InterruptedTable(table)
    communications = Communications(interrupted, clock)
    attempt(communications, FIRST, "ApplicationUnavailable", NOT_HONOURED)
    claims_in_between = []
    interrupted.before_second_update(lambda: claims_in_between.append(communications.claim(FIRST, NOT_HONOURED)))
    with pytest.raises(OutcomeUnknown, match="claimed_elsewhere"):
        communications.claim(FIRST, NOT_HONOURED)
    assert isinstance(claims_in_between[0], State)
    assert state_of(communications).claim_id == claims_in_between[0].claim_id


@with_and_without_keys
def test_a_claim_that_the_sdk_writes_twice_succeeds(table, clock, rules):
    """The SDK repeats a write whose response it did not get; the repetition must recognise its own claim."""

    class RepeatingTable:
        """The table, which gets every write twice."""

        def update(self, *arguments):
            table.update(*arguments)
            table.update(*arguments)

        def update_and_get(self, *arguments):
            table.update(*arguments)
            return table.update_and_get(*arguments)

    communications = Communications(RepeatingTable(), clock)
    claim = communications.claim(FIRST, rules)
    assert (claim.status, claim.attempts, claim.in_doubt) == ("sending", 1, False)
    Communications(table, clock).record_answer(claim, "ApplicationUnavailable", "http_503", rules)
    again = communications.claim(FIRST, rules)
    assert (again.status, again.attempts, again.in_doubt, again.key) == ("sending", 1, False, claim.key)


@with_and_without_keys
def test_the_history_keeps_only_the_last_twenty_entries(communications, rules):
    """A communication that is deferred for weeks must not outgrow its item."""
    for number in range(claims.HISTORY + 2):
        attempt(communications, task(f"run{number}"), "ApplicationUnavailable", rules)
    history = state_of(communications).history
    assert [entry.owner for entry in history] == [f"run{number}#0" for number in range(2, claims.HISTORY + 2)]


# -- the worklist


@with_and_without_keys
def test_a_communication_on_the_worklist_cannot_be_claimed(communications, clock, rules):
    """No run sends it, however much later it was listed."""
    assert communications.move_to_worklist(listed(), "first#0", "expired")
    state = state_of(communications)
    assert (state.status, state.manual_by, state.manual_reason, state.manual_since) == (
        "manual",
        "first#0",
        "expired",
        NOON,
    )
    assert communications.claim(later_run(clock, 100 * HOUR), rules) == ClaimRefused(reason="manual")


@pytest.mark.parametrize(
    "answer", ["ApplicationUnavailable", "ApplicationOverloaded", "ApplicationError", "OutcomeUnknown"]
)
def test_a_repeated_delivery_cannot_claim_what_is_on_the_worklist(communications, answer):
    """AWS may deliver a task again after its batch was recorded."""
    attempt(communications, FIRST, answer, HONOURED)
    assert communications.move_to_worklist(FIRST.communication, FIRST.owner, "http_500")
    assert communications.claim(FIRST, HONOURED) == ClaimRefused(reason="manual")
    assert state_of(communications).status == "manual"


@with_and_without_keys
def test_only_its_owner_may_move_a_rejected_communication_to_the_worklist(communications, rules):
    """RecordBatch does so during the cool-down, seconds after the answer, and may repeat it."""
    attempt(communications, FIRST, "CommunicationRejected", rules)
    assert not communications.move_to_worklist(listed(), OTHER.owner, "expired")
    assert communications.move_to_worklist(listed(), FIRST.owner, "a_code")
    assert communications.move_to_worklist(listed(), FIRST.owner, "a_code")
    assert not communications.move_to_worklist(listed(), OTHER.owner, "expired")
    assert communications.claim(FIRST, rules) == AlreadySettled(outcome=Outcome.REJECTED, reason="a_code")


@with_and_without_keys
def test_a_communication_that_is_being_sent_is_not_moved_to_the_worklist(communications, rules):
    """Neither its owner may move it, nor another run whose older listing makes it look expired."""
    communications.claim(FIRST, rules)
    assert not communications.move_to_worklist(listed(), FIRST.owner, "expired")
    assert not communications.move_to_worklist(listed(), OTHER.owner, "expired")
    assert state_of(communications).status == "sending"


def test_what_another_delivery_got_accepted_is_not_moved_to_the_worklist(communications):
    """RecordBatch has read by then that the last attempt failed. Nobody should retry what was accepted."""
    attempt(communications, FIRST, "ApplicationError", HONOURED)
    attempt(communications, FIRST, "accepted", HONOURED)
    assert not communications.move_to_worklist(FIRST.communication, FIRST.owner, "http_500")
    assert state_of(communications).status == "accepted"


@with_and_without_keys
def test_a_last_attempt_without_an_answer_may_go_to_the_worklist_after_its_cool_down(communications, clock, rules):
    """It would otherwise stay `sending` for ever, without any attempt left, and nobody would see it."""
    for number in range(rules.max_attempts):
        assert isinstance(communications.claim(later_run(clock, run=f"run{number}"), rules), State)
    last = later_run(clock)
    assert communications.claim(last, rules) == ClaimRefused(reason="attempts_used_up")
    assert communications.move_to_worklist(last.communication, last.owner, "attempts_used_up")


@with_and_without_keys
def test_a_late_answer_does_not_take_a_communication_off_the_worklist(communications, clock, rules):
    """The Lambda that it comes from was thought dead."""
    claim = communications.claim(FIRST, rules)
    last = later_run(clock)
    assert communications.move_to_worklist(last.communication, last.owner, "expired")
    communications.record_answer(claim, "ApplicationUnavailable", "http_503", rules)
    assert state_of(communications).status == "manual"


# -- the item in DynamoDB


def test_an_item_expires_unless_it_is_on_the_worklist(table, clock):
    """If the ledger forgot what is on the worklist, the next run would send it again."""
    communications = Communications(table, clock)
    attempt(communications, FIRST, "CommunicationRejected", HONOURED)
    assert table.get("COMM#send.email#7", "COMM")["expiresAt"] == (NOON + HONOURED.retention) // 1000
    communications.move_to_worklist(listed(), FIRST.owner, "a_code")
    item = table.get("COMM#send.email#7", "COMM")
    assert "expiresAt" not in item
    assert [each["primaryId"] for each in table.query_index("worklist", "manual")] == ["7"]


def test_a_dismissed_communication_cannot_be_claimed_or_put_on_the_worklist(table, clock):
    """That holds for other runs, and for a retry of the run that tried it before."""
    communications = Communications(table, clock)
    attempt(communications, FIRST, "ApplicationUnavailable", HONOURED)
    table.update(("COMM#send.email#7", "COMM"), "SET #status = :status", {"status": "dismissed"})
    for each in (FIRST, OTHER, later_run(clock)):
        assert communications.claim(each, HONOURED) == ClaimRefused(reason="dismissed")
        assert not communications.move_to_worklist(each.communication, each.owner, "expired")
