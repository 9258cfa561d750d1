"""What goes wrong in the field, for real: each trouble is told once, burns nothing, and is over when it is over."""

import time

from tests.e2e.driver import PATIENCE, collect, executions, fail, finish, fire, mail_about, start_run

COOL_DOWN = 2.0


def items(system, ids: list[str]) -> list[dict]:
    """What the ledger holds of some emails."""
    keys = [{"pk": {"S": f"COMM#send.email#{each}"}, "sk": {"S": "COMM"}} for each in ids]
    table = "comms-reprocess-dev"
    answer = system.client("dynamodb").batch_get_item(RequestItems={table: {"Keys": keys}})
    return answer["Responses"][table]


def scheduled(system, token: str) -> dict:
    """Fire the schedule and return the run that it starts, once that has ended."""
    return finish(system, token, fire(system))


def wait_until_failed_again(system, count: int) -> None:
    system.application.wait_for_stats(PATIENCE, failed=count, queued=0)


def wait_out_the_cool_down() -> None:
    """Real time has to pass here: the claim's cool-down is in the deployed configuration."""
    time.sleep(COOL_DOWN + 0.2)


def test_a_dead_application_is_left_in_peace_and_told_once(system, operator):
    """The run stops after a few batches, burns no attempts; more schedules tell nobody; "recovered" ends it."""
    ids = fail(system, "emails", 90)
    system.application.switch(status=503)
    mails = len(system.mailbox.messages())
    first = scheduled(system, operator)
    assert first["status"] == "stopped"
    assert first["counts"] == {"deferred": 60, "not_attempted": 30}
    assert "it seems to be down" in mail_about(system, first["runId"]).get_content()
    assert {int(item["attempts"]["N"]) for item in items(system, ids[:50])} == {0}

    assert [scheduled(system, operator)["status"] for _ in range(2)] == ["stopped", "stopped"]
    assert len(system.mailbox.messages()) == mails + 1

    system.application.reset_switches()
    last = scheduled(system, operator)
    assert (last["status"], last["counts"]) == ("succeeded", {"accepted": 90})
    assert mail_about(system, last["runId"])["Subject"] == "comms-reprocess: recovered, 90 of 90 accepted"
    assert len(system.mailbox.messages()) == mails + 2
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)


def test_a_rotated_secret_blames_no_communication(system, operator):
    """401 halts the run, moves nothing to the worklist, counts no attempt; the mail names the setting."""
    ids = fail(system, "emails", 45)
    system.application.switch(status=401)
    run = finish(system, operator, start_run(system, operator))
    assert run["status"] == "stopped"
    assert run["counts"] == {"deferred": 20, "not_attempted": 25}
    text = mail_about(system, run["runId"]).get_content()
    assert "auth.secret" in text
    assert "http_401" in text, text
    assert {(item["status"]["S"], item["attempts"]["N"]) for item in items(system, ids)} == {("open", "0")}
    system.application.reset_switches()
    assert finish(system, operator, start_run(system, operator))["counts"] == {"accepted": 45}
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)


def test_a_run_stopped_by_hand_leaves_the_rest_for_later(system, operator):
    """What is in flight is finished, the rest is not attempted, and a later run sends exactly that."""
    fail(system, "emails", 60)
    system.application.switch(slow=0.3)
    run_id = start_run(system, operator)
    deadline = time.monotonic() + PATIENCE
    while not system.call("GET", f"/runs/{run_id}", operator).json()["counts"].get("accepted"):
        assert time.monotonic() < deadline
    assert system.call("POST", f"/runs/{run_id}/stop", operator).status_code == 200
    run = finish(system, operator, run_id)
    assert run["status"] == "stopped"
    assert set(run["counts"]) == {"accepted", "not_attempted"}
    assert "stopped by olga" in mail_about(system, run_id).get_content()
    assert system.call("POST", f"/runs/{run_id}/stop", operator).status_code == 409
    system.application.reset_switches()
    rest = finish(system, operator, start_run(system, operator))
    assert rest["counts"] == {"accepted": run["counts"]["not_attempted"]}
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)
    assert system.application.stats()["delivered_twice"] == 0


def test_what_is_accepted_and_never_sent_ends_on_the_worklist(system, operator):
    """A communication that relapses goes to the worklist after MAX_ATTEMPTS runs, not in a circle."""
    ids = fail(system, "emails", 3)
    system.application.switch(accepts_but_never_sends=True)
    for _ in range(3):
        assert finish(system, operator, start_run(system, operator))["counts"] == {"accepted": 3}
        wait_until_failed_again(system, 3)
        wait_out_the_cool_down()
    run = finish(system, operator, start_run(system, operator))
    assert run["counts"] == {"skipped": 3}
    text = mail_about(system, run["runId"]).get_content()
    assert "3 need a person" in text
    assert f"'{ids[0]}': relapsed" in text
    assert {item["status"]["S"] for item in items(system, ids)} == {"manual"}
    assert finish(system, operator, start_run(system, operator))["status"] == "empty"


def test_an_execution_that_is_stopped_from_outside_is_told(system, operator):
    """The next collector closes it, counts all of its communications, and sends the mail that it could not."""
    fail(system, "emails", 40)
    system.application.switch(slow=1.0)
    run_id = start_run(system, operator)
    deadline = time.monotonic() + PATIENCE
    while run_id not in executions(system):
        assert time.monotonic() < deadline
    client = system.client("stepfunctions")
    arn = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    client.stop_execution(executionArn=f"{arn.replace(':stateMachine:', ':execution:')}:{run_id}")
    collect(system)
    run = finish(system, operator, run_id)
    assert run["status"] == "failed"
    assert sum(run["counts"].values()) == run["matched"] == run["done"]
    assert "ABORTED" in mail_about(system, run_id).get_content()
    system.application.reset_switches()


def test_a_lambda_that_is_killed_in_the_middle_loses_nothing(system, operator):
    """Processes killed while they send are tried again with the same key; each communication is delivered once."""
    wait_out_the_cool_down()
    known = system.application.stats()["failed"]
    ids = fail(system, "emails", 20)
    system.application.switch(slow=0.4)
    run_id = start_run(system, operator)
    killed, deadline = 0, time.monotonic() + PATIENCE
    while killed < 3 and time.monotonic() < deadline:
        killed += system.aws.lambdas.kill_one("comms-reprocess-dev-reprocess")
        time.sleep(0.05)
    assert killed == 3
    finish(system, operator, run_id)
    system.application.reset_switches()
    while system.application.stats()["failed"] >= known + 1 and time.monotonic() < deadline:
        wait_out_the_cool_down()
        finish(system, operator, start_run(system, operator))
    assert {system.application.communication(each)["sent"] for each in ids} == {1}
    stats = system.application.stats()
    assert (stats["delivered_twice"], stats["two_keys"], stats["changed_bodies"]) == (0, 0, 0)
