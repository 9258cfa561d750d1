"""The application spoken to in other ways than the usual: methods, headers, names, statuses, times; failing lists."""

import json

import pytest

from chalicelib import times
from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Filter, Next, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.errors import CommunicationRejected, ListingFailed, OutcomeUnknown, ReprocessError
from chalicelib.models import Selection
from tests.fakes import FakeClock
from tests.servers import always, answering, in_turn, reply, serving

PAYLOAD = {"primaryId": "1", "operation": "send.email", "createdBy": "Jo", "created": "2026-11-20T09:30:00.000Z"}


@pytest.fixture(autouse=True)
def _directly(monkeypatch):
    """No proxy of the machine's stands between a test and its server."""
    monkeypatch.setenv("NO_PROXY", "*")


def application(url, auth=None, **reprocess):
    configuration = Configuration(
        sources=[source(url)], reprocess=Reprocess(url=f"{url}/post", **reprocess), auth=auth or Auth()
    )
    clock = FakeClock()
    return ApplicationClient(configuration, Credentials(configuration.auth, lambda _: "s3cret", clock), clock)


def source(url, **more):
    return Source(**{"operation": "send.email", "list": f"{url}/emails", "cool_down": "1h", "items": "results"} | more)


def listed(url, selection=None, **more):
    it = source(url, **more)
    pages = application(url, Auth(type="bearer", secret="app")).failed_pages(it, selection or Selection())
    return [each for page in pages for each in page.communications]


def send(url, **more):
    """Send; return the error that comes of it, or None."""
    try:
        application(url, **more).reprocess(PAYLOAD, "key-1", "run-1")
    except ReprocessError as error:
        return type(error)
    return None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_method_headers_and_names_are_the_applications(method):
    """Names that are not mapped stay; our own headers stand beside the application's."""
    more = {"X-Tenant": "blue", "Content-Type": "application/vnd.api+json"}
    with serving(always(reply(202))) as server:
        send(
            server.url,
            auth=Auth(type="header", secret="app"),
            method=method,
            headers=more,
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
    expected = more | {"Idempotency-Key": "key-1", "X-Run-Id": "run-1", "X-Api-Key": "s3cret"}
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
        (409, {"already_sent": [409]}, None),
        (201, {}, None),
    ],
)
def test_what_a_status_means_may_be_set(status, settings, expected):
    """A 2xx that is none of the accepted ones leaves open what became of it: it is not sent again at once."""
    with serving(always(reply(status))) as server:
        assert send(server.url, **settings) is expected


def test_a_list_may_take_headers():
    """A tenant or a version, beside the credentials."""
    with serving(always(reply(200, {"results": []}))) as server:
        listed(server.url, headers={"X-Tenant": "blue", "Accept": "application/hal+json"})
    headers = server.requests[0].headers
    assert (headers["X-Tenant"], headers["Accept"], headers["Authorization"]) == (
        "blue",
        "application/hal+json",
        "Bearer s3cret",
    )


def test_ids_are_asked_for_in_parts_and_each_part_is_paged():
    """What a source can be asked for by id is not read whole."""

    def answer(request):
        some = request.query["id"].split(",")
        number = int(request.query["page"])
        return reply(200, {"results": [{"id": each} for each in some[number - 1 : number]]})

    ids = [f"id-{number}" for number in range(5)]
    served = {"primaryIds": Filter(param="id", list="joined", at_once=2)}
    with serving(answering(answer)) as server:
        found = listed(server.url, Selection(primary_ids=ids), filters=served, next=Next(page="page"))
    assert [it.primary_id for it in found] == ids
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
def test_times_are_read_as_the_application_writes_them(style, value, expected):
    """With an offset, without a zone (UTC), and as numbers or their digits."""
    with serving(always(reply(200, {"results": [{"id": 1, "at": value}]}))) as server:
        (found,) = listed(server.url, created="at", times=style)
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
    """A thousand times too old or too young would be sent, or left alone, for ever."""
    answer = reply(200, {"results": [{"id": 1, "at": value}]})
    with serving(always(answer)) as server, pytest.raises(ListingFailed) as caught:
        listed(server.url, failed_at="at", times=style)
    unit = {"epoch": "seconds", "epoch_ms": "milliseconds"}[style]
    assert str(caught.value).startswith(f"send.email: failed_at = 'at' finds no number of {unit} since 1970")


# -- what fails names the key


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
def test_an_error_names_the_source_and_the_key(answer, key):
    """Whoever reads it in the night knows what to look at."""
    with serving(always(answer)) as server, pytest.raises(ListingFailed) as caught:
        listed(server.url, created="at", next=Next(url="next"))
    assert caught.value.key == key
    assert str(caught.value).startswith("send.email: ")
    assert f"(see {key} in application.toml)" in str(caught.value) or f" {key}" in str(caught.value)


def test_a_401_in_the_middle_fails_the_list():
    """Unless the secret has changed meanwhile."""
    first = reply(200, {"results": [{"id": 1}], "next": "?p=2"})
    with serving(in_turn(first, reply(401))) as server, pytest.raises(ListingFailed) as caught:
        listed(server.url, next=Next(url="next"))
    assert str(caught.value).endswith("/emails answered 401, not 200 (see auth.secret in application.toml)")
