"""The deployed API: who may call what, what makes no sense, and the same request twice."""

import json
import threading
import time

import pytest
import requests

from chalicelib import times
from chalicelib.api import routes
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import ROLES, Token, Tokens
from deployment.table import table_definition
from sandbox.project import ROOT
from tests.e2e.driver import PREFIX, collect, executions, fail, finish, start_run

pytestmark = pytest.mark.usefixtures("tidy")

SAMPLES = {"run_id": "no-such-run", "communication_id": "bm8"}
GUARDED = [door for door in routes.ALL if door.role]


@pytest.fixture
def tokens(operator, viewer, approver):
    """The same tokens all along, so that API Gateway's cached policy is what decides."""
    return {"viewer": viewer, "operator": operator, "approver": approver}


@pytest.fixture
def runs(system, viewer):
    """The ids of all runs, and that a test started none."""
    before = system.call("GET", "/runs", viewer).json()
    yield before
    assert system.call("GET", "/runs", viewer).json() == before


def knock(system, door, token=None):
    """Call a door with a body that nothing can be started by."""
    options = {"json": {"nonsense": 1}} if door.body else {}
    return system.call(door.method, door.path.format(**SAMPLES), token, **options)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_through_its_own_doors_and_no_others(system, tokens, role):
    """Twice each, in both orders: the policy that API Gateway keeps is right for each route, not only the first."""
    for door in [*GUARDED, *reversed(GUARDED)]:
        answer = knock(system, door, tokens[role])
        allowed = Token(name="", role=role, valid_until=0).may(door.role)
        assert (answer.status_code != 403) == allowed, (door.name, answer.text)
        assert answer.status_code != 401
    system.call("POST", "/schedule/resume", tokens["operator"])


def table(system, name):
    return Table(system.client("dynamodb"), name)


@pytest.fixture
def nobodys(system):
    """Tokens that stand for nobody: wrong, expired, revoked, of another stage, without the scheme."""
    ours = Tokens(table(system, PREFIX), times.now)
    definition = table_definition("comms-reprocess-other")
    system.client("dynamodb").create_table(**definition)
    revoked = ours.add("rita", "approver", 60_000)
    token_id = next(each for each, token in ours.all().items() if token.name == "rita")
    # Used first, so that API Gateway has kept what it may.
    assert system.call("GET", "/schedule", revoked).status_code == 200
    assert token_id in system.run("token", "list")
    system.run("token", "revoke", "--id", token_id)
    yield {
        "wrong": "x" * 43,
        "expired": ours.add("ed", "approver", 0),
        "revoked": revoked,
        "of another stage": Tokens(table(system, "comms-reprocess-other"), times.now).add("otto", "approver", 60_000),
        "not ASCII": "ü".encode().decode("latin-1"),
    }
    system.client("dynamodb").delete_table(TableName="comms-reprocess-other")


@pytest.mark.usefixtures("runs")
def test_a_token_of_nobodys_opens_no_door(system, nobodys):
    """Wrong, expired, revoked, of another stage or missing: 401 at every door, at once, and nothing happens."""
    for kind, token in [*nobodys.items(), ("missing", None)]:
        for door in GUARDED:
            assert knock(system, door, token).status_code == 401, (kind, door.name)
    assert "revoked" in system.run("token", "list")


def test_a_token_that_expires_while_its_policy_is_cached_is_refused(system):
    """The handler looks at the expiry again."""
    token = Tokens(table(system, PREFIX), times.now).add("eve", "viewer", 2_000)
    ends = time.monotonic() + 2
    assert system.call("GET", "/schedule", token).status_code == 200
    time.sleep(max(0, ends - time.monotonic()))
    assert system.call("GET", "/schedule", token).status_code == 401


BODIES = {
    "10 MB and more": (b" " * (10 * 1024 * 1024 + 1), 413),
    "10 MB": (b'{"createdBy": "' + b"x" * 5_000_000 + b'"}', 400),
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
@pytest.mark.usefixtures("runs")
def test_a_body_that_cannot_be_served_is_a_clear_refusal(system, operator, path, name):
    """A 4xx in one sentence; nothing is started."""
    body, status = BODIES[name]
    answer = system.call("POST", path, operator, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert len(answer.text) < 500
    if status == 400:
        assert answer.json()["Code"] == "BadRequestError"


STRANGE = ["a#b", "COMM#x", "a/b/../c", "line\nbreak", "tab\t", "🙂 emoji", "'; DROP TABLE", "x" * 512, "%2F", "=1+1"]


@pytest.mark.usefixtures("runs")
def test_strange_ids_are_ids_like_any_other(system, operator):
    """They are looked for, not found, and never written to the log."""
    answer = system.call("POST", "/reprocess", operator, json={"primaryIds": STRANGE, "dryRun": True})
    assert (answer.status_code, answer.json()["notFound"]) == (200, sorted(STRANGE))
    for each in STRANGE:
        answer = system.call("GET", "/communications", operator, params={"primaryId": each})
        assert (answer.status_code, answer.json()["communications"]) == (200, [])
        path = requests.utils.quote(each, safe="")
        for below in ("", "/retry", "/dismiss"):
            method, options = (
                ("POST", {"json": {"note": "no"} if below == "/dismiss" else {}}) if below else ("GET", {})
            )
            answer = system.call(method, f"/communications/{path}{below}", operator, **options)
            assert answer.status_code in (404, 403), (each, below, answer.text)
        assert system.call("GET", f"/runs/{path}", operator).status_code == 404
    assert not [each for each in STRANGE if len(each) > 5 and each in system.log()]


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
def test_a_mistake_in_the_url_is_told_with_the_parameter(system, viewer, path, field):
    """400, and the message begins with what is wrong."""
    answer = system.call("GET", path, viewer)
    assert answer.status_code == 400
    assert answer.json()["Message"].startswith(f"{field}:")


def test_the_same_key_at_the_same_moment_is_one_run(system, operator):
    """Two clients, one Idempotency-Key: one run; with another body it is refused."""
    fail(system, "sms", 2)
    barrier, answers = threading.Barrier(2), []

    def ask():
        barrier.wait()
        answers.append(
            system.call(
                "POST", "/reprocess", operator, json={"operation": "send.sms"}, headers={"Idempotency-Key": "once"}
            )
        )

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert [answer.status_code for answer in answers] == [202, 202]
    (run_id,) = {answer.json()["runId"] for answer in answers}
    assert answers[0].headers["Location"] == f"/api/runs/{run_id}"
    assert finish(system, operator, run_id)["counts"] == {"accepted": 2}
    assert executions(system).count(run_id) == 1
    again = {"headers": {"Idempotency-Key": "once"}}
    assert system.call("POST", "/reprocess", operator, json={"operation": "send.sms"}, **again).status_code == 202
    other = system.call("POST", "/reprocess", operator, json={"operation": "send.email"}, **again)
    assert (other.status_code, other.json()["Message"][:16]) == (409, "Idempotency-Key:")
    assert executions(system).count(run_id) == 1


def test_the_runs_are_listed_newest_first_page_by_page(system, operator, viewer):
    """Each run once, whatever the size of the page."""
    mine = [start_run(system, operator, primaryIds=["no-such"], note="paging") for _ in range(3)]
    for each in mine:
        finish(system, operator, each)
    whole = system.call("GET", "/runs?limit=200", viewer).json()["runs"]
    assert [run["runId"] for run in whole[:3]] == mine[::-1]
    assert whole[0]["note"] == "paging"
    paged, cursor = [], ""
    while cursor is not None:
        page = system.call("GET", f"/runs?limit=2{cursor}", viewer).json()
        paged += page["runs"]
        cursor = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
    assert paged == whole


def test_a_dry_run_tells_what_would_happen_and_changes_nothing(system, operator, viewer):
    """Its numbers are those of the run that follows; it starts nothing and claims nothing."""
    fail(system, "sms", 5, created_by="dora")
    known, runs = executions(system), system.call("GET", "/runs", viewer).json()
    wanted = {"operation": "send.sms", "createdBy": "dora"}
    answer = system.call("POST", "/reprocess", operator, json=wanted | {"dryRun": True})
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["matched"], seen["eligible"], seen["byOperation"]) == (5, 5, {"send.sms": 5})
    assert (seen["batches"], seen["truncated"], seen["error"], seen["needsApproval"]) == (1, False, None, False)
    assert len(seen["sample"]) == 5
    assert seen["oldest"] <= seen["newest"]
    assert seen["expectedSeconds"] > 0
    assert 0 < seen["expectedCost"]["amount"] < 0.01
    assert (executions(system), system.call("GET", "/runs", viewer).json()) == (known, runs)

    run = finish(system, operator, start_run(system, operator, **wanted))
    assert run["counts"] == {"accepted": 5}
    outcomes = system.call("GET", f"/runs/{run['runId']}/communications?outcome=accepted&limit=3", viewer).json()
    rest = system.call(
        "GET", f"/runs/{run['runId']}/communications?outcome=accepted&cursor={outcomes['nextCursor']}", viewer
    ).json()
    assert rest["nextCursor"] is None
    listed = [each["primaryId"] for each in outcomes["communications"] + rest["communications"]]
    assert sorted(listed) == sorted(each["primaryId"] for each in seen["sample"])
    one = system.call("GET", f"/communications/{outcomes['communications'][0]['id']}", viewer).json()
    assert (one["status"], one["history"][0]["runId"]) == ("accepted", run["runId"])


def test_a_dry_run_says_what_it_cannot_see(system, operator):
    """Lists that cannot be read are an error in the answer, not of the answer; and the numbers are lower bounds."""
    system.application.switch(lists_down=True)
    try:
        answer = system.call("POST", "/reprocess", operator, json={"dryRun": True})
    finally:
        system.application.reset_switches()
    assert (answer.status_code, answer.json()["incomplete"]) == (200, True)
    assert "503" in answer.json()["error"]


def test_a_paused_schedule_begins_nothing_even_after_a_deployment(system, operator, viewer):
    """The pause holds until somebody resumes; runs on request go on."""
    assert system.call("POST", "/schedule/pause", operator).json()["pausedBy"] == "olga"
    fail(system, "sms", 1)
    system.deploy_again()
    known = executions(system)
    collect(system)
    assert executions(system) == known
    assert system.call("GET", "/schedule", viewer).json()["paused"]
    assert finish(system, operator, start_run(system, operator, operation="send.sms"))["counts"] == {"accepted": 1}
    fail(system, "sms", 1)
    assert not system.call("POST", "/schedule/resume", operator).json()["paused"]
    collect(system)
    (run_id,) = set(executions(system)) - set(known) - {system.call("GET", "/runs", viewer).json()["runs"][1]["runId"]}
    assert finish(system, operator, run_id)["trigger"] == "schedule"


def test_each_change_leaves_a_line_in_the_log(system, operator):
    """Who did what, in one line of JSON."""
    run_id = start_run(system, operator, primaryIds=["no-such"])
    finish(system, operator, run_id)
    assert f'{{"audit": "startRun", "by": "olga", "runId": "{run_id}"}}' in system.log()


def test_the_api_describes_itself(system, viewer):
    """GET /openapi.json is the document that is in docs."""
    answer = system.call("GET", "/openapi.json", viewer)
    assert answer.json() == json.loads((ROOT / "docs" / "openapi.json").read_text())
