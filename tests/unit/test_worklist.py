"""What people decide about communications, against the real table."""

from types import SimpleNamespace

import pytest

from chalicelib.api import communications
from chalicelib.api.ids import encode_id
from chalicelib.api.schemas import BulkSelection
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import Conflict, InvalidRequest, NotFound
from chalicelib.ledger.claims import ACCEPTED, ClaimRefused, Rules, State
from chalicelib.models import Communication, Task
from chalicelib.runs import worklist

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
    ledger.communications.record_answer(claim, answer, "why" if answer != ACCEPTED else None, RULES)
    return it, claim


def put_on(ledger, clock, answer="CommunicationRejected", key=KEY):
    """A communication on the worklist, and the task and claim that brought it there."""
    it, claim = tried(ledger, clock, answer, key=key)
    assert ledger.communications.move_to_worklist(it.communication, it.owner, "no_such_address")
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
    entry = ledger.worklist.read(*KEY)
    assert (entry.status, entry.attempts, entry.key, entry.owner) == ("open", 0, None, "")
    assert [(each.action, each.by, each.at) for each in entry.decisions] == [("retry", "olga", clock())]
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
    assert isinstance(ledger.communications.claim(it, RULES), ClaimRefused)
    ledger.communications.record_answer(claim, ACCEPTED, None, RULES)
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
    assert isinstance(ledger.communications.claim(older, RULES), ClaimRefused)
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
    assert isinstance(ledger.communications.claim(task(clock, "r-2"), RULES), ClaimRefused)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "not_on_worklist"
    assert ledger.worklist.dismiss(*KEY, "olga", "twice") == "already_dismissed"
    assert "expiresAt" not in table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")
    (found,), _ = ledger.worklist.page("dismissed", 10, None, equal={})
    assert found.decisions[0].note == "gone"
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


def apply_to_many(ledger, body, action):
    """What the API does with the body of a bulk call."""
    call = SimpleNamespace(deps=SimpleNamespace(ledger=ledger))
    return communications._apply_to_many(call, body, action)


def test_all_of_a_reason_are_changed_a_page_at_a_time(ledger, clock):
    """Those that cannot be changed now are counted, and do not keep the next page from being reached."""
    for number in range(worklist.BULK_SIZE + 5):
        put_on(ledger, clock, key=("send.email", str(number)))
    action = worklist.retry_action("olga", ledger, CONFIGURATION)
    body = BulkSelection(reason="no_such_address")
    first = apply_to_many(ledger, body, action)
    assert (len(first.changed), first.refused) == (0, {"cool_down": worklist.BULK_SIZE})
    clock.advance(2 * HOUR)
    first = apply_to_many(ledger, body, action)
    assert (len(first.changed), first.refused) == (worklist.BULK_SIZE, {})
    assert first.next_key is not None
    assert len(apply_to_many(ledger, body, action).changed) == 5


def test_a_list_of_ids_is_changed_each_once(ledger, clock):
    """At most one page of the API in a call; an invalid id is refused before anything is changed."""
    put_on(ledger, clock)
    action = worklist.dismiss_action("olga", "gone", ledger)
    with pytest.raises(InvalidRequest, match="ids: there is no communication"):
        apply_to_many(ledger, BulkSelection(ids=[encode_id(*KEY), "nonsense"]), action)
    assert ledger.worklist.read(*KEY).status == "manual"
    ids = [encode_id(*KEY), encode_id(*KEY), encode_id("send.email", "new")]
    assert apply_to_many(ledger, BulkSelection(ids=ids), action).refused == {"unknown": 1}


@pytest.mark.parametrize(
    "body",
    [
        BulkSelection(),
        BulkSelection(ids=["x"], reason="y"),
        BulkSelection(ids=["x"], operation="y"),
        BulkSelection(ids=["x"], cursor="y"),
    ],
)
def test_a_bulk_selection_must_be_unambiguous(ledger, body):
    """Either ids or a reason: a call with both, or with neither, changes nothing."""
    with pytest.raises(InvalidRequest, match="ids: "):
        apply_to_many(ledger, body, lambda *_: None)


def test_a_single_change_says_why_it_is_refused(ledger, clock):
    """404 for what nobody knows, 409 for what cannot be changed now."""
    action = worklist.retry_action("olga", ledger, CONFIGURATION)
    with pytest.raises(NotFound):
        worklist.apply(action, *KEY, ledger)
    put_on(ledger, clock)
    with pytest.raises(Conflict, match="coolDownUntil"):
        worklist.apply(action, *KEY, ledger)
    put_on(ledger, clock, key=("send.fax", "1"))
    clock.advance(2 * HOUR)
    with pytest.raises(Conflict, match="no source"):
        worklist.apply(action, "send.fax", "1", ledger)
