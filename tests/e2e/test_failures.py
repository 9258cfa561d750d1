"""Failures as they happen in production: one mail for each, no wasted attempt, and a later run sends everything."""

import os
import signal
import time
from contextlib import ExitStack, contextmanager

from tests.e2e.driver import (
    PATIENCE,
    PREFIX,
    collect,
    create_failed,
    fire,
    held,
    mails_about,
    sent_flags,
    start_run,
    wait_for_end,
    wait_for_mail,
    wait_out_cool_down,
)


def ledger_items(system, ids: list[str]) -> list[dict]:
    """The items of some emails in the ledger."""
    keys = [{"pk": {"S": f"COMM#send.email#{each}"}, "sk": {"S": "COMM"}} for each in ids]
    answer = system.client("dynamodb").batch_get_item(RequestItems={PREFIX: {"Keys": keys}})
    return answer["Responses"][PREFIX]


def run_schedule(system, token: str) -> dict:
    """Fire the schedule and return the run that it starts, after its end."""
    return wait_for_end(system, token, fire(system))


def wait_until_failed_again(system, count: int) -> None:
    system.application.wait_for_stats(PATIENCE, failed=count, queued=0)


def test_scheduled_runs_halt_while_the_application_is_down_and_cause_only_one_mail(system, operator):
    """After a handful of sends: one, then five. No attempt counts. The first run that succeeds causes a second mail."""
    ids = create_failed(system, "emails", 90)
    system.application.switch(status=408)
    first = run_schedule(system, operator)
    assert first["status"] == "stopped"
    assert first["counts"] == {"deferred": 6, "not_attempted": 84}
    assert "it seems to be down" in wait_for_mail(system, first["runId"]).get_content()
    assert {int(item["attempts"]["N"]) for item in ledger_items(system, ids[:50])} == {0}

    others = [run_schedule(system, operator) for _ in range(2)]
    assert [run["status"] for run in others] == ["stopped", "stopped"]

    system.application.reset_switches()
    last = run_schedule(system, operator)
    assert (last["status"], last["counts"]) == ("succeeded", {"accepted": 90})
    assert wait_for_mail(system, last["runId"])["Subject"] == "comms-reprocess: recovered, 90 of 90 accepted"
    # Mails arrive in the order in which they were sent.
    assert [len(mails_about(system, run["runId"])) for run in (first, *others, last)] == [1, 0, 0, 1]
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)


def test_a_rotated_secret_halts_the_run_and_counts_no_attempt(system, operator):
    """Nothing moves to the worklist, and the mail names the setting."""
    ids = create_failed(system, "emails", 45)
    system.application.switch(status=401)
    run = wait_for_end(system, operator, start_run(system, operator))
    assert run["status"] == "stopped"
    assert run["counts"] == {"deferred": 1, "not_attempted": 44}
    text = wait_for_mail(system, run["runId"]).get_content()
    assert "auth.secret" in text
    assert "http_401" in text, text
    assert {(item["status"]["S"], item["attempts"]["N"]) for item in ledger_items(system, ids)} == {("open", "0")}
    system.application.reset_switches()
    assert wait_for_end(system, operator, start_run(system, operator))["counts"] == {"accepted": 45}
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)


def test_a_later_run_sends_exactly_what_a_stopped_run_has_not_attempted(system, operator):
    """What is in flight when somebody stops the run is finished."""
    create_failed(system, "emails", 60)
    with held(system, "reprocess", index=1) as sending_five:
        run_id = start_run(system, operator)
        assert sending_five.wait(PATIENCE)
        assert system.call("POST", f"/runs/{run_id}/stop", operator).status_code == 200
    run = wait_for_end(system, operator, run_id)
    assert (run["status"], run["counts"]) == ("stopped", {"accepted": 6, "not_attempted": 54})
    assert "stopped by olga" in wait_for_mail(system, run_id).get_content()
    assert system.call("POST", f"/runs/{run_id}/stop", operator).status_code == 409
    rest = wait_for_end(system, operator, start_run(system, operator))
    assert rest["counts"] == {"accepted": run["counts"]["not_attempted"]}
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)
    assert system.application.stats()["delivered_twice"] == 0


def test_a_communication_that_keeps_relapsing_moves_to_the_worklist(system, operator):
    """The application accepts it in MAX_ATTEMPTS runs, but never sends it."""
    ids = create_failed(system, "emails", 3)
    system.application.switch(accepts_but_never_sends=True)
    for _ in range(3):
        assert wait_for_end(system, operator, start_run(system, operator))["counts"] == {"accepted": 3}
        wait_until_failed_again(system, 3)
        wait_out_cool_down()
    run = wait_for_end(system, operator, start_run(system, operator))
    assert run["counts"] == {"skipped": 3}
    text = wait_for_mail(system, run["runId"]).get_content()
    assert "for a person to decide: 3" in text
    assert f"'{ids[0]}': relapsed" in text
    assert {item["status"]["S"] for item in ledger_items(system, ids)} == {"manual"}
    assert wait_for_end(system, operator, start_run(system, operator))["status"] == "empty"


def test_a_run_whose_execution_is_stopped_from_outside_is_closed_by_the_next_collector(system, operator):
    """The collector counts all communications, and sends the mail that the execution could not send."""
    create_failed(system, "emails", 40)
    client = system.client("stepfunctions")
    with held(system, "reprocess", index=1) as sending_five:
        run_id = start_run(system, operator)
        assert sending_five.wait(PATIENCE)
        arn = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
        client.stop_execution(executionArn=f"{arn.replace(':stateMachine:', ':execution:')}:{run_id}")
    collect(system)
    run = wait_for_end(system, operator, run_id)
    assert run["status"] == "failed"
    assert sum(run["counts"].values()) == run["matched"] == run["done"]
    assert "ABORTED" in wait_for_mail(system, run_id).get_content()


@contextmanager
def stopped_application(system):
    """The application answers nothing until the block ends, so that whoever sends to it is busy."""
    os.kill(system.application.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(system.application.pid, signal.SIGCONT)


def test_killed_lambdas_lose_no_communication_and_send_none_twice(system, operator):
    """They are killed while they send, and retried with the same key."""
    ids = create_failed(system, "emails", 20)
    selection = {"operation": "send.email", "primaryIds": ids}
    killed, deadline = 0, time.monotonic() + PATIENCE
    with ExitStack() as stopped:
        with held(system, "reprocess", index=0) as sending:
            run_id = start_run(system, operator, **selection)
            assert sending.wait(PATIENCE)
            stopped.enter_context(stopped_application(system))
        while killed < 3 and time.monotonic() < deadline:
            killed += system.aws.lambdas.kill_one(f"{PREFIX}-reprocess")
            time.sleep(0.05)
    assert killed == 3
    wait_for_end(system, operator, run_id)
    system.application.wait_for_stats(PATIENCE, queued=0)
    while 0 in sent_flags(system, ids) and time.monotonic() < deadline:
        wait_out_cool_down()
        wait_for_end(system, operator, start_run(system, operator, **selection))
        system.application.wait_for_stats(PATIENCE, queued=0)
    assert set(sent_flags(system, ids)) == {1}
    stats = system.application.stats()
    assert (stats["delivered_twice"], stats["two_keys"], stats["changed_bodies"]) == (0, 0, 0)
