"""What the functions report about themselves: one log line for each call, and metrics."""

import json
from types import SimpleNamespace

import pytest
from chalice.app import LambdaFunctionEvent, Request

from chalicelib import run_ids
from chalicelib.errors import CommunicationRejected
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import RunKind, RunStatus, Trigger
from chalicelib.telemetry import logs, metrics
from tests.fakes import make_run

CONTEXT = SimpleNamespace(function_name="app-dev-reprocess", aws_request_id="request-1")
TASK = {
    "runId": "run-1",
    "index": 3,
    "requestedBy": "olga",
    "communication": {"operation": "send.email", "primaryId": "7", "listedAt": 1, "createdBy": "somebody"},
}


def printed_lines(capsys) -> list[dict]:
    """Return the lines of JSON that were printed since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def new_logger(monkeypatch, request):
    """A new logger, named after the test: a cached one would write to the stdout of an earlier test."""
    monkeypatch.setenv("RESOURCE_PREFIX", request.node.name)
    logs._logger.cache_clear()
    yield
    logs._logger.cache_clear()


@pytest.mark.usefixtures("new_logger")
def test_a_call_is_logged_as_one_line_with_ids_and_without_personal_data(capsys):
    """The line says which run and communication, how the call ended and how long it took."""
    event = LambdaFunctionEvent(TASK, CONTEXT)
    assert logs.log_calls(event, lambda _: {"outcome": "accepted"}) == {"outcome": "accepted"}
    (line,) = printed_lines(capsys)
    expected = {"run_id": "run-1", "batch": 3, "operation": "send.email", "primary_id": "7", "outcome": "accepted"}
    assert line.items() >= expected.items()
    assert line["function"] == "app-dev-reprocess"
    assert "duration_ms" in line
    assert "somebody" not in json.dumps(line)


@pytest.mark.parametrize(
    "run_id", [run_ids.for_schedule("5f0e", "2026-11-20T12:00:00Z"), run_ids.for_request("olga", "once", 0)]
)
@pytest.mark.usefixtures("new_logger")
def test_a_run_id_in_a_path_is_logged_only_if_it_is_valid(capsys, run_id):
    """Anything else that a caller types there could be personal data."""
    for typed in (run_id, "someone@example.com"):
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
    valid, invalid = printed_lines(capsys)
    assert (valid["run_id"], valid["route"]) == (run_id, "GET /runs/{run_id}")
    assert "run_id" not in invalid
    assert "example.com" not in json.dumps(invalid)


@pytest.mark.usefixtures("new_logger")
def test_an_error_is_logged_and_raised_again(capsys):
    """The state machine decides by the exception, so the log must not swallow it."""

    def refuse(_):
        raise CommunicationRejected("invalid_address")

    with pytest.raises(CommunicationRejected):
        logs.log_calls(LambdaFunctionEvent(TASK, CONTEXT), refuse)
    (line,) = printed_lines(capsys)
    assert (line["level"], line["error"], line["reason"]) == ("WARNING", "CommunicationRejected", "invalid_address")


def test_the_outcomes_of_a_batch_are_metrics_by_operation(capsys):
    """There is one line for each operation, with a metric for each outcome."""
    outcomes = [
        OutcomeRecord(operation=operation, primary_id=str(number), outcome=Outcome(outcome))
        for number, (operation, outcome) in enumerate(
            [("send.email", "accepted"), ("send.email", "accepted"), ("send.email", "failed"), ("send.sms", "unknown")]
        )
    ]
    metrics.batch_ended("app-dev", outcomes)
    email, sms = printed_lines(capsys)
    assert (email["service"], email["operation"], email["accepted"], email["failed"]) == (
        "app-dev",
        "send.email",
        [2.0],
        [1.0],
    )
    assert sms["unknown"] == [1.0]


def test_refused_posts_are_one_metric_of_all_operations(capsys):
    """It is not there if none was refused."""
    refused = {"outcome": Outcome.DEFERRED, "reason": "too_busy", "refused": True}
    outcomes = [
        OutcomeRecord(operation=each, primary_id="1", **refused) for each in ("send.email", "send.sms", "send.email")
    ]
    metrics.batch_ended("app-dev", outcomes)
    *_, line = printed_lines(capsys)
    assert (line["service"], line["PostsRefused"], "operation" in line) == ("app-dev", [3.0], False)
    metrics.batch_ended("app-dev", [OutcomeRecord(operation="send.sms", primary_id="1", outcome=Outcome.DEFERRED)])
    assert "PostsRefused" not in capsys.readouterr().out


def test_the_pace_is_emitted_in_communications_a_second(capsys):
    """By the collector, and when a run has ended; one that never began says nothing about it."""
    metrics.collector_ended("app-dev", None, 0, 12_500, 0)
    metrics.run_ended("app-dev", make_run(ended_at=3_500), 100)
    metrics.run_ended("app-dev", make_run(ended_at=3_500))
    collector, run, other = printed_lines(capsys)
    assert (collector["PacePerSecond"], run["PacePerSecond"]) == ([12.5], [0.1])
    assert "PacePerSecond" not in other


def test_a_collector_that_cannot_list_has_not_completed_and_emits_no_age(capsys):
    """Otherwise `collector-missing` would never go off. The age is unknown: it comes from the lists."""
    run = make_run(trigger=Trigger.SCHEDULE, status=RunStatus.FAILED)
    metrics.collector_ended("app-dev", run, 5, 10_000, 60_000)
    (line,) = printed_lines(capsys)
    assert (line["CollectorCompleted"], line["WorklistSize"]) == ([0.0], [5.0])
    assert "OldestFailureAge" not in line


def test_the_age_of_the_oldest_failure_is_emitted_in_seconds(capsys):
    """Its alarm compares it with seconds."""
    run = make_run(trigger=Trigger.SCHEDULE, oldest=10_000)
    metrics.collector_ended("app-dev", run, 0, 10_000, 70_000)
    (line,) = printed_lines(capsys)
    assert line["OldestFailureAge"] == [60.0]


def test_a_run_that_ended_emits_its_duration_and_whether_it_failed(capsys):
    """The duration is in milliseconds."""
    run = make_run(status=RunStatus.PARTIAL, requested_at=1_000, ended_at=3_500)
    metrics.run_ended("app-dev", run)
    (line,) = printed_lines(capsys)
    assert (line["RunDuration"], line["RunsFailed"]) == ([2500.0], [0.0])


def test_a_bulk_run_emits_only_whether_it_failed(capsys):
    """How long it took says nothing about sending."""
    metrics.run_ended("app-dev", make_run(kind=RunKind.RETRY, status=RunStatus.FAILED, ended_at=3_500))
    (line,) = printed_lines(capsys)
    assert (line["RunsFailed"], "RunDuration" in line) == ([1.0], False)
