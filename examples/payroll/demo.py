"""a file with hours is paid once or not at all, however often it is uploaded."""

import hashlib
import secrets
from typing import Any

from examples.story import Story
from sandbox.deployed import Deployed

# What follows in each mail is SNS's own: how to unsubscribe.
_FOOTER = "\n--\n"

HEADER = "employee,account,month,hours,rate"

_WRONG = f"""{HEADER}
E-1,DE89370400440532013000,2026-11,160,21.50
E-2,DE89370400440532013001,2026-11,lots,19.00
E-1,GB82WEST12345698765432,2026-11,80,30.00
"""

_RIGHT = f"""{HEADER}
E-1,DE89370400440532013000,2026-11,160,21.50
E-2,DE89370400440532013000,2026-11,152.5,19.00
E-3,GB82WEST12345698765432,2026-11,80,30.00
"""


def run(deployed: Deployed) -> None:
    """Deploy it, and upload both files. DemoFailed if something is not as it should be."""
    story = Story()
    story.deploy(deployed, {})
    token = add_token(deployed)
    _refuse(story, deployed, token)
    _pay(story, deployed, token)
    _pay_no_second_time(story, deployed, token)


def _refuse(story: Story, deployed: Deployed, token: str) -> None:
    story.step(
        "Upload a file with mistakes",
        "The API answers at once. A state machine checks and computes the file in batches, and pays only what is right "
        "as a whole.",
    )
    story.quote(_WRONG)
    _upload(story, deployed, token, _WRONG, "FAILED")
    story.say("Nobody is paid. One mail has every mistake by its line, and nothing of what the rows contain:")
    _quote_mail(story, deployed, _WRONG)


def _pay(story: Story, deployed: Deployed, token: str) -> None:
    story.step("Upload its correction", "Another content is another payroll: its id is the digest of the file.")
    story.quote(_RIGHT)
    _upload(story, deployed, token, _RIGHT, "SUCCEEDED")
    story.say("All are paid, in one transaction of the ledger, so that nothing can end half paid:")
    _quote_mail(story, deployed, _RIGHT)


def _pay_no_second_time(story: Story, deployed: Deployed, token: str) -> None:
    story.step("Upload the correction again", "The same file is the same payroll, so nobody is paid twice.")
    answer = upload(deployed, token, _RIGHT.encode())
    story.check("the status of the answer", answer.status_code, 200)
    story.say("The answer is that of the first time, with the file for the bank:")
    file = deployed.client("s3").get_object(Bucket=bucket(deployed), Key=answer.json()["file"])["Body"].read()
    story.quote(file.decode())


def _upload(story: Story, deployed: Deployed, token: str, text: str, expected: str) -> None:
    """Upload a file, and wait until its execution has ended as expected."""
    answer = upload(deployed, token, text.encode())
    story.check("the status of the answer", answer.status_code, 202)
    story.wait("the execution ends", lambda: execution(deployed, text.encode())["status"] != "RUNNING")
    story.check("the execution", execution(deployed, text.encode())["status"], expected)


def add_token(deployed: Deployed) -> str:
    """Let somebody call the API: the ledger has the digest of the token that is returned."""
    token = secrets.token_urlsafe(32)
    item = {"pk": {"S": "TOKEN"}, "sk": {"S": hashlib.sha256(token.encode()).hexdigest()}}
    deployed.client("dynamodb").put_item(TableName=deployed.prefix, Item=item)
    return token


def upload(deployed: Deployed, token: str, content: bytes) -> Any:
    """Upload a file, and return the answer."""
    return deployed.call("POST", "/payrolls", token, data=content, headers={"Content-Type": "text/csv"})


def payroll_of(content: bytes) -> str:
    """Return the id of a file's payroll."""
    return hashlib.sha256(content).hexdigest()


def bucket(deployed: Deployed) -> str:
    """Return the name of the bucket."""
    names = [each["Name"] for each in deployed.client("s3").list_buckets()["Buckets"]]
    return str(next(name for name in names if name.startswith(deployed.prefix)))


def execution(deployed: Deployed, content: bytes, attempt: int = 1) -> dict[str, Any]:
    """Return an attempt to pay a file, as DescribeExecution does."""
    client = deployed.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{payroll_of(content)}-{attempt}"
    found: dict[str, Any] = client.describe_execution(executionArn=arn)
    return found


def _quote_mail(story: Story, deployed: Deployed, text: str) -> None:
    payroll = payroll_of(text.encode())
    mail = deployed.mailbox.wait_for(lambda each: payroll in each.get_content())
    text = mail.get_content().replace("\r\n", "\n").partition(_FOOTER)[0]
    story.quote(f"Subject: {mail['Subject']}\n\n{text}")
