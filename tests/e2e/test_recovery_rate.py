"""Accepted is not delivered: a run's recovery is known after the next scan, and the next mail tells if it was worse."""

from chalicelib import times
from tests.e2e.driver import (
    PATIENCE,
    create_failed,
    fire,
    insert_failed,
    mails_about,
    start_run,
    wait_for_end,
    wait_for_mail,
    wait_out_cool_down,
    wait_until,
)

COMMUNICATIONS = 100

# How long a run of them may take, in seconds: longer than the small runs of other tests.
RUN_PATIENCE = 240


def test_a_run_of_which_the_application_delivers_90_of_100_recovers_90_percent(system, operator, viewer):
    """Nobody knows it before the cool-down is over; then the API and the next mail say so, once."""
    insert_failed(system, COMMUNICATIONS, "recovery")
    system.application.switch(accepts_but_never_sends={"value": True, "share": 0.1})
    run_id = start_run(system, operator, createdBy="recovery", operation="send.email")
    run = wait_for_end(system, operator, run_id, RUN_PATIENCE)
    assert run["counts"] == {"accepted": COMMUNICATIONS}
    assert (run["relapsed"], run["settledAt"], run["recovery"]) == (0, None, None)
    system.application.reset_switches()
    system.application.wait_for_stats(PATIENCE, failed=10, queued=0)
    wait_out_cool_down()
    wait_for_end(system, viewer, fire(system))
    wait_until(lambda: system.call("GET", f"/runs/{run_id}", viewer).json()["settledAt"], "the run is not settled")
    run = system.call("GET", f"/runs/{run_id}", viewer).json()
    assert (run["relapsed"], run["recovery"]) == (10, 0.9)
    assert times.parse_iso(run["settledAt"]) > times.parse_iso(run["endedAt"])
    (listed,) = [each for each in system.call("GET", "/runs", viewer).json()["runs"] if each["runId"] == run_id]
    assert listed == run
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)
    (more,) = create_failed(system, "emails", 1)
    wait_for_mail(system, start_run(system, operator, primaryIds=[more], operation="send.email"))
    (mail,) = [each for each in mails_about(system, run_id) if "turned out worse" in each.get_content()]
    assert f"{run_id}: 100 accepted, 10 of these failed again (90% arrived)" in mail.get_content()
