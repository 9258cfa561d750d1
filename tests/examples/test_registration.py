"""Registered everywhere or nowhere, or a person told: whatever fails, counted in the systems' own databases."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from chalicelib.errors import ApplicationOverloaded, CommunicationRejected, OutcomeUnknown
from deployment import policies
from deployment.stage import Stage
from examples.registration.outside import SYSTEMS
from sandbox.deployed import ON_DUTY
from tests import iam
from tests.e2e.driver import wait_until
from tests.examples.registration import (
    EVERYWHERE,
    EXAMPLE,
    NAMES,
    NOWHERE,
    PATIENCE,
    SORRY,
    WELCOME,
    Person,
    Registration,
    listed,
    send_again,
    send_in_the_end,
)
from tests.examples.test_definitions import LOCATION


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """The example, deployed once."""
    with Registration(tmp_path_factory.mktemp("registration"), hurried=True) as running:
        yield running


@pytest.fixture
def registration(deployed):
    """The deployed example, with everything well again afterwards."""
    yield deployed
    deployed.world.repair()


@pytest.fixture
def person():
    return Person()


REGISTER = f"{NAMES.prefix}-register"
CANCELLED = ["cancelled", "cancelled", "cancelled"]


def states(registration, person):
    """What the systems know of a key."""
    return [system.state(person.key) for system in registration.world.systems.values()]


def assert_undone(registration, person):
    """The person is registered nowhere, knows it, and the execution does not look like a success."""
    assert registration.wait_for_end(person) == "FAILED NotRegistered"
    assert registration.status(person) == "failed"
    assert registration.registered(person) == NOWHERE
    assert registration.mails(person) == SORRY
    assert registration.told(person) == []


def assert_registered(registration, person):
    assert registration.wait_for_end(person) == "SUCCEEDED"
    assert registration.status(person) == "registered"
    assert registration.registered(person) == EVERYWHERE
    assert registration.mails(person) == WELCOME
    assert registration.told(person) == []


@contextmanager
def _waiting(registration):
    """No system is asked to register anybody before the end of the block."""
    held = threading.Event()
    registration.aws.lambdas.observe = lambda name, _: name == REGISTER and held.wait(60)
    try:
        yield
    finally:
        held.set()
        registration.aws.lambdas.observe = lambda _name, _payload: None


@contextmanager
def _changed(registration, change):
    """Registrations that begin meanwhile have a definition in which `change` has replaced each object."""
    client, machine = registration.client("stepfunctions"), NAMES.state_machine_arn
    before = client.describe_state_machine(stateMachineArn=machine)["definition"]
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(json.loads(before, object_hook=change)))
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=machine, definition=before)


def _patient(registration, state):
    """Let a state be retried for as long as the deployed one is, and longer."""

    def persist(found: dict) -> dict:
        if state in found:
            found[state]["Retry"][-1]["MaxAttempts"] = 1000
        return found

    return _changed(registration, persist)


def test_the_answer_comes_at_once_and_the_registration_follows(registration, person):
    """202 and where to look, while the systems are still at work."""
    with _waiting(registration):
        answer = registration.ask(person)
        assert (answer.status_code, answer.json()) == (202, {"key": person.key, "status": "in_progress"})
        assert registration.registered(person) == NOWHERE
        followed = requests.compat.urljoin(answer.url, answer.headers["Location"])
        assert followed == f"{registration.api}/registrations/{person.key}"
        assert registration.status(person) == "in_progress"
    assert_registered(registration, person)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_that_refuses_leaves_the_person_registered_nowhere(registration, person, name):
    """Whichever it is. It is told to cancel, too: nobody knows what else of the registration is on its way to it."""
    registration.world.systems[name].switch(PUT={"status": 422})
    registration.ask(person)
    assert_undone(registration, person)
    assert states(registration, person) == CANCELLED


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_that_writes_and_answers_500_leaves_the_person_registered_nowhere(registration, person, name):
    """Nobody was told that it has written: what is unknown is cancelled, too."""
    registration.world.systems[name].switch(PUT={"status_after": 500})
    registration.ask(person)
    assert_undone(registration, person)
    assert registration.world.systems[name].calls("PUT", person.key) > 1
    assert registration.world.systems[name].state(person.key) == "cancelled"


@pytest.mark.parametrize("fault", [{"status_after": 500}, {"status": 503}, {"slow": 4}, {"slow_after": 4}])
def test_a_fault_that_passes_is_retried_with_the_same_key(registration, person, fault):
    """So the person is registered once, although the first try may have written, or may still do so."""
    registration.world.systems["products"].switch(PUT=[fault])
    registration.ask(person)
    assert_registered(registration, person)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_that_is_down_until_it_is_told_to_cancel(registration, person, name):
    """It is registered nowhere: cancelling is retried until the system is back."""
    broken = registration.world.systems[name]
    broken.stop()
    with _patient(registration, "Cancel"):
        registration.ask(person)
    others = [each for each in registration.world.systems.values() if each.name != name]
    wait_until(lambda: all(each.state(person.key) == "cancelled" for each in others), "nothing is undone", PATIENCE)
    broken.start()
    assert_undone(registration, person)
    assert broken.state(person.key) == "cancelled"


def test_a_system_that_is_slower_than_the_timeout_cannot_register_later(registration, person):
    """The compensation overtakes the actions, and the system refuses them when they arrive."""
    slow = registration.world.systems["directory"]
    slow.switch(PUT=[{"status": 503}, {"status": 503}, {"overtaken": 1}, {"overtaken": 1}])
    registration.ask(person)
    wait_until(lambda: slow.calls("PUT", person.key), "no late try arrives", PATIENCE)
    assert_undone(registration, person)
    assert slow.state(person.key) == "cancelled"


def test_a_refusal_of_a_retry_says_nothing_about_the_first_try(registration, person):
    """The first try is still on its way when the second is refused. So it is cancelled."""
    slow = registration.world.systems["directory"]
    slow.switch(PUT=[{"overtaken": 1}, {"status": 422}])
    assert registration.register(person) == "FAILED NotRegistered"
    wait_until(lambda: slow.calls("PUT", person.key) == 1, "the first try does not arrive", PATIENCE)
    assert_undone(registration, person)


def test_a_refusal_of_a_call_says_nothing_about_its_double(registration, person):
    """AWS delivers the call twice: one is on its way to the system, which refuses the other. So it is cancelled."""
    slow = registration.world.systems["directory"]
    slow.switch(PUT=[{"overtaken": 1}, {"status": 422}])
    lambdas = registration.aws.lambdas

    def let_double_go_first(name, payload):
        original = "_invoke_duplicate" not in threading.current_thread().name
        if original and name == REGISTER and b'"directory"' in payload:
            wait_until(lambda: slow.calls("PUT", person.key, "arrived"), "the double does not arrive", PATIENCE)

    lambdas.deliver_twice, lambdas.observe = lambda name: name == REGISTER, let_double_go_first
    try:
        assert registration.register(person) == "FAILED NotRegistered"
    finally:
        lambdas.deliver_twice, lambdas.observe = lambda _: False, lambda _name, _payload: None
    wait_until(lambda: slow.calls("PUT", person.key), "the double is not processed", PATIENCE)
    assert_undone(registration, person)


def test_what_a_system_says_cannot_outgrow_the_execution(registration, person):
    """At 256 KiB the execution would end with nothing undone, and a cause is cut in the middle of its JSON."""
    registration.world.systems["products"].switch(PUT={"status": 422, "length": 30_000})
    registration.ask(person)
    assert_undone(registration, person)
    arn = NAMES.execution_arn(person.key)
    pages = registration.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    assert "Refused" in json.dumps(events, default=str)
    assert max(len(json.dumps(event, default=str)) for event in events) < 5_000


# -- killed functions


@pytest.mark.parametrize("moment", ["slow", "slow_after"])
def test_a_function_that_is_killed_while_it_registers_is_retried(registration, moment):
    """Before the system has written, and after."""
    slow = registration.world.systems["promotions"]
    person = _whose_call_was_killed(registration, slow, "PUT", moment, "register")
    wait_until(lambda: slow.calls("PUT", person.key) >= 2, "it is not retried", PATIENCE)
    assert_registered(registration, person)


def test_a_function_that_is_killed_each_time_leaves_the_person_registered_nowhere(registration, person):
    """What is unknown after the last try is cancelled."""
    registration.world.systems["promotions"].switch(PUT={"slow_after": 60})
    registration.ask(person)
    with _killing(registration, "register", "promotions"):
        registration.wait_for_end(person)
    assert_undone(registration, person)


@pytest.mark.parametrize("moment", ["slow", "slow_after"])
def test_a_function_that_is_killed_while_it_cancels_is_retried(registration, moment):
    """Before the system has written, and after."""
    registration.world.systems["products"].switch(PUT={"status": 422})
    slow = registration.world.systems["directory"]
    person = _whose_call_was_killed(registration, slow, "DELETE", moment, "cancel")
    wait_until(lambda: slow.calls("DELETE", person.key) >= 2, "it is not retried", PATIENCE)
    assert_undone(registration, person)


@pytest.mark.parametrize("moment", ["slow", "slow_after"])
def test_a_function_that_is_killed_while_it_sends_the_mail_sends_one(registration, moment):
    """Before the provider has sent it, and after."""
    provider = registration.world.mail
    person = _whose_call_was_killed(registration, provider, "PUT", moment, "send_mail")
    wait_until(lambda: provider.calls("PUT", f"{person.key}-welcome") >= 2, "it is not retried", PATIENCE)
    assert_registered(registration, person)


@pytest.mark.parametrize("refused", [False, True])
def test_the_api_can_be_asked_again_after_it_was_killed(registration, person, refused):
    """After it has started the registration, and before: with the same key, it is the same registration."""

    def kill(target):
        return target == "AWSStepFunctions.StartExecution" and registration.kill("api_handler") and refused

    registration.aws.dispatcher.throttle = kill
    try:
        assert registration.ask(person).status_code == 502
    finally:
        registration.aws.dispatcher.throttle = lambda _: False
    assert registration.ask(person).status_code in (200, 202)
    assert_registered(registration, person)
    assert _executions(registration, person) == 1


def _executions(registration, person):
    """How many executions have the key of a registration."""
    client = registration.client("stepfunctions")
    pages = client.get_paginator("list_executions").paginate(stateMachineArn=NAMES.state_machine_arn)
    return [each["name"] for page in pages for each in page["executions"]].count(person.key)


@pytest.mark.parametrize("name", ["register", "cancel", "send_mail"])
def test_functions_that_are_invoked_twice_at_once_do_it_once(registration, person, name):
    """AWS may deliver an event twice."""
    if name == "cancel":
        registration.world.systems["products"].switch(PUT={"status": 422})
    registration.aws.lambdas.deliver_twice = lambda function: function == f"{NAMES.prefix}-{name}"
    try:
        registration.ask(person)
        (assert_undone if name == "cancel" else assert_registered)(registration, person)
    finally:
        registration.aws.lambdas.deliver_twice = lambda _: False


def _whose_call_was_killed(registration, system, method, moment, function):
    """Kill a function while a system is slow to answer it: before the system has written, or after.

    Returns the person that it worked for. If it has given up before it is killed, it is another person's turn.
    """
    step = "processed" if moment == "slow_after" else "arrived"
    is_mail = system is registration.world.mail
    while True:
        person = Person()
        key = f"{person.key}-welcome" if is_mail else person.key
        system.switch(**{method: [{moment: 2.5}]})
        registration.ask(person)
        wait_until(lambda key=key: system.calls(method, key, step), f"no {method} has {step}", PATIENCE)
        if registration.kill(function, "" if is_mail else system.name):
            return person
        registration.wait_for_end(person)


@contextmanager
def _killing(registration, step, system):
    """Kill a function again and again."""
    ended = threading.Event()

    def kill():
        while not ended.wait(0.3):
            registration.kill(step, system)

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        try:
            yield
        finally:
            ended.set()
            killing.result()


# -- asked twice


def test_asked_twice_at_once_the_person_is_registered_once(registration, person):
    """And asked again when it is done: the same key is the same registration."""
    with _waiting(registration), ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: registration.ask(person), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert_registered(registration, person)
    again = registration.ask(person)
    assert (again.status_code, again.json()) == (200, {"key": person.key, "status": "registered"})
    assert_registered(registration, person)
    assert _executions(registration, person) == 1


def test_asked_again_a_registration_that_has_failed_does_not_look_as_if_it_were_under_way(registration, person):
    """A key names one registration, also a failed one."""
    registration.world.systems["products"].switch(PUT={"status": 422})
    registration.register(person)
    again = registration.ask(person)
    assert (again.status_code, again.json()) == (200, {"key": person.key, "status": "failed"})
    assert_undone(registration, person)


def test_another_person_cannot_have_the_same_key(registration, person):
    """While the registration runs, and afterwards."""
    for system in registration.world.systems.values():
        system.switch(PUT={"slow": 1})
    registration.ask(person)
    assert registration.ask(person, name="Eve").status_code == 409
    assert_registered(registration, person)
    assert registration.ask(person, name="Eve").status_code == 409


def test_the_same_person_with_another_key_changes_nothing(registration, person):
    """What is undone is what has the second key, never the first registration."""
    registration.register(person)
    second = Person()
    second.email = person.email
    assert registration.register(second) == "FAILED NotRegistered"
    assert registration.registered(person) == EVERYWHERE
    assert registration.mails(person) == WELCOME + SORRY
    assert "this address is in use already. Log in." in registration.texts(person)[1]


def test_the_same_person_with_two_keys_at_once_is_registered_once_or_not_at_all(registration, person):
    """Each key may be first in another system: then both are refused, and undone."""
    second = Person()
    second.email = person.email
    with ThreadPoolExecutor(2) as pool:
        assert {answer.status_code for answer in pool.map(registration.ask, [person, second])} == {202}
    ends = sorted(registration.wait_for_end(each) for each in (person, second))
    succeeded = ends.count("SUCCEEDED")
    assert (succeeded, ends.count("FAILED NotRegistered")) in ((1, 1), (0, 2))
    assert registration.registered(person) == [succeeded] * 3
    assert sorted(registration.mails(person)) == sorted(WELCOME * succeeded + SORRY * (2 - succeeded))


def test_a_name_is_written_as_it_is(registration, person):
    """Whatever it means to a format, to a database, to a shell or to JSON."""
    name = 'Zoë {name} %s "O\'Brien"); DROP TABLE registrations; -- $(id) \\ 李 👩\u200d💻'
    assert registration.ask(person, name=name).status_code == 202
    assert_registered(registration, person)
    assert registration.texts(person) == [f"Hello {name},\n\nyou are registered. Welcome!\n"]


@pytest.mark.parametrize(
    ("key", "body", "sentence"),
    [
        ("short", {"name": "Ada", "email": "ada@example.com"}, "The header Idempotency-Key must be 8 to 64"),
        ("registration-x", {"name": "", "email": "ada@example.com"}, "name must be a text"),
        ("registration-x", {"name": "Ada", "email": 7}, "email must be a text"),
        ("registration-x", {"name": "Ada", "email": "ada"}, "email must be an address"),
        ("registration-x", {"name": "Ada", "email": "ada@example.com, eve@example.com"}, "email must be an address"),
        ("registration-x", {"name": "Ada", "email": "ada,eve@example.com"}, "email must be an address"),
        ("registration-x", {"name": "A" * 201, "email": "ada@example.com"}, "name must be a text of 1 to 200"),
        ("registration-x", {"name": "Ada\n\nYou have won", "email": "ada@example.com"}, "in one line"),
        ("registration-x", {"name": "Ada\u2028You have won", "email": "ada@example.com"}, "in one line"),
        ("registration-x", {"name": "Ada", "email": "ada@example.com\r\nBcc: eve@example.com"}, "in one line"),
        ("registration-x", {"name": "half an emoji: \ud83d", "email": "ada@example.com"}, "name must be a text"),
        ("registration-x", ["Ada"], "The body must be a JSON object"),
    ],
)
def test_a_bad_request_is_refused_and_starts_nothing(registration, key, body, sentence):
    """The sentence says what is wrong."""
    answer = registration.call("POST", "/registrations", headers={"Idempotency-Key": key}, json=body)
    assert answer.status_code == 400
    assert sentence in answer.json()["Message"]
    assert registration.call("GET", f"/registrations/{key}").status_code == 404


# -- what cannot be undone


def test_a_compensation_that_fails_for_good_is_told_to_a_person(registration, person):
    """With what to do: and doing it undoes the registration."""
    registration.world.systems["products"].switch(PUT={"status": 422})
    stuck = registration.world.systems["promotions"]
    stuck.switch(DELETE={"status": 503})
    assert registration.register(person) == "FAILED LeftBehind"
    assert registration.registered(person) == [0, 0, 1]
    assert registration.mails(person) == SORRY
    wait_until(lambda: registration.told(person), "nobody is told", PATIENCE)
    (text,) = registration.told(person)
    todo = f"DELETE /registrations/{person.key}"
    assert text.startswith("promotions may still have")
    assert todo in text
    stuck.switch()
    requests.delete(f"{stuck.url}/registrations/{person.key}", timeout=30).raise_for_status()
    assert registration.registered(person) == NOWHERE


def _without_catch(registration, *states):
    """Let the errors of some states out of their branch, as errors of Step Functions itself would be."""

    def drop(found: dict) -> dict:
        return {name: each | {"Catch": []} if name in states else each for name, each in found.items()}

    return _changed(registration, drop)


def test_an_error_that_leaves_a_branch_undoes_everything(registration, person):
    """Nobody knows what the other branches have done by then."""
    registration.world.systems["products"].switch(PUT={"status_after": 500})
    with _without_catch(registration, "RegisterInProducts"):
        registration.ask(person)
        assert_undone(registration, person)
    assert states(registration, person) == CANCELLED


def test_an_error_that_leaves_the_undoing_is_told_to_a_person(registration, person):
    """With what to do for all systems, because nobody knows which are undone."""
    registration.world.systems["products"].switch(PUT={"status": 422}, DELETE={"status": 422})
    with _without_catch(registration, "Cancel"):
        assert registration.register(person) == "FAILED LeftBehind"
    wait_until(lambda: registration.told(person), "nobody is told", PATIENCE)
    assert registration.told(person)[0].startswith("All systems may still have a registration that failed")
    assert registration.mails(person) == SORRY


@pytest.fixture
def without_topic(registration):
    """SNS refuses every mail, until the function that it returns is called."""
    client, topic = registration.client("sns"), NAMES.topic_arn("people")
    client.delete_topic(TopicArn=topic)

    def repair():
        client.create_topic(Name=topic.rpartition(":")[2], Attributes={"KmsMasterKeyId": "alias/aws/sns"})
        client.subscribe(TopicArn=topic, Protocol="email", Endpoint=ON_DUTY)

    yield repair
    repair()


def test_a_person_is_told_when_sns_is_back(registration, person, without_topic):
    """Telling is tried for as long as cancelling."""
    registration.world.systems["products"].switch(PUT={"status": 422}, DELETE={"status": 422})
    with _patient(registration, "TellPerson"):
        registration.ask(person)
    wait_until(lambda: _failures(registration, person, "publish"), "nobody was to be told", PATIENCE)
    without_topic()
    assert registration.wait_for_end(person) == "FAILED LeftBehind"
    wait_until(lambda: registration.told(person), "nobody is told", PATIENCE)


@pytest.mark.usefixtures("without_topic")
def test_if_nobody_can_be_told_the_execution_says_what_is_left_behind(registration, person):
    """The person knows, too."""
    registration.world.systems["products"].switch(PUT={"status_after": 500}, DELETE={"status": 422})
    assert registration.register(person) == "FAILED LeftBehind"
    assert registration.registered(person) == [0, 1, 0]
    assert registration.mails(person) == SORRY


def _failures(registration, person, resource):
    """The tasks of an execution that have failed, by what they call."""
    arn = NAMES.execution_arn(person.key)
    events = registration.client("stepfunctions").get_execution_history(executionArn=arn, maxResults=1000)["events"]
    details = [event.get("taskFailedEventDetails", {}) for event in events]
    return [each for each in details if each.get("resource") == resource]


def test_a_person_is_told_as_patiently_as_it_is_cancelled():
    """In the definition, as tests do not wait for half an hour."""
    machine = json.loads((EXAMPLE / "statemachine.json").read_text())["States"]
    undo = machine["Undo"]["ItemProcessor"]["States"]
    states = undo["Cancel"], undo["TellPerson"], machine["TellPersonOfAll"], machine["TellPersonOfMail"]
    assert [_patience(state["Retry"][-1]) for state in states] == [2010] * 4


def _patience(retry):
    """The seconds between the first try and the last, without what the tries take."""
    assert "JitterStrategy" not in retry
    waits = [retry["IntervalSeconds"] * retry["BackoffRate"] ** number for number in range(retry["MaxAttempts"])]
    return sum(min(wait, retry["MaxDelaySeconds"]) for wait in waits)


def test_a_registration_that_somebody_stops_is_what_the_alarm_says(registration, person):
    """AWS runs no Catch then: nothing is undone, and doing what the alarm says undoes it, also what is on its way."""
    slow = registration.world.systems["promotions"]
    slow.switch(PUT={"overtaken": 1})
    with _patient(registration, "RegisterInPromotions"):
        registration.ask(person)
    wait_until(lambda: states(registration, person) == ["registered", "registered", None], "nothing is done", PATIENCE)
    wait_until(lambda: slow.calls("PUT", person.key, "arrived"), "promotions is not asked", PATIENCE)
    registration.client("stepfunctions").stop_execution(executionArn=NAMES.execution_arn(person.key))
    assert registration.wait_for_end(person) == "ABORTED"
    assert registration.status(person) == "failed"
    assert registration.registered(person) == [1, 1, 0]
    assert registration.mails(person) == []

    method, path, named = _todo(_alarm(registration)["AlarmDescription"])
    assert named == list(SYSTEMS)
    for name in named:
        url = registration.world.systems[name].url + path.replace("<its name>", person.key)
        requests.request(method, url, timeout=30).raise_for_status()
    wait_until(lambda: slow.calls("PUT", person.key), "the call that is on its way does not arrive", PATIENCE)
    assert states(registration, person) == CANCELLED


def _alarm(registration):
    """The deployed alarm, which watches what Step Functions counts when an execution is stopped.

    AWS Step Functions Developer Guide, "Monitoring Step Functions metrics using Amazon CloudWatch".
    """
    (alarm,) = registration.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/States", "ExecutionsAborted")
    assert alarm["Dimensions"] == [{"Name": "StateMachineArn", "Value": NAMES.state_machine_arn}]
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Sum", "GreaterThanOrEqualToThreshold")
    assert (alarm["Threshold"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (1, 1, "notBreaching")
    (topic,) = alarm["AlarmActions"]
    (subscription,) = registration.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert subscription["Endpoint"] == ON_DUTY
    return alarm


def _todo(text):
    """The request that a text asks a person to send, and the systems to send it to."""
    found = re.search(r"send (DELETE) (/registrations/<its name>) to ([\w, ]+)\.", text)
    return found[1], found[2], re.split(r", | and ", found[3])


# -- mails


def test_a_mail_that_cannot_be_sent_undoes_nothing_and_is_sent_later(registration, person):
    """comms-reprocess finds it in the list, and it is sent once however often that is asked for."""
    client = registration.comms_reprocess()
    registration.world.mail.switch(PUT={"status": 503})
    assert registration.register(person) == "SUCCEEDED"
    assert registration.registered(person) == EVERYWHERE
    assert registration.mails(person) == []
    mail_id = f"{person.key}-welcome"
    assert mail_id in listed(client)
    with pytest.raises(ApplicationOverloaded, match="mail_unavailable"):
        send_again(client, mail_id)
    assert mail_id in listed(client)
    registration.world.mail.switch()
    send_in_the_end(client, mail_id)
    send_in_the_end(client, mail_id)
    assert registration.mails(person) == WELCOME
    assert mail_id not in listed(client)
    kept = registration.client("dynamodb").get_item(TableName=NAMES.prefix, Key={"id": {"S": mail_id}})["Item"]
    assert person.email not in json.dumps(kept)


def test_the_api_is_killed_after_the_provider_has_sent_a_failed_mail(registration, person):
    """The mail is still listed; it is sent once all the same."""
    client = registration.comms_reprocess()
    while not _killed_while_sending(registration, client, person):
        person = Person()  # it had answered before it was killed
    mail_id = f"{person.key}-welcome"
    assert mail_id in listed(client)
    send_in_the_end(client, mail_id)
    assert registration.mails(person) == WELCOME
    assert mail_id not in listed(client)


def _killed_while_sending(registration, client, person):
    """Let a mail fail, send it again, and kill the API when the provider has sent it. Return whether it was hit."""
    provider = registration.world.mail
    provider.switch(PUT={"status": 422})
    registration.register(person)
    provider.switch(PUT=[{"slow_after": 2.5}])
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_again, client, f"{person.key}-welcome")
        wait_until(lambda: registration.mails(person), "no mail is sent", PATIENCE)
        if not registration.kill("api_handler"):
            return False
        with pytest.raises(OutcomeUnknown):
            sending.result()
    return True


def test_a_mail_that_the_provider_refuses_undoes_nothing_and_is_listed(registration, person):
    """comms-reprocess learns why, also if the answer breaks off or is no code: that is a refusal all the same."""
    client = registration.comms_reprocess()
    registration.world.mail.switch(PUT={"status": 422})
    assert registration.register(person) == "SUCCEEDED"
    assert registration.registered(person) == EVERYWHERE
    mail_id = f"{person.key}-welcome"
    with pytest.raises(CommunicationRejected, match="broken"):
        send_in_the_end(client, mail_id)
    # An answer that breaks off may take its reason with it.
    for odd, code in (({"cut": 1}, "broken|refused"), ({"length": 200}, "refused"), ({"length": 20_000}, "refused")):
        registration.world.mail.switch(PUT={"status": 422} | odd)
        with pytest.raises(CommunicationRejected, match=code):
            send_in_the_end(client, mail_id)
    registration.world.mail.switch()
    send_in_the_end(client, mail_id)
    assert registration.mails(person) == WELCOME


def test_all_failed_mails_are_listed_once(registration):
    """On several pages."""
    client, ids = registration.client("dynamodb"), [f"many-mails-{number}" for number in range(250)]
    row = {"state": {"S": "{}"}, "failedAt": {"S": "2026-11-22T12:00:00.000Z"}, "failed": {"S": "yes"}}
    for mail_id in ids:
        client.put_item(TableName=NAMES.prefix, Item=row | {"id": {"S": mail_id}, "sent": {"N": "0"}})
    found = listed(registration.comms_reprocess())
    assert sorted(each for each in found if each in ids) == sorted(ids)
    for mail_id in ids:
        client.delete_item(TableName=NAMES.prefix, Key={"id": {"S": mail_id}})


@pytest.mark.parametrize("cursor", ["x", "2026,", "2026," + "x" * 3000, "2026-11-22T12:00:00Z,a/b"])
def test_a_bad_cursor_is_refused(registration, cursor):
    """DynamoDB would refuse some of them, which is no answer to a caller."""
    answer = registration.call("GET", "/mails/failed", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["Code"]) == (400, "BadRequestError")


@pytest.mark.parametrize(
    ("mail_id", "status"), [("unknown", 404), ("x" * 3000, 404), ("\ud83d", 404), ("", 400), (7, 400)]
)
def test_a_mail_that_has_not_failed_cannot_be_sent(registration, mail_id, status):
    """Nor one whose id no mail can have."""
    assert registration.call("POST", "/mails", json={"primaryId": mail_id}).status_code == status


def test_the_mail_about_a_failure_is_sent_later_too_and_the_execution_has_failed_all_the_same(registration, person):
    """It says why, although it is written long after."""
    client = registration.comms_reprocess()
    registration.world.mail.switch(PUT={"status": 503})
    registration.world.systems["products"].switch(PUT={"status": 422})
    assert registration.register(person) == "FAILED NotRegistered"
    assert registration.registered(person) == NOWHERE
    registration.world.mail.switch()
    mail_id = f"{person.key}-sorry"
    assert mail_id in listed(client)
    send_in_the_end(client, mail_id)
    assert registration.mails(person) == SORRY
    assert mail_id not in listed(client)


def test_a_mail_that_can_be_neither_sent_nor_kept_is_told_to_a_person(registration, person):
    """The registration stands."""
    registration.world.mail.switch(PUT={"status": 503})
    registration.aws.dynamodb.disturb(throttled=1)
    try:
        assert registration.register(person) == "SUCCEEDED"
    finally:
        registration.aws.dynamodb.disturb()
    assert registration.registered(person) == EVERYWHERE
    wait_until(lambda: registration.told(person), "nobody is told", PATIENCE)
    assert "could be neither sent nor kept" in registration.told(person)[0]


# -- permissions


def test_each_function_and_the_state_machine_use_exactly_their_permissions(registration):
    """Each signs with its own access key, so that its requests can be compared with its policy."""
    client = registration.comms_reprocess()
    registration.world.mail.switch(PUT={"status": 503})
    registration.world.systems["products"].switch(PUT={"status": 422})
    registration.world.systems["promotions"].switch(DELETE={"status": 422})
    person = Person()
    assert registration.register(person) == "FAILED LeftBehind"
    registration.world.mail.switch()
    send_in_the_end(client, f"{person.key}-sorry")
    listed(client)
    stage = Stage(registration.folder / "project", "dev", LOCATION)
    own = {name: [policy] for name, policy in policies.documents(stage).items()}
    assert iam.compare_stage(stage, own, registration.aws.iam_requests()) == []
