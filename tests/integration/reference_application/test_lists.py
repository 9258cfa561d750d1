"""The reference application's lists of failed communications: their pages, their filters, and application.toml."""

import base64
import tomllib
from pathlib import Path

import jmespath
import pytest

import sandbox.application
from tests.integration.reference_application.system import OPERATIONS, list_failed, read_emails, status_and_code


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_following_next_lists_every_failed_email_once(reference, failed_by_dora, size):
    """Emails come in the order of failing, on pages of any size."""
    ids = list_failed(reference, "emails", author="dora", page_size=size)
    assert sorted(ids) == sorted(failed_by_dora["emails"])
    page = reference.app.request("GET", "/emails/failed", params={"author": "dora", "page_size": size}).json()
    assert page["count"] == 7
    assert (page["next"] is None) == (size >= 7)
    times = [record["failed_at"] for record in page["results"]]
    assert times == sorted(times)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_counting_pages_lists_every_failed_sms_once(reference, failed_by_dora, size):
    """Pages may have any size. A page after the last one is empty."""
    filters = {"created_by": "dora", "per_page": size}
    assert sorted(list_failed(reference, "sms", **filters)) == sorted(failed_by_dora["sms"])
    page = reference.app.request("GET", "/sms/failed", params=filters | {"page": 99}).json()
    assert page == {"data": [], "page": 99, "pages": -(-7 // size), "total": 7}


@pytest.fixture(scope="module")
def failed_by_dora(shared_reference):
    """The ids of seven failed emails and seven failed SMS, all created by dora."""
    return {kind: shared_reference.create_failed(kind, 7, created_by="dora") for kind in OPERATIONS}


def test_an_email_list_that_shrinks_while_it_is_read_loses_nothing(reference):
    """Emails that were read are sent between two pages."""
    ids = reference.create_failed("emails", 9, created_by="erin")
    unread = set(ids)

    def send_two_read_ones():
        for id_ in [id_ for id_ in ids if id_ not in unread and reference.row(id_)["state"] == "failed"][:2]:
            assert reference.post(id_, "send.email").status_code == 202

    seen = []
    for id_ in read_emails(reference, author="erin", page_size=3, after_page=send_two_read_ones):
        seen.append(id_)
        unread.discard(id_)
    assert sorted(seen) == sorted(ids)


def test_the_lists_can_be_filtered_by_time_of_creation(reference):
    """A filter may set the earliest time, the time before which a communication was created, or both."""
    days = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]
    emails = [reference.create_failed("emails", created_by="fay", created=day)[0] for day in days]
    texts = [reference.create_failed("sms", created_by="fay", created=day)[0] for day in days]
    span = {"created_after": days[1], "created_before": "2026-01-03T01:00:00+01:00"}
    assert list_failed(reference, "emails", author="fay", **span) == [emails[1]]
    assert list_failed(reference, "emails", author="fay", created_after=days[1]) == emails[1:]
    assert list_failed(reference, "sms", **{"created_by": "fay", "from": days[1], "to": days[2]}) == [texts[1]]
    assert list_failed(reference, "sms", created_by="fay", to=days[2]) == texts[:2]


def test_the_lists_can_be_filtered_by_author(reference):
    """An author without failed communications gets an empty list."""
    [id_] = reference.create_failed("emails", created_by="gil & son")
    assert list_failed(reference, "emails", author="gil & son") == [id_]
    assert list_failed(reference, "emails", author="nobody") == []
    assert list_failed(reference, "sms", created_by="gil & son") == []


@pytest.mark.parametrize(
    "path",
    [
        "/emails/failed?created_by=misspelt",
        "/emails/failed?page_size=0",
        "/emails/failed?page_size=many",
        "/emails/failed?created_after=yesterday",
        "/emails/failed?cursor=x",
        "/emails/failed?cursor=" + base64.urlsafe_b64encode(b"[1, 2]").decode(),
        "/sms/failed?page=0",
        "/sms/failed?author=misspelt",
    ],
)
def test_a_misspelt_or_malformed_filter_is_refused_with_400(reference, path):
    """Ignoring it would list too much."""
    assert status_and_code(reference.app.request("GET", path)) == (400, "invalid_request")


# -- its configuration for comms-reprocess


def test_the_reference_applications_toml_matches_its_answers(reference):
    """The lists, fields, filters and pages in application.toml are those of the application."""
    text = Path(sandbox.application.__file__).with_name("application.toml").read_text()
    assert len(text.splitlines()) < 40
    configuration = tomllib.loads(text.replace("${APPLICATION_URL}", reference.app.url))
    for source, kind in zip(configuration["sources"], OPERATIONS, strict=True):
        [id_] = reference.create_failed(kind, created_by="hal")
        row = reference.row(id_)
        filters = source["filters"]
        query = source["params"] | {filters["createdBy"]: "hal", filters["createdAfter"]: row["created"]}
        query[filters["createdBefore"]] = row["failed_at"]
        page = reference.app.request("GET", source["list"].removeprefix(reference.app.url), params=query).json()
        [record] = jmespath.search(source["items"], page)
        names = ("created", "created_by", "failed_at", "failure_reason")
        fields = [
            jmespath.search(expression, record) for expression in (source.get("id", "id"), *map(source.get, names))
        ]
        assert fields == [id_, row["created"], "hal", row["failed_at"], "provider_refused"]
        assert source["operation"] == OPERATIONS[kind]
    refusal = reference.post("nosuch", "send.email").json()
    assert jmespath.search(configuration["reprocess"]["reason"], refusal) == "unknown_communication"
