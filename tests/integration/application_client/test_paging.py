"""How each kind of `next` leads from page to page, and which next pages fail the list."""

import pytest

from chalicelib.application.config import Next
from chalicelib.errors import ListingFailed
from chalicelib.models.selections import Selection
from tests.integration.application_client.helpers import (
    IDS,
    FakeSecret,
    email_source,
    ids_of,
    ids_on,
    list_all,
    listing_error,
    make_client,
    page_of,
    read_pages,
)
from tests.servers import always, answering, in_order, reply, serving


def answer_by_url(request, url=""):
    """Answer with 200 records a page and the URL of the next page."""
    start = int(request.query.get("cursor", "0"))
    following = f"{url}/emails/failed?page_size=200&cursor={start + 200}" if start + 200 < len(IDS) else None
    return page_of(*IDS[start : start + 200], next=following)


def answer_by_number(request):
    """Answer with 200 records a page; the query has the number of the page, from 1."""
    start = (int(request.query["page"]) - 1) * 200
    return page_of(*IDS[start : start + 200])


def test_absolute_next_urls_yield_every_record_once():
    """2,347 records on 12 pages take 12 requests."""
    with serving(answering(lambda request: answer_by_url(request, server.url))) as server:
        found = list_all(server.url, email_source(server.url, next=Next(url="next"), params={"page_size": 200}))
    assert ids_of(found) == IDS
    assert len(server.requests) == 12
    assert {request.query["page_size"] for request in server.requests} == {"200"}


def test_relative_next_urls_yield_every_record_once():
    """A URL without a scheme and host is on the same host."""
    with serving(answering(answer_by_url)) as server:
        found = list_all(server.url, email_source(server.url, next=Next(url="next")))
    assert ids_of(found) == IDS


def test_a_next_url_may_be_only_a_query():
    """`?cursor=2` is the same path with another query."""
    with serving(in_order(page_of("a", next="?cursor=2"), page_of("b", next=None))) as server:
        found = list_all(server.url, email_source(server.url, next=Next(url="next")))
    assert ids_of(found) == ["a", "b"]
    assert [(request.path, request.query) for request in server.requests] == [
        ("/emails/failed", {}),
        ("/emails/failed", {"cursor": "2"}),
    ]


def test_page_numbers_yield_every_record_once():
    """2,347 records are on 12 pages; the empty 13th page ends the list."""
    with serving(answering(answer_by_number)) as server:
        found = list_all(server.url, email_source(server.url, next=Next(page="page"), params={"per_page": 200}))
    assert ids_of(found) == IDS
    assert [request.query["page"] for request in server.requests] == [str(number) for number in range(1, 14)]
    assert {request.query["per_page"] for request in server.requests} == {"200"}


def test_page_numbers_may_start_at_zero():
    """`first` is the number of the first page."""
    source = {"next": Next(page="page", first=0)}
    with serving(in_order(page_of("a"), page_of())) as server:
        assert len(list_all(server.url, email_source(server.url, **source))) == 1
    assert [request.query["page"] for request in server.requests] == ["0", "1"]


def test_an_empty_page_with_a_next_url_does_not_end_the_list():
    """Applications that filter after paging return such pages."""
    with serving(in_order(page_of("a", next="?p=2"), page_of(next="?p=3"), page_of("b"))) as server:
        assert len(list_all(server.url, email_source(server.url, next=Next(url="next")))) == 2


def test_a_page_is_requested_only_when_the_previous_one_is_used():
    """A collector that stops at a limit must not request pages that it does not need."""
    with serving(answering(answer_by_number)) as server:
        source = email_source(server.url, next=Next(page="page"))
        pages = make_client(server.url, source=source).failed_pages(source, Selection())
        assert len(next(pages).communications) == 200
        pages.close()
    assert len(server.requests) == 1


def test_a_short_page_that_only_repeats_does_not_end_a_list_that_goes_on():
    """Where a cursor is a time and the application filters after paging, a page may hold only the last record."""
    pages = [page_of("a", "b", next="?p=2"), page_of("b", next="?p=3"), page_of("c", next=None)]
    with serving(in_order(*pages)) as server:
        assert ids_of(list_all(server.url, email_source(server.url, next=Next(url="next")))) == ["a", "b", "c"]


# -- next pages that fail the list


def test_a_next_url_that_never_changes_fails_the_list():
    """The list would never end."""
    with serving(always(page_of("a", next="?p=2"))) as server:
        message = listing_error(server.url, email_source(server.url, next=Next(url="next")))
    assert message == f"the list repeats a page of {server.url}/emails/failed, so it would never end"
    assert len(server.requests) == 2


def test_next_urls_in_a_cycle_fail_the_list():
    """Comparing a page with the one before it would not be enough."""
    answer = answering(lambda request: page_of("a", next=f"?p={(int(request.query.get('p', 0)) + 1) % 5}"))
    with serving(answer) as server:
        message = listing_error(server.url, email_source(server.url, next=Next(url="next")))
    assert message.startswith("the list repeats a page")
    assert len(server.requests) < 10


def test_an_application_that_ignores_the_page_parameter_fails_the_list():
    """It returns its first page for every number, which is neither endless nor the whole list."""
    with serving(always(page_of("a", "b"))) as server:
        message = listing_error(server.url, email_source(server.url, next=Next(page="no_such_parameter")))
    assert message.startswith("the list repeats a page ")
    assert len(server.requests) == 3


@pytest.mark.parametrize("source", [{"next": Next(page="page")}, {"next": Next(url="next")}], ids=["number", "url"])
@pytest.mark.parametrize("grows_at", [2, 4, 5])
def test_a_list_that_grows_by_one_whole_page_between_two_reads_is_read_to_its_end(source, grows_at):
    """New failures have moved the page that was read to the number of the next one: that is no list without an end."""
    ids = [f"id-{number}" for number in range(8)]

    def answer(request):
        number = int(request.query.get("page", "1"))
        if number == grows_at and len(ids) == 8:
            ids[:0] = ["new-1", "new-2"]
        start = 2 * (number - 1)
        more = start + 2 < len(ids)
        return page_of(*ids[start : start + 2], next=f"?page={number + 1}" if more else None)

    with serving(answering(answer)) as server:
        found = ids_of(list_all(server.url, email_source(server.url, **source)))
    assert found == [f"id-{number}" for number in range(8)]


@pytest.mark.parametrize(
    "following",
    [
        *["http://127.0.0.1:1/emails", "//evil.example/emails", "https://127.0.0.1/emails", "ftp://127.0.0.1/"],
        *["http://user@127.0.0.1/", "javascript:alert(1)", "file:///etc/passwd", "http://evil.example\\@127.0.0.1/"],
    ],
)
def test_a_next_url_on_another_host_is_not_requested(following):
    """The request would carry the secret to a host that application.toml does not name."""
    with serving(always(page_of("a", next=following))) as server:
        source = email_source(server.url, next=Next(url="next"))
        message = listing_error(server.url, source, secret=FakeSecret("s3cret"))
    assert message.startswith("the list's next page is on ")
    assert message.endswith(", which application.toml does not name")
    assert len(server.requests) == 1


def test_the_error_about_another_host_shows_its_name_quoted_and_short_without_a_password():
    """It is mailed: text must not look like ours, and a password must not leave the application."""
    host = "Your account is blocked. Call " + "9" * 1_000
    with serving(always(page_of("a", next=f"http://ada:s3cret@{host}/x"))) as server:
        message = listing_error(server.url, email_source(server.url, next=Next(url="next")))
    assert message.startswith("the list's next page is on 'http://...@your account is blocked. call 999")
    assert message.endswith("...', which application.toml does not name")
    assert len(message) < 300
    assert "s3cret" not in message


def test_an_error_on_a_later_page_does_not_show_the_url_that_the_application_wrote():
    """Its path may say anything."""
    first = page_of("a", next="/Your%20account%20is%20blocked")
    with serving(in_order(first, reply(500))) as server:
        message = listing_error(server.url, email_source(server.url, next=Next(url="next")))
    assert message == f"{server.url}/emails/failed answered 500, not 200"


def test_a_next_url_on_another_port_is_not_requested():
    """Another port is another server."""
    with serving(always(page_of())) as other, serving(always(page_of("a", next=f"{other.url}/emails"))) as server:
        message = listing_error(server.url, email_source(server.url, next=Next(url="next")))
    assert message.startswith("the list's next page is on ")
    assert other.requests == []


def test_the_host_of_a_next_url_is_compared_without_case():
    """Host names are case-insensitive (RFC 9110, section 4.2.3)."""

    def answer(request):
        return page_of(request.path, next=None if request.query else f"{url}/x?p=2")

    with serving(answering(answer)) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        in_capitals = url.replace("localhost", "LOCALHOST")
        assert len(list_all(in_capitals, email_source(in_capitals, next=Next(url="next")))) == 2


@pytest.mark.parametrize("following", [5, True, ["?p=2"], {"href": "?p=2"}, "http://[::1", "//["], ids=repr)
def test_a_next_url_that_is_not_a_url_fails_the_list(following):
    """The expression is wrong, and would otherwise end the list early."""
    with serving(always(page_of("a", next=following))) as server:
        message = listing_error(server.url, email_source(server.url, next=Next(url="next")))
    assert message == "next.url finds something that is not a URL"


@pytest.mark.parametrize("following", [None, ""])
def test_a_missing_next_url_ends_the_list(following):
    """It may be null or an empty text, or its key may be missing."""
    with serving(always(page_of("a", next=following))) as server:
        assert len(list_all(server.url, email_source(server.url, next=Next(url="next")))) == 1
        assert len(list_all(server.url, email_source(server.url, next=Next(url="paging.next")))) == 1


# -- the other kinds of `next`


def items(*ids, **fields):
    """The body of a page: records with these ids under `items`."""
    return {"items": [{"id": each} for each in ids]} | fields


def failing_list(answer, path="", **source):
    """Read a list that fails; return the server and the error's message without the source."""
    with serving(answer) as server, pytest.raises(ListingFailed) as caught:
        ids_on(read_pages(server.url + path, items="items", **source))
    return server, str(caught.value).partition("send.email: ")[2]


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
def test_a_link_header_may_contain_other_links_and_relations(header):
    """Its URL may be relative, too (RFC 8288)."""
    answers = reply(200, items("a"), Link=header), reply(200, items("b"), Link='</emails>; rel="first"')
    with serving(in_order(*answers)) as server:
        assert ids_on(read_pages(f"{server.url}/emails", items="items", next=Next(link=True))) == ["a", "b"]
    assert server.requests[1].query == {"p": "2"}


def test_a_link_header_to_another_host_is_not_followed():
    """The same rule as for URLs in the body."""
    answer = reply(200, items("a"), Link='<http://evil.example/>; rel="next"')
    server, message = failing_list(always(answer), next=Next(link=True))
    assert message.startswith("the list's next page is on 'http://evil.example', which application.toml does not name")
    assert len(server.requests) == 1


ENDLESS = {
    "the same cursor": (items("a", next="c1"), {"next": Next(cursor="next", param="cursor")}),
    "the same last id": (items("a"), {"next": Next(last_id="after")}),
    "the same offset": (items("a"), {"next": Next(offset="start")}),
    "the same number": (items("a"), {"next": Next(page="no_such_parameter")}),
    "always more": (items("a", more=True), {"next": Next(last_id="after", more="more")}),
}

REPEATS = "the list repeats a page of "


@pytest.mark.parametrize(("page", "source"), ENDLESS.values(), ids=ENDLESS)
def test_a_list_that_repeats_its_first_page_fails_in_every_paging_style(page, source):
    """An application that ignores the parameter is noticed at its second or third page."""
    server, message = failing_list(always(reply(200, page)), **source)
    assert message.startswith(REPEATS)
    assert message.endswith(" (see next in application.toml)")
    assert len(server.requests) <= 3


def test_new_next_urls_with_the_same_records_fail_the_list():
    """A URL that is new each time does not hide that the page is the same."""
    answer = answering(lambda request: reply(200, items("a", next=f"{request.path}x")))
    server, message = failing_list(answer, "/a", next=Next(url="next"))
    assert message.startswith(REPEATS)
    assert len(server.requests) == 3


def test_endless_empty_pages_fail_the_list():
    """Each page has a new URL, so no page repeats."""
    answer = answering(lambda request: reply(200, items(next=f"?p={int(request.query.get('p', 0)) + 1}")))
    _, message = failing_list(answer, next=Next(url="next"))
    assert message.startswith("the list has 1,000 empty pages in a row and still goes on")


@pytest.mark.parametrize(
    ("source", "page", "message"),
    [
        (
            {"next": Next(cursor="next", param="c")},
            items("a", next=["b"]),
            "next.cursor = 'next' finds neither text nor a",
        ),
        (
            {"next": Next(cursor="next", param="c")},
            items("a", next=True),
            "next.cursor = 'next' finds neither text nor a",
        ),
        ({"next": Next(last_id="a", more="more")}, items("a", more="yes"), "next.more = 'more' finds neither true"),
        ({"next": Next(page="p", more="more")}, items("a"), "next.more = 'more' finds neither true nor false"),
        ({"total": "count"}, items("a", count="many"), "total = 'count' finds no whole number"),
        (
            {"total": "count"},
            items("a", count=10**12 + 1),
            "total = 'count' finds no whole number up to 1,000,000,000,000",
        ),
        ({"next": Next(url="next")}, items("a", next="x" * 8_000), "the next page's URL or cursor has "),
        (
            {"next": Next(cursor="next", param="c")},
            items("a", next="x" * 8_001),
            "the next page's URL or cursor has 8,001 ",
        ),
        ({"total": "count"}, items("a", count=-1), "total = 'count' finds no whole number"),
    ],
)
def test_a_paging_expression_that_finds_the_wrong_type_fails_the_list(source, page, message):
    """Ending the list there would pass off half a selection as the whole."""
    assert failing_list(always(reply(200, page)), **source)[1].startswith(message)
