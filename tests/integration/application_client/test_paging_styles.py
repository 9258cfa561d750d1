"""The paging of real frameworks and APIs, each described by a line of configuration, yields every record once."""

import re
import tomllib

import pytest

from chalicelib.application.config import Next
from sandbox.project import ROOT
from tests.integration.application_client.django_app import Email, replace_emails, serve_django
from tests.integration.application_client.helpers import ids_on, read_pages
from tests.servers import answering, reply, serving

TOTAL = 2_347

# The examples of application.toml in docs/connect.md.
EXAMPLES = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "connect.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def django_url(tmp_path_factory):
    """The URL of a Django REST framework application."""
    with serve_django(tmp_path_factory.mktemp("django")) as url:
        yield url


# -- Django REST framework's own pagination classes

DJANGO = {
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


@pytest.mark.parametrize(("path", "source"), DJANGO.values(), ids=DJANGO)
def test_each_django_rest_framework_paginator_yields_every_record_once(django_url, path, source):
    """The order is the application's. A request for a page that does not exist would fail."""
    expected = replace_emails(TOTAL)
    assert ids_on(read_pages(f"{django_url}/{path}", created="created", created_by="author", **source)) == expected


@pytest.mark.parametrize("number", [0, 1, 100, 200])
@pytest.mark.parametrize(("path", "source"), DJANGO.values(), ids=DJANGO)
def test_a_django_list_ends_correctly_if_it_is_empty_or_its_last_page_is_full(django_url, path, source, number):
    """The list has no record, one record, or pages that are exactly full."""
    expected = replace_emails(number)
    assert ids_on(read_pages(f"{django_url}/{path}", **source)) == expected


@pytest.mark.parametrize("path", ["cursors"])
def test_cursors_lose_no_record_if_the_list_shrinks_while_it_is_read(django_url, path):
    """Communications that were sent leave the list before the next page is read."""
    expected, found = replace_emails(TOTAL), []
    for page in read_pages(f"{django_url}/{path}", items="results", next=Next(url="next")):
        found += ids_on([page])
        Email.objects.filter(id__in=[int(each) for each in ids_on([page])]).delete()
    assert found == expected


@pytest.mark.parametrize(
    ("path", "source"), [("newest", {"next": Next(url="next")}), ("newest-offsets", {"next": Next(offset="offset")})]
)
def test_a_list_that_grows_at_its_front_yields_no_record_twice(django_url, path, source):
    """A new failure moves the others towards the next page."""
    expected, found = replace_emails(1_000), []
    for page in read_pages(f"{django_url}/{path}", items="results", **source):
        found += ids_on([page])
        Email.objects.create(author="Al")
    assert found == expected[::-1]


# -- the styles of other frameworks and APIs


def stripe(request):
    """As Stripe's lists: `starting_after` is the last id, `has_more` whether there is another page."""
    start = int(request.query.get("starting_after", "0"))
    data = [{"id": number} for number in range(start + 1, min(start + 100, TOTAL) + 1)]
    return reply(200, {"object": "list", "data": data, "has_more": start + 100 < TOTAL})


def last_id_only(request):
    """As Stripe's lists, without `has_more`."""
    start = int(request.query.get("after", "0"))
    return reply(200, [{"id": number} for number in range(start + 1, min(start + 100, TOTAL) + 1)])


def slack(request):
    """As Slack's lists: an opaque cursor in the body, and an empty one at the end."""
    start = int(request.query.get("cursor", "c0").removeprefix("c"))
    following = f"c{start + 100}" if start + 100 < TOTAL else ""
    data = [{"id": number} for number in range(start + 1, min(start + 100, TOTAL) + 1)]
    return reply(200, {"items": data, "response_metadata": {"next_cursor": following}})


def spring(request):
    """As Spring Data's pages: numbers from 0, and `last`."""
    number = int(request.query.get("page", "0"))
    content = [{"id": each} for each in range(number * 100 + 1, min(number * 100 + 100, TOTAL) + 1)]
    return reply(200, {"content": content, "number": number, "last": number == TOTAL // 100, "totalElements": TOTAL})


def laravel(request):
    """As Laravel's pages: numbers from 1, `meta.last_page`, and URLs in `links`."""
    number, last = int(request.query.get("page", "1")), -(-TOTAL // 100)
    data = [{"id": each} for each in range(number * 100 - 99, min(number * 100, TOTAL) + 1)]
    following = f"/emails?page={number + 1}" if number < last else None
    meta = {"current_page": number, "last_page": last, "total": TOTAL}
    return reply(200, {"data": data, "meta": meta, "links": {"next": following}})


def hal(request):
    """As HAL and JSON:API: the URL of the next page is the `href` of an object, which the last page does not have."""
    number = int(request.query.get("page", "1"))
    data = [{"id": each} for each in range(number * 100 - 99, min(number * 100, TOTAL) + 1)]
    links = {"next": {"href": f"?page={number + 1}"}} if number * 100 < TOTAL else {}
    return reply(200, {"_embedded": {"emails": data}, "_links": links})


STYLES = {
    "Stripe": (stripe, {"items": "data", "next": Next(last_id="starting_after", more="has_more")}, 24),
    "a last id only": (last_id_only, {"next": Next(last_id="after")}, 25),
    "Slack": (
        slack,
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
def test_each_paging_style_yields_every_record_once(answer, source, requests):
    """There are no more requests than the style needs."""
    with serving(answering(answer)) as server:
        assert ids_on(read_pages(f"{server.url}/emails", **source)) == [str(number) for number in range(1, TOTAL + 1)]
    assert len(server.requests) == requests


def documented_source(operation, example):
    """The keys of a source in the example of docs/connect.md that contains a given text."""
    text = next(each for each in EXAMPLES if example in each)
    tables = tomllib.loads(text)["sources"]
    source = next(each for each in tables if each["operation"] == operation)
    return {key: Next(**value) if key == "next" else value for key, value in source.items() if key != "list"}


@pytest.mark.parametrize(
    ("answer", "operation", "example"),
    [
        (stripe, "send.communications", "starting_after"),
        (laravel, "send.sms", "last_page"),
        (spring, "send.email", "totalElements"),
    ],
)
def test_the_examples_in_connect_md_yield_every_record_once(answer, operation, example):
    """They are for Stripe, Laravel and Spring."""
    with serving(answering(answer)) as server:
        found = ids_on(read_pages(f"{server.url}/emails", **documented_source(operation, example)))
    assert found == [str(number) for number in range(1, TOTAL + 1)]


def test_the_django_example_in_connect_md_yields_every_record_once(django_url):
    """It also finds the total and the author."""
    expected = replace_emails(TOTAL)
    found = list(read_pages(f"{django_url}/numbers", **documented_source("send.email", "created_after")))
    assert ids_on(found) == expected
    assert {page.total for page in found} == {TOTAL}
    assert {communication.created_by for page in found for communication in page.communications} == {"Jo"}


def test_a_page_has_its_own_request_the_next_request_and_the_total():
    """The collector needs them to resume later, and to count what it leaves out."""
    with serving(answering(stripe)) as server:
        first, second, *_ = read_pages(
            f"{server.url}/a", items="data", next=Next(last_id="starting_after", more="has_more"), total="length(data)"
        )
    assert (first.request.params, first.next, first.total) == ({}, second.request, 100)
    assert second.request.params == {"starting_after": "100"}
