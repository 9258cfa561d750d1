"""What a function reports about itself: a line of JSON for each call, and metrics."""

import json
from types import SimpleNamespace

import pytest
from chalice.app import LambdaFunctionEvent, Request

from chalicelib import run_ids
from chalicelib.errors import CommunicationRejected
from chalicelib.models import Outcome, OutcomeRecord, Run, RunStatus, Trigger
from chalicelib.telemetry import logs, metrics

CONTEXT = SimpleNamespace(function_name="app-dev-reprocess", aws_request_id="request-1")
TASK = {
    "runId": "run-1",
    "index": 3,
    "requestedBy": "olga",
    "communication": {"operation": "send.email", "primaryId": "7", "listedAt": 1, "createdBy": "somebody"},
}


def printed(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def fresh(monkeypatch, request):
    """A logger of the test's own, which writes to where the test reads: loggers are one for each service's name."""
    monkeypatch.setenv("RESOURCE_PREFIX", request.node.name)
    logs._logger.cache_clear()
    yield
    logs._logger.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_call_is_one_line_with_its_run_and_no_person(capsys):
    """The line says which run and communication, how it went and how long; nobody's name."""
    event = LambdaFunctionEvent(TASK, CONTEXT)
    assert logs.log_calls(event, lambda _: {"outcome": "accepted"}) == {"outcome": "accepted"}
    (line,) = printed(capsys)
    expected = {"run_id": "run-1", "batch": 3, "operation": "send.email", "primary_id": "7", "outcome": "accepted"}
    assert line.items() >= expected.items()
    assert line["function"] == "app-dev-reprocess"
    assert "duration_ms" in line
    assert "somebody" not in json.dumps(line)


@pytest.mark.parametrize(
    "made", [run_ids.for_schedule("5f0e", "2026-11-20T12:00:00Z"), run_ids.for_request("olga", "once", 0)]
)
@pytest.mark.usefixtures("fresh")
def test_what_somebody_types_is_not_logged(capsys, made):
    """A run's id is, but not just anything that stands in its place in the path."""
    for typed in (made, "someone@example.com"):
        event = {
            "requestContext": {"httpMethod": "GET", "resourcePath": "/runs/{run_id}"},
            "pathParameters": {"run_id": typed},
            "headers": {},
            "body": None,
            "stageVariables": None,
            "isBase64Encoded": False,
            "multiValueQueryStringParameters": None,
        }
        logs.log_calls(Request(event, CONTEXT), lambda _: {})
    known, unknown = printed(capsys)
    assert (known["run_id"], known["route"]) == (made, "GET /runs/{run_id}")
    assert "run_id" not in unknown
    assert "example.com" not in json.dumps(unknown)


@pytest.mark.usefixtures("fresh")
def test_an_error_is_logged_and_goes_on(capsys):
    """The state machine decides by the exception, so the log must not swallow it."""

    def refuse(_):
        raise CommunicationRejected("invalid_address")

    with pytest.raises(CommunicationRejected):
        logs.log_calls(LambdaFunctionEvent(TASK, CONTEXT), refuse)
    (line,) = printed(capsys)
    assert (line["level"], line["error"], line["reason"]) == ("WARNING", "CommunicationRejected", "invalid_address")


def test_outcomes_are_metrics_of_their_operation(capsys):
    """One line for each operation, with a metric for each outcome, under the names that the alarms know."""
    outcomes = [
        OutcomeRecord(operation=operation, primary_id=str(number), outcome=Outcome(outcome))
        for number, (operation, outcome) in enumerate(
            [("send.email", "accepted"), ("send.email", "accepted"), ("send.email", "failed"), ("send.sms", "unknown")]
        )
    ]
    metrics.batch_ended("app-dev", outcomes)
    email, sms = printed(capsys)
    assert (email["service"], email["operation"], email["accepted"], email["failed"]) == (
        "app-dev",
        "send.email",
        [2.0],
        [1.0],
    )
    assert sms["unknown"] == [1.0]


def test_a_collector_that_cannot_list_has_not_completed(capsys):
    """Or three of them would never ring; the age of the oldest failure is only put out where it is known."""
    run = Run(run_id="r", trigger=Trigger.SCHEDULE, requested_by="schedule", status=RunStatus.FAILED, requested_at=0)
    metrics.collector_ended("app-dev", run, 5, 60_000)
    (line,) = printed(capsys)
    assert (line["CollectorCompleted"], line["WorklistSize"], line["RunsFailed"]) == ([0.0], [5.0], [1.0])
    assert "OldestFailureAge" not in line


def test_the_age_of_the_oldest_failure_is_in_seconds(capsys):
    """Its alarm compares it with seconds."""
    run = Run(
        run_id="r",
        trigger=Trigger.SCHEDULE,
        requested_by="schedule",
        status=RunStatus.RUNNING,
        requested_at=0,
        oldest=10_000,
    )
    metrics.collector_ended("app-dev", run, 0, 70_000)
    (line,) = printed(capsys)
    assert line["OldestFailureAge"] == [60.0]


def test_a_run_that_ended_tells_how_long_it_took(capsys):
    """And whether it failed."""
    run = Run(
        run_id="r",
        trigger=Trigger.REQUEST,
        requested_by="o",
        status=RunStatus.PARTIAL,
        requested_at=1_000,
        ended_at=3_500,
    )
    metrics.run_ended("app-dev", run)
    (line,) = printed(capsys)
    assert (line["RunDuration"], line["RunsFailed"]) == ([2500.0], [0.0])
