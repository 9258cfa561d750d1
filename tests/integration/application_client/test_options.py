"""The options of application.toml that adapt requests and answers: methods, headers, names, statuses, times."""

import json

import pytest

from chalicelib import times
from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Filter, Next, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.errors import CommunicationRejected, ListingFailed, OutcomeUnknown, ReprocessError
from chalicelib.models.selections import Selection
from tests.fakes import FakeClock
from tests.integration.application_client.helpers import ids_of
from tests.servers import always, answering, in_order, reply, serving

PAYLOAD = {"primaryId": "1", "operation": "send.email", "createdBy": "Jo", "created": "2026-11-20T09:30:00.000Z"}


def make_client(url, auth=None, **reprocess):
    configuration = Configuration(
        sources=[email_source(url)], reprocess=Reprocess(url=f"{url}/post", **reprocess), auth=auth or Auth()
    )
    clock = FakeClock()
    return ApplicationClient(configuration, Credentials(configuration.auth, lambda _: "s3cret", clock), clock)


def email_source(url, **options):
    defaults = {"operation": "send.email", "list": f"{url}/emails", "cool_down": "1h", "items": "results"}
    return Source(**defaults | options)


def list_all(url, selection=None, **options):
    source = email_source(url, **options)
    pages = make_client(url, Auth(type="bearer", secret="app")).failed_pages(source, selection or Selection())
    return [communication for page in pages for communication in page.communications]


def send(url, **options):
    """Send one communication; return the type of the error that this raises, or None."""
    try:
        make_client(url, **options).reprocess(PAYLOAD, "key-1", "run-1")
    except ReprocessError as error:
        return type(error)
    return None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_the_method_the_headers_and_the_field_names_are_configurable(method):
    """Fields that are not mapped keep their names, and the headers of comms-reprocess are sent as well."""
    headers = {"X-Tenant": "blue", "Content-Type": "application/vnd.api+json"}
    with serving(always(reply(202))) as server:
        send(
            server.url,
            auth=Auth(type="header", secret="app"),
            method=method,
            headers=headers,
            fields={"primaryId": "id", "createdBy": "author"},
        )
    (request,) = server.requests
    assert request.method == method
    assert json.loads(request.body) == {
        "id": "1",
        "operation": "send.email",
        "author": "Jo",
        "created": PAYLOAD["created"],
    }
    expected = headers | {"Idempotency-Key": "key-1", "X-Run-Id": "run-1", "X-Api-Key": "s3cret"}
    assert {name: request.headers[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("status", "settings", "expected"),
    [
        (200, {"accepted": [202]}, OutcomeUnknown),
        (202, {"accepted": [202]}, None),
        (404, {"accepted": [404]}, None),
        (200, {"rejected": [200]}, CommunicationRejected),
        (403, {"rejected": [403]}, CommunicationRejected),
        (302, {"rejected": [302]}, CommunicationRejected),
        (303, {"accepted": [303]}, None),
        (503, {"doubtful": [503]}, OutcomeUnknown),
        (404, {"doubtful": [404]}, OutcomeUnknown),
        (302, {"doubtful": [302]}, OutcomeUnknown),
        (201, {"doubtful": [201]}, OutcomeUnknown),
        (409, {"already_sent": [409]}, None),
        (201, {}, None),
    ],
)
def test_the_meaning_of_a_status_is_configurable(status, settings, expected):
    """A 2xx that is not in `accepted` is an unknown outcome, so it is not sent again at once."""
    with serving(always(reply(status))) as server:
        assert send(server.url, **settings) is expected


def test_list_requests_carry_the_configured_headers():
    """They may name a tenant or a version, and are sent in addition to the credentials."""
    with serving(always(reply(200, {"results": []}))) as server:
        list_all(server.url, headers={"X-Tenant": "blue", "Accept": "application/hal+json"})
    headers = server.requests[0].headers
    assert (headers["X-Tenant"], headers["Accept"], headers["Authorization"]) == (
        "blue",
        "application/hal+json",
        "Bearer s3cret",
    )


def test_a_filter_by_ids_is_sent_in_chunks_and_each_chunk_is_paged():
    """`at_once` is the largest number of ids in one request."""

    def answer(request):
        chunk = request.query["id"].split(",")
        page = int(request.query["page"])
        return reply(200, {"results": [{"id": each} for each in chunk[page - 1 : page]]})

    ids = [f"id-{number}" for number in range(5)]
    filters = {"primaryIds": Filter(param="id", list="joined", at_once=2)}
    with serving(answering(answer)) as server:
        found = list_all(server.url, Selection(primary_ids=ids), filters=filters, next=Next(page="page"))
    assert ids_of(found) == ids
    assert len(server.requests) == 3 + 3 + 2


# -- times


@pytest.mark.parametrize(
    ("style", "value", "expected"),
    [
        ("iso", "2026-11-20T09:30:00+05:30", "2026-11-20T04:00:00Z"),
        ("iso", "2026-11-20T09:30:00", "2026-11-20T09:30:00Z"),
        ("epoch", 1_795_167_000, "2026-11-20T09:30:00Z"),
        ("epoch", 1_795_167_000.25, "2026-11-20T09:30:00.250Z"),
        ("epoch", "1795167000", "2026-11-20T09:30:00Z"),
        ("epoch_ms", 1_795_167_000_250, "2026-11-20T09:30:00.250Z"),
        ("epoch_ms", "1795167000250", "2026-11-20T09:30:00.250Z"),
        ("epoch", None, None),
    ],
)
def test_times_are_read_in_the_configured_format(style, value, expected):
    """A time may have an offset or no zone (UTC), and may be a number or digits."""
    with serving(always(reply(200, {"results": [{"id": 1, "at": value}]}))) as server:
        (found,) = list_all(server.url, created="at", times=style)
    assert found.created == (expected and times.parse_iso(expected))


@pytest.mark.parametrize(
    ("style", "value"),
    [
        ("epoch", 1_795_167_000_250),
        ("epoch_ms", 1_795_167_000),
        ("epoch", 0),
        ("epoch", -1),
        ("epoch", "2026-11-20T09:30:00Z"),
        ("epoch", True),
        ("epoch", [1_795_167_000]),
        ("epoch", "nan"),
        ("epoch", "1e999"),
        ("epoch_ms", 10**400),
    ],
)
def test_a_time_in_another_unit_fails_the_list(style, value):
    """The age would be wrong by a factor of 1,000, so stale communications would be sent, or fresh ones never."""
    answer = reply(200, {"results": [{"id": 1, "at": value}]})
    with serving(always(answer)) as server, pytest.raises(ListingFailed) as caught:
        list_all(server.url, failed_at="at", times=style)
    unit = {"epoch": "seconds", "epoch_ms": "milliseconds"}[style]
    assert str(caught.value).startswith("send.email: failed_at = 'at' finds ")
    assert f", not a number of {unit} since 1970 in the years 2000 to 2200 (record 1" in str(caught.value)


# -- errors


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (reply(401), "auth.secret"),
        (reply(403), "auth.secret"),
        (reply(404), "list"),
        (reply(500), "list"),
        (reply(200, b"<html>"), "list"),
        (reply(200, {"error": "try later"}), "items"),
        (reply(200, {"results": [{"key": 1}]}), "id"),
        (reply(200, {"results": [{"id": 1, "at": "?"}]}), "created"),
        (reply(200, {"results": [], "next": 5}), "next"),
    ],
)
def test_a_listing_error_names_the_source_and_the_key_to_check(answer, key):
    """Whoever is on call then knows where to look."""
    with serving(always(answer)) as server, pytest.raises(ListingFailed) as caught:
        list_all(server.url, created="at", next=Next(url="next"))
    assert caught.value.key == key
    assert str(caught.value).startswith("send.email: ")
    assert f"(see {key} in application.toml)" in str(caught.value) or f" {key}" in str(caught.value)


def test_a_401_on_a_later_page_fails_the_list():
    """The secret has not changed, so there is no second try."""
    first = reply(200, {"results": [{"id": 1}], "next": "?p=2"})
    with serving(in_order(first, reply(401))) as server, pytest.raises(ListingFailed) as caught:
        list_all(server.url, next=Next(url="next"))
    assert str(caught.value).endswith("/emails answered 401, not 200 (see auth.secret in application.toml)")
