"""The steps of a deployment: what a failed one says, what a plan does not do; the alarms' schedules."""

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from chalicelib.errors import ConfigurationError
from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from deployment import alarms, aws_errors, topics
from deployment.aws_wait import retry_until_ready
from deployment.clients import ReadOnlyClient, WouldCreate
from deployment.steps import Step, StepFailed, StepResult, take

NAMES = Names("app-dev", AwsLocation("aws", "eu-west-1", "123456789012"))


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "CreateTable")


def test_a_failed_step_names_the_resource_the_error_and_what_to_do():
    """Whoever reads it knows what failed, why, and how to go on; the steps before it were taken."""

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
def test_an_expired_session_says_to_log_in(code):
    """Each service has its own name for it."""
    assert "log in again" in aws_errors.advice(refused(code))
    assert aws_errors.is_advice_enough(refused(code))


def test_an_unknown_error_is_shown_as_it_is():
    """A hint is no guess."""
    assert aws_errors.advice(refused("Whatever")) == "Fix what AWS reports."
    assert not aws_errors.is_advice_enough(refused("Whatever"))
    assert "no AWS credentials" in aws_errors.advice(NoCredentialsError())


class Client:
    """A client that counts the calls that would have changed something."""

    def __init__(self) -> None:
        self.changed = 0

    def describe_thing(self, name: str) -> str:
        return f"the thing {name}"

    def put_thing(self, **_) -> None:
        self.changed += 1

    create_thing = delete_thing = put_thing


def test_a_reader_reads_and_changes_nothing():
    """Reading calls get through; others are noted, and one whose answer would be needed ends the step."""
    client, noted = Client(), []
    reader = ReadOnlyClient(client, noted)
    assert reader.describe_thing("x") == "the thing x"
    reader.put_thing(name="x")
    for call in (reader.create_thing, reader.delete_thing):
        with pytest.raises(WouldCreate):
            call(name="y")
    assert [name for name, _ in noted] == ["put_thing", "create_thing", "delete_thing"]
    assert client.changed == 0


def test_what_aws_makes_behind_is_waited_for():
    """A refusal that ends by itself is no failure; another one is, and so is one that does not end."""
    waits = []

    def after(refusals: int, code: str):
        answers = iter([refused(code)] * refusals)

        def call():
            for error in answers:
                raise error

        return call

    retry_until_ready(after(3, "Later"), "Later", waits.append)
    assert waits == [3.0] * 3
    with pytest.raises(ClientError, match="Never"):
        retry_until_ready(after(1, "Never"), "Later", waits.append)
    waits.clear()
    with pytest.raises(ClientError, match="Later"):
        retry_until_ready(after(100, "Later"), "Later", waits.append)
    assert sum(waits) == 117.0


class Subscriptions:
    """SNS, with somebody who has unsubscribed by the link in a mail."""

    def __init__(self, arn: str) -> None:
        self.there = [{"Protocol": "email", "Endpoint": "someone@example.com", "SubscriptionArn": arn}]

    def get_paginator(self, _name):
        return self

    def paginate(self, **_):
        return [{"Subscriptions": self.there}]

    def subscribe(self, **wanted):
        self.there.append(wanted)


def test_who_has_unsubscribed_is_subscribed_again():
    """SNS goes on listing an ended subscription; it is none."""
    for arn, done in (("Deleted", StepResult.CREATED), ("PendingConfirmation", StepResult.UNCHANGED)):
        assert topics.ensure_subscription(Subscriptions(arn), "arn:topic", "someone@example.com") is done


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(15 minutes)", 900),
        ("rate(6 hours)", 21_600),
        ("rate(30 days)", 172_800),
        ("cron(0 6 * * ? *)", 86_400),
    ],
)
def test_the_collectors_alarm_goes_by_the_schedule(expression, seconds):
    """Three schedules without a collector ring, as far as an alarm can look back: seven days."""
    settings = Settings(resource_prefix=NAMES.prefix, schedule=expression)
    alarm = next(each for each in alarms.alarms(NAMES, settings) if each.name == "collector-missing")
    assert (alarm.period, alarm.periods, alarm.missing) == (seconds, 3, "breaching")
    assert alarm.period * alarm.periods <= 7 * 86_400


def test_the_age_alarm_rings_between_schedules_too():
    """A value that comes once a day must not be undone by the quarters of an hour without one."""
    settings = Settings(resource_prefix=NAMES.prefix, schedule="rate(1 day)", alarm_oldest_failure="2h")
    alarm = next(each for each in alarms.alarms(NAMES, settings) if each.name == "oldest-failure")
    assert (alarm.periods, alarm.missing, alarm.threshold) == (1, "ignore", 7200)


def test_a_wrong_alarm_setting_is_named():
    """The sentence names the setting."""
    with pytest.raises(ConfigurationError, match="ALARM_OLDEST_FAILURE"):
        Settings.read({"RESOURCE_PREFIX": NAMES.prefix, "ALARM_OLDEST_FAILURE": "soon"})
