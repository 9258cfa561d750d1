"""Reading a list: the request, its records, and the answers that fail the list."""

import gzip
import time

import msgspec
import pytest

from chalicelib import times
from chalicelib.application import http_exchange
from chalicelib.application.config import Next
from chalicelib.errors import ListingFailed
from chalicelib.models.communications import Communication
from chalicelib.models.selections import Selection
from tests.fakes import FakeClock
from tests.integration.application_client.helpers import (
    AT_MOST,
    DEADLINE,
    IDS,
    SLOW_BODY,
    THROTTLED,
    FakeSecret,
    email_source,
    ids_of,
    list_all,
    listing_error,
    make_client,
    page_of,
)
from tests.servers import (
    always,
    answering,
    closed_port,
    cut_after_request,
    cut_at_once,
    dripping,
    in_order,
    reply,
    serving,
    silent,
)


def detailed_source(url, **keys):
    """A source that also has the author and the times of a record."""
    return email_source(url, created="created_at", created_by="author", failed_at="failed_at", **keys)


def test_a_source_without_next_is_read_with_one_request():
    """The page may also be a plain list."""
    with serving(always(reply(200, [{"id": "a"}, {"id": "b"}]))) as server:
        assert len(list_all(server.url, email_source(server.url, items="@"))) == 2
    assert len(server.requests) == 1


def test_an_empty_list_yields_no_communications():
    """That is not an error: nothing has failed."""
    with serving(always(page_of(next=None))) as server:
        assert list_all(server.url, email_source(server.url, next=Next(url="next"))) == []


def test_filters_that_a_source_supports_are_sent_under_its_own_names():
    """The collector applies the others itself."""
    selection = Selection(
        created_after="2026-11-19T00:00:00.000Z", created_before="2026-11-20T00:00:00.000Z", created_by="J&ö"
    )
    with serving(always(page_of())) as server:
        source = email_source(
            server.url, params={"size": 5, "author": "all"}, filters={"createdAfter": "since", "createdBy": "author"}
        )
        list_all(server.url, source, selection)
    assert server.requests[0].query == {"size": "5", "since": "2026-11-19T00:00:00.000Z", "author": "J&ö"}


def test_a_list_request_asks_for_json_and_carries_the_credentials():
    """Lists and POSTs use the same credentials."""
    with serving(always(page_of())) as server:
        list_all(server.url, secret=FakeSecret("s3cret"))
    assert server.requests[0].headers["Accept"] == "application/json"
    assert server.requests[0].headers["Authorization"] == "Bearer s3cret"


def test_listed_at_is_the_time_just_before_its_page_was_requested():
    """Whatever happens to a communication while the page is under way is newer than the page."""
    clock = FakeClock()
    began = clock()

    def answer(request):
        clock.advance(1_000)
        return page_of(f"id-{request.query['page']}") if request.query["page"] != "3" else page_of()

    with serving(answering(answer)) as server:
        found = list_all(server.url, email_source(server.url, next=Next(page="page")), clock=clock)
    assert [communication.listed_at for communication in found] == [began, began + 1_000]


# -- records


def test_a_record_becomes_a_communication():
    """The configured expressions pick what is needed later; the other fields may be personal and are dropped."""
    record = {
        "meta": {"id": 17},
        "created_at": "2026-11-20T09:30:00.250+02:00",
        "failed_at": "2026-11-20 08:00:00",
        "author": "Jö",
        "address": "jo@example.com",
    }
    clock = FakeClock()
    with serving(always(reply(200, {"results": [record]}))) as server:
        (found,) = list_all(server.url, detailed_source(server.url, id="meta.id"), clock=clock)
    assert found == Communication(
        operation="send.email",
        primary_id="17",
        listed_at=clock(),
        created_by="Jö",
        created=times.parse_iso("2026-11-20T07:30:00.250Z"),
        since=times.parse_iso("2026-11-20T08:00:00Z"),
    )


@pytest.mark.parametrize(
    ("value", "primary_id"),
    [
        *[("a", "a"), (17, "17"), (0, "0"), (-5, "-5"), (10**18, "1" + "0" * 18), ("1\n2", "1\n2"), ("🙂", "🙂")],
        *[
            ("a#b", "a#b"),
            ("a/../b", "a/../b"),
            (" ", " "),
            ("\0", "\0"),
            ("x" * 512, "x" * 512),
            ("🙂" * 128, "🙂" * 128),
        ],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_id_is_kept_exactly_as_listed(value, primary_id):
    """Text is not changed, and a whole number becomes its digits."""
    with serving(always(page_of(value))) as server:
        assert list_all(server.url)[0].primary_id == primary_id


@pytest.mark.parametrize("number", [10**30, 2**64, -(2**70)])
def test_a_huge_number_as_an_id_keeps_all_its_digits(number):
    """It must not become a float."""
    with serving(always(reply(200, b'{"results": [{"id": %d}]}' % number))) as server:
        assert list_all(server.url)[0].primary_id == str(number)


@pytest.mark.parametrize(
    "record",
    [
        *[
            {"id": None},
            {"id": ""},
            {"id": True},
            {"id": False},
            {"id": 1.5},
            {"id": 1e3},
            {"id": ["a"]},
            {"id": {"a": 1}},
        ],
        *[{"id": "x" * 513}, {"id": "🙂" * 129}, {}, {"Id": "a"}, None, "a", 5, [], [{"id": "a"}]],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_record_without_a_valid_id_fails_the_list(record):
    """Skipping it would silently lose a communication."""
    with serving(always(reply(200, {"results": [{"id": "a"}, record]}))) as server:
        message = listing_error(server.url)
    assert message.startswith("id = 'id' finds ")
    assert message.endswith(", not a text of 1 to 512 bytes in JSON or a whole number (record 2 of page 1)")


@pytest.mark.parametrize(
    ("author", "created_by"),
    [
        *[
            ("Jö", "Jö"),
            (17, "17"),
            (None, None),
            ("", None),
            (True, None),
            (1.5, None),
            (["Jo"], None),
            ({"a": 1}, None),
        ],
        ("x" * 300, "x" * 256),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_author_that_is_neither_text_nor_a_number_is_dropped(author, created_by):
    """The POST then names whoever requested the run. Long text is cut at 256 characters."""
    with serving(always(reply(200, {"results": [{"id": "a", "author": author}]}))) as server:
        assert list_all(server.url, detailed_source(server.url))[0].created_by == created_by


@pytest.mark.parametrize(
    ("created_at", "failed_at", "created", "since"),
    [
        ("2026-11-20T09:30:00Z", None, "2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
        ("2026-11-20T09:30:00Z", "2026-11-20T10:00:00Z", "2026-11-20T09:30:00Z", "2026-11-20T10:00:00Z"),
        (None, "2026-11-20T10:00:00Z", None, "2026-11-20T10:00:00Z"),
        ("2026-11-20T09:30:00", None, "2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
        ("2026-11-20T04:30:00-05:00", None, "2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
        ("2000-01-01T00:00:00Z", None, "2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
        ("2199-12-31T23:59:59Z", "2026-11-20T10:00:00Z", "2199-12-31T23:59:59Z", "2026-11-20T10:00:00Z"),
        (None, None, None, None),
    ],
)
def test_the_age_counts_from_the_failure_or_else_from_the_creation(created_at, failed_at, created, since):
    """Null is no time, and a time without a zone is UTC. Only the time that counts must not be in the future."""
    record = {"id": "a", "created_at": created_at, "failed_at": failed_at}
    with serving(always(reply(200, {"results": [record]}))) as server:
        (found,) = list_all(server.url, detailed_source(server.url))
    assert (found.created, found.since) == (created and times.parse_iso(created), since and times.parse_iso(since))


@pytest.mark.parametrize("key", ["created_at", "failed_at"])
@pytest.mark.parametrize(
    "value",
    [
        *[
            "",
            "yesterday",
            "2026-02-30",
            "20261120",
            "1711111320101",
            1_711_111_320_101,
            1_763_631_000,
            0,
            1.5,
            True,
            [],
        ],
        *["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", {"date": "2026-11-20"}],
        *["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31"],
    ],
    ids=repr,
)
def test_an_invalid_time_fails_the_list(key, value):
    """Ignoring it could send stale communications. A number is refused because its unit is unknown."""
    with serving(always(reply(200, {"results": [{"id": "a", key: value}]}))) as server:
        message = listing_error(server.url, detailed_source(server.url))
    assert f" = {key!r} finds " in message
    assert ", not an ISO 8601 time such as 2026-11-20T09:30:00Z in the years 2000 to 2200 (record 1" in message


@pytest.mark.parametrize("key", ["created_at", "failed_at"])
@pytest.mark.parametrize("minutes", [31, 120, 60 * 24 * 365 * 100])
def test_a_failure_in_the_future_fails_the_list(key, minutes):
    """A mistaken zone or a placeholder: with min_age it would be sent hours later, or never, and nobody would know."""
    clock = FakeClock()
    value = times.format_iso(clock() + minutes * 60_000)
    with serving(always(reply(200, {"results": [{"id": "a", key: value}]}))) as server:
        message = listing_error(server.url, detailed_source(server.url), clock=clock)
    assert f"finds {value}, which is " in message
    assert "in the future: check its zone (without one it is UTC) (record 1 of page 1, id 'a')" in message


def test_a_failure_that_is_a_little_ahead_of_our_clock_is_read():
    """Clocks differ by minutes, zones by an hour and more."""
    clock = FakeClock()
    value = times.format_iso(clock() + 30 * 60_000)
    with serving(always(reply(200, {"results": [{"id": "a", "failed_at": value}]}))) as server:
        (found,) = list_all(server.url, detailed_source(server.url), clock=clock)
    assert times.format_iso(found.since) == value


def test_unreadable_records_are_left_out_and_counted_if_the_source_says_so():
    """The others are read, on every page, and the list ends where it would end anyway."""
    bad, good = {"id": None}, {"id": "a"}
    pages = (reply(200, {"results": [bad, good, bad], "next": "?p=2"}), reply(200, {"results": [bad]}))
    with serving(in_order(*pages)) as server:
        source = email_source(server.url, next=Next(url="next"), unreadable="skip")
        found = list(make_client(server.url, source=source).failed_pages(source, Selection()))
    assert [ids_of(page.communications) for page in found] == [["a"], []]
    assert [page.unreadable for page in found] == [2, 1]


@pytest.mark.parametrize(
    ("key", "expression"),
    [("items", "sort_by(results, &id)"), ("id", "length(id)"), ("created_by", "abs(id)"), ("failed_at", "unknown(id)")],
)
def test_an_expression_that_does_not_fit_a_record_fails_the_list(key, expression):
    """JMESPath functions check their types only when they meet real records."""
    answer = reply(200, {"results": [{"id": "a"}, {"id": 5}]})
    with serving(always(answer)) as server:
        message = listing_error(server.url, email_source(server.url, **{key: expression}))
    assert message.startswith(f"{key} = {expression!r} does not fit the answer: ")


# -- failures


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(200, b"<html>Please log in</html>", Content_Type="text/html"), "{} did not answer with JSON"),
        (reply(200, b""), "{} did not answer with JSON"),
        (reply(200, b'{"results": ['), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": NaN}]}'), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": 1e999}]}'), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": %s}]}' % (b"9" * 5_000)), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": "\\ud800"}]}'), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": "M\xfcller"}]}'), "{} did not answer with JSON"),
        (reply(200, b"[" * 100_000 + b"]" * 100_000), "{} did not answer with JSON"),
        (reply(200, {"result": []}), "items = 'results' finds no list in the answer"),
        (reply(200, {"results": None}), "items = 'results' finds no list in the answer"),
        (reply(200, {"results": {"id": "a"}}), "items = 'results' finds no list in the answer"),
        (reply(200, None), "items = 'results' finds no list in the answer"),
        (reply(200, []), "items = 'results' finds no list in the answer"),
        (reply(200, {"error": "not logged in"}), "items = 'results' finds no list in the answer"),
        (reply(204), "{} answered 204, not 200"),
        (reply(206, {"results": []}), "{} answered 206, not 200"),
        (reply(302, Location="/login"), "{} answered 302, not 200"),
        (reply(401), "{} answered 401, not 200"),
        (reply(404), "{} answered 404, not 200"),
        (reply(429), "{} answered 429, not 200"),
        (reply(500), "{} answered 500, not 200"),
        (reply(200, b"x" * (http_exchange.MAX_BODY + 1)), "{}: the answer is larger than 10,000,000 bytes"),
        (
            reply(200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"),
            "{}: the answer is larger than 10,000,000 bytes",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_answer_that_is_not_a_list_fails_the_list(answer, message):
    """The message names the source, the URL, and what was wrong."""
    with serving(always(answer)) as server:
        assert listing_error(server.url) == message.format(f"{server.url}/emails/failed")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("converse", "message"),
    [
        pytest.param(cut_at_once, " cannot be read: connection_cut", id="cut before"),
        pytest.param(cut_after_request, " cannot be read: connection_cut", id="cut after"),
        pytest.param(silent, " cannot be read: no_answer_in_time", id="silent"),
        pytest.param(
            dripping(b"", b"HTTP/1.1 200 OK\r\n" + SLOW_BODY), " cannot be read: no_answer_in_time", id="slow headers"
        ),
        pytest.param(
            dripping(reply(200, Content_Length="1200"), SLOW_BODY), ": no complete answer in time", id="slow body"
        ),
        pytest.param(dripping(reply(200, b"[", Content_Length="5"), b""), ": the answer ended early: ", id="cut body"),
        pytest.param(
            dripping(
                reply(200, Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"") + b"1\r\n[\r\n", b""
            ),
            ": the answer ended early: ",
            id="cut chunks",
        ),
    ],
)
def test_a_broken_or_slow_connection_fails_the_list(converse, message):
    """It does so in bounded time. The message has the URL and a code for what happened."""
    with serving(converse) as server:
        began = time.monotonic()
        error = listing_error(server.url, email_source(server.url, timeout=DEADLINE))
        assert time.monotonic() - began < AT_MOST
    assert error.startswith(f"{server.url}/emails/failed{message}")


def test_a_refused_connection_fails_the_list():
    """Its code differs from that of a connection that was cut."""
    with closed_port() as url:
        assert listing_error(url) == f"{url}/emails/failed cannot be read: connection_refused"


def test_an_untrusted_certificate_fails_the_list(tls_context):
    """The server never gets the request."""
    with serving(always(page_of()), tls_context) as server:
        assert listing_error(server.url) == f"{server.url}/emails/failed cannot be read: tls_failed"
    assert server.requests == []


def test_a_gzipped_list_that_arrives_in_pieces_is_read_completely():
    """The first piece decompresses to nothing, which must not look like the end."""
    packed = gzip.compress(msgspec.json.encode({"results": [{"id": each} for each in IDS]}))

    def in_pieces(server, connection):
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(reply(200, Content_Encoding="gzip", Content_Length=str(len(packed))))
            for piece in (packed[:5], packed[5:15], packed[15:]):
                server.over.wait(0.02)
                connection.sendall(piece)

    with serving(in_pieces) as server:
        assert ids_of(list_all(server.url)) == IDS


def test_the_error_message_omits_the_query():
    """A query contains names, and messages are stored and mailed."""
    source = {"filters": {"createdBy": "author"}, "params": {"key": "k"}}
    with serving(always(reply(500))) as server:
        message = listing_error(
            server.url, email_source(f"{server.url}", **source), selection=Selection(created_by="Jo Doe")
        )
    assert message == f"{server.url}/emails/failed answered 500, not 200"


@pytest.mark.parametrize("bad", [reply(500), reply(401), reply(200, b"<html>"), reply(200, {"results": None})])
def test_an_error_on_a_later_page_fails_the_whole_list(bad):
    """The pages before it have been returned; only the error shows that they are not all."""
    with serving(in_order(page_of("a", next="?p=2"), bad)) as server:
        source = email_source(server.url, next=Next(url="next"))
        pages = make_client(server.url, source=source).failed_pages(source, Selection())
        assert ids_of(next(pages).communications) == ["a"]
        with pytest.raises(ListingFailed, match=r"^send.email: "):
            next(pages)
        assert list(pages) == []


def test_a_secret_rotated_between_two_pages_is_reread():
    """The refused page is requested again, so nothing is missing."""
    old, new = "Bearer old", "Bearer new"

    def answer(request):
        valid = old if "p" not in request.query else new
        return (
            page_of(f"id-{len(request.query)}", next=None if request.query else "?p=2")
            if request.headers["Authorization"] == valid
            else reply(401)
        )

    with serving(answering(answer)) as server:
        found = list_all(server.url, email_source(server.url, next=Next(url="next")), secret=FakeSecret("old", "new"))
    assert ids_of(found) == ["id-0", "id-1"]


@pytest.mark.parametrize("values", [[None], ["old", None]])
def test_an_unreadable_secret_fails_the_list(values):
    """The message names the secret, whether it was read before the first page or after a 401."""
    with serving(always(reply(401))) as server:
        message = listing_error(server.url, secret=FakeSecret(*values))
    assert message == "the secret 'app' cannot be read: AccessDeniedException"


def test_a_secret_that_aws_cannot_give_now_fails_the_list():
    """The next run reads it again."""
    with serving(always(page_of())) as server:
        message = listing_error(server.url, secret=FakeSecret(THROTTLED))
    assert message == "the secret 'app' cannot be read now: ThrottlingException"
