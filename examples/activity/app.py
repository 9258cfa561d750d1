"""Starts batches of letters. What takes long is done by workers outside of Lambda: see worker.py."""

import json
import os
import re
from typing import Any

import boto3
from chalice.app import Chalice

app = Chalice(app_name="letters")

# A batch's id ends up in the subject of a mail, which may have 100 characters, a letter's id in the name of its file.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")

# An execution may have 25,000 events, and a letter that is retried as often as possible has about 130 of them:
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAX_LETTERS = 100

# The same page limits what goes from state to state to 262,144 bytes. The rest is for what the state machine adds to a
# letter: its key, and its failure. No Catch would catch States.DataLimitExceeded.
MAX_BYTES = 250_000

# A worker sends no heartbeat while it renders a page, and none while it puts the pages together.
MAX_PAGES, MAX_CHARACTERS = 500, 5_000


class BatchRefused(Exception):
    """The batch was not started; the text says what to change."""


@app.lambda_function()
def start_batch(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Start `{"batch": id, "letters": [{"id": id, "pages": [text, ...]}, ...]}`; return its execution.

    The execution is called like the batch, so AWS itself makes sure that there is only one, however often it is asked
    for. BatchRefused if the batch is invalid, or if there is another one with its id.
    """
    batch, letters = _checked(event)
    return {"execution": _start(_machine(context.invoked_function_arn), batch, _input(batch, letters))}


def _input(batch: str, letters: list[dict[str, Any]]) -> str:
    text = json.dumps({"letters": letters}, ensure_ascii=False)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:  # half of a pair, which JSON can spell, but which is no character
        raise BatchRefused(f"batch {batch}: {text[error.start]!r} is no character") from None
    if size > MAX_BYTES:
        raise BatchRefused(f"batch {batch}: more than {MAX_BYTES} bytes: split it")
    return text


def _start(machine: str, batch: str, text: str) -> str:
    client = boto3.client("stepfunctions")
    try:
        return client.start_execution(stateMachineArn=machine, name=batch, input=text)["executionArn"]
    except client.exceptions.ExecutionAlreadyExists:
        # It has ended, or its input differs:
        # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
        execution = f"{machine.replace(':stateMachine:', ':execution:')}:{batch}"
    if json.loads(client.describe_execution(executionArn=execution)["input"]) != json.loads(text):
        raise BatchRefused(f"batch {batch}: there is another one with this id: use a new id")
    return execution


def _machine(function_arn: str) -> str:
    _, partition, _, region, account, *_ = function_arn.split(":")
    return f"arn:{partition}:states:{region}:{account}:stateMachine:{os.environ['RESOURCE_PREFIX']}"


def _checked(event: Any) -> tuple[str, list[dict[str, Any]]]:
    if not isinstance(event, dict):
        raise BatchRefused("must be an object with batch and letters")
    batch, letters = event.get("batch"), event.get("letters")
    if not _is_id(batch):
        raise BatchRefused("batch: must be an id of up to 50 letters, digits, '-' and '_'")
    if not isinstance(letters, list) or not 1 <= len(letters) <= MAX_LETTERS:
        raise BatchRefused(f"letters: must be a list of 1 to {MAX_LETTERS}")
    for number, letter in enumerate(letters):
        _check_letter(letter, f"letters[{number}]")
    if len({letter["id"] for letter in letters}) < len(letters):
        raise BatchRefused("letters: two have the same id")
    return str(batch), [{"id": letter["id"], "pages": letter["pages"]} for letter in letters]


def _check_letter(letter: Any, where: str) -> None:
    if not isinstance(letter, dict) or not _is_id(letter.get("id")):
        raise BatchRefused(f"{where}.id: must be an id of up to 50 letters, digits, '-' and '_'")
    pages = letter.get("pages")
    if not isinstance(pages, list) or not 1 <= len(pages) <= MAX_PAGES or not all(map(_is_page, pages)):
        raise BatchRefused(f"{where}.pages: must be 1 to {MAX_PAGES} texts of up to {MAX_CHARACTERS} characters")


def _is_page(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_CHARACTERS


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None
