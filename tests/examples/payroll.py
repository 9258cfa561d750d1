"""The payroll example as deployed, and what its tests do with it again and again."""

import csv
import io
import json
from contextlib import contextmanager
from pathlib import Path

from examples.payroll import demo
from sandbox.deployed import Deployed
from tests.e2e.driver import wait_until

SOURCE = Path(__file__).parents[2] / "examples" / "payroll"
IBAN = "DE89370400440532013000"


class Payroll(Deployed):
    """The example as deployed, and what happens in its tests again and again."""

    def sign_in(self) -> None:
        self.bearer = demo.add_token(self)

    def upload(self, content: bytes):
        return demo.upload(self, self.bearer, content)

    def run_file(self, content: bytes, attempt: int = 1) -> dict:
        """Upload a file, and wait until that attempt has ended."""
        answer = self.upload(content)
        assert answer.status_code == 202, answer.text
        return self.wait_for_end(content, attempt)

    def wait_for_end(self, content: bytes, attempt: int = 1) -> dict:
        """Wait until an attempt has ended, and return its execution."""
        wait_until(lambda: demo.execution(self, content, attempt)["status"] != "RUNNING", "it is still running")
        return demo.execution(self, content, attempt)

    def show(self, content: bytes) -> dict:
        return self.call("GET", f"/payrolls/{demo.payroll_of(content)}", self.bearer).json()

    def all_mails(self) -> list[str]:
        texts = [mail.get_content().replace("\r\n", "\n") for mail in self.mailbox.messages()]
        return [text.partition("\n\n--\n")[0] for text in texts]  # without SNS's footer

    def mails(self, content: bytes) -> list[str]:
        return [text for text in self.all_mails() if demo.payroll_of(content) in text]

    def mail(self, content: bytes) -> str:
        wait_until(lambda: self.mails(content), "nobody was told")
        return self.mails(content)[0]

    def items(self, content: bytes) -> list[dict]:
        """What the ledger has of a payroll that it pays, all of which one transaction has written."""
        key = {":pk": {"S": f"PAYROLL#{demo.payroll_of(content)}"}, ":first": {"S": "PAID"}, ":last": {"S": "PAZ"}}
        found = self.client("dynamodb").query(
            TableName=self.prefix,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues=key,
            ConsistentRead=True,
        )
        assert "LastEvaluatedKey" not in found
        return found["Items"]

    def paid(self, content: bytes) -> dict[str, int]:
        """The cents of each employee in the ledger."""
        pages = [item["payments"]["M"] for item in self.items(content) if item["sk"]["S"].startswith("PAYMENTS#")]
        payments = [each for page in pages for each in page.items()]
        assert len(dict(payments)) == len(payments), "the ledger pays somebody twice"
        return {employee: int(cents["N"]) for employee, cents in payments}

    def payment_file(self, content: bytes) -> list[dict[str, str]]:
        """The payment file that the ledger names."""
        key = self.show(content)["file"]
        body = self.client("s3").get_object(Bucket=demo.bucket(self), Key=key)["Body"].read()
        return list(csv.DictReader(io.StringIO(body.decode())))

    @property
    def machine(self) -> str:
        """The ARN of the state machine."""
        return self.client("stepfunctions").list_state_machines()["stateMachines"][0]["stateMachineArn"]

    def all_executions(self) -> list[dict]:
        pages = self.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=self.machine)
        return list(pages.search("executions"))

    def executions(self, content: bytes) -> list[str]:
        return [each["name"] for each in self.all_executions() if each["name"].startswith(demo.payroll_of(content))]

    def history(self, content: bytes) -> str:
        """The last events of the first attempt."""
        arn = demo.execution(self, content, 1)["executionArn"]
        found = self.client("stepfunctions").get_execution_history(executionArn=arn, reverseOrder=True, maxResults=10)
        return json.dumps(found["events"], default=str)

    @contextmanager
    def changed_state(self, name: str, changes: dict):
        """Give a state of the state machine other fields for a while."""
        client = self.client("stepfunctions")
        before = client.describe_state_machine(stateMachineArn=self.machine)["definition"]
        changed = json.loads(before)
        changed["States"][name] |= changes
        client.update_state_machine(stateMachineArn=self.machine, definition=json.dumps(changed))
        try:
            yield
        finally:
            client.update_state_machine(stateMachineArn=self.machine, definition=before)

    def assert_paid_once(self, content: bytes, employees: int) -> None:
        """The ledger, the payment file, the API and the mail agree."""
        paid, file, shown = self.paid(content), self.payment_file(content), self.show(content)
        assert len(paid) == len(file) == shown["employees"] == employees
        assert {each["employee"]: round(float(each["net"]) * 100) for each in file} == paid
        total = f"{sum(paid.values()) // 100}.{sum(paid.values()) % 100:02}"
        assert (shown["status"], shown["total"]) == ("paid", total)

    def assert_not_paid(self, content: bytes) -> None:
        assert self.paid(content) == {}
        assert self.show(content)["status"] == "failed"

    @contextmanager
    def broken(self, function: str, **change):
        """Give a function another configuration for a while."""
        client, name = self.client("lambda"), f"{self.prefix}-{function}"
        before = client.get_function_configuration(FunctionName=name)
        client.update_function_configuration(FunctionName=name, **change)
        try:
            yield
        finally:
            restored = {each: before[each] for each in ("Handler", "Timeout")}
            restored["Environment"] = {"Variables": before["Environment"]["Variables"]}
            client.update_function_configuration(FunctionName=name, **restored)


def file(*lines: str, header: str = demo.HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()
