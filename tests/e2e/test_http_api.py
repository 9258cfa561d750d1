"""The deployed API: tokens and roles, invalid requests, idempotency keys, pages, dry runs, and the schedule."""

import json
import threading
from urllib.parse import urlsplit

import pytest
import requests

from chalicelib import times
from chalicelib.api import routes
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import PARTITION, ROLES, Token, Tokens
from deployment.comms_reprocess.storage import LEDGER
from deployment.table import table_definition
from sandbox.project import ROOT
from tests.e2e.driver import PREFIX, collect, create_failed, executions, start_run, wait_for_end, wait_until

SAMPLES = {"run_id": "no-such-run", "communication_id": "bm8", "cause_id": "0" * 16, "outage_id": "none"}
PROTECTED = [route for route in routes.ALL if route.role]


@pytest.fixture
def no_run_started(system, viewer):
    """Checks that the test has started no run."""
    before = system.call("GET", "/runs", viewer).json()
    yield before
    assert system.call("GET", "/runs", viewer).json() == before


def call_route(system, route, token=None):
    """Call a route with a body that cannot start anything."""
    options = {"json": {"nonsense": 1}} if route.body else {}
    return system.call(route.method, route.path.format(**SAMPLES), token, **options)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_call_its_own_routes_and_no_others(system, tokens, role):
    """Each route is called twice, in both orders, because API Gateway caches the policy of the first call."""
    for route in [*PROTECTED, *reversed(PROTECTED)]:
        answer = call_route(system, route, tokens[role])
        allowed = Token(name="", role=role, valid_until=0).may(route.role)
        assert (answer.status_code != 403) == allowed, (route.name, answer.text)
        assert answer.status_code != 401
    system.call("POST", "/schedule/resume", tokens["operator"])


def table(system, name):
    return Table(system.client("dynamodb"), name)


@pytest.fixture
def invalid_tokens(system):
    """Tokens that are wrong, expired, revoked, of another stage, or not ASCII."""
    tokens_of_stage = Tokens(table(system, PREFIX), times.now)
    definition = table_definition(LEDGER, "comms-reprocess-other")
    system.client("dynamodb").create_table(**definition)
    revoked = system.run("token", "add", "--name", "rita", "--role", "approver").strip()
    token_id = next(each for each, token in tokens_of_stage.all().items() if token.name == "rita")
    # It is used once before, so that API Gateway has cached its policy.
    assert system.call("GET", "/schedule", revoked).status_code == 200
    assert token_id in system.run("token", "list")
    system.run("token", "revoke", "--id", token_id)
    yield {
        "wrong": "x" * 43,
        "expired": tokens_of_stage.add("ed", "approver", 0),
        "revoked": revoked,
        "of another stage": Tokens(table(system, "comms-reprocess-other"), times.now).add("otto", "approver", 60_000),
        "not ASCII": "ü".encode().decode("latin-1"),
    }
    system.client("dynamodb").delete_table(TableName="comms-reprocess-other")


@pytest.mark.usefixtures("no_run_started")
def test_every_route_refuses_invalid_and_missing_tokens_with_401(system, invalid_tokens):
    """A revoked token is refused at once."""
    for kind, token in [*invalid_tokens.items(), ("missing", None)]:
        for route in PROTECTED:
            assert call_route(system, route, token).status_code == 401, (kind, route.name)
    assert "revoked" in system.run("token", "list")


def test_a_token_that_expires_while_its_policy_is_cached_is_refused(system):
    """The handler checks the expiry again."""
    ledger = table(system, PREFIX)
    token = Tokens(ledger, times.now).add("eve", "viewer", 60_000)
    assert system.call("GET", "/schedule", token).status_code == 200
    (item,) = [each for each in ledger.query(PARTITION, "sha256-") if each["name"] == "eve"]
    ledger.put(item | {"validUntil": times.now() - 1})
    assert system.call("GET", "/schedule", token).status_code == 401


BODIES = {
    "10 MB and more": (b" " * (10 * 1024 * 1024 + 1), 413),
    "6 MB": (b" " * (6 * 1024 * 1024), 413),
    "5 MB": (b'{"createdBy": "' + b"x" * 5_000_000 + b'"}', 400),
    "100,000 ids": (b'{"primaryIds": [' + b",".join(b'"%d"' % each for each in range(100_000)) + b"]}", 400),
    "nested": (b"[" * 10_000 + b"]" * 10_000, 400),
    "nested in a field": (b'{"x":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "not UTF-8": (b'{"operation": "\xff\xfe"}', 400),
    "not JSON": (b"operation=send.email", 400),
    "no object": (b"[]", 400),
    "surrogates": (b'{"createdBy": "\\ud800"}', 400),
}


@pytest.mark.parametrize("path", ["/reprocess", "/communications/dismiss"])
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.usefixtures("no_run_started")
def test_an_invalid_body_is_refused_with_a_short_error_and_starts_no_run(system, operator, path, name):
    """It may be too large, deeply nested, not JSON, or have fields that are not valid."""
    body, status = BODIES[name]
    answer = system.call("POST", path, operator, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert len(answer.text) < 500
    if status == 400:
        assert answer.json()["Code"] == "BadRequestError"


ODD_IDS = ["a#b", "COMM#x", "a/b/../c", "line\nbreak", "tab\t", "🙂 emoji", "'; DROP TABLE", "x" * 512, "%2F", "=1+1"]


@pytest.mark.usefixtures("no_run_started")
def test_ids_with_special_characters_are_not_found_and_never_logged(system, operator):
    """The ids are looked up like any other."""
    answer = system.call("POST", "/reprocess", operator, json={"primaryIds": ODD_IDS, "dryRun": True})
    assert (answer.status_code, answer.json()["notFound"]) == (200, sorted(ODD_IDS))
    for each in ODD_IDS:
        answer = system.call("GET", "/communications", operator, params={"primaryId": each})
        assert (answer.status_code, answer.json()["communications"]) == (200, [])
        path = requests.utils.quote(each, safe="")
        for action in ("", "/retry", "/dismiss"):
            method, options = (
                ("POST", {"json": {"note": "no"} if action == "/dismiss" else {}}) if action else ("GET", {})
            )
            answer = system.call(method, f"/communications/{path}{action}", operator, **options)
            assert answer.status_code in (404, 403), (each, action, answer.text)
        assert system.call("GET", f"/runs/{path}", operator).status_code == 404
    assert not [each for each in ODD_IDS if len(each) > 5 and each in system.log()]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/runs?limit=0", "limit"),
        ("/runs?limit=many", "limit"),
        ("/runs?cursor=nonsense", "cursor"),
        ("/runs?crusor=x", "crusor"),
        ("/communications?status=open", "status"),
        ("/communications?operation=a%23b", "operation"),
        ("/communications?limit=201", "limit"),
        ("/communications.csv?limit=2001", "limit"),
    ],
)
def test_an_invalid_query_parameter_is_a_400_that_names_it(system, viewer, path, field):
    """The message begins with its name."""
    answer = system.call("GET", path, viewer)
    assert answer.status_code == 400
    assert answer.json()["Message"].startswith(f"{field}:")


def test_concurrent_requests_with_the_same_idempotency_key_start_one_run(system, operator):
    """With another body, the key is refused."""
    create_failed(system, "sms", 2)
    barrier, answers = threading.Barrier(2), []

    def send_request():
        barrier.wait()
        answers.append(
            system.call(
                "POST", "/reprocess", operator, json={"operation": "send.sms"}, headers={"Idempotency-Key": "once"}
            )
        )

    clients = [threading.Thread(target=send_request) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert [answer.status_code for answer in answers] == [202, 202]
    (run_id,) = {answer.json()["runId"] for answer in answers}
    assert answers[0].headers["Location"] == urlsplit(f"{system.api}/runs/{run_id}").path
    assert wait_for_end(system, operator, run_id)["counts"] == {"accepted": 2}
    assert executions(system).count(run_id) == 1
    again = {"headers": {"Idempotency-Key": "once"}}
    assert system.call("POST", "/reprocess", operator, json={"operation": "send.sms"}, **again).status_code == 202
    other = system.call("POST", "/reprocess", operator, json={"operation": "send.email"}, **again)
    assert (other.status_code, other.json()["Message"][:16]) == (409, "Idempotency-Key:")
    assert executions(system).count(run_id) == 1


def test_runs_are_listed_newest_first_and_once_each_over_all_pages(system, operator, viewer):
    """Pages of any size lead to the same list."""
    started = [start_run(system, operator, primaryIds=["no-such"], note="paging") for _ in range(3)]
    for each in started:
        wait_for_end(system, operator, each)
    all_runs = system.call("GET", "/runs?limit=200", viewer).json()["runs"]
    assert [run["runId"] for run in all_runs[:3]] == started[::-1]
    assert all_runs[0]["note"] == "paging"
    paged, cursor = [], ""
    while cursor is not None:
        page = system.call("GET", f"/runs?limit=2{cursor}", viewer).json()
        paged += page["runs"]
        cursor = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
    assert paged == all_runs


def test_a_dry_run_predicts_the_run_that_follows_and_changes_nothing(system, operator, viewer):
    """It starts no run and claims no communication."""
    create_failed(system, "sms", 5, created_by="dora")
    known, runs = executions(system), system.call("GET", "/runs", viewer).json()
    selection = {"operation": "send.sms", "createdBy": "dora"}
    answer = system.call("POST", "/reprocess", operator, json=selection | {"dryRun": True})
    assert answer.status_code == 200
    preview = answer.json()
    assert (preview["matched"], preview["eligible"], preview["byOperation"]) == (5, 5, {"send.sms": 5})
    expected = (2, False, None, False)
    assert (preview["batches"], preview["truncated"], preview["error"], preview["needsApproval"]) == expected
    assert len(preview["sample"]) == 5
    assert preview["oldest"] <= preview["newest"]
    assert preview["expectedSeconds"] > 0
    assert 0 < preview["expectedCost"]["amount"] < 0.01
    assert (executions(system), system.call("GET", "/runs", viewer).json()) == (known, runs)

    run = wait_for_end(system, operator, start_run(system, operator, **selection))
    assert run["counts"] == {"accepted": 5}
    outcomes = system.call("GET", f"/runs/{run['runId']}/communications?outcome=accepted&limit=3", viewer).json()
    rest = system.call(
        "GET", f"/runs/{run['runId']}/communications?outcome=accepted&cursor={outcomes['nextCursor']}", viewer
    ).json()
    assert rest["nextCursor"] is None
    sent_ids = [each["primaryId"] for each in outcomes["communications"] + rest["communications"]]
    assert sorted(sent_ids) == sorted(each["primaryId"] for each in preview["sample"])
    view = system.call("GET", f"/communications/{outcomes['communications'][0]['id']}", viewer).json()
    assert (view["status"], view["history"][0]["runId"]) == ("accepted", run["runId"])


def test_a_dry_run_that_cannot_read_a_list_is_incomplete_and_has_the_error(system, operator):
    """The call itself succeeds, and its numbers are lower bounds."""
    system.application.switch(lists_down=True)
    try:
        answer = system.call("POST", "/reprocess", operator, json={"dryRun": True})
    finally:
        system.application.reset_switches()
    assert (answer.status_code, answer.json()["incomplete"]) == (200, True)
    assert "503" in answer.json()["error"]


def test_a_paused_schedule_starts_no_run_even_after_another_deployment(system, operator, viewer):
    """It is paused until somebody resumes it. Requested runs still start."""
    assert system.call("POST", "/schedule/pause", operator).json()["pausedBy"] == "olga"
    create_failed(system, "sms", 1)
    system.deploy_again()
    known = executions(system)
    collect(system)
    assert executions(system) == known
    assert system.call("GET", "/schedule", viewer).json()["paused"]
    run = wait_for_end(system, operator, start_run(system, operator, operation="send.sms"))
    assert run["counts"] == {"accepted": 1}
    create_failed(system, "sms", 1)
    assert not system.call("POST", "/schedule/resume", operator).json()["paused"]
    collect(system)
    (run_id,) = set(executions(system)) - set(known) - {system.call("GET", "/runs", viewer).json()["runs"][1]["runId"]}
    assert wait_for_end(system, operator, run_id)["trigger"] == "schedule"


def test_the_pace_holds_for_a_run_until_it_is_given_back(system, operator, viewer):
    """Five communications at half a communication a second take longer than 8 s."""
    try:
        seen = system.call("PUT", "/pace", operator, json={"perSecond": 0.5}).json()
        assert (seen["perSecond"], seen["setBy"]) == (0.5, "olga")
        ids = create_failed(system, "sms", 5)
        run_id = start_run(system, operator, operation="send.sms", primaryIds=ids)
        run = wait_for_end(system, operator, run_id)
        assert (run["counts"], run["pace"]) == ({"accepted": 5}, {"perSecond": 0.5, "reason": "set_by:olga"})
        assert times.parse_iso(run["endedAt"]) - times.parse_iso(run["requestedAt"]) > 8_000
    finally:
        released = system.call("DELETE", "/pace", operator)
    assert (released.status_code, released.json()["setBy"]) == (200, None)
    assert system.call("GET", "/pace", viewer).json()["setBy"] is None
    line = '{"audit": "setPace", "by": "olga", "perSecond": 0.5, "minutes": 60}'
    wait_until(lambda: line in system.log(), "no audit line")


def test_a_change_writes_an_audit_line_to_the_log(system, operator):
    """The line is JSON and says who did what."""
    run_id = start_run(system, operator, primaryIds=["no-such"])
    wait_for_end(system, operator, run_id)
    line = f'{{"audit": "startRun", "by": "olga", "runId": "{run_id}"}}'
    wait_until(lambda: line in system.log(), "no audit line")


def test_the_api_serves_the_openapi_document_that_is_in_docs(system, viewer):
    """It is the answer of GET /openapi.json."""
    answer = system.call("GET", "/openapi.json", viewer)
    assert answer.json() == json.loads((ROOT / "docs" / "openapi.json").read_text())
