"""What a page contains, whatever an application puts into it. Real pages over HTTP are read in tests/integration."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib import times
from chalicelib.application import list_pages
from chalicelib.application.config import Next, Source
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed
from chalicelib.models.communications import Communication

SOURCE = Source(
    operation="send.email",
    list="https://app.example.com/emails",
    cool_down="1h",
    items="results",
    created="created_at",
    created_by="author",
    failed_at="failed_at",
    next=Next(url="next"),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
LISTED_AT = times.parse_iso("2150-01-01")
MOMENTS = st.datetimes() | st.datetimes(datetime(2000, 1, 1), datetime(2150, 1, 1))  # noqa: DTZ001 (as lists may have)
TIMES = st.none() | MOMENTS.map(lambda moment: moment.isoformat()) | JSON
RECORDS = st.fixed_dictionaries(
    {}, optional={"id": JSON, "created_at": TIMES, "failed_at": TIMES, "author": JSON, "address": JSON}
)
PAGES = JSON | st.fixed_dictionaries({"results": st.lists(RECORDS | JSON, max_size=3)}, optional={"next": JSON})


def result_or_error(call, *arguments):
    """Return what a call returns, or the message of its ListingFailed."""
    try:
        return call(*arguments)
    except ListingFailed as error:
        return str(error)


@settings(deadline=None)
@given(PAGES)
def test_any_page_is_read_completely_or_fails_the_list(page):
    """Each record becomes a communication that the manifest can hold; otherwise the error names the source."""
    result = result_or_error(list_pages.communications, SOURCE, page, LISTED_AT)
    if isinstance(result, str):
        assert result.startswith("send.email: ")
    else:
        found, errors = result
        assert (len(found), errors) == (len(page["results"]), [])
        assert msgspec.json.decode(msgspec.json.encode(found), type=list[Communication]) == found


@settings(deadline=None)
@given(st.fixed_dictionaries({"results": st.lists(RECORDS | JSON, max_size=5)}))
def test_each_record_of_any_page_is_read_or_left_out_with_an_error_of_its_own(page):
    """With `unreadable = "skip"`; what can be read is the same as if it stood alone."""
    source = msgspec.structs.replace(SOURCE, unreadable="skip")
    found, errors = list_pages.communications(source, page, LISTED_AT)
    assert len(found) + len(errors) == len(page["results"])
    alone = [list_pages.communications(source, {"results": [each]}, LISTED_AT)[0] for each in page["results"]]
    assert [communication for readable in alone for communication in readable] == found
    for error in map(str, errors):
        assert error.startswith("send.email: ")
        assert error.isascii()
        assert error.isprintable()


@pytest.mark.parametrize(("bad", "good", "fails"), [(10, 0, True), (200, 0, True), (9, 0, False), (200, 1, False)])
def test_a_page_of_which_nothing_can_be_read_fails_even_if_unreadable_records_are_skipped(bad, good, fails):
    """The file is wrong then, not a record: leaving out all of them would look like an application that is well."""
    source = msgspec.structs.replace(SOURCE, unreadable="skip")
    page = {"results": [{"key": "1"}] * bad + [{"id": "1"}] * good}
    result = result_or_error(list_pages.communications, source, page, LISTED_AT)
    if fails:
        assert result.endswith("(record 1 of page 1)")
    else:
        assert (len(result[0]), len(result[1])) == (good, bad)


HUGE = "Your account is blocked. Call +49 89 123456, or write to ada@personal.example\n" * 10_000


@pytest.mark.parametrize(
    ("call", "page", "options"),
    [
        (list_pages.communications, {"results": [{"id": [HUGE]}]}, {}),
        (list_pages.communications, {"results": [{"id": HUGE}]}, {}),
        (list_pages.communications, {"results": [{"id": "1", "created_at": HUGE}]}, {}),
        (list_pages.communications, {"results": [{"id": HUGE, "failed_at": HUGE}]}, {}),
        (list_pages.total, {"total": HUGE}, {"total": "total"}),
        (list_pages.total, {"total": int("9" * 50)}, {"total": "total"}),
        (list_pages.next_request, {"next": f"https://app.example.com/{HUGE}"}, {}),
        (list_pages.next_request, {"next": HUGE}, {"next": Next(cursor="next", param="c")}),
        (
            list_pages.next_request,
            {"next": int("9" * 4_000 + "0") * 10**4_100},
            {"next": Next(cursor="next", param="c")},
        ),
        (list_pages.next_request, {"results": [1], "more": HUGE}, {"next": Next(page="c", more="more")}),
    ],
)
def test_no_error_repeats_what_the_application_says(call, page, options):
    """Errors are kept with runs and mailed: text in them would reach people in our name, or be too long for a mail."""
    source = msgspec.structs.replace(SOURCE, **options)
    argument = LISTED_AT if call is list_pages.communications else PageRequest(SOURCE.list, {"c": 1})
    arguments = (source, page) if call is list_pages.total else (source, page, argument)
    message = result_or_error(call, *arguments)
    assert isinstance(message, str)
    assert len(message) < 600
    assert message.isascii()
    assert message.isprintable()
    assert not any(word in message for word in ("account", "123456", "ada@"))


def test_an_error_says_which_record_it_is_about_and_what_its_value_looks_like():
    """Its position, and its id if it has one. Letters and digits are hidden, because the key may be a wrong one."""
    records = [{"id": "1"}, {"id": "2", "created_at": "20. Nov. 2026"}, {"id": None}]
    source = msgspec.structs.replace(SOURCE, unreadable="skip")
    _, errors = list_pages.communications(source, {"results": records}, LISTED_AT, 7)
    time, no_id = map(str, errors)
    assert time == (
        "send.email: created = 'created_at' finds text like '00. aaa. 0000', not an ISO 8601 time such as "
        "2026-11-20T09:30:00Z in the years 2000 to 2200 (record 2 of page 7, id '2')"
    )
    assert no_id == (
        "send.email: id = 'id' finds nothing, not a text of 1 to 512 bytes in JSON or a whole number"
        " (record 3 of page 7)"
    )


@settings(deadline=None)
@given(PAGES)
def test_any_next_page_by_url_is_a_request_the_end_or_a_failed_list(page):
    """The URL already contains the parameters, so the request has none."""
    request = result_or_error(list_pages.next_request, SOURCE, page, PageRequest(SOURCE.list, {"page_size": 200}))
    if isinstance(request, str):
        assert request.startswith("send.email: ")
    else:
        assert request is None or (isinstance(request.url, str) and request.params == {})


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"results": st.lists(st.fixed_dictionaries({"id": st.integers() | JSON}), max_size=3)},
        optional={"next": JSON, "more": st.booleans() | JSON, "count": JSON},
    ),
    st.sampled_from(
        [
            Next(link=True),
            Next(cursor="next", param="c"),
            Next(cursor="results[-1].id", param="c", more="more"),
            Next(last_id="c"),
            Next(last_id="c", more="more"),
            Next(page="c"),
            Next(offset="c", more="more"),
        ]
    ),
)
def test_any_next_page_of_any_paging_style_is_a_request_the_end_or_a_failed_list(page, paging):
    """Only the paging parameter changes, and the total is never a boolean."""
    source = msgspec.structs.replace(SOURCE, next=paging)
    request = PageRequest(SOURCE.list, {"c": 1})
    next_request = result_or_error(list_pages.next_request, source, page, request)
    if isinstance(next_request, str):
        assert next_request.startswith("send.email: ")
    elif next_request is not None:
        assert next_request.url == SOURCE.list
        assert set(next_request.params) == {"c"}
        assert paging.page is None or next_request.params == {"c": 2}
    assert not isinstance(result_or_error(list_pages.total, msgspec.structs.replace(source, total="count"), page), bool)
