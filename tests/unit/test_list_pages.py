"""What a page says, whatever an application may put into one. Real pages over real connections: tests/integration."""

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


def outcome(call, *arguments):
    """What a call returns, or the message of its ListingFailed."""
    try:
        return call(*arguments)
    except ListingFailed as error:
        return str(error)


@settings(deadline=None)
@given(PAGES)
def test_any_page_is_read_whole_or_not_at_all(page):
    """Each record becomes one communication that can be written to the manifest, or the list has failed, by name."""
    found = outcome(list_pages.communications, SOURCE, page, 0)
    if isinstance(found, str):
        assert found.startswith("send.email: ")
    else:
        assert len(found) == len(page["results"])
        assert msgspec.json.decode(msgspec.json.encode(found), type=list[Communication]) == found


@settings(deadline=None)
@given(PAGES)
def test_any_next_page_is_a_url_or_the_end(page):
    """Or the list has failed, by name."""
    following = outcome(list_pages.next_request, SOURCE, page, PageRequest(SOURCE.list, {"page_size": 200}))
    if isinstance(following, str):
        assert following.startswith("send.email: ")
    else:
        assert following is None or (isinstance(following.url, str) and following.params == {})


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
def test_any_page_of_any_style_leads_on_or_ends(page, following):
    """A place that differs from the page's own, or the end, or the list has failed, by name."""
    source = msgspec.structs.replace(SOURCE, next=following)
    at = PageRequest(SOURCE.list, {"c": 1})
    found = outcome(list_pages.next_request, source, page, at)
    if isinstance(found, str):
        assert found.startswith("send.email: ")
    elif found is not None:
        assert found.url == SOURCE.list
        assert set(found.params) == {"c"}
        assert following.page is None or found.params == {"c": 2}
    assert not isinstance(outcome(list_pages.total, msgspec.structs.replace(source, total="count"), page), bool)
