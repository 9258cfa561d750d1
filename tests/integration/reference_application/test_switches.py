"""The switches that break the reference application on purpose, and the numbers that it keeps."""

import collections
import json
import sqlite3
import time

import pytest
import requests

from tests.integration.reference_application.system import status_and_code


def test_the_switch_status_answers_without_processing_the_post(reference):
    """The communication stays failed."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(status=503)
    assert status_and_code(reference.post(id_, "send.email", key="a")) == (503, "broken_on_purpose")
    row = reference.row(id_)
    assert row["state"] == "failed"
    assert [(payload["status"], payload["answered"]) for payload in row["payloads"]] == [(None, 503)]


def test_the_switch_status_after_answers_after_processing_the_post(reference):
    """The communication is sent although the answer is an error."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(status_after=502)
    assert reference.post(id_, "send.email", key="a").status_code == 502
    payloads = reference.wait_for_row(id_, sent=1)["payloads"]
    assert [(payload["status"], payload["answered"]) for payload in payloads] == [(202, 502)]


def test_a_status_in_the_300s_is_a_redirect_with_a_location(reference):
    """A real redirect has a Location too."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(status=302)
    response = reference.post(id_, "send.email", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (302, "/health")


@pytest.mark.parametrize(("when", "state"), [("before", "failed"), ("after", "queued")])
def test_the_switch_cut_closes_the_connection_without_an_answer(reference, when, state):
    """It does so before or after the communication is queued."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(cut=when, worker_paused=True)
    with pytest.raises(requests.ConnectionError):
        reference.post(id_, "send.email", key="a")
    row = reference.row(id_)
    assert (row["state"], [payload["answered"] for payload in row["payloads"]]) == (state, [None])


def test_the_switch_slow_delays_the_answer(reference):
    """Its value is the delay in seconds."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(slow=0.3)
    began = time.monotonic()
    assert reference.post(id_, "send.email").status_code == 202
    assert time.monotonic() - began >= 0.3


def test_a_post_is_processed_even_if_the_caller_hangs_up(reference):
    """The caller does not wait for the slow answer."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(slow=0.5)
    reference.post_and_hang_up(id_, "send.email")
    reference.wait_for_row(id_, sent=1)


def test_the_switch_drip_sends_the_answer_byte_by_byte(reference):
    """The answer is complete in the end."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(drip=0.02)
    began = time.monotonic()
    response = reference.post(id_, "send.email")
    assert (response.status_code, response.json()) == (202, {"status": "queued"})
    assert time.monotonic() - began >= 0.02 * len(response.content)


def test_the_switch_unauthorized_refuses_the_right_token(reference):
    """For communications and lists, but not for the switches themselves."""
    reference.app.switch(unauthorized=True)
    assert status_and_code(reference.post("100001", "send.email")) == (401, "unauthorized")
    assert reference.app.request("GET", "/sms/failed").status_code == 401
    reference.app.switch(unauthorized=None)
    assert reference.app.request("GET", "/sms/failed").status_code == 200


def test_the_switch_lists_down_answers_503_for_both_lists(reference):
    """It affects emails and SMS alike."""
    reference.app.switch(lists_down=True)
    assert status_and_code(reference.app.request("GET", "/emails/failed")) == (503, "unavailable")
    assert status_and_code(reference.app.request("GET", "/sms/failed")) == (503, "unavailable")


def test_the_switch_worker_paused_stops_sending_until_it_is_off(reference):
    """What is created meanwhile stays queued."""
    reference.app.switch(worker_paused=True)
    [id_] = reference.app.create("sms")
    assert reference.row(id_)["state"] == "queued"
    assert reference.deliveries()[id_] == 0
    reference.app.switch(worker_paused=False)
    reference.wait_for_row(id_, sent=1)


def test_the_switch_accepts_but_never_sends_lets_posted_communications_fail_again(reference):
    """The POST is answered with 202, but nothing is delivered."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(accepts_but_never_sends=True)
    assert reference.post(id_, "send.email", key="a").status_code == 202
    reference.wait_for_row(id_, state="failed", rounds=2)
    assert reference.deliveries()[id_] == 0
    reference.app.reset_switches()
    assert reference.post(id_, "send.email", key="b").status_code == 202
    reference.wait_for_row(id_, sent=1)
    assert reference.app.stats()["two_keys"] == two_keys_of_other_communications(reference, id_)


def test_the_switch_accepts_but_never_sends_can_lose_a_share_of_what_is_posted(reference):
    """It is always the same share, whichever communications it hits."""
    ids = reference.create_failed("emails", 10)
    reference.app.switch(accepts_but_never_sends={"value": True, "share": 0.2})
    assert {reference.post(id_, "send.email", key=id_).status_code for id_ in ids} == {202}
    reference.app.wait_for_stats(queued=0)
    assert sorted(reference.deliveries()[id_] for id_ in ids) == [0] * 2 + [1] * 8


def two_keys_of_other_communications(reference, id_):
    """How many other communications got a second key: tests share the database, and some do that on purpose."""
    with sqlite3.connect(reference.app.database) as database:
        query = "SELECT count(DISTINCT communication_id) FROM payloads WHERE two_keys AND communication_id <> ?"
        [count] = database.execute(query, [id_]).fetchone()
    database.close()
    return count


def test_a_switch_with_a_share_affects_exactly_that_share_of_the_calls(reference):
    """Two switches never affect the same call."""
    reference.app.switch(status={"value": 503, "share": 0.3}, status_after={"value": 500, "share": 0.2})
    answers = collections.Counter(reference.post("nosuch", "send.email").status_code for _ in range(100))
    assert answers == {404: 50, 503: 30, 500: 20}


@pytest.mark.parametrize(
    "switches",
    [{"stauts": 503}, {"status": "503"}, {"status": 99}, {"cut": "now"}, {"slow": {"value": 1, "share": 2}}],
)
def test_an_unknown_switch_or_setting_is_refused_and_changes_nothing(reference, switches):
    """The answer is a 400."""
    response = reference.app.request("POST", "/switches", json=switches | {"lists_down": True})
    assert status_and_code(response) == (400, "invalid_request")
    assert set(reference.app.request("GET", "/switches").json().values()) == {None}


def test_changing_one_switch_leaves_the_others_as_they_are(reference):
    """All of them can be turned off at once."""
    reference.app.switch(slow=0.1)
    assert {"slow": 0.1, "status": 500}.items() <= reference.app.switch(status=500).items()
    assert reference.app.switch(slow=None)["status"] == 500
    reference.app.reset_switches()
    assert set(reference.app.request("GET", "/switches").json().values()) == {None}


# -- numbers


def test_two_keys_counts_communications_that_got_a_second_key_after_an_accepted_one(reference):
    """A second key is not counted if the communication has failed again in between."""
    before = reference.app.stats()
    [id_] = reference.create_failed("emails")
    reference.set_down(True)
    assert reference.post(id_, "send.email", key="a").status_code == 202
    reference.wait_for_row(id_, state="failed")
    reference.set_down(False)
    assert reference.post(id_, "send.email", key="b").status_code == 202
    assert reference.app.stats()["two_keys"] == before["two_keys"]
    reference.wait_for_row(id_, sent=1)
    reference.app.switch(status=500)
    reference.post(id_, "send.email", key="c")
    reference.post(id_, "send.email", key=None)
    stats = reference.app.stats()
    assert stats["two_keys"] == before["two_keys"] + 1
    assert stats["payloads"] == before["payloads"] + 4


def test_changed_bodies_counts_other_bodies_with_a_known_key(reference):
    """A repetition has to be byte-identical."""
    before = reference.app.stats()["changed_bodies"]
    assert reference.post("nosuch", "send.email", key="same").status_code == 404
    assert reference.app.stats()["changed_bodies"] == before
    assert reference.post("nosuch", "send.sms", key="same").status_code == 404
    assert reference.app.stats()["changed_bodies"] == before + 1


def test_every_post_is_kept_with_its_key_its_run_its_body_and_its_time(reference):
    """The body is kept exactly as it was received."""
    [id_] = reference.create_failed("emails")
    payload = {"primaryId": id_, "operation": "send.email", "createdBy": "b", "created": "2026-01-01T00:00:00.1Z"}
    headers = {"X-Run-Id": "run-1", "Idempotency-Key": "a"}
    reference.app.request("POST", "/communications", json=payload, headers=headers)
    [kept] = reference.row(id_)["payloads"]
    assert (kept["run_id"], kept["idempotency_key"], json.loads(kept["body"])) == ("run-1", "a", payload)
    assert kept["at"].endswith("Z")
