"""Every row of the claim's tables in docs/design.md, on the ledger in memory and on the real one."""

import msgspec
import pytest

from chalicelib import times
from chalicelib.errors import OutcomeUnknown
from chalicelib.ledger import Communications, claims
from chalicelib.ledger.claims import AlreadySettled, ClaimRefused, Rules, State
from chalicelib.models import Communication, Outcome, Task
from chalicelib.runs.reprocess import payload
from tests.fakes import NOON, Meanwhile

HOUR = 3_600_000
HONOURED = Rules(cool_down=HOUR, honours_key=True, max_attempts=3, retention=24 * HOUR)
NOT_HONOURED = msgspec.structs.replace(HONOURED, honours_key=False)

both = pytest.mark.parametrize("rules", [HONOURED, NOT_HONOURED], ids=["keys honoured", "keys not honoured"])
surely_not = pytest.mark.parametrize("answer", ["ApplicationUnavailable", "ApplicationMisconfigured"])
perhaps = pytest.mark.parametrize("answer", ["ApplicationError", "OutcomeUnknown"])


def listed(at=NOON, created_by="author"):
    return Communication(operation="send.email", primary_id="7", listed_at=at, created_by=created_by)


def task(run="first", at=NOON, index=0, created_by="author"):
    return Task(run_id=run, index=index, communication=listed(at, created_by), requested_by="somebody")


FIRST, OTHER = task("first"), task("other")


def state_of(communications):
    return communications.read([listed()])["send.email", "7"]


def attempt(communications, of, answer, rules, reason="a_code"):
    """Claim, POST, and write the answer down."""
    claim = communications.claim(of, rules)
    assert isinstance(claim, State), claim
    communications.record_answer(claim, answer, reason, rules)
    return claim


def later_run(clock, milliseconds=HOUR + 1, run="later"):
    """A task of a run that listed it that much later."""
    return task(run, at=clock.advance(milliseconds))


# -- the claim


def test_a_first_claim_is_written_pessimistically(communications, clock):
    """Before the POST the ledger already assumes that it arrives: attempt, cool-down, key, body, history."""
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


def test_without_an_author_the_post_names_who_asked_for_the_run(communications):
    """`createdBy` is the communication's own author where the list gives one, else whoever asked."""
    claim = communications.claim(task(created_by=None), HONOURED)
    assert payload(claim)["createdBy"] == "somebody"


def test_what_nobody_claimed_is_not_known(communications):
    """Reading tells only of what the ledger holds."""
    assert communications.read([listed()]) == {}


@both
@pytest.mark.parametrize("answer", ["accepted", "OutcomeUnknown"])
def test_within_the_cool_down_nobody_else_gets_it(communications, clock, rules, answer):
    """After a POST that was, or may have been, taken, a listing is too old up to the end of the cool-down itself."""
    attempt(communications, FIRST, answer, rules)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")
    assert communications.claim(later_run(clock, HOUR), rules) == ClaimRefused(reason="cool_down")
    assert isinstance(communications.claim(later_run(clock, 1), rules), State)


@both
def test_the_listing_counts_not_the_present(communications, clock, rules):
    """A run that waited long may not resend what another run delivered meanwhile."""
    attempt(communications, FIRST, "accepted", rules)
    clock.advance(10 * HOUR)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")


@both
def test_the_cool_down_counts_from_the_answer(communications, clock, rules):
    """The application may take its whole time from when it took the communication."""
    claim = communications.claim(FIRST, rules)
    clock.advance(20_000)
    communications.record_answer(claim, "accepted", None, rules)
    assert state_of(communications).until == clock() + HOUR


@both
def test_what_is_being_sent_is_refused_as_in_flight(communications, rules):
    """The claim alone keeps others away, before any answer."""
    communications.claim(FIRST, rules)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="in_flight")


@both
def test_a_run_that_lists_it_twice_skips_it_as_a_duplicate(communications, rules):
    """Across pages a communication may come twice; the second batch says why it left it alone."""
    attempt(communications, FIRST, "accepted", rules)
    assert communications.claim(task("first", index=1), rules) == ClaimRefused(reason="duplicate")
    assert communications.claim(task("firs", index=1), rules) == ClaimRefused(reason="cool_down")


@both
def test_a_dead_owner_holds_it_only_until_the_end_of_the_cool_down(communications, clock, rules):
    """A Lambda that died after its claim leaves nothing stuck."""
    dead = communications.claim(FIRST, rules)
    claim = communications.claim(later_run(clock), rules)
    assert (claim.attempts, claim.key, claim.relapsed) == (2, dead.key, False)
    assert payload(claim) == payload(dead)


@both
def test_attempts_are_used_up(communications, clock, rules):
    """After the last attempt nobody may claim it."""
    for number in range(rules.max_attempts):
        attempt(communications, later_run(clock, run=f"run{number}"), "OutcomeUnknown", rules)
    assert communications.claim(later_run(clock), rules) == ClaimRefused(reason="attempts_used_up")


@both
def test_what_is_accepted_and_listed_again_has_relapsed(communications, clock, rules):
    """The claim remembers that the application had accepted it; after the last attempt that is why it is refused."""
    assert not attempt(communications, FIRST, "accepted", rules).relapsed
    for number in range(rules.max_attempts - 1):
        assert attempt(communications, later_run(clock, run=f"run{number}"), "accepted", rules).relapsed
    assert communications.claim(later_run(clock), rules) == ClaimRefused(reason="relapsed")


@both
@surely_not
def test_a_relapsed_one_that_came_to_nothing_is_still_relapsed(communications, clock, rules, answer):
    """An attempt that surely was not processed leaves no trace but its history."""
    attempt(communications, FIRST, "accepted", rules)
    attempt(communications, later_run(clock), answer, rules)
    assert state_of(communications).status == "accepted"
    assert communications.claim(later_run(clock, 1, run="next"), rules).relapsed


# -- after the POST


@both
@surely_not
def test_surely_not_processed_gives_everything_back(communications, rules, answer):
    """The attempt is not counted, the cool-down of before is back, and everybody may try at once."""
    attempt(communications, FIRST, answer, rules)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until, state.in_doubt) == ("open", 0, 0, False)
    assert state.entry_of("first#0").answer == answer
    assert isinstance(communications.claim(OTHER, rules), State)


@both
@surely_not
def test_surely_not_processed_restores_an_earlier_cool_down(communications, clock, rules, answer):
    """A listing older than the last POST that may have arrived stays too old."""
    attempt(communications, FIRST, "OutcomeUnknown", rules)
    attempt(communications, later_run(clock), answer, rules)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until) == ("unknown", 1, NOON + HOUR)
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")
    assert isinstance(communications.claim(task("other", at=NOON + HOUR + 1), rules), State)


@surely_not
def test_surely_not_processed_after_a_doubt_ends_no_doubt(communications, clock, answer):
    """The same owner's first try may have arrived: attempt and cool-down stay, and it ends as unknown."""
    attempt(communications, FIRST, "OutcomeUnknown", HONOURED)
    clock.advance(10_000)
    attempt(communications, FIRST, answer, HONOURED)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until) == ("unknown", 1, NOON + HOUR)
    assert [entry.answer for entry in state.history] == ["OutcomeUnknown"]
    assert communications.claim(OTHER, HONOURED) == ClaimRefused(reason="cool_down")


@both
def test_a_500_is_free_at_once_only_where_keys_are_honoured(communications, clock, rules):
    """Perhaps it was processed: only with the same key may it be sent again before the cool-down is over."""
    claim = attempt(communications, FIRST, "ApplicationError", rules)
    other = communications.claim(OTHER, rules)
    if rules.honours_key:
        assert (other.key, other.attempts, payload(other)) == (claim.key, 2, payload(claim))
    else:
        assert other == ClaimRefused(reason="cool_down")
        assert isinstance(communications.claim(later_run(clock), rules), State)


@both
def test_a_rejected_one_stays_out_of_reach_until_it_is_handed_over(communications, rules):
    """Between the answer and the worklist no other run takes it, and its key has ended."""
    attempt(communications, FIRST, "CommunicationRejected", rules)
    state = state_of(communications)
    assert (state.status, state.attempts, state.key, state.reason) == ("open", 1, None, "a_code")
    assert communications.claim(OTHER, rules) == ClaimRefused(reason="cool_down")


# -- the same owner claims again


@both
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("accepted", "accepted"), ("CommunicationRejected", "rejected")],
    ids=["accepted", "rejected"],
)
def test_a_final_outcome_is_returned_without_a_post(communications, rules, answer, outcome):
    """A repeated delivery of a task that is done learns how it went."""
    attempt(communications, FIRST, answer, rules, reason=None)
    before = state_of(communications)
    assert communications.claim(FIRST, rules) == AlreadySettled(outcome=outcome, reason=None)
    assert state_of(communications) == before


@both
@surely_not
def test_a_retry_after_surely_not_processed_posts_again(communications, clock, rules, answer):
    """The state machine's retry sends the same body with the same key, and counts once."""
    first = attempt(communications, FIRST, answer, rules)
    clock.advance(2000)
    again = communications.claim(FIRST, rules)
    assert (again.key, again.attempts, again.until) == (first.key, 1, clock() + HOUR)
    assert payload(again) == payload(first)
    assert again.claim_id != first.claim_id
    assert (again.answer, again.reason) == (None, None)
    assert len(again.history) == 1


@perhaps
def test_a_retry_after_perhaps_processed_posts_again_where_keys_are_honoured(communications, clock, answer):
    """The application recognises the key; the body is the same, byte by byte, whoever asks."""
    first = attempt(communications, FIRST, answer, HONOURED)
    clock.advance(2000)
    again = communications.claim(task(created_by="renamed"), HONOURED)
    assert (again.key, payload(again)) == (first.key, payload(first))


@perhaps
def test_a_retry_after_perhaps_processed_is_settled_where_keys_are_not_honoured(communications, answer):
    """A second POST might be a second email."""
    attempt(communications, FIRST, answer, NOT_HONOURED)
    outcome = claims.outcome_of(answer)
    assert communications.claim(FIRST, NOT_HONOURED) == AlreadySettled(outcome=outcome, reason="a_code")


def test_a_first_try_without_an_answer_is_repeated_where_keys_are_honoured(communications, clock):
    """Whether it died or is in flight, the same key may be sent again; the attempt counts once."""
    first = communications.claim(FIRST, HONOURED)
    clock.advance(5000)
    again = communications.claim(FIRST, HONOURED)
    assert (again.key, payload(again), again.attempts) == (first.key, payload(first), 1)
    assert again.in_doubt


def test_a_first_try_without_an_answer_is_unknown_where_keys_are_not_honoured(communications):
    """Nobody can tell whether the first POST arrived."""
    communications.claim(FIRST, NOT_HONOURED)
    assert communications.claim(FIRST, NOT_HONOURED) == AlreadySettled(outcome=Outcome.UNKNOWN, reason=None)


@surely_not
def test_a_repetition_cannot_end_the_doubt_about_a_try_without_an_answer(communications, clock, answer):
    """The first POST may still be on its way when the second is refused: its cool-down stands."""
    communications.claim(FIRST, HONOURED)
    clock.advance(5000)
    attempt(communications, FIRST, answer, HONOURED)
    state = state_of(communications)
    assert (state.status, state.attempts, state.until) == ("unknown", 1, NOON + HOUR)


def test_a_500_to_a_repetition_does_not_end_the_cool_down_of_the_first_try(communications, clock):
    """Free at once is only what had no unknown try before."""
    communications.claim(FIRST, HONOURED)
    clock.advance(5000)
    attempt(communications, FIRST, "ApplicationError", HONOURED)
    assert state_of(communications).until == NOON + HOUR
    assert communications.claim(OTHER, HONOURED) == ClaimRefused(reason="cool_down")


@pytest.mark.parametrize("answer", ["accepted", "CommunicationRejected"])
def test_a_definite_answer_ends_the_doubt_and_the_key(communications, clock, answer):
    """After "taken" or "never" the next POST is another one, with another key and body."""
    first = attempt(communications, FIRST, "OutcomeUnknown", HONOURED)
    attempt(communications, FIRST, answer, HONOURED)
    state = state_of(communications)
    assert (state.in_doubt, state.key, state.created, state.created_by) == (False, None, None, None)
    later = communications.claim(later_run(clock), HONOURED)
    assert later.key != first.key
    assert payload(later)["created"] == times.format_iso(clock())


@both
@pytest.mark.parametrize("answer", ["OutcomeUnknown", "ApplicationError", "ApplicationUnavailable"])
def test_a_key_lives_across_runs_while_the_outcome_is_open(communications, clock, rules, answer):
    """A repeated send after an unknown outcome is recognisable as the same one, byte by byte."""
    first = attempt(communications, FIRST, answer, rules)
    later = communications.claim(task("later", at=clock.advance(HOUR + 1), created_by="renamed"), rules)
    assert (later.key, payload(later)) == (first.key, payload(first))


def test_an_answer_to_another_run_settles_nothing_for_this_one(communications):
    """What the application told the run before says nothing about the POST that is on its way now."""
    attempt(communications, FIRST, "ApplicationUnavailable", NOT_HONOURED)
    communications.claim(OTHER, NOT_HONOURED)
    assert communications.claim(OTHER, NOT_HONOURED) == AlreadySettled(outcome=Outcome.UNKNOWN, reason=None)


def test_a_retry_after_another_run_has_taken_it_is_refused(communications):
    """Between two tries of one run, another run may send it; the ledger knows no order but its own."""
    attempt(communications, FIRST, "ApplicationUnavailable", HONOURED)
    attempt(communications, OTHER, "accepted", HONOURED)
    assert communications.claim(FIRST, HONOURED) == ClaimRefused(reason="cool_down")
    history = state_of(communications).history
    assert [(entry.owner, entry.answer) for entry in history] == [
        ("first#0", "ApplicationUnavailable"),
        ("other#0", "accepted"),
    ]


# -- writing the answer


@both
def test_an_answer_written_twice_is_written_once(communications, clock, rules):
    """The SDK repeats a write of which it has not heard; that is a success and changes nothing."""
    claim = attempt(communications, FIRST, "accepted", rules)
    before = state_of(communications)
    clock.advance(1000)
    communications.record_answer(claim, "accepted", None, rules)
    assert state_of(communications) == before


def test_a_late_answer_gives_way_to_a_newer_claim_of_the_same_owner(communications):
    """A superseded delivery cannot free what the newer one may be sending."""
    late = communications.claim(FIRST, HONOURED)
    newer = communications.claim(FIRST, HONOURED)
    communications.record_answer(late, "ApplicationUnavailable", "http_503", HONOURED)
    assert state_of(communications) == newer
    communications.record_answer(newer, "accepted", None, HONOURED)
    communications.record_answer(late, "ApplicationUnavailable", "http_503", HONOURED)
    assert state_of(communications).status == "accepted"


def test_two_deliveries_that_claim_again_at_once_do_not_both_post(table, clock):
    """Of two retries that read the same, one wins; the other asks the state machine to come again."""
    meanwhile = Meanwhile(table)
    communications = Communications(meanwhile, clock)
    attempt(communications, FIRST, "ApplicationUnavailable", NOT_HONOURED)
    won = []
    meanwhile.happens(lambda: won.append(communications.claim(FIRST, NOT_HONOURED)))
    with pytest.raises(OutcomeUnknown, match="claimed_elsewhere"):
        communications.claim(FIRST, NOT_HONOURED)
    assert isinstance(won[0], State)
    assert state_of(communications).claim_id == won[0].claim_id


@both
def test_a_claim_that_the_sdk_wrote_twice_is_a_claim(table, clock, rules):
    """The SDK repeats a write of which it has not heard; nobody else has claimed then, and nothing was sent yet."""

    class Repeating:
        def update(self, *arguments):
            table.update(*arguments)
            return table.update(*arguments)

    communications = Communications(Repeating(), clock)
    claim = communications.claim(FIRST, rules)
    assert (claim.status, claim.attempts, claim.in_doubt) == ("sending", 1, False)
    Communications(table, clock).record_answer(claim, "ApplicationUnavailable", "http_503", rules)
    again = communications.claim(FIRST, rules)
    assert (again.status, again.attempts, again.in_doubt, again.key) == ("sending", 1, False, claim.key)


@both
def test_the_history_keeps_the_last_twenty(communications, rules):
    """A communication that is deferred for weeks does not outgrow its item."""
    for number in range(claims.HISTORY + 2):
        attempt(communications, task(f"run{number}"), "ApplicationUnavailable", rules)
    history = state_of(communications).history
    assert [entry.owner for entry in history] == [f"run{number}#0" for number in range(2, claims.HISTORY + 2)]


# -- the worklist


@both
def test_what_waits_for_a_person_is_not_claimed(communications, clock, rules):
    """No run, however late, sends what is on the worklist."""
    assert communications.move_to_worklist(listed(), "first#0", "expired")
    state = state_of(communications)
    assert (state.status, state.manual_by, state.manual_reason, state.manual_since) == (
        "manual",
        "first#0",
        "expired",
        NOON,
    )
    assert communications.claim(later_run(clock, 100 * HOUR), rules) == ClaimRefused(reason="manual")


@pytest.mark.parametrize("answer", ["ApplicationUnavailable", "ApplicationError", "OutcomeUnknown"])
def test_a_repeated_delivery_does_not_send_what_was_handed_over(communications, answer):
    """AWS may deliver a task again after its batch was recorded."""
    attempt(communications, FIRST, answer, HONOURED)
    assert communications.move_to_worklist(FIRST.communication, FIRST.owner, "http_500")
    assert communications.claim(FIRST, HONOURED) == ClaimRefused(reason="manual")
    assert state_of(communications).status == "manual"


@both
def test_a_rejected_one_is_handed_over_by_its_owner_during_its_cool_down(communications, rules):
    """RecordBatch comes seconds after the answer; doing it again is the same."""
    attempt(communications, FIRST, "CommunicationRejected", rules)
    assert not communications.move_to_worklist(listed(), OTHER.owner, "expired")
    assert communications.move_to_worklist(listed(), FIRST.owner, "a_code")
    assert communications.move_to_worklist(listed(), FIRST.owner, "a_code")
    assert not communications.move_to_worklist(listed(), OTHER.owner, "expired")
    assert communications.claim(FIRST, rules) == AlreadySettled(outcome=Outcome.REJECTED, reason="a_code")


@both
def test_what_is_being_sent_is_not_handed_over(communications, rules):
    """Neither by its owner nor by others, whose old listing says that it is too old to be sent."""
    communications.claim(FIRST, rules)
    assert not communications.move_to_worklist(listed(), FIRST.owner, "expired")
    assert not communications.move_to_worklist(listed(), OTHER.owner, "expired")
    assert state_of(communications).status == "sending"


@both
def test_what_died_at_its_last_attempt_is_handed_over_after_the_cool_down(communications, clock, rules):
    """`sending` for ever, with no attempt left, would be seen by nobody."""
    for number in range(rules.max_attempts):
        assert isinstance(communications.claim(later_run(clock, run=f"run{number}"), rules), State)
    last = later_run(clock)
    assert communications.claim(last, rules) == ClaimRefused(reason="attempts_used_up")
    assert communications.move_to_worklist(last.communication, last.owner, "attempts_used_up")


@both
def test_a_late_answer_does_not_bring_back_what_was_handed_over(communications, clock, rules):
    """A person's list loses nothing to a Lambda that was thought dead."""
    claim = communications.claim(FIRST, rules)
    last = later_run(clock)
    assert communications.move_to_worklist(last.communication, last.owner, "expired")
    communications.record_answer(claim, "ApplicationUnavailable", "http_503", rules)
    assert state_of(communications).status == "manual"


# -- the real ledger's item


def test_an_item_expires_unless_it_waits_for_a_person(table, clock):
    """Forgetting what was sent is housekeeping; forgetting a ban would send again."""
    communications = Communications(table, clock)
    attempt(communications, FIRST, "CommunicationRejected", HONOURED)
    assert table.get("COMM#send.email#7", "COMM")["expiresAt"] == (NOON + HONOURED.retention) // 1000
    communications.move_to_worklist(listed(), FIRST.owner, "a_code")
    item = table.get("COMM#send.email#7", "COMM")
    assert "expiresAt" not in item
    assert [each["primaryId"] for each in table.query_index("worklist", "manual")] == ["7"]


def test_what_a_person_dismissed_is_not_claimed(table, clock):
    """Never again means never again: neither another run nor a retry of the same."""
    communications = Communications(table, clock)
    attempt(communications, FIRST, "ApplicationUnavailable", HONOURED)
    table.update(("COMM#send.email#7", "COMM"), "SET #status = :status", {"status": "dismissed"})
    for each in (FIRST, OTHER, later_run(clock)):
        assert communications.claim(each, HONOURED) == ClaimRefused(reason="dismissed")
        assert not communications.move_to_worklist(each.communication, each.owner, "expired")
