"""Mails lead to the page: the addresses at their end, and what they say if nobody knows where the page is."""

import re
from types import SimpleNamespace

import msgspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.ledger import Ledger
from chalicelib.ledger.page import PageAddress
from chalicelib.ledger.table import Table
from chalicelib.models.communications import CauseKind
from chalicelib.models.notifications import Incident, Notification, NotifyReason, Topic
from chalicelib.models.outages import Outage, OutageCause
from chalicelib.models.runs import Run, RunKind, RunStatus, Trigger
from chalicelib.models.selections import WorklistSelection
from chalicelib.notifications import bulk_result, messages, outage_mails, policy
from chalicelib.notifications.phrases import with_addresses
from chalicelib.notifications.result import result_notification
from chalicelib.notifications.summary import Summary
from chalicelib.runs.closing import addressed
from chalicelib.runs.report import finish_run
from chalicelib.settings import Settings
from tests.fakes import HOUR, NOON, FakeManifests, make_run

PAGE = "https://abc123.execute-api.eu-west-1.amazonaws.com/api"
OWN = "https://reprocess.example.com/team"
SETTINGS = Settings(resource_prefix="mail-dev")

CAUSE = OutageCause(operation="send.email", kind=CauseKind.FAILED, reason="timeout", most=300)


def run(**fields) -> Run:
    return make_run("20261120T121500Z-0", status=RunStatus.FAILED, error="no answer", ended_at=NOON + HOUR, **fields)


def outage(**fields) -> Outage:
    return Outage(
        outage_id="20261120T121500000Z",
        began_at=NOON,
        reason="failures_rose",
        usual=1,
        most=30,
        hit=30,
        causes=[CAUSE],
        scan="s",
        scanned_at=NOON,
        **fields,
    )


def summary(manual: int) -> Summary:
    found = Summary()
    found.manual = manual
    return found


RUN, OUTAGE = "runs/20261120T121500Z-0", "outages/20261120T121500000Z"
BULK = run(kind=RunKind.RETRY, matched=3, counts={"changed": 3})
MAILS = {
    "result": (result_notification(run(), summary(0), None), [RUN]),
    "new on the worklist": (result_notification(run(), summary(2), None), [RUN, "worklist"]),
    "new from earlier runs": (result_notification(run(untold=2), summary(0), None), [RUN, "worklist"]),
    "listing failed": (messages.listing_failed(run()), [RUN]),
    "never started": (messages.never_started(run()), [RUN]),
    "unreported": (messages.unreported(run()), [RUN]),
    "stopped early": (messages.stopped_early(run(), "jo"), [RUN]),
    "approval": (messages.approval_request(run(matched=9), HOUR), [RUN]),
    "recovered": (messages.recovered(Incident(kind=policy.LISTING, since=NOON, notified_at=NOON), NOON), [""]),
    "bulk": (bulk_result.ended(BULK, WorklistSelection(reason="x"), None), [RUN]),
    "bulk failed": (bulk_result.failed(BULK), [RUN]),
    "outage began": (outage_mails.began(outage()), [OUTAGE, "causes"]),
    "outage settled": (outage_mails.settled(outage()), [OUTAGE]),
    "outage settled, some for people": (outage_mails.settled(outage(on_worklist=1)), [OUTAGE, "worklist"]),
}


@pytest.mark.parametrize(("mail", "screens"), MAILS.values(), ids=MAILS.keys())
def test_a_mail_ends_with_the_addresses_of_what_it_is_about(mail, screens):
    """Each is a line by itself, so that mail programs make it a link, and nothing sends people to curl."""
    text = with_addresses(mail, PAGE).message
    end = "\n\n".join(rf"[A-Z][\w ,]+:\n{re.escape(PAGE)}/#/{re.escape(screen)}" for screen in screens)
    assert re.search(rf"\n\n{end}\Z", text)
    assert text.count("http") == len(screens)
    assert not re.search(r"\b(GET|POST) /", text)


@pytest.mark.parametrize(("mail", "screens"), MAILS.values(), ids=MAILS.keys())
def test_a_mail_names_the_calls_of_the_api_if_nobody_knows_the_page(mail, screens):
    """As after an update that has not reached the ledger yet."""
    text = with_addresses(mail, None).message
    assert "http" not in text
    assert "#/" not in text
    assert all(f"/{each.split('/')[1]}" in text for each in screens if "/" in each)
    assert bool(re.search(r"\b(GET|POST) /", text)) == (screens != [""])
    assert text == text.strip()


def test_what_a_mail_means_stays_above_its_addresses():
    """An incident that has returned is explained in every mail about it, and the wait for approval has an end."""
    returned = {"trigger": Trigger.SCHEDULE, "notify_reason": NotifyReason.RETURNED}
    for mail in (
        messages.listing_failed(run(**returned)),
        messages.never_started(run(**returned)),
        messages.unreported(run(**returned)),
        result_notification(run(**returned), summary(0), None),
    ):
        assert "once all runs have gone well for REMIND_AFTER" in with_addresses(mail, PAGE).message
    assert "within 1 h" in with_addresses(MAILS["approval"][0], PAGE).message


# -- where the address comes from


def test_the_setting_comes_before_what_the_deployment_has_noted(ledger):
    """With neither, there is no address."""
    mail = MAILS["result"][0]
    own = Settings.read({"RESOURCE_PREFIX": "mail-dev", "PAGE_URL": f"{OWN}/"})
    assert addressed(mail, ledger, SETTINGS) == with_addresses(mail, None)
    ledger.page.write(PAGE)
    assert addressed(mail, ledger, SETTINGS) == with_addresses(mail, PAGE)
    assert addressed(mail, ledger, own) == with_addresses(mail, OWN)


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "Slow down."}}, "GetItem"),
        EndpointConnectionError(endpoint_url="https://dynamodb.example.com"),
    ],
    ids=["refused", "not reached"],
)
def test_no_mail_waits_for_the_address(clock, error):
    """It leaves with the calls of the API."""

    def get_item(**_):
        raise error

    ledger = Ledger(Table(SimpleNamespace(get_item=get_item), "t"), clock, HOUR)
    mail = MAILS["approval"][0]
    assert addressed(mail, ledger, SETTINGS) == with_addresses(mail, None)


def test_a_mail_that_is_not_sent_or_has_no_links_needs_no_read(clock):
    """Such as one that an earlier version has kept in the ledger: it says all that it has to say."""
    ledger = Ledger(Table(SimpleNamespace(), "t"), clock, HOUR)
    kept = msgspec.convert({"topic": "failed", "subject": "s", "message": "Details: GET /runs/r"}, Notification)
    silent = msgspec.structs.replace(MAILS["result"][0], topic=Topic.NONE)
    assert addressed(kept, ledger, SETTINGS) == kept
    assert addressed(silent, ledger, SETTINGS) == silent


def test_a_mail_that_is_due_keeps_its_links_until_it_leaves(ledger):
    """It may be kept by a function of one deployment and be sent by one of the next."""
    mail = MAILS["outage began"][0]
    ledger.runs.create(make_run("r"))
    ledger.runs.change(ledger.runs.read("r"), mail=mail, status=RunStatus.FAILED)
    (key,) = ledger.mails.due()
    assert ledger.mails.take(key) == mail


def test_the_state_machine_gets_the_mail_as_it_leaves(ledger):
    """It can only pass on what it gets."""
    ledger.page.write(PAGE)
    ledger.runs.create(make_run("r"))
    mail = finish_run("r", None, ledger, FakeManifests(), SETTINGS, declined=False)
    assert mail.message.endswith(f"\n{PAGE}/#/runs/r")
    assert mail.links == []
    assert finish_run("r", None, ledger, FakeManifests(), SETTINGS, declined=False) == mail


def test_the_address_can_be_noted_again(table):
    """The API may be another one after it was destroyed."""
    page = PageAddress(table)
    assert page.read() is None
    page.write(PAGE)
    page.write(OWN)
    assert page.read() == OWN
