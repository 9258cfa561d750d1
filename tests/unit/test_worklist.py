"""What people do with communications: retry, dismiss and restore them, one by one or many at once."""

import json

import msgspec
import pytest

from chalicelib.api import communications, runs
from chalicelib.api.ids import encode_id
from chalicelib.api.parsing import parse_body
from chalicelib.api.schemas.bulk import BulkDismissal, BulkRetry, BulkSelection
from chalicelib.api.schemas.communications import Retry
from chalicelib.api.schemas.runs import OutcomesQuery, RunsQuery
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import Conflict, InvalidRequest, NotFound
from chalicelib.ledger import Worklist
from chalicelib.ledger.claims import ACCEPTED, ClaimRefused, Rules, State
from chalicelib.ledger.worklist import Stay
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication
from chalicelib.models.runs import RunKind
from chalicelib.models.selections import Selection, WorklistSelection
from chalicelib.runs import worklist
from tests.conftest import RETENTION
from tests.fakes import DAY, HOUR, NOON, FakeCall, FakeManifests, InterruptedTable, attempt, make_run

RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=90 * DAY)
KEY = ("send.email", "1#/\n🙂")
CONFIGURATION = Configuration(
    sources=[Source(operation="send.email", list="https://a.example", cool_down="1h")],
    reprocess=Reprocess(url="https://a.example"),
)


def task(clock, run_id, key=KEY):
    """Return the task of a run that lists the communication now."""
    operation, primary_id = key
    communication = Communication(operation=operation, primary_id=primary_id, listed_at=clock())
    return Task(run_id=run_id, index=0, communication=communication, requested_by="Jo")


def put_on_worklist(ledger, clock, answer="CommunicationRejected", key=KEY):
    """Put a communication on the worklist after an attempt; return the attempt's task and claim."""
    attempted = task(clock, "r-1", key)
    claim = attempt(ledger.communications, attempted, answer, RULES)
    assert ledger.communications.move_to_worklist(attempted.communication, attempted.owner, "no_such_address")
    return attempted, claim


def test_a_retry_is_refused_until_the_cool_down_has_passed(ledger, clock):
    """Until its last millisecond, what was sent before may still arrive."""
    put_on_worklist(ledger, clock)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(1)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "not_on_worklist"


def test_a_retry_after_a_post_in_doubt_is_refused_for_a_whole_cool_down(ledger, clock):
    """Even where another run could claim at once: the application knows the old key, and a retry has a new one."""
    put_on_worklist(ledger, clock, answer="ApplicationError")
    assert ledger.worklist.read(*KEY).until < clock()
    clock.advance(HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(1)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None


def test_a_retry_is_refused_while_a_post_is_in_doubt_though_another_run_tried_since(ledger, clock):
    """That other run was turned away, which says nothing about the first run's POST."""
    attempt(ledger.communications, task(clock, "r-1"), "ApplicationError", RULES)
    clock.advance(HOUR // 2)
    put_on_worklist(ledger, clock, answer="ApplicationUnavailable")
    assert ledger.worklist.read(*KEY).until < clock()
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(HOUR // 2)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "cool_down"
    clock.advance(1)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None


def test_a_retry_resets_attempts_and_key_and_keeps_history_and_decisions(ledger, clock):
    """The next POST is a new one, and the communication is off the worklist."""
    _, claim = put_on_worklist(ledger, clock, answer="ApplicationError")
    clock.advance(2 * HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None
    entry = ledger.worklist.read(*KEY)
    assert (entry.status, entry.attempts, entry.key, entry.owner) == ("open", 0, None, "")
    assert [(each.action, each.by, each.at) for each in entry.decisions] == [("retry", "olga", clock())]
    new_claim = ledger.communications.claim(task(clock, "r-2"), RULES)
    assert isinstance(new_claim, State)
    assert new_claim.key not in (None, claim.key)
    assert [entry.owner for entry in new_claim.history] == ["r-1#0", "r-2#0"]
    assert ledger.worklist.page("manual", 10, None, equal={}) == ([], None)


def test_a_late_delivery_of_an_earlier_run_cannot_use_a_retry(ledger, clock):
    """Its task has an older listing, and its answer finds no claim."""
    late_task, claim = put_on_worklist(ledger, clock, answer="ApplicationError")
    clock.advance(2 * HOUR)
    ledger.worklist.retry(*KEY, "olga", HOUR)
    clock.advance(1)
    assert isinstance(ledger.communications.claim(late_task, RULES), ClaimRefused)
    ledger.communications.record_answer(claim, ACCEPTED, None, RULES)
    assert ledger.worklist.read(*KEY).status == "open"


def test_a_retry_as_of_a_listing_is_refused_if_it_came_to_the_worklist_later(ledger, clock):
    """The run does not know what has happened since it listed."""
    own = task(clock, "r-2")
    clock.advance(1)
    put_on_worklist(ledger, clock, answer="ApplicationUnavailable")
    assert ledger.worklist.retry(*KEY, "olga", HOUR, listed_at=own.communication.listed_at) == "not_on_worklist"


def test_only_the_last_twenty_decisions_are_kept_and_the_others_counted(ledger, clock):
    """Somebody may dismiss and restore a communication again and again, and a DynamoDB item has 400 KB."""
    put_on_worklist(ledger, clock)
    for number in range(12):
        clock.advance(1)
        assert ledger.worklist.dismiss(*KEY, "olga", f"note {number}") is None
        assert ledger.worklist.restore(*KEY, "olga") is None
    entry = ledger.worklist.read(*KEY)
    assert (len(entry.decisions), entry.decisions_forgotten) == (20, 4)
    assert (entry.decisions[0].note, entry.decisions[-1].action) == ("note 2", "restore")


class RepeatingTable:
    """A table that gets every write twice, as if the SDK had not heard that the first one succeeded."""

    def __init__(self, table):
        self._table = table

    def update(self, *arguments):
        self._table.update(*arguments)
        self._table.update(*arguments)

    def __getattr__(self, name):
        return getattr(self._table, name)


def test_a_decision_that_is_written_twice_is_done_once(ledger, table, clock):
    """The repetition finds a communication that was retried, dismissed or restored already: by this very call."""
    worklist = Worklist(RepeatingTable(table), clock, DAY)
    put_on_worklist(ledger, clock)
    clock.advance(2 * HOUR)
    assert worklist.dismiss(*KEY, "olga", "gone") is None
    assert worklist.restore(*KEY, "olga") is None
    assert worklist.retry(*KEY, "olga", HOUR) is None
    assert [decision.action for decision in ledger.worklist.read(*KEY).decisions] == ["dismiss", "restore", "retry"]


def test_a_decision_is_judged_anew_if_the_communication_changed_meanwhile(ledger, table, clock):
    """It was read as dismissed, and somebody else has restored it since."""
    put_on_worklist(ledger, clock)
    ledger.worklist.dismiss(*KEY, "olga", "gone")
    interrupted = InterruptedTable(table)
    interrupted.before_update(1, lambda: ledger.worklist.restore(*KEY, "bert"))
    assert Worklist(interrupted, clock, DAY).restore(*KEY, "olga") == "not_dismissed"
    assert [decision.by for decision in ledger.worklist.read(*KEY).decisions] == ["olga", "bert"]


def stay(ledger, clock, run_id="bulk"):
    """Return the stay on the worklist that a bulk run finds now."""
    (entry,), _ = ledger.worklist.page("manual", 10, None, equal={})
    return Stay(run_id=run_id, since=entry.manual_since, as_of=clock())


def test_a_bulk_run_recognises_its_own_decision_whatever_happened_since(ledger, clock):
    """Also if the communication is back on the worklist: what it has decided, it never decides again."""
    put_on_worklist(ledger, clock)
    clock.advance(2 * HOUR)
    found = stay(ledger, clock)
    assert ledger.worklist.retry(*KEY, "olga", HOUR, stay=found) is None
    clock.advance(1)
    put_on_worklist(ledger, clock)
    clock.advance(2 * HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR, stay=found) is None
    entry = ledger.worklist.read(*KEY)
    assert (entry.status, [decision.run_id for decision in entry.decisions]) == ("manual", ["bulk"])


def test_a_bulk_run_decides_about_the_stay_that_it_found_and_about_no_later_one(ledger, clock):
    """Somebody else has dismissed and restored it since."""
    put_on_worklist(ledger, clock)
    found = stay(ledger, clock)
    clock.advance(1)
    ledger.worklist.dismiss(*KEY, "bert", "mine")
    assert ledger.worklist.dismiss(*KEY, "olga", "gone", stay=found) == "not_on_worklist"
    ledger.worklist.restore(*KEY, "bert")
    assert ledger.worklist.dismiss(*KEY, "olga", "gone", stay=found) == "not_on_worklist"
    assert ledger.worklist.dismiss(*KEY, "olga", "gone", stay=stay(ledger, clock)) is None


def test_a_bulk_run_judges_a_cool_down_as_of_the_time_when_it_found_the_communication(ledger, clock):
    """Otherwise of two collectors at once one would refuse, and count that, and the other one retry."""
    put_on_worklist(ledger, clock)
    found = stay(ledger, clock)
    clock.advance(2 * HOUR)
    assert ledger.worklist.retry(*KEY, "olga", HOUR, stay=found) == "cool_down"
    assert ledger.worklist.retry(*KEY, "olga", HOUR, stay=stay(ledger, clock)) is None


def test_of_two_writes_of_a_bulk_run_at_once_one_is_made(ledger, table, clock):
    """The other one finds the decision, and counts it as done."""
    put_on_worklist(ledger, clock)
    found = stay(ledger, clock)
    interrupted = InterruptedTable(table)

    def dismiss_first():
        clock.advance(1)
        assert ledger.worklist.dismiss(*KEY, "olga", "gone", stay=found) is None

    interrupted.before_update(1, dismiss_first)
    assert Worklist(interrupted, clock, DAY).dismiss(*KEY, "olga", "gone", stay=found) is None
    assert len(ledger.worklist.read(*KEY).decisions) == 1


def test_a_bulk_runs_decision_that_is_written_twice_is_done_once(ledger, table, clock):
    """AWS's SDK may repeat any write."""
    put_on_worklist(ledger, clock)
    found = stay(ledger, clock)
    assert Worklist(RepeatingTable(table), clock, DAY).dismiss(*KEY, "olga", "gone", stay=found) is None
    assert len(ledger.worklist.read(*KEY).decisions) == 1


def test_a_retry_as_of_a_listing_allows_claims_by_it_but_not_by_an_older_one(ledger, clock):
    """A run with `includeManual` retries as of its own listing, so that it may send."""
    put_on_worklist(ledger, clock)
    clock.advance(2 * HOUR)
    older = task(clock, "r-0")
    clock.advance(1)
    own = task(clock, "r-2")
    clock.advance(500)
    listed_at = own.communication.listed_at
    assert ledger.worklist.retry(*KEY, "olga", HOUR, listed_at=listed_at) is None
    assert isinstance(ledger.communications.claim(older, RULES), ClaimRefused)
    assert isinstance(ledger.communications.claim(own, RULES), State)


def test_a_communication_that_is_being_sent_can_be_neither_retried_nor_dismissed(ledger, clock):
    """Its POST may be on its way."""
    ledger.communications.claim(task(clock, "r-1"), RULES)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "sending"
    assert ledger.worklist.dismiss(*KEY, "olga", "no") == "sending"


def test_a_dismissed_communication_is_never_sent_or_forgotten_until_it_is_restored(ledger, clock, table):
    """It stays listed; once restored it is on the worklist again, and expires only after a retry."""
    put_on_worklist(ledger, clock)
    assert ledger.worklist.dismiss(*KEY, "olga", "gone") is None
    clock.advance(1_000 * HOUR)
    assert isinstance(ledger.communications.claim(task(clock, "r-2"), RULES), ClaimRefused)
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "not_on_worklist"
    assert ledger.worklist.dismiss(*KEY, "olga", "twice") == "already_dismissed"
    assert "expiresAt" not in table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")
    (entry,), _ = ledger.worklist.page("dismissed", 10, None, equal={})
    assert entry.decisions[0].note == "gone"
    assert ledger.worklist.restore(*KEY, "olga") is None
    assert ledger.worklist.restore(*KEY, "olga") == "not_dismissed"
    assert ledger.worklist.page("dismissed", 10, None, equal={}) == ([], None)
    assert "expiresAt" not in table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")
    assert ledger.worklist.retry(*KEY, "olga", HOUR) is None
    assert table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")["expiresAt"] > clock() // 1000


def test_a_communication_can_be_dismissed_before_it_is_on_the_worklist(ledger, clock):
    """People need not wait until all attempts are used up."""
    attempt(ledger.communications, task(clock, "r-1"), ACCEPTED, RULES, None)
    assert ledger.worklist.dismiss(*KEY, "olga", "gone") is None
    assert ledger.worklist.read(*KEY).status == "dismissed"


@pytest.mark.parametrize("answer", [ACCEPTED, "OutcomeUnknown", "ApplicationError"])
def test_a_restored_communication_is_what_it_was_before_it_was_dismissed(ledger, clock, table, answer):
    """It is not on the worklist if it was not there: nobody would know why, and a retry might send it twice."""
    attempt(ledger.communications, task(clock, "r-1"), answer, RULES, None)
    before = ledger.worklist.read(*KEY)
    ledger.worklist.dismiss(*KEY, "olga", "gone")
    clock.advance(HOUR // 2)
    assert ledger.worklist.restore(*KEY, "olga") is None
    after = ledger.worklist.read(*KEY)
    assert [each.action for each in after.decisions] == ["dismiss", "restore"]
    assert msgspec.structs.replace(after, decisions=[]) == before
    assert ledger.worklist.page("manual", 10, None, equal={}) == ([], None)
    assert ledger.worklist.page("dismissed", 10, None, equal={}) == ([], None)
    assert table.get(f"COMM#{KEY[0]}#{KEY[1]}", "COMM")["expiresAt"] == (clock() + RETENTION) // 1000
    assert ledger.worklist.restore(*KEY, "olga") == "not_dismissed"


def test_a_communication_returns_to_the_worklist_with_its_reason(ledger, clock):
    """It can be found by that reason again."""
    put_on_worklist(ledger, clock)
    ledger.worklist.dismiss(*KEY, "olga", "gone")
    clock.advance(1)
    assert ledger.worklist.restore(*KEY, "olga") is None
    (entry,), _ = ledger.worklist.page("manual", 10, None, equal={"manualReason": "no_such_address"})
    assert (entry.status, entry.manual_since, entry.dismissed_from) == ("manual", clock(), None)


def test_what_an_earlier_version_dismissed_returns_to_the_worklist_and_has_a_reason(ledger, clock, table):
    """Nobody knows what it was before."""
    attempt(ledger.communications, task(clock, "r-1"), ACCEPTED, RULES, None)
    ledger.worklist.dismiss(*KEY, "olga", "gone")
    table.update((f"COMM#{KEY[0]}#{KEY[1]}", "COMM"), "REMOVE #dismissedFrom", {})
    assert ledger.worklist.restore(*KEY, "olga") is None
    (entry,), _ = ledger.worklist.page("manual", 10, None, equal={})
    assert (entry.status, entry.manual_reason) == ("manual", "restored")


def test_a_decision_about_an_unknown_communication_creates_no_item(ledger):
    """Otherwise an id that somebody invents would stay for ever."""
    assert ledger.worklist.retry(*KEY, "olga", HOUR) == "unknown"
    assert ledger.worklist.dismiss(*KEY, "olga", "no") == "unknown"
    assert ledger.worklist.restore(*KEY, "olga") == "unknown"
    assert ledger.worklist.read(*KEY) is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_of_the_worklist_contain_each_entry_once_longest_there_first(ledger, clock, size):
    """That holds for every page size, and with a filter that leaves most of them out."""
    for number in range(7):
        put_on_worklist(ledger, clock, key=("send.email" if number % 3 else "send.sms", str(number)))
        clock.advance(1)
    for equal, expected in (({}, "0123456"), ({"operation": "send.sms"}, "036"), ({"manualReason": "other"}, "")):
        entries, next_key = [], None
        while True:
            page, next_key = ledger.worklist.page("manual", size, next_key, equal=equal)
            assert len(page) <= size
            entries += page
            if next_key is None:
                break
        assert "".join(entry.primary_id for entry in entries) == expected


def test_the_next_page_follows_an_entry_that_has_left_the_worklist(ledger, clock):
    """Somebody else may work on the same list meanwhile."""
    for number in range(4):
        put_on_worklist(ledger, clock, key=("send.email", str(number)))
        clock.advance(1)
    _, next_key = ledger.worklist.page("manual", 2, None, equal={})
    ledger.worklist.dismiss("send.email", "1", "olga", "gone")
    page, _ = ledger.worklist.page("manual", 2, next_key, equal={})
    assert [entry.primary_id for entry in page] == ["2", "3"]


def apply_to_many(ledger, body, action):
    """Apply an action to many communications, as the API does for the body of a bulk call."""
    return communications._apply_to_many(FakeCall(ledger), body, action)


@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)  # moto's would take half a minute
def test_a_bulk_change_by_reason_changes_a_page_in_each_call(ledger, clock):
    """Those that cannot be changed now are counted, and do not keep the next page from being reached."""
    for number in range(worklist.BULK_SIZE + 5):
        put_on_worklist(ledger, clock, key=("send.email", str(number)))
    action = worklist.retry_action("olga", ledger, CONFIGURATION)
    body = BulkSelection(reason="no_such_address")
    too_early = apply_to_many(ledger, body, action)
    assert (len(too_early.changed), too_early.refused) == (0, {"cool_down": worklist.BULK_SIZE})
    clock.advance(2 * HOUR)
    first = apply_to_many(ledger, body, action)
    assert (len(first.changed), first.refused) == (worklist.BULK_SIZE, {})
    assert first.next_key is not None
    assert len(apply_to_many(ledger, body, action).changed) == 5


def test_a_bulk_change_by_ids_changes_each_communication_once(ledger, clock):
    """An invalid id is refused before anything is changed."""
    put_on_worklist(ledger, clock)
    action = worklist.dismiss_action("olga", "gone", ledger)
    with pytest.raises(InvalidRequest, match="ids: there is no communication"):
        apply_to_many(ledger, BulkSelection(ids=[encode_id(*KEY), "nonsense"]), action)
    assert ledger.worklist.read(*KEY).status == "manual"
    ids = [encode_id(*KEY), encode_id(*KEY), encode_id("send.email", "new")]
    assert apply_to_many(ledger, BulkSelection(ids=ids), action).refused == {"unknown": 1}


def put_three_on_worklist(ledger, clock):
    """Put three communications on the worklist, one after the other; return their ids, for the API."""
    for number in "012":
        put_on_worklist(ledger, clock, key=("send.email", number))
        clock.advance(1)
    return [encode_id("send.email", number) for number in "012"]


def test_a_bulk_change_goes_on_after_an_error_and_audits_what_it_did(ledger, clock):
    """DynamoDB may refuse a single write; the caller has to know about the others."""
    ids = put_three_on_worklist(ledger, clock)
    dismiss = worklist.dismiss_action("Jo", "gone", ledger)

    def refused_once(operation, primary_id):
        if primary_id == "1":
            raise ConnectionError("throttled")
        return dismiss(operation, primary_id)

    call = FakeCall(ledger)
    outcome = communications._apply_to_many(call, BulkSelection(ids=ids), refused_once)
    assert (outcome.changed, outcome.refused) == ([("send.email", "0"), ("send.email", "2")], {"error": 1})
    assert call.audit == [{"id": ids[0]}, {"id": ids[2]}]


@pytest.mark.parametrize("by_reason", [True, False])
def test_a_bulk_change_answers_when_its_time_is_over_and_the_next_call_does_the_rest(ledger, clock, by_reason):
    """API Gateway waits for 29 seconds; after that, nobody would learn what was changed."""
    ids = put_three_on_worklist(ledger, clock)
    dismiss = worklist.dismiss_action("Jo", "gone", ledger)

    def slow(operation, primary_id):
        clock.advance(worklist.BULK_MS // 2 + 1)
        return dismiss(operation, primary_id)

    body = BulkSelection(reason="no_such_address") if by_reason else BulkSelection(ids=ids)
    first = apply_to_many(ledger, body, slow)
    assert [key[1] for key in first.changed] == ["0", "1"]
    assert first.refused == ({} if by_reason else {"no_time": 1})
    cursor = communications._bulk_result(body, first, []).next_cursor
    body = BulkSelection(reason="no_such_address", cursor=cursor) if by_reason else BulkSelection(ids=ids[-1:])
    second = apply_to_many(ledger, body, slow)
    assert ([key[1] for key in second.changed], second.next_key) == (["2"], None)


class NoBucket:
    """S3, which refuses everything."""

    def put_selection(self, *_):
        raise ConnectionError("no bucket")


@pytest.mark.parametrize("many", [True, False])
def test_a_retry_answers_and_is_audited_even_if_its_run_cannot_be_started(ledger, clock, many):
    """The communication is retried all the same: the next run takes it."""
    put_on_worklist(ledger, clock)
    clock.advance(2 * HOUR)
    body = BulkRetry(ids=[encode_id(*KEY)], start_run=True) if many else Retry(start_run=True)
    call = FakeCall(ledger, CONFIGURATION, body=body)
    call.deps.manifests = NoBucket()
    call.deps.invoke_collector = None
    if many:
        answer = communications.retry_communications(call)
        assert (answer.changed, answer.run_ids) == (1, [])
    else:
        answer = communications.retry_communication(call, encode_id(*KEY))
        assert (answer.communication.status, answer.run_id) == ("open", None)
    assert call.audit == [{"id": encode_id(*KEY)}]


def test_a_bulk_change_audits_each_communication_at_once(ledger, clock):
    """A function that is killed in the middle has audited what it did."""
    ids = put_three_on_worklist(ledger, clock)
    call = FakeCall(ledger, CONFIGURATION, body=BulkDismissal(ids=[*ids, ids[0]], note="gone"))
    assert communications.dismiss_communications(call).changed == 3
    assert call.audit == [{"id": each} for each in ids]


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "give either ids or a reason, or all"),
        (b'{"all": false}', "give either ids or a reason, or all"),
        (b'{"ids": ["x"], "reason": "y"}', "give either ids or a reason, or all"),
        (b'{"ids": ["x"], "operation": "send.email"}', "ids cannot be combined with operation or cursor"),
        (b'{"ids": ["x"], "cursor": "y"}', "ids cannot be combined with operation or cursor"),
        (b'{"reason": "y", "cause": "0123456789abcdef"}', "cause needs all"),
        (b'{"all": true}', "all needs a reason, an operation or a cause"),
        (b'{"all": true, "reason": "y", "ids": ["x"]}', "all cannot be combined with ids or cursor"),
        (b'{"all": true, "reason": "y", "cursor": "x"}', "all cannot be combined with ids or cursor"),
        (b'{"all": true, "reason": "y", "startRun": true}', "startRun cannot be combined with all; .*"),
    ],
)
def test_a_bulk_selection_needs_either_ids_or_a_reason_or_all_that_match(body, rule):
    """A call with several of them, or with none, is refused before anything is changed."""
    with pytest.raises(InvalidRequest, match=f"^the body: {rule}$"):
        parse_body(body, BulkRetry)


def test_a_cause_that_cannot_be_one_is_refused():
    """The error names the field."""
    with pytest.raises(InvalidRequest, match=r"^cause: "):
        parse_body(b'{"all": true, "cause": "no-cause"}', BulkRetry)


class Requests:
    """Makes calls of the routes for many communications, and keeps what they start."""

    def __init__(self, ledger) -> None:
        self._ledger = ledger
        self.invoked: list[str] = []
        self.selections = FakeManifests()

    def __call__(self, handler, body, key=None):
        self.call = FakeCall(self._ledger, CONFIGURATION, body=body, headers={"idempotency-key": key} if key else {})
        self.call.deps.manifests, self.call.deps.invoke_collector = self.selections, self.invoked.append
        return handler(self.call)

    def selection(self, run_id):
        return self.selections.read_selection(self._ledger.runs.read(run_id).selection, WorklistSelection)


@pytest.fixture
def request_all(ledger):
    return Requests(ledger)


DISMISS_ALL = BulkDismissal(every=True, reason="no_such_address", note="gone")


def test_all_that_match_are_left_to_a_run(ledger, clock, request_all):
    """The answer says which. Nothing has been changed by then, and the audit line is about the run."""
    put_on_worklist(ledger, clock)
    answer = request_all(communications.dismiss_communications, DISMISS_ALL)
    run_id = json.loads(answer.body)["runId"]
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/runs/{run_id}")
    assert json.loads(answer.body) == {"runId": run_id, "status": "requested"}
    run = ledger.runs.read(run_id)
    assert (run.kind, run.requested_by, run.note, run.requested_at) == ("dismiss", "Jo", "gone", clock())
    assert request_all.selection(run_id) == WorklistSelection(reason="no_such_address", note="gone")
    assert (request_all.invoked, request_all.call.audit) == ([run_id], [{"runId": run_id}])
    assert ledger.worklist.read(*KEY).status == "manual"


def test_the_same_key_is_the_same_bulk_run_and_needs_the_same_body(ledger, clock, request_all):
    """Also later: the run keeps the time of its first request, and with it what it is for."""
    first = json.loads(request_all(communications.dismiss_communications, DISMISS_ALL, "key").body)
    clock.advance(HOUR)
    again = request_all(communications.dismiss_communications, DISMISS_ALL, "key")
    assert json.loads(again.body) == first
    assert ledger.runs.read(first["runId"]).requested_at == clock() - HOUR
    other_note = msgspec.structs.replace(DISMISS_ALL, note="another")
    with pytest.raises(Conflict, match=r"^Idempotency-Key: "):
        request_all(communications.dismiss_communications, other_note, "key")


def test_the_same_key_cannot_be_used_for_a_run_of_another_kind(request_all):
    """The bodies may be the same all the same."""
    body = BulkRetry(every=True, operation="send.email")
    request_all(communications.retry_communications, body, "key")
    with pytest.raises(Conflict, match=r"^Idempotency-Key: "):
        request_all(lambda call: runs.start(call, Selection(operation="send.email"), "key"), None)
    with pytest.raises(InvalidRequest, match=r"^Idempotency-Key: "):
        request_all(communications.retry_communications, body, "k" * 256)


def test_a_run_shows_its_kind_and_its_refusals(ledger):
    """And a bulk run that is under way shows no outcomes and no pace."""
    ledger.runs.create(
        make_run(
            "r", kind=RunKind.RETRY, matched=4, pages=2, counts={"changed": 1, "refused": 2}, refused={"cool_down": 2}
        )
    )
    ledger.runs.create(make_run("other", requested_at=NOON - 1))
    seen = runs.get_run(FakeCall(ledger, CONFIGURATION), "r")
    assert (seen.kind, seen.matched, seen.done, seen.counts) == ("retry", 4, 3, {"changed": 1, "refused": 2})
    assert (seen.refused, seen.skipped, seen.pace, seen.expected_end) == ({"cool_down": 2}, {}, None, None)
    page = runs.list_runs(FakeCall(ledger, query=RunsQuery()))
    assert [each.kind for each in page.runs] == ["retry", "reprocess"]
    assert runs.list_outcomes(FakeCall(ledger, query=OutcomesQuery()), "r").communications == []


def test_a_decision_shows_the_bulk_run_that_carried_it_out(ledger, clock):
    """The run says what it was for."""
    put_on_worklist(ledger, clock)
    ledger.worklist.dismiss(*KEY, "olga", "gone", stay=stay(ledger, clock))
    (decision,) = communications.get_communication(FakeCall(ledger), encode_id(*KEY)).decisions
    assert (decision.by, decision.note, decision.run_id) == ("olga", "gone", "bulk")


def test_a_refused_change_of_one_communication_says_why(ledger, clock):
    """The API answers 404 if the communication is unknown, and 409 if it cannot be changed now."""
    action = worklist.retry_action("olga", ledger, CONFIGURATION)
    with pytest.raises(NotFound):
        worklist.apply(action, *KEY, ledger)
    put_on_worklist(ledger, clock)
    with pytest.raises(Conflict, match="coolDownUntil"):
        worklist.apply(action, *KEY, ledger)
    put_on_worklist(ledger, clock, key=("send.fax", "1"))
    clock.advance(2 * HOUR)
    with pytest.raises(Conflict, match="no source"):
        worklist.apply(action, "send.fax", "1", ledger)
