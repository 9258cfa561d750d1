"""What people decide about communications, against the real table."""

import pytest

from chalicelib import times, worklist
from chalicelib.configuration import Configuration, Reprocess, Source
from chalicelib.errors import Conflict, InvalidRequest, NotFound
from chalicelib.ids import of
from chalicelib.ledger.claims import ACCEPTED, Refused, Rules, State
from chalicelib.models import Communication, Task
from chalicelib.views import Many

HOUR = 3_600_000
RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=90 * 24 * HOUR)
KEY = ("send.email", "1#/\n🙂")


def listed(clock, key=KEY):
    """The communication as a list that is read now has it."""
    return Communication(operation=key[0], primary_id=key[1], listed_at=clock())


def task(clock, run_id, key=KEY):
    return Task(run_id=run_id, index=0, communication=listed(clock, key), requested_by="Jo")


def tried(ledger, clock, answer, run_id="r-1", key=KEY):
    """A task whose POST got an answer, and its claim."""
    it = task(clock, run_id, key)
    claim = ledger.communications.claim(it, RULES)
    assert isinstance(claim, State)
    ledger.communications.answer(claim, answer, "why" if answer != ACCEPTED else None, RULES)
    return it, claim


def put_on(ledger, clock, answer="CommunicationRejected", key=KEY):
    """A communication on the worklist, and the task and claim that brought it there."""
    it, claim = tried(ledger, clock, answer, key=key)
    assert ledger.communications.to_worklist(it.communication, it.owner, "no_such_address")
    return it, claim


def test_a_retry_waits_for_the_cool_down(ledger, clock):
    """What was sent before may arrive until its very last millisecond."""
    put_on(ledger, clock)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(1)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "not_on_worklist"


def test_a_post_in_doubt_counts_even_where_the_claim_was_free_at_once(ledger, clock):
    """An application that honours keys knows the old key, and the retry has another."""
    put_on(ledger, clock, answer="ApplicationError")
    assert ledger.worklist.read(*KEY).until < clock()
    clock.advance(HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(1)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None


def test_a_retried_one_is_a_new_send(ledger, clock):
    """Fresh attempts, another key, its history kept, what was decided by whom kept too, and it is forgotten again."""
    _, claim = put_on(ledger, clock, answer="ApplicationError")
    clock.advance(2 * HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None
    standing = ledger.worklist.read(*KEY)
    assert (standing.status, standing.attempts, standing.key, standing.owner) == ("open", 0, None, "")
    assert [(each.did, each.by, each.at) for each in standing.rulings] == [("retry", "olga", clock())]
    again = ledger.communications.claim(task(clock, "r-2"), RULES)
    assert isinstance(again, State)
    assert again.key not in (None, claim.key)
    assert [entry.owner for entry in again.history] == ["r-1#0", "r-2#0"]
    assert ledger.worklist.page("manual", 10, None, equal={}) == ([], None)


def test_what_an_earlier_run_delivers_late_cannot_use_a_retry(ledger, clock):
    """Neither its task, whose list is older, nor its answer."""
    it, claim = put_on(ledger, clock, answer="ApplicationError")
    clock.advance(2 * HOUR)
    ledger.worklist.retry(*KEY, "olga", HOUR)
    clock.advance(1)
    assert isinstance(ledger.communications.claim(it, RULES), Refused)
    ledger.communications.answer(claim, ACCEPTED, None, RULES)
    assert ledger.worklist.read(*KEY).status == "open"


def test_a_run_that_retries_for_its_requester_may_send_by_its_own_list(ledger, clock):
    """Its claim rests on the list that it retried by; one that rests on an older list does not succeed."""
    put_on(ledger, clock)
    clock.advance(2 * HOUR)
    older = task(clock, "r-0")
    clock.advance(1)
    mine = task(clock, "r-2")
    clock.advance(500)
    listed_at = mine.communication.listed_at
    assert ledger.worklist.retry(*KEY, "olga", HOUR, listed_at=listed_at) is None
    assert isinstance(ledger.communications.claim(older, RULES), Refused)
    assert isinstance(ledger.communications.claim(mine, RULES), State)


def test_what_may_be_on_its_way_is_left_alone(ledger, clock):
    """Neither retry nor dismiss touches one that is being sent."""
    ledger.communications.claim(task(clock, "r-1"), RULES)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "sending"
    assert ledger.worklist.dismiss(*KEY, "olga", "no") == "sending"


def test_a_dismissed_one_is_never_sent_and_never_forgotten(ledger, clock, table):
    """No claim, no retry; it does not expire, and is listed until somebody restores it."""
    put_on(ledger, clock)
    assert ledger.worklist.dismiss(*KEY, "olga", "gone") is None
    clock.advance(1_000 * HOUR)
    assert isinstance(ledger.communications.claim(task(clock, "r-2"), RULES), Refused)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "not_on_worklist"
    assert ledger.worklist.dismiss(*KEY, "olga", "twice") == "dismissed_already"
    assert "expiresAt" not in table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")
    (found,), _ = ledger.worklist.page("dismissed", 10, None, equal={})
    assert found.rulings[0].why == "gone"
    assert ledger.worklist.restore(*KEY, "olga") is None
    assert ledger.worklist.restore(*KEY, "olga") == "not_dismissed"
    assert ledger.worklist.page("dismissed", 10, None, equal={}) == ([], None)
    assert "expiresAt" not in table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None
    assert table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")["expiresAt"] > clock() // 1000


def test_one_that_is_not_on_the_worklist_yet_may_be_dismissed_too(ledger, clock):
    """A ban need not wait until all attempts are used up."""
    tried(ledger, clock, ACCEPTED)
    assert ledger.worklist.dismiss(*KEY, "olga", "gone") is None
    assert ledger.worklist.read(*KEY).status == "dismissed"


def test_of_one_that_nobody_knows_nothing_is_made(ledger):
    """Otherwise an id that somebody invents would stay for ever."""
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "unknown"
    assert ledger.worklist.dismiss(*KEY, "olga", "no") == "unknown"
    assert ledger.worklist.restore(*KEY, "olga") == "unknown"
    assert ledger.worklist.read(*KEY) is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_hold_each_once_longest_there_first(ledger, clock, size):
    """Whatever the size, and with a filter that leaves most of them out."""
    for number in range(7):
        put_on(ledger, clock, key=("send.email" if number % 3 else "send.sms", str(number)))
        clock.advance(1)
    for equal, wanted in (({}, "0123456"), ({"operation": "send.sms"}, "036"), ({"manualReason": "other"}, "")):
        found, position = [], None
        while True:
            page, position = ledger.worklist.page("manual", size, position, equal=equal)
            assert len(page) <= size
            found += page
            if position is None:
                break
        assert "".join(each.primary_id for each in found) == wanted


def test_a_page_goes_on_from_where_it_was_though_that_one_is_gone(ledger, clock):
    """Somebody else may work on the same list meanwhile."""
    for number in range(4):
        put_on(ledger, clock, key=("send.email", str(number)))
        clock.advance(1)
    _, position = ledger.worklist.page("manual", 2, None, equal={})
    ledger.worklist.dismiss("send.email", "1", "olga", "gone")
    page, _ = ledger.worklist.page("manual", 2, position, equal={})
    assert [each.primary_id for each in page] == ["2", "3"]


CONFIGURATION = Configuration(
    sources=[Source(operation="send.email", list="https://a.example", cool_down="1h")],
    reprocess=Reprocess(url="https://a.example"),
)


def test_all_of_a_reason_are_done_a_piece_at_a_time(ledger, clock):
    """Those that cannot be done now are counted, and do not keep the next piece from being reached."""
    for number in range(worklist.PIECE + 5):
        put_on(ledger, clock, key=("send.email", str(number)))
    act = worklist.retrying("olga", ledger, CONFIGURATION)
    wanted = Many(reason="no_such_address")
    first = worklist.many(wanted, act, ledger)
    assert (len(first.changed), first.refused) == (0, {"cool_down": worklist.PIECE})
    clock.advance(2 * HOUR)
    first = worklist.many(wanted, act, ledger)
    assert (len(first.changed), first.refused) == (worklist.PIECE, {})
    assert first.position is not None
    assert len(worklist.many(wanted, act, ledger).changed) == 5


def test_a_list_of_ids_is_taken_each_once(ledger, clock):
    """In one call at most what a page of the API takes; a strange id is told, before anything is done."""
    put_on(ledger, clock)
    act = worklist.dismissing("olga", "gone", ledger)
    with pytest.raises(InvalidRequest, match="ids: there is no communication"):
        worklist.many(Many(ids=[of(*KEY), "nonsense"]), act, ledger)
    assert worklist.many(Many(ids=[of(*KEY), of(*KEY), of("send.email", "new")]), act, ledger).refused == {"unknown": 1}


@pytest.mark.parametrize("wanted", [Many(), Many(ids=["x"], reason="y"), Many(ids=["x"], operation="y")])
def test_what_many_means_must_be_clear(ledger, wanted):
    """Either ids or a reason: a call that says both, or nothing, changes nothing."""
    with pytest.raises(InvalidRequest, match="ids: "):
        worklist.many(wanted, lambda *_: None, ledger)


def test_one_says_why_not(ledger, clock):
    """404 for what nobody knows, 409 for what cannot be now."""
    act = worklist.retrying("olga", ledger, CONFIGURATION)
    with pytest.raises(NotFound):
        worklist.one(of(*KEY), act, ledger)
    put_on(ledger, clock)
    with pytest.raises(Conflict, match="coolDownUntil"):
        worklist.one(of(*KEY), act, ledger)
    put_on(ledger, clock, key=("send.fax", "1"))
    clock.advance(2 * HOUR)
    with pytest.raises(Conflict, match="no source"):
        worklist.one(of("send.fax", "1"), act, ledger)
    assert times.iso(clock())
