"""Every style of paging over real connections, each a line of configuration: every record exactly once."""

import tomllib

import pytest

from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Next, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.errors import ListingFailed
from chalicelib.models import Selection
from tests.fakes import FakeClock
from tests.integration.rest_app import Email, fill, serving_rest
from tests.servers import always, answering, in_turn, reply, serving
from tests.unit.test_connect import EXAMPLES

MANY = 2_347


@pytest.fixture(autouse=True)
def _directly(monkeypatch):
    """No proxy of the machine's stands between a test and its server."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def rest(tmp_path_factory):
    """The Django REST framework application's URL."""
    with serving_rest(tmp_path_factory.mktemp("rest")) as url:
        yield url


def pages(url, **source):
    """The pages of a list as `source` describes it."""
    it = Source(**{"operation": "send.email", "list": url, "cool_down": "1h"} | source)
    configuration = Configuration(sources=[it], reprocess=Reprocess(url=url))
    clock = FakeClock()
    return ApplicationClient(configuration, Credentials(Auth(), str, clock), clock).failed_pages(it, Selection())


def fails(answer, path="", **source):
    """List what a server that answers so holds; return the server and what the error says."""
    with serving(answer) as server, pytest.raises(ListingFailed) as caught:
        ids(pages(server.url + path, items="items", **source))
    return server, str(caught.value).partition("send.email: ")[2]


def ids(some):
    return [it.primary_id for page in some for it in page.communications]


# -- Django REST framework's own classes

REST = {
    "PageNumberPagination, by its URLs": ("numbers", {"items": "results", "next": Next(url="next")}),
    "PageNumberPagination, by number": (
        "numbers",
        {
            "items": "results",
            "next": Next(page="page", more="next != `null`"),
            "params": {"page_size": 200},
        },
    ),
    "LimitOffsetPagination, by its URLs": ("offsets", {"items": "results", "next": Next(url="next")}),
    "LimitOffsetPagination, by offset": (
        "offsets",
        {"items": "results", "next": Next(offset="offset"), "params": {"limit": 200}, "total": "count"},
    ),
    "CursorPagination": ("cursors", {"items": "results", "next": Next(url="next")}),
    "the Link header of its documentation": ("links", {"next": Next(link=True)}),
    "no pagination": ("all", {}),
}


@pytest.mark.parametrize(("path", "source"), REST.values(), ids=REST)
def test_every_record_of_a_rest_framework_list_once(rest, path, source):
    """2,347 records, in the application's order, and no page that is not there is asked for."""
    expected = fill(MANY)
    assert ids(pages(f"{rest}/{path}", created="created", created_by="author", **source)) == expected


@pytest.mark.parametrize("number", [0, 1, 100, 200])
@pytest.mark.parametrize(("path", "source"), REST.values(), ids=REST)
def test_a_list_that_ends_with_a_page_ends(rest, path, source, number):
    """Nothing at all, one record, and a page that is just full are whole lists."""
    expected = fill(number)
    assert ids(pages(f"{rest}/{path}", **source)) == expected


@pytest.mark.parametrize("path", ["cursors"])
def test_a_list_that_shrinks_loses_nothing_with_cursors(rest, path):
    """What was listed is sent and leaves the list while the next page is read: a cursor's place stays."""
    expected, found = fill(MANY), []
    for page in pages(f"{rest}/{path}", items="results", next=Next(url="next")):
        found += ids([page])
        Email.objects.filter(id__in=[int(each) for each in ids([page])]).delete()
    assert found == expected


@pytest.mark.parametrize(
    ("path", "how"), [("newest", {"next": Next(url="next")}), ("newest-offsets", {"next": Next(offset="offset")})]
)
def test_a_list_that_grows_at_its_front_repeats_nothing(rest, path, how):
    """A newer failure moves the others to the next page, where they are not taken again."""
    expected, found = fill(1_000), []
    for page in pages(f"{rest}/{path}", items="results", **how):
        found += ids([page])
        Email.objects.create(author="Al")
    assert found == expected[::-1]


# -- the styles of other applications


def stripe(request):
    """As Stripe's lists: `starting_after` the last id, `has_more`."""
    start = int(request.query.get("starting_after", "0"))
    data = [{"id": number} for number in range(start + 1, min(start + 100, MANY) + 1)]
    return reply(200, {"object": "list", "data": data, "has_more": start + 100 < MANY})


def bare(request):
    """The same without `has_more`."""
    start = int(request.query.get("after", "0"))
    return reply(200, [{"id": number} for number in range(start + 1, min(start + 100, MANY) + 1)])


def opaque(request):
    """As Slack's lists: a cursor in the body that means something to the application only; an empty one at the end."""
    start = int(request.query.get("cursor", "c0").removeprefix("c"))
    following = f"c{start + 100}" if start + 100 < MANY else ""
    data = [{"id": number} for number in range(start + 1, min(start + 100, MANY) + 1)]
    return reply(200, {"items": data, "response_metadata": {"next_cursor": following}})


def spring(request):
    """As Spring Data's pages: numbers from 0, `last`."""
    number = int(request.query.get("page", "0"))
    content = [{"id": each} for each in range(number * 100 + 1, min(number * 100 + 100, MANY) + 1)]
    return reply(200, {"content": content, "number": number, "last": number == MANY // 100, "totalElements": MANY})


def laravel(request):
    """As Laravel's pages: numbers from 1, `meta.last_page`, and URLs in `links`."""
    number, last = int(request.query.get("page", "1")), -(-MANY // 100)
    data = [{"id": each} for each in range(number * 100 - 99, min(number * 100, MANY) + 1)]
    following = f"/emails?page={number + 1}" if number < last else None
    meta = {"current_page": number, "last_page": last, "total": MANY}
    return reply(200, {"data": data, "meta": meta, "links": {"next": following}})


def hal(request):
    """As HAL and JSON:API: the next page's URL is an object's `href`, and missing at the end."""
    number = int(request.query.get("page", "1"))
    data = [{"id": each} for each in range(number * 100 - 99, min(number * 100, MANY) + 1)]
    links = {"next": {"href": f"?page={number + 1}"}} if number * 100 < MANY else {}
    return reply(200, {"_embedded": {"emails": data}, "_links": links})


STYLES = {
    "Stripe": (stripe, {"items": "data", "next": Next(last_id="starting_after", more="has_more")}, 24),
    "a last id alone": (bare, {"next": Next(last_id="after")}, 25),
    "an opaque cursor": (
        opaque,
        {"items": "items", "next": Next(cursor="response_metadata.next_cursor", param="cursor")},
        24,
    ),
    "a cursor that is an expression": (
        stripe,
        {"items": "data", "next": Next(cursor="data[-1].id", param="starting_after", more="has_more")},
        24,
    ),
    "Spring Data": (spring, {"items": "content", "next": Next(page="page", first=0, more="!last")}, 24),
    "Laravel by number": (
        laravel,
        {"items": "data", "next": Next(page="page", more="meta.current_page < meta.last_page")},
        24,
    ),
    "Laravel by its URLs": (laravel, {"items": "data", "next": Next(url="links.next")}, 24),
    "HAL": (hal, {"items": "_embedded.emails", "next": Next(url="_links.next.href")}, 24),
}


@pytest.mark.parametrize(("answer", "source", "requests"), STYLES.values(), ids=STYLES)
def test_every_record_of_another_list_once(answer, source, requests):
    """2,347 records, and not a request more than the style takes."""
    with serving(answering(answer)) as server:
        assert ids(pages(f"{server.url}/emails", **source)) == [str(number) for number in range(1, MANY + 1)]
    assert len(server.requests) == requests


def page_of(*some, **more):
    return {"items": [{"id": each} for each in some]} | more


def documented(operation, example):
    """A source of an example in docs/connect.md, as a test's `source`."""
    text = next(each for each in EXAMPLES if example in each)
    tables = tomllib.loads(text)["sources"]
    found = next(each for each in tables if each["operation"] == operation)
    return {key: Next(**value) if key == "next" else value for key, value in found.items() if key != "list"}


@pytest.mark.parametrize(
    ("answer", "operation", "example"),
    [
        (stripe, "send.communications", "starting_after"),
        (laravel, "send.sms", "last_page"),
        (spring, "send.email", "totalElements"),
    ],
)
def test_the_documented_examples_list_every_record_once(answer, operation, example):
    """What docs/connect.md shows for Stripe, Laravel and Spring pages through such a list."""
    with serving(answering(answer)) as server:
        found = ids(pages(f"{server.url}/emails", **documented(operation, example)))
    assert found == [str(number) for number in range(1, MANY + 1)]


def test_the_documented_example_lists_every_record_of_a_rest_framework_list_once(rest):
    """What docs/connect.md shows for Django REST framework pages through its own pagination."""
    expected = fill(MANY)
    found = list(pages(f"{rest}/numbers", **documented("send.email", "created_after")))
    assert ids(found) == expected
    assert {page.total for page in found} == {MANY}
    assert {it.created_by for page in found for it in page.communications} == {"Jo"}


@pytest.mark.parametrize(
    "header",
    [
        '<?p=2>; rel="next"',
        "<?p=2>; rel=next",
        '</emails?p=0>; rel="prev", <?p=2>; rel="next"; title="2"',
        '<?p=2>; rel="last next"',
        '<?p=2>; rel="NEXT"',
    ],
)
def test_a_link_header_may_say_more(header):
    """Other links, other relations beside "next", and a relative URL (RFC 8288)."""
    answers = reply(200, page_of("a"), Link=header), reply(200, page_of("b"), Link='</emails>; rel="first"')
    with serving(in_turn(*answers)) as server:
        assert ids(pages(f"{server.url}/emails", items="items", next=Next(link=True))) == ["a", "b"]
    assert server.requests[1].query == {"p": "2"}


def test_a_link_to_another_host_is_not_followed():
    """As with URLs in the body."""
    answer = reply(200, page_of("a"), Link='<http://evil.example/>; rel="next"')
    server, message = fails(always(answer), next=Next(link=True))
    assert message.startswith("the list's next page is on http://evil.example, which application.toml does not name")
    assert len(server.requests) == 1


FOR_EVER = {
    "the same cursor": (page_of("a", next="c1"), {"next": Next(cursor="next", param="cursor")}),
    "the same last id": (page_of("a"), {"next": Next(last_id="after")}),
    "the same offset": (page_of("a"), {"next": Next(offset="start")}),
    "the same number": (page_of("a"), {"next": Next(page="seite")}),
    "always more": (page_of("a", more=True), {"next": Next(last_id="after", more="more")}),
}


AGAIN = "the list repeats the page "


@pytest.mark.parametrize(("page", "source"), FOR_EVER.values(), ids=FOR_EVER)
def test_a_list_that_gives_its_first_page_for_ever_fails(page, source):
    """An application that does not know the parameter is noticed at its second page or third, in every style."""
    server, message = fails(always(reply(200, page)), **source)
    assert message.startswith(AGAIN)
    assert message.endswith(" (see next in application.toml)")
    assert len(server.requests) <= 3


def test_new_urls_with_the_same_records_fail():
    """A URL that is new each time does not hide that the page is the same."""
    answer = answering(lambda request: reply(200, page_of("a", next=f"{request.path}x")))
    server, message = fails(answer, "/a", next=Next(url="next"))
    assert message.startswith(AGAIN)
    assert len(server.requests) == 2


def test_empty_pages_for_ever_fail():
    """New URLs with nothing on them are no list either."""
    answer = answering(lambda request: reply(200, page_of(next=f"?p={int(request.query.get('p', 0)) + 1}")))
    _, message = fails(answer, next=Next(url="next"))
    assert message.startswith("the list has 1,000 empty pages in a row and still goes on")


@pytest.mark.parametrize(
    ("source", "page", "message"),
    [
        (
            {"next": Next(cursor="next", param="c")},
            page_of("a", next=["b"]),
            "next.cursor = 'next' finds neither text nor a",
        ),
        (
            {"next": Next(cursor="next", param="c")},
            page_of("a", next=True),
            "next.cursor = 'next' finds neither text nor a",
        ),
        ({"next": Next(last_id="a", more="more")}, page_of("a", more="yes"), "next.more = 'more' finds neither true"),
        ({"next": Next(page="p", more="more")}, page_of("a"), "next.more = 'more' finds neither true nor false"),
        ({"total": "count"}, page_of("a", count="many"), "total = 'count' finds no whole number"),
        ({"total": "count"}, page_of("a", count=-1), "total = 'count' finds no whole number"),
    ],
)
def test_an_expression_that_finds_something_else_fails_the_list(source, page, message):
    """Ending the list there would be half a selection that says it is whole."""
    assert fails(always(reply(200, page)), **source)[1].startswith(message)


def test_a_page_says_where_it_is_where_the_next_one_is_and_how_many_there_are():
    """What the collector needs to go on later, and to count what it leaves out."""
    with serving(answering(stripe)) as server:
        first, second, *_ = pages(
            f"{server.url}/a", items="data", next=Next(last_id="starting_after", more="has_more"), total="length(data)"
        )
    assert (first.request.params, first.next, first.total) == ({}, second.request, 100)
    assert second.request.params == {"starting_after": "100"}
