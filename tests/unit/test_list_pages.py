"""What a page contains, whatever an application puts into it. Real pages over HTTP are read in tests/integration."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.application import list_pages
from chalicelib.application.config import Next, Source
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed
from chalicelib.models import Communication

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
TIMES = st.none() | st.datetimes().map(lambda moment: moment.isoformat()) | JSON
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
    found = result_or_error(list_pages.communications, SOURCE, page, 0)
    if isinstance(found, str):
        assert found.startswith("send.email: ")
    else:
        assert len(found) == len(page["results"])
        assert msgspec.json.decode(msgspec.json.encode(found), type=list[Communication]) == found


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
