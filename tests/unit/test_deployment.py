"""Deploying: steps that fail, plans, waiting for AWS, subscriptions, alarms, and the functions' policies."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from chalicelib.models.runs import RunKind
from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from deployment import aws_errors, topics
from deployment.aws_wait import answers, retry_until_ready
from deployment.clients import ReadOnlyClient, WouldCreate
from deployment.comms_reprocess import alarms, status
from deployment.steps import Step, StepFailed, StepResult, take
from tests.fakes import make_run

ROOT = Path(__file__).parents[2]
NAMES = Names("app-dev", AwsLocation("aws", "eu-west-1", "123456789012"))


def refused(code: str) -> ClientError:
    """Return the error of a call that AWS refuses."""
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "CreateTable")


def test_a_failed_step_names_the_resource_the_error_and_what_to_do():
    """The steps before it are done, and the same command continues after them."""

    def fail() -> StepResult:
        raise refused("AccessDeniedException")

    taken = []
    steps = [Step("bucket", "b", lambda: taken.append(1) or StepResult.CREATED), Step("table", "app-dev", fail)]
    with pytest.raises(StepFailed) as failure:
        take(steps)
    text = str(failure.value)
    assert text.startswith("table app-dev: An error occurred (AccessDeniedException) when calling the CreateTable")
    assert "lacks this permission" in text
    assert "run the same command again" in text
    assert taken == [1]


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
def test_the_advice_for_an_expired_session_is_to_log_in_again(code):
    """Each AWS service has its own error code for it."""
    assert "log in again" in aws_errors.advice(refused(code))
    assert aws_errors.is_advice_enough(refused(code))


def test_an_unknown_error_of_aws_gets_no_guessed_advice():
    """AWS's own message is shown with it."""
    assert aws_errors.advice(refused("Whatever")) == "Fix what AWS reports."
    assert not aws_errors.is_advice_enough(refused("Whatever"))
    assert "no AWS credentials" in aws_errors.advice(NoCredentialsError())


class FakeClient:
    """A boto3 client that counts the calls that change something."""

    def __init__(self) -> None:
        self.changes = 0

    def describe_thing(self, name: str) -> str:
        return f"the thing {name}"

    def put_thing(self, **_) -> None:
        self.changes += 1

    create_thing = delete_thing = put_thing


def test_a_read_only_client_reads_and_only_notes_changes():
    """A change whose response the step would need ends the step with WouldCreate."""
    client, noted = FakeClient(), []
    reader = ReadOnlyClient(client, noted)
    assert reader.describe_thing("x") == "the thing x"
    reader.put_thing(name="x")
    for call in (reader.create_thing, reader.delete_thing):
        with pytest.raises(WouldCreate):
            call(name="y")
    assert [name for name, _ in noted] == ["put_thing", "create_thing", "delete_thing"]
    assert client.changes == 0


def test_a_call_is_repeated_until_aws_is_ready_for_two_minutes_at_most():
    """Any other error is raised at once."""
    waits = []

    def succeed_after(refusals: int, code: str):
        errors = iter([refused(code)] * refusals)

        def call():
            for error in errors:
                raise error

        return call

    retry_until_ready(succeed_after(3, "Later"), answers("Later"), waits.append)
    assert waits == [3.0] * 3
    with pytest.raises(ClientError, match="Never"):
        retry_until_ready(succeed_after(1, "Never"), answers("Later"), waits.append)
    waits.clear()
    with pytest.raises(ClientError, match="Later"):
        retry_until_ready(succeed_after(100, "Later"), answers("Later"), waits.append)
    assert sum(waits) == 117.0


class FakeSns:
    """SNS's client for a topic with one subscription, whose ARN SNS lists as `arn`."""

    def __init__(self, arn: str) -> None:
        self.subscriptions = [{"Protocol": "email", "Endpoint": "someone@example.com", "SubscriptionArn": arn}]

    def get_paginator(self, _name):
        return self

    def paginate(self, **_):
        return [{"Subscriptions": self.subscriptions}]

    def subscribe(self, **request):
        self.subscriptions.append(request)


def test_an_address_that_has_unsubscribed_is_subscribed_again():
    """SNS keeps listing an ended subscription, with `Deleted` in place of its ARN."""
    for arn, result in (("Deleted", StepResult.CREATED), ("PendingConfirmation", StepResult.UNCHANGED)):
        assert topics.ensure_subscription(FakeSns(arn), "arn:topic", "someone@example.com") is result


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(15 minutes)", 900),
        ("rate(6 hours)", 21_600),
        ("rate(2 days)", 172_800),
        ("cron(0 6 * * ? *)", 86_400),
        ("cron(0/10 8-17 ? * * *)", 86_400),
    ],
)
def test_the_collector_missing_alarm_follows_the_schedule(expression, seconds):
    """It goes off after three schedules without a collector, within the seven days that an alarm can look back."""
    settings = Settings(resource_prefix=NAMES.prefix, schedule=expression)
    alarm = next(each for each in alarms.alarms(NAMES, settings) if each.name == "collector-missing")
    assert (alarm.period, alarm.periods, alarm.missing) == (seconds, 3, "breaching")
    assert alarm.period * alarm.periods <= 7 * 86_400


@pytest.mark.parametrize(
    "expression", ["rate(3 days)", "rate(6 days)", "cron(0 6 ? * MON-FRI *)", "cron(0 6 ? * 2,5 *)"]
)
def test_the_collector_missing_alarm_of_a_rare_schedule_waits_for_seven_days(expression):
    """No two firings are that far apart, so at least one was missed."""
    assert collector_missing(expression) == (86_400, 7, "breaching")


@pytest.mark.parametrize(
    "expression",
    [
        "rate(7 days)",
        "rate(30 days)",
        "cron(0 6 ? * MON *)",
        "cron(0 6 ? * 6#3 *)",
        "cron(0 6 1 * ? *)",
        "cron(0 6 ? 3-5 2,5 *)",
    ],
)
def test_the_collector_missing_alarm_of_a_weekly_or_rarer_schedule_does_not_go_off_between_its_firings(expression):
    """An alarm can look back seven days only, so a collector that never ran is not noticed; one that failed is."""
    assert collector_missing(expression) == (86_400, 1, "ignore")


def collector_missing(expression: str) -> tuple[int, int, str]:
    settings = Settings(resource_prefix=NAMES.prefix, schedule=expression)
    alarm = next(each for each in alarms.alarms(NAMES, settings) if each.name == "collector-missing")
    assert (alarm.comparison, alarm.threshold, alarm.statistic) == ("LessThanThreshold", 1, "Sum")
    return alarm.period, alarm.periods, alarm.missing


def test_the_oldest_failure_alarm_keeps_its_state_between_schedules():
    """With a daily schedule there is one value a day, and the 15-minute periods without one must not end the alarm."""
    settings = Settings(resource_prefix=NAMES.prefix, schedule="rate(1 day)", alarm_oldest_failure="2h")
    alarm = next(each for each in alarms.alarms(NAMES, settings) if each.name == "oldest-failure")
    assert (alarm.periods, alarm.missing, alarm.threshold) == (1, "ignore", 7200)


POLICIES = [file for file in sorted((ROOT / ".chalice").glob("*/*.json")) if file.stem != "deployer"]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_a_functions_policy_names_its_actions_and_only_resources_of_its_stage(policy):
    """Account and region may be `*`; an action or a name may not."""
    prefix = f"comms-reprocess-{policy.parent.name}"
    for statement in json.loads(policy.read_text(encoding="utf-8"))["Statement"]:
        assert all("*" not in action for action in statement["Action"])
        if all(action.startswith("xray:") for action in statement["Action"]):
            # X-Ray's actions apply to no resource, so AWS accepts only "*" here.
            assert statement["Resource"] == ["*"]
            continue
        for resource in statement["Resource"]:
            assert prefix in resource.split(":", 5)[5]


@pytest.mark.parametrize(
    ("kind", "counts", "words"),
    [
        (RunKind.REPROCESS, {"accepted": 2, "failed": 1}, "2 of 3 accepted"),
        (RunKind.RETRY, {"changed": 2, "refused": 1}, "2 of 3 retried"),
        (RunKind.DISMISS, {"changed": 3}, "3 of 3 dismissed"),
    ],
)
def test_the_status_says_how_many_of_how_many_whatever_the_kind_of_a_run(kind, counts, words):
    """A bulk run sends nothing, so nothing of it is accepted."""
    assert f" {words} " in status._run(make_run(kind=kind, matched=3, counts=counts))
