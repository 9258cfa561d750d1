"""A payroll pays all of a file, once, or nothing; and somebody is told what to correct."""

import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from chalicelib.names import AwsLocation
from deployment import policies
from deployment.stage import Stage
from examples.payroll import demo
from sandbox.aws import ACCOUNT, REGION
from sandbox.deployed import ON_DUTY
from tests import iam
from tests.e2e.driver import wait_until
from tests.examples.payroll import IBAN, SOURCE, file

STEPS = ("split", "compute", "aggregate", "pay")


@pytest.fixture
def rows(request):
    """Returns rows of employees that no other test has."""
    return lambda count: [f"{_initials(request)}-{number},{IBAN},2026-11,10,20.05" for number in range(count)]


def _initials(request) -> str:
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:8].upper()


# -- what is paid


def test_a_file_is_paid_and_the_mail_has_the_result(payroll):
    """Amounts are rounded half up to cents, and ledger, payment file, API and mail agree."""
    content = file(f"A-1,{IBAN},2026-11,37.5,21.35", "A-2,GB82WEST12345698765432,2026-11,0.5,0.05")
    assert payroll.run_file(content)["status"] == "SUCCEEDED"
    # 37.5 h at 21.35 are 800.625, of which 160.13 is tax; half an hour at 0.05 is 0.025, of which 0.01 is tax.
    assert payroll.paid(content) == {"A-1": 64050, "A-2": 2}
    assert [each["gross"] for each in payroll.payment_file(content)] == ["800.63", "0.03"]
    payroll.assert_paid_once(content, 2)
    assert "is paid: 2 employees, 640.52 in all" in payroll.mail(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + file(f"B-1,{IBAN},2026-11,1,10"),
        file(f'"B-2","{IBAN}","2026-11","1","10"'),
        file(f"B-3,{IBAN},2026-11,1,10").replace(b"\n", b"\r\n"),
        file(f"10,2026-11,B-4,{IBAN},1", header="rate,month,employee,account,hours"),
        file("", f" B-5 ,{IBAN},2026-11, 1,10", "", ""),
        file(",,,,", f"B-6,{IBAN},2026-11,1,10", ",,,,", '"",,,,'),
    ],
    ids=["byte order mark", "quotes", "line ends of Windows", "other order", "blanks", "blank rows"],
)
def test_what_spreadsheets_write_is_read(payroll, content):
    assert payroll.run_file(content)["status"] == "SUCCEEDED"
    assert list(payroll.paid(content).values()) == [800]


def test_as_many_employees_as_fit_are_paid_in_one_step(payroll):
    """They fill a transaction of 100 items, and its partition can take it, even with the longest names and amounts.

    Batches keep the history far below 25,000 events.
    """
    content = file(*(f"{number:->16},{IBAN},2026-11,744,1000.00" for number in range(19_800)))
    execution = payroll.run_file(content)
    assert execution["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 19_800)
    assert 900 < sum(map(_write_units, payroll.items(content))) < 1000
    history = payroll.client("stepfunctions").get_paginator("get_execution_history")
    events = sum(len(page["events"]) for page in history.paginate(executionArn=execution["executionArn"]))
    assert events < 1000


def _write_units(item: dict) -> int:
    """What an item takes of its partition in a transaction: each KB counts twice.

    Amazon DynamoDB Developer Guide, "DynamoDB read and write operations".
    """
    return 2 * -(-sum(len(name) + _size(value) for name, value in item.items()) // 1024)


def _size(value: dict) -> int:
    """The bytes of a value: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats"."""
    ((kind, content),) = value.items()
    if kind == "M":
        return 3 + sum(1 + len(name) + _size(each) for name, each in content.items())
    return -(-len(content) // 2) + 1 if kind == "N" else len(content)


# -- what is refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty. Upload the file with the hours."),
        (b" \n\n ", "The file is empty."),
        (file(), "The file has no employees, only a header."),
        (b"%PDF-1.7 \xe2\xe3\xcf\xd3", "The file is not a CSV file in UTF-8. Save it as CSV in UTF-8"),
        ("employee,account\n".encode("utf-16"), "The file is not a CSV file in UTF-8."),
        (file(header="employee,account,month,hours"), "separated by commas: rate missing. Correct it"),
        (file(header="Ada Lovelace"), "employee, account, month, hours and rate missing."),
        (file(header=demo.HEADER.replace(",", ";")), "must be employee, account, month, hours and rate, separated by"),
        (file(header=demo.HEADER + ",bonus"), "there are 6 columns"),
        (file(f'C-1,"{IBAN},2026-11,1,10', f"C-2,{IBAN},2026-11,1,10"), "Line 2 is not CSV: check its quotes."),
        (file(f'C-1,"{IBAN}"x,2026-11,1,10'), "Line 2 is not CSV: check its quotes."),
        (
            file(f"C-1,{IBAN},2026-11,1,10", "C-2,1,10"),
            "1 mistake:\n\nline 3: there must be 5 fields, not 3\n\nCorrect",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_in_words(payroll, content, sentence):
    """The execution fails, with what the mail says."""
    execution = payroll.run_file(content)
    assert (execution["status"], execution["error"]) == ("FAILED", "FileRefused")
    assert sentence in payroll.mail(content)
    assert payroll.mail(content).strip() == execution["cause"].strip() == payroll.show(content)["message"].strip()
    payroll.assert_not_paid(content)


def test_every_mistake_is_in_the_mail_with_its_line_and_without_personal_data(payroll):
    content = file(
        f"D-1,{IBAN},2026-11,1,10",
        "Ada Lovelace,DE00370400440532013000,2026-13,745,0",
        f'"D-3\n",{IBAN},2026-11,1,10',
        "D-1,GB01WEST12345600000035,2026-11,-1,1e3",
        f"D-5,{IBAN},2026-10,1,10",
    )
    execution = payroll.run_file(content)
    assert execution["error"] == "FileRefused"
    listed = payroll.mail(content).split("\n\n")
    assert listed[0].endswith("is not paid. The file has 10 mistakes:")
    assert listed[1].splitlines() == [
        "line 3: account must be an IBAN without spaces and with the right check digits",
        "line 3: employee must be capital letters, digits and hyphens, at most 16",
        "line 3: hours must be a number above 0 and up to 744, like 37.5",
        "line 3: month must be written like 2026-11",
        "line 3: rate must be an amount above 0 and up to 1000, like 21.50",
        "line 6: account must be an IBAN without spaces and with the right check digits",
        "line 6: hours must be a number above 0 and up to 744, like 37.5",
        "line 6: rate must be an amount above 0 and up to 1000, like 21.50",
        "line 6: the employee is in line 2 already",
        "line 7: month is not that of most lines, and a payroll has one",
    ]
    assert listed[2].strip() == "Correct the file, and upload it again. Nobody in it has been paid."
    assert not any(word in payroll.mail(content) for word in ("Ada", IBAN, "D-1", "Traceback", "stackTrace", "app.py"))
    payroll.assert_not_paid(content)


def test_very_many_mistakes_are_counted_and_the_first_are_listed(payroll, rows):
    """So that the cause is not cut off, and stays JSON."""
    content = file(*(row.replace("2026-11", "November") for row in rows(450)))
    assert payroll.run_file(content)["error"] == "FileRefused"
    mail = payroll.mail(content)
    assert "The file has 450 mistakes" in mail
    assert "line 201: month" in mail
    assert "line 202: month" not in mail
    assert "and 250 more, from line 202 on" in mail


def test_a_different_month_in_each_line_is_refused_in_time(payroll):
    """Lambda gives a function of 512 MB less than a third of a core, so it has less than a third of its timeout here.

    AWS Lambda Developer Guide, "Configure Lambda function memory": one core comes with 1,769 MB.
    """
    months = (f"{1000 + number // 12}-{number % 12 + 1:02}" for number in range(19_800))
    content = file(*(f"M-{number},{IBAN},{month},10,20.05" for number, month in enumerate(months)))
    with payroll.broken("aggregate", Timeout=60 * 512 // 1769):
        execution = payroll.run_file(content)
    assert execution["error"] == "FileRefused", execution
    assert "The file has 19799 mistakes" in payroll.mail(content)


def test_more_employees_than_one_transaction_has_are_refused(payroll, rows):
    content = file(*rows(19_801))
    assert payroll.run_file(content)["error"] == "FileRefused"
    assert "The file has 19801 employees, and at most 19800 fit. Upload it in parts." in payroll.mail(content)


def test_the_api_refuses_strangers_and_what_it_cannot_take(payroll):
    assert payroll.call("POST", "/payrolls", data=b"", headers={"Content-Type": "text/csv"}).status_code == 401
    assert demo.upload(payroll, "guessed", b"").status_code == 403
    assert payroll.call("POST", "/payrolls", payroll.bearer, json={}).status_code == 415
    assert payroll.upload(b"x" * 4_000_001).status_code == 413
    for unknown in ("0" * 64, "0" * 3000):
        assert payroll.call("GET", f"/payrolls/{unknown}", payroll.bearer).status_code == 404


# -- the same file again


def test_a_file_uploaded_again_is_not_paid_again_and_the_answer_is_the_first_ones(payroll, rows):
    content = file(*rows(3))
    payroll.run_file(content)
    again = payroll.upload(content)
    assert (again.status_code, again.json()) == (200, payroll.show(content))
    assert len(payroll.executions(content)) == 1
    payroll.assert_paid_once(content, 3)


def test_a_file_uploaded_by_many_at_once_is_paid_once(payroll, rows):
    """Also if all of them repeat an attempt that has failed."""
    content = file(*rows(300))
    with payroll.broken("split", Handler="app.gone"):
        assert payroll.run_file(content)["status"] == "FAILED"
    with ThreadPoolExecutor(8) as pool:
        answers = [each.result() for each in [pool.submit(payroll.upload, content) for _ in range(8)]]
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert payroll.wait_for_end(content, 2)["status"] == "SUCCEEDED"
    assert len(payroll.executions(content)) == 2
    payroll.assert_paid_once(content, 300)


def test_executions_of_a_file_at_once_pay_once(payroll, rows):
    """As when somebody stops one whose function is still working, and uploads the file again."""
    content = file(*rows(2))
    client, number = payroll.client("stepfunctions"), demo.payroll_of(content)
    assert payroll.upload(content).status_code == 202
    for attempt in (8, 9):
        request = {"name": f"{number}-{attempt}", "input": json.dumps({"payroll": number})}
        client.start_execution(stateMachineArn=payroll.machine, **request)
    ended = {payroll.wait_for_end(content, attempt)["status"] for attempt in (1, 8, 9)}
    assert ended == {"SUCCEEDED"}
    payroll.assert_paid_once(content, 2)


# -- what fails


@contextmanager
def killed_once(payroll, name, action):
    """Kill a function in the middle of its work: once AWS has carried out such a request of it, before it answers."""
    killed = threading.Event()

    def kill(request) -> None:
        if (request.caller, request.action) == (name, action) and not killed.is_set():
            killed.set()
            assert payroll.aws.lambdas.kill_one(name)

    payroll.aws.recorder.before_answer = kill
    try:
        yield
        assert killed.is_set()
    finally:
        payroll.aws.recorder.before_answer = lambda _request: None


@pytest.mark.parametrize("step", STEPS)
def test_a_function_that_is_killed_is_repeated_and_the_file_is_paid_once(payroll, rows, step):
    content = file(*rows(400))
    with killed_once(payroll, f"{payroll.prefix}-{step}", "s3:GetObject"):
        assert payroll.run_file(content)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 400)


@pytest.mark.parametrize("action", ["s3:PutObject", "states:StartExecution"])
def test_an_upload_that_is_killed_can_be_repeated_and_the_file_is_paid_once(payroll, rows, action):
    """Before it has started the execution, or after."""
    content = file(*rows(400))
    with killed_once(payroll, payroll.prefix, action):
        assert payroll.upload(content).status_code == 502
    assert payroll.upload(content).status_code in (200, 202)
    assert payroll.wait_for_end(content)["status"] == "SUCCEEDED"
    assert len(payroll.executions(content)) == 1
    payroll.assert_paid_once(content, 400)


def test_functions_that_are_called_twice_at_once_pay_once(payroll, rows):
    """Lambda may deliver an event more than once."""
    content = file(*rows(400))
    payroll.aws.lambdas.deliver_twice = lambda _name: True
    try:
        assert payroll.run_file(content)["status"] == "SUCCEEDED"
    finally:
        payroll.aws.lambdas.deliver_twice = lambda _name: False
    payroll.assert_paid_once(content, 400)
    assert "is paid: 400 employees" in payroll.mail(content)
    assert len(payroll.mails(content)) == 1


@pytest.fixture
def short_wait(payroll):
    """For tests in which no call of Pay is left when Pay has failed."""
    with payroll.changed_state("WaitForPay", {"Seconds": 1}):
        yield


@pytest.mark.usefixtures("short_wait")
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_never_succeeds_fails_the_execution_after_a_mail_and_nobody_is_paid(payroll, rows, step):
    """Once it works again, the same file is paid."""
    content = file(*rows(2))
    with payroll.broken(step, Handler="app.gone"):
        execution = payroll.run_file(content)
    assert (execution["status"], execution["error"]) == ("FAILED", "StepFailed")
    sentence = rf"a step failed with [A-Z][A-Za-z.]+\. Execution {execution['name']} shows which\."
    assert re.search(sentence, payroll.mail(content)), payroll.mail(content)
    assert "is paid once at most" in payroll.mail(content)
    assert "{" not in payroll.mail(content)
    payroll.assert_not_paid(content)
    assert payroll.run_file(content, attempt=2)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


@contextmanager
def short_of_time(payroll, step):
    """A step has a second and no second try, and its function does not begin until the step is over."""
    held = threading.Event()
    payroll.aws.lambdas.observe = lambda name, _: name.endswith(step) and held.wait(60)
    try:
        with payroll.changed_state(step.capitalize(), {"TimeoutSeconds": 1, "Retry": []}):
            yield
    finally:
        held.set()
        payroll.aws.lambdas.observe = lambda _name, _payload: None


def test_a_timeout_fails_the_execution_after_a_mail_and_with_what_the_mail_says(payroll, rows):
    """Its name belongs to AWS: no execution may report it as its own error."""
    content = file(*rows(2))
    with short_of_time(payroll, "aggregate"):
        execution = payroll.run_file(content)
    assert (execution["status"], execution["error"]) == ("FAILED", "StepFailed"), execution
    assert "a step failed with States.Timeout. Execution" in payroll.mail(content)
    assert payroll.mail(content) == execution["cause"] == payroll.show(content)["message"]
    assert payroll.run_file(content, attempt=2)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


@pytest.mark.usefixtures("short_wait")
@pytest.mark.parametrize("step", STEPS)
def test_if_s3_refuses_the_mail_names_the_call(payroll, rows, step):
    content, elsewhere = file(*rows(2)), {"Variables": {"RESOURCE_PREFIX": "no-such-stage"}}
    with payroll.broken(step, Environment=elsewhere):
        execution = payroll.run_file(content)
    assert (execution["status"], execution["error"]) == ("FAILED", "AwsRefused")
    assert "AWS refused GetObject with NoSuchBucket. Correct that, then upload the same file" in payroll.mail(content)
    payroll.assert_not_paid(content)
    assert payroll.run_file(content, attempt=2)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


@pytest.mark.usefixtures("short_wait")
def test_if_dynamodb_refuses_nobody_claims_to_know_whether_it_is_paid(payroll, rows):
    content = file(*rows(2))
    payroll.aws.lambdas.observe = lambda name, _: name.endswith("-pay") and payroll.aws.dynamodb.disturb(throttled=1.0)
    try:
        execution = payroll.run_file(content)
    finally:
        payroll.aws.lambdas.observe = lambda _name, _payload: None
        payroll.aws.dynamodb.disturb()
    assert (execution["status"], execution["error"]) == ("FAILED", "StepFailed")
    assert "the ledger does not answer, so it is not known whether it is paid" in payroll.mail(content)
    payroll.assert_not_paid(content)
    assert payroll.run_file(content, attempt=2)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


@contextmanager
def only_twins(payroll, wait=lambda: None):
    """Each call of Pay is delivered twice, and throttled once: Lambda pays, and Step Functions gets errors alone.

    It gets them after `wait`.
    """
    name = f"{payroll.prefix}-pay"

    def throttle(called) -> bool:
        if called != name or "_invoke_duplicate" in threading.current_thread().name:
            return False
        wait()
        return True

    payroll.aws.lambdas.deliver_twice, payroll.aws.lambdas.throttle = lambda called: called == name, throttle
    try:
        yield
    finally:
        payroll.aws.lambdas.deliver_twice = payroll.aws.lambdas.throttle = lambda _name: False


@pytest.mark.usefixtures("short_wait")
def test_a_payment_whose_answer_is_lost_is_found_in_the_ledger(payroll, rows):
    content = file(*rows(2))
    with only_twins(payroll, lambda: wait_until(lambda: payroll.items(content), "nobody has paid")):
        execution = payroll.run_file(content)
    assert execution["status"] == "SUCCEEDED"
    assert "is paid: 2 employees, 320.80 in all. The payment file is payments/" in payroll.mail(content)
    payroll.assert_paid_once(content, 2)


def test_a_payment_that_is_made_after_pay_has_failed_is_waited_for(payroll, rows):
    """Nobody is told that it is not paid."""
    content, held = file(*rows(2)), threading.Event()
    payroll.aws.lambdas.observe = lambda name, _: name.endswith("-pay") and held.wait(60)
    with only_twins(payroll):
        try:
            assert payroll.upload(content).status_code == 202
            wait_until(lambda: "WaitForPay" in payroll.history(content), "Pay has not failed")
            assert payroll.items(content) == []
        finally:
            held.set()
            payroll.aws.lambdas.observe = lambda _name, _payload: None
    assert payroll.show(content)["status"] in ("running", "paid")
    assert payroll.wait_for_end(content)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)
    assert "is paid: 2 employees" in payroll.mail(content)
    assert len(payroll.mails(content)) == 1


@contextmanager
def refused(payroll, call):
    """Step Functions refuses this call."""
    payroll.aws.dispatcher.throttle = lambda target: target == f"AWSStepFunctions.{call}"
    try:
        yield
    finally:
        payroll.aws.dispatcher.throttle = lambda _target: False


def test_if_step_functions_does_not_start_it_the_next_upload_does(payroll, rows):
    """Until then, nobody can know whether it was started: what has just been is unknown for a moment, too."""
    content = file(*rows(2))
    with refused(payroll, "StartExecution"):
        assert payroll.upload(content).status_code == 500
    assert payroll.show(content)["status"] == "unknown"
    assert "Upload the same file again: it is paid once at most." in payroll.show(content)["message"]
    assert payroll.run_file(content)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


def test_a_failure_that_step_functions_does_not_show_yet_is_no_obstacle(payroll, rows):
    """What it shows may lag behind, so an upload does not ask: the start itself says that an attempt has ended."""
    content = file(*rows(2))
    with payroll.broken("split", Handler="app.gone"):
        assert payroll.run_file(content)["status"] == "FAILED"
    with refused(payroll, "DescribeExecution"):
        answer = payroll.upload(content)
    assert (answer.status_code, answer.json()["attempt"], answer.json()["status"]) == (202, 2, "running"), answer.text
    assert payroll.wait_for_end(content, 2)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


@pytest.fixture
def without_topics(payroll):
    """SNS refuses every mail."""
    client = payroll.client("sns")
    topics = [f"arn:aws:sns:{REGION}:{ACCOUNT}:{payroll.prefix}-{name}" for name in ("paid", "failed")]
    for topic in topics:
        client.delete_topic(TopicArn=topic)
    yield
    for topic in topics:
        client.create_topic(Name=topic.rpartition(":")[2], Attributes={"KmsMasterKeyId": "alias/aws/sns"})
        client.subscribe(TopicArn=topic, Protocol="email", Endpoint=ON_DUTY)


@pytest.mark.usefixtures("without_topics")
def test_a_mail_that_cannot_be_sent_does_not_hide_a_failure(payroll):
    content = file("E-1,no account,2026-11,1,10")
    execution = payroll.run_file(content)
    assert (execution["status"], execution["error"]) == ("FAILED", "FileRefused")
    assert "line 2: account must be an IBAN" in execution["cause"]
    assert payroll.mails(content) == []
    payroll.assert_not_paid(content)


@pytest.mark.usefixtures("without_topics")
def test_a_mail_that_cannot_be_sent_does_not_undo_a_payment(payroll, rows):
    """The state in which the execution ends says that the mail is missing."""
    content = file(*rows(2))
    execution = payroll.run_file(content)
    assert "PaidWithoutMail" in payroll.history(content)
    assert execution["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


def test_an_execution_that_somebody_stops_can_be_repeated(payroll, rows):
    """AWS runs no Catch then, so an alarm tells. The API says what to do, whatever was given as the reason."""
    alarms = payroll.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {each["MetricName"] for each in alarms} == {"ExecutionsAborted", "ExecutionsFailed"}
    content = file(*rows(2))
    with payroll.broken("split", Handler="app.gone"):
        payroll.upload(content)
        arn = f"{payroll.machine.replace(':stateMachine:', ':execution:')}:{demo.payroll_of(content)}-1"
        payroll.client("stepfunctions").stop_execution(executionArn=arn, error="Stopped", cause="not today")
    assert payroll.show(content)["message"] == (
        "Its execution is ABORTED. Upload the same file again: it is paid once at most."
    )
    assert payroll.run_file(content, attempt=2)["status"] == "SUCCEEDED"
    payroll.assert_paid_once(content, 2)


@pytest.mark.usefixtures("short_wait")
def test_payments_that_are_not_those_of_the_file_are_not_paid(payroll):
    """Not even if they only have two employees changed about, so that all sums are the same."""
    content, s3 = file(f"P-1,{IBAN},2026-11,1,10", f"P-2,{IBAN},2026-11,2,20"), payroll.client("s3")
    payroll.aws.lambdas.observe = lambda name, event: name.endswith("-pay") and change_about(s3, bucket, event)
    bucket = demo.bucket(payroll)
    try:
        execution = payroll.run_file(content)
    finally:
        payroll.aws.lambdas.observe = lambda _name, _payload: None
    assert "a step failed with PaymentsDiffer." in execution["cause"]
    payroll.assert_not_paid(content)


def change_about(s3, bucket: str, event: bytes) -> None:
    """Give each of two employees what the other earns: what a deployment in the middle of an execution may do."""
    where = {"Bucket": bucket, "Key": f"work/{json.loads(event)['execution']}/result-0.json"}
    result = json.loads(s3.get_object(**where)["Body"].read())
    first, second = result["payments"]
    if first[-1] < second[-1]:
        result["payments"] = [[*first[:-3], *second[-3:]], [*second[:-3], *first[-3:]]]
        s3.put_object(**where, Body=json.dumps(result).encode())


def test_no_call_of_pay_lasts_longer_than_what_waits_for_it():
    """A function's timeout begins when it is initialized, which takes up to 10 seconds (AWS Lambda Developer Guide).

    So a payment that is not in the ledger then will never be.
    """
    states = json.loads((SOURCE / "statemachine.json").read_text())["States"]
    function = json.loads((SOURCE / ".chalice" / "config.json").read_text())["lambda_functions"]["pay"]
    assert min(states["Pay"]["TimeoutSeconds"], states["WaitForPay"]["Seconds"]) > 10 + function["lambda_timeout"]


# -- what may be done


def test_each_function_may_do_what_it_does_and_nothing_else(payroll, rows):
    """The tests before this one have done all that it does."""
    content = file(*rows(1))
    payroll.run_file(content)
    stage = Stage(payroll.folder / "project", "dev", AwsLocation("aws", REGION, ACCOUNT))
    own = {name: [policy] for name, policy in policies.documents(stage).items()}
    requests = [each for each in payroll.aws.iam_requests() if "no-such-stage" not in each.resource]
    assert iam.compare_stage(stage, own, requests) == []
