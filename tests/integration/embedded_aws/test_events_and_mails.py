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
def ticks(app):
    """Counts how often the rule has fired since the test began. The clock stands still unless the test moves it."""
    before = len(app.logged("TICK"))

    def ticks():
        app.aws.lambdas.wait_for_events()
        return len(app.logged("TICK")) - before

    return ticks


@pytest.fixture
def topic(app):
    """The ARN of a topic with a subscriber by email."""
    client = app.client("sns")
    arn = client.create_topic(Name=f"topic-{uuid.uuid4()}")["TopicArn"]
    client.subscribe(TopicArn=arn, Protocol="email", Endpoint=ON_DUTY)
    return arn


def pass_time(app, seconds):
    """Advance the clock and wait for a check of the rules: one is over when the clock is read a second time."""
    app.clock.now += seconds
    reads = app.clock.reads
    app.wait_until(lambda: app.clock.reads >= reads + 2, "the schedule does not read the clock")


def test_a_rule_fires_at_the_end_of_each_period(app, ticks):
    """With rate(1 minute), it fires for the first time one minute after it was put."""
    app.client("events").put_rule(Name=RULE, ScheduleExpression="rate(1 minute)")
    pass_time(app, 0)
    pass_time(app, 59)
    assert ticks() == 0
    pass_time(app, 1)
    app.wait_until(lambda: ticks() == 1, "the rule did not fire")
    pass_time(app, 60)
    app.wait_until(lambda: ticks() == 2, "the rule did not fire again")


def test_a_rule_that_is_changed_starts_a_new_period(app, ticks):
    """With rate(2 hours), it fires two hours after the change."""
    app.client("events").put_rule(Name=RULE, ScheduleExpression="rate(2 hours)")
    pass_time(app, 0)
    pass_time(app, 7199)
    assert ticks() == 0
    pass_time(app, 1)
    app.wait_until(lambda: ticks() == 1, "the rule did not fire")


def test_a_disabled_rule_fires_neither_by_schedule_nor_on_demand(app, ticks):
    """When it is enabled again, it fires one period later."""
    client = app.client("events")
    client.put_rule(Name=RULE, ScheduleExpression="rate(1 day)", State="DISABLED")
    pass_time(app, 86_400)
    with pytest.raises(DisabledRuleError, match="small-dev-tick-event"):
        app.aws.fire(RULE)
    assert ticks() == 0
    client.enable_rule(Name=RULE)
    pass_time(app, 0)
    pass_time(app, 86_400)
    app.wait_until(lambda: ticks() == 1, "the rule did not fire")


def test_the_function_gets_the_complete_event_of_eventbridge(app, ticks):
    """Its time is in UTC."""
    app.aws.fire(RULE)
    app.wait_until(lambda: ticks() == 1, "the rule did not fire")
    event = json.loads(app.logged("TICK")[-1].split("TICK ")[1])
    assert uuid.UUID(event.pop("id"))
    assert event.pop("time") == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(app.clock.now))
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "region": "eu-west-1",
        "resources": [f"arn:aws:events:eu-west-1:123456789012:rule/{RULE}"],
        "detail": {},
    }


def test_a_target_with_an_input_gets_that_instead_of_the_event(app, tmp_path):
    """PutTargets sets the input."""
    client = app.client("events")
    client.put_rule(Name="with-input", ScheduleExpression="rate(5 minutes)")
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev-work"
    target_input = json.dumps({"marker": str(tmp_path / "marker")})
    client.put_targets(Rule="with-input", Targets=[{"Id": "1", "Arn": arn, "Input": target_input}])
    app.aws.fire("with-input")
    app.aws.lambdas.wait_for_events()
    assert (tmp_path / "marker").exists()


def test_a_rule_can_be_fired_over_http(app, ticks):
    """Other processes use that. An unknown rule is a 404, a disabled one a 409."""
    url = f"{app.aws.endpoint}/_sandbox/rules/{RULE}/fire"
    assert requests.post(url, timeout=30).status_code == 204
    app.wait_until(lambda: ticks() == 1, "the rule did not fire")
    assert requests.get(url, timeout=30).status_code == 405
    unknown = requests.post(url.replace(RULE, "nobody"), timeout=30)
    assert unknown.status_code == 404
    assert RULE in unknown.text
    app.client("events").disable_rule(Name=RULE)
    disabled = requests.post(url, timeout=30)
    app.client("events").enable_rule(Name=RULE)
    assert (disabled.status_code, disabled.text) == (409, f"the rule '{RULE}' is disabled\n")


def test_firing_an_unknown_rule_is_an_error_that_names_the_rules_that_exist(app):
    """The name was probably mistyped."""
    with pytest.raises(UnknownRuleError, match=RULE):
        app.aws.fire("nobody")


def test_a_published_message_is_mailed_to_its_subscribers(app, topic):
    """The mail has SNS's sender and footer."""
    subject = f"Run {uuid.uuid4()}"
    app.client("sns").publish(TopicArn=topic, Subject=subject, Message="Fünf went through.\nOne did not.")
    mail = app.mailbox.wait_for(lambda mail: mail["Subject"] == subject)
    assert mail["To"] == ON_DUTY
    assert mail["From"] == "AWS Notifications <no-reply@sns.example.com>"
    assert mail.get_content_type() == "text/plain"
    text, _, footer = mail.get_content().replace("\r\n", "\n").partition("\n\n--\n")
    assert text == "Fünf went through.\nOne did not."
    assert "unsubscribe" in footer


def test_the_address_of_an_api_in_a_mail_is_one_that_a_browser_here_can_open(app, topic):
    """Amazon's DNS knows nothing of the embedded AWS. Other addresses stay as they are."""
    api_id = app.client("apigateway").get_rest_apis()["items"][0]["id"]
    subject, other = f"Run {uuid.uuid4()}", "https://reprocess.example.com/#/runs/1"
    text = f"Details:\nhttps://{api_id}.execute-api.eu-west-1.amazonaws.com/api/#/runs/1\n\n{other}"
    app.client("sns").publish(TopicArn=topic, Subject=subject, Message=text)
    mail = app.mailbox.wait_for(lambda mail: mail["Subject"] == subject)
    lines = mail.get_content().splitlines()
    assert lines[:4] == ["Details:", f"{app.aws.api_url(api_id)}/#/runs/1", "", other]
    assert requests.get(lines[1], timeout=30).status_code == 200


def test_a_message_that_a_function_publishes_is_mailed(app, topic):
    """A deployed function uses the same endpoint as any client."""
    subject = f"Run {uuid.uuid4()}"
    answer, error = app.invoke({"publish": {"TopicArn": topic, "Subject": subject, "Message": "hello"}})
    assert error is None, answer
    assert app.mailbox.wait_for(lambda mail: mail["Subject"] == subject)


def test_a_message_with_texts_for_each_protocol_is_mailed_with_the_one_for_email(app, topic):
    """Its MessageStructure is json. It has no subject, so the mail has Amazon's default."""
    word = str(uuid.uuid4())
    message = json.dumps({"default": "no", "email": word})
    app.client("sns").publish(TopicArn=topic, Message=message, MessageStructure="json")
    mail = app.mailbox.wait_for(lambda mail: word in mail.get_content())
    assert mail["Subject"] == "AWS Notification Message"


def test_a_message_that_does_not_match_the_filter_policy_is_not_mailed(app, topic):
    """A message that matches is published later and arrives."""
    client = app.client("sns")
    subscription = client.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"]
    policy = {"SubscriptionArn": subscription, "AttributeName": "FilterPolicy"}
    client.set_subscription_attributes(**policy, AttributeValue=json.dumps({"kind": ["bad"]}))
    for kind in ("good", "bad"):
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        client.publish(TopicArn=topic, Subject=f"{topic[-36:]} {kind}", Message="x", MessageAttributes=attributes)
    app.mailbox.wait_for(lambda mail: mail["Subject"] == f"{topic[-36:]} bad")
    assert not [mail for mail in app.mailbox.messages() if mail["Subject"] == f"{topic[-36:]} good"]


def test_a_mail_that_the_server_refuses_is_delivered_later(app, topic):
    """It arrives when the mail server is back."""
    subject = f"Run {uuid.uuid4()}"
    app.mailbox.down = True
    app.client("sns").publish(TopicArn=topic, Subject=subject, Message="x")
    with pytest.raises(TimeoutError):
        app.mailbox.wait_for(lambda mail: mail["Subject"] == subject, timeout=0.2)
    app.mailbox.down = False
    assert app.mailbox.wait_for(lambda mail: mail["Subject"] == subject)


@pytest.mark.parametrize("subject", ["two\nlines", "Überfällig", "x" * 101, " leading space", "tab\there"])
def test_a_subject_that_sns_would_refuse_is_an_invalid_parameter(app, topic, subject):
    """Subjects are one line of ASCII with at most 100 characters."""
    with pytest.raises(ClientError) as caught:
        app.client("sns").publish(TopicArn=topic, Subject=subject, Message="x")
    assert caught.value.response["Error"]["Code"] == "InvalidParameter"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_subject_of_100_characters_is_accepted(app, topic):
    """That is the longest that SNS accepts."""
    app.client("sns").publish(TopicArn=topic, Subject="x" * 100, Message="x")
    assert app.mailbox.wait_for(lambda mail: mail["Subject"] == "x" * 100)
