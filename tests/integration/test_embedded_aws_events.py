"""The embedded AWS fires schedules as EventBridge does, and mails notifications as SNS does."""

import json
import time
import uuid

import pytest
import requests
from botocore.exceptions import ClientError

from sandbox.aws import DisabledRuleError, UnknownRuleError

RULE = "small-dev-tick-event"
ON_DUTY = "on-duty@example.com"


@pytest.fixture
def ticks(small):
    """Count the firings from now on; the clock stands still, so the schedule adds none that a test did not want."""
    before = len(small.logged("TICK"))

    def ticks():
        small.aws.lambdas.wait_for_events()
        return len(small.logged("TICK")) - before

    return ticks


@pytest.fixture
def topic(small):
    """A topic with a subscriber by email."""
    client = small.client("sns")
    arn = client.create_topic(Name=f"topic-{uuid.uuid4()}")["TopicArn"]
    client.subscribe(TopicArn=arn, Protocol="email", Endpoint=ON_DUTY)
    return arn


def pass_time(small, seconds):
    """Let time pass, and wait until the schedule has looked at the rules: at the second look the first is over."""
    small.clock.now += seconds
    looks = small.clock.looks
    small.wait_until(lambda: small.clock.looks >= looks + 2, "the schedule does not look at the clock")


def test_a_rule_fires_when_its_period_is_over(small, ticks):
    """A rule of rate(1 minute) fires one minute after it was put, no sooner, and then every minute."""
    small.client("events").put_rule(Name=RULE, ScheduleExpression="rate(1 minute)")
    pass_time(small, 0)
    pass_time(small, 59)
    assert ticks() == 0
    pass_time(small, 1)
    small.wait_until(lambda: ticks() == 1, "it did not fire")
    pass_time(small, 60)
    small.wait_until(lambda: ticks() == 2, "it did not fire again")


def test_a_rule_that_was_changed_counts_anew(small, ticks):
    """With rate(2 hours) put in its place, the rule fires two hours later."""
    small.client("events").put_rule(Name=RULE, ScheduleExpression="rate(2 hours)")
    pass_time(small, 0)
    pass_time(small, 7199)
    assert ticks() == 0
    pass_time(small, 1)
    small.wait_until(lambda: ticks() == 1, "it did not fire")


def test_a_disabled_rule_does_not_fire(small, ticks):
    """Neither its schedule nor a person fires a disabled rule; enabled again, it fires one period later."""
    client = small.client("events")
    client.put_rule(Name=RULE, ScheduleExpression="rate(1 day)", State="DISABLED")
    pass_time(small, 86_400)
    with pytest.raises(DisabledRuleError, match="small-dev-tick-event"):
        small.aws.fire(RULE)
    assert ticks() == 0
    client.enable_rule(Name=RULE)
    pass_time(small, 0)
    pass_time(small, 86_400)
    small.wait_until(lambda: ticks() == 1, "it did not fire")


def test_the_event_is_a_full_scheduled_event(small, ticks):
    """The function gets all that EventBridge sends, the time in UTC."""
    small.aws.fire(RULE)
    small.wait_until(lambda: ticks() == 1, "it did not fire")
    event = json.loads(small.logged("TICK")[-1].split("TICK ")[1])
    assert uuid.UUID(event.pop("id"))
    assert event.pop("time") == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(small.clock.now))
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "region": "eu-west-1",
        "resources": [f"arn:aws:events:eu-west-1:123456789012:rule/{RULE}"],
        "detail": {},
    }


def test_a_targets_input_takes_the_events_place(small, tmp_path):
    """A target with an input of its own gets that and no event."""
    client = small.client("events")
    client.put_rule(Name="with-input", ScheduleExpression="rate(5 minutes)")
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev-work"
    wanted = json.dumps({"note": str(tmp_path / "note")})
    client.put_targets(Rule="with-input", Targets=[{"Id": "1", "Arn": arn, "Input": wanted}])
    small.aws.fire("with-input")
    small.aws.lambdas.wait_for_events()
    assert (tmp_path / "note").exists()


def test_another_process_can_fire_a_rule(small, ticks):
    """POST /_sandbox/rules/{name}/fire fires it; a rule that is not there is a 404, a disabled one a 409."""
    url = f"{small.aws.endpoint}/_sandbox/rules/{RULE}/fire"
    assert requests.post(url, timeout=30).status_code == 204
    small.wait_until(lambda: ticks() == 1, "it did not fire")
    assert requests.get(url, timeout=30).status_code == 405
    unknown = requests.post(url.replace(RULE, "nobody"), timeout=30)
    assert unknown.status_code == 404
    assert RULE in unknown.text
    small.client("events").disable_rule(Name=RULE)
    disabled = requests.post(url, timeout=30)
    small.client("events").enable_rule(Name=RULE)
    assert (disabled.status_code, disabled.text) == (409, f"the rule '{RULE}' is disabled\n")


def test_nobody_fires_a_rule_that_is_not_there(small):
    """The error names the rules that there are."""
    with pytest.raises(UnknownRuleError, match=RULE):
        small.aws.fire("nobody")


def test_subscribers_by_email_get_a_mail(small, topic):
    """A client publishes, and the subscriber gets the text with a footer, from SNS."""
    subject = f"Run {uuid.uuid4()}"
    small.client("sns").publish(TopicArn=topic, Subject=subject, Message="Fünf went through.\nOne did not.")
    mail = small.mailbox.wait_for(lambda mail: mail["Subject"] == subject)
    assert mail["To"] == ON_DUTY
    assert mail["From"] == "AWS Notifications <no-reply@sns.example.com>"
    assert mail.get_content_type() == "text/plain"
    text, _, footer = mail.get_content().replace("\r\n", "\n").partition("\n\n--\n")
    assert text == "Fünf went through.\nOne did not."
    assert "unsubscribe" in footer


def test_a_function_publishes_by_mail_too(small, topic):
    """What a deployed function publishes arrives like anything else."""
    subject = f"Run {uuid.uuid4()}"
    answer, error = small.invoke({"publish": {"TopicArn": topic, "Subject": subject, "Message": "hello"}})
    assert error is None, answer
    assert small.mailbox.wait_for(lambda mail: mail["Subject"] == subject)


def test_a_message_may_have_a_text_for_each_protocol(small, topic):
    """With MessageStructure json the subscriber by email gets the text for email; without a subject, Amazon's."""
    word = str(uuid.uuid4())
    message = json.dumps({"default": "no", "email": word})
    small.client("sns").publish(TopicArn=topic, Message=message, MessageStructure="json")
    mail = small.mailbox.wait_for(lambda mail: word in mail.get_content())
    assert mail["Subject"] == "AWS Notification Message"


def test_a_filter_policy_is_heeded(small, topic):
    """A subscriber whose filter policy does not match gets no mail."""
    client = small.client("sns")
    subscription = client.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"]
    policy = {"SubscriptionArn": subscription, "AttributeName": "FilterPolicy"}
    client.set_subscription_attributes(**policy, AttributeValue=json.dumps({"kind": ["bad"]}))
    for kind in ("good", "bad"):
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        client.publish(TopicArn=topic, Subject=f"{topic[-36:]} {kind}", Message="x", MessageAttributes=attributes)
    small.mailbox.wait_for(lambda mail: mail["Subject"] == f"{topic[-36:]} bad")
    assert not [mail for mail in small.mailbox.messages() if mail["Subject"] == f"{topic[-36:]} good"]


def test_a_mail_waits_while_nobody_takes_it(small, topic):
    """A mail that the server refuses for now arrives when the server is back."""
    subject = f"Run {uuid.uuid4()}"
    small.mailbox.down = True
    small.client("sns").publish(TopicArn=topic, Subject=subject, Message="x")
    with pytest.raises(TimeoutError):
        small.mailbox.wait_for(lambda mail: mail["Subject"] == subject, timeout=0.2)
    small.mailbox.down = False
    assert small.mailbox.wait_for(lambda mail: mail["Subject"] == subject)


@pytest.mark.parametrize("subject", ["two\nlines", "Überfällig", "x" * 101, " leading space", "tab\there"])
def test_a_subject_that_amazon_refuses_is_refused(small, topic, subject):
    """ASCII, one line, at most 100 characters: anything else is an InvalidParameter."""
    with pytest.raises(ClientError) as caught:
        small.client("sns").publish(TopicArn=topic, Subject=subject, Message="x")
    assert caught.value.response["Error"]["Code"] == "InvalidParameter"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_subject_of_100_characters_is_taken(small, topic):
    """The longest subject that Amazon takes."""
    small.client("sns").publish(TopicArn=topic, Subject="x" * 100, Message="x")
    assert small.mailbox.wait_for(lambda mail: mail["Subject"] == "x" * 100)
