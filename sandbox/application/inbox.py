"""`POST /communications`: queue a communication afresh, once for each idempotency key, and keep what was received."""

import sqlite3
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

import msgspec

from sandbox.application.addresses import is_possible
from sandbox.application.database import Database, timestamp

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Utc = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]

_INSERT = """INSERT INTO payloads (communication_id, idempotency_key, run_id, body, at, two_keys)
             VALUES (:communication_id, :key, :run_id, :body, :at, EXISTS (
                 SELECT 1 FROM communications WHERE id = :communication_id AND accepted_key <> :key))"""
_REPEATED = """SELECT status, answer FROM payloads
               WHERE communication_id = ? AND idempotency_key = ? AND status IS NOT NULL ORDER BY number LIMIT 1"""
_QUEUE = """UPDATE communications SET state = 'queued', rounds = 0, ticket = ticket + 1, attempted_at = NULL,
            enqueued_at = NULL, failed_at = NULL, error = NULL, accepted_key = ?, doomed = ? WHERE id = ?"""


class Payload(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What is posted, and nothing else."""

    primary_id: _Text
    operation: _Text
    created_by: _Text
    created: _Utc


@dataclass(frozen=True)
class Received:
    """A POST that was written down: its number there, its payload or what is wrong with it, and its key."""

    number: int
    payload: Payload | str
    key: str


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    status: int
    content: dict[str, object]


def refusal(status: int, code: str, message: str) -> Answer:
    """Shape an error."""
    return Answer(status, {"error": {"code": code, "message": message}})


class Inbox:
    """Takes the payloads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receive(self, body: bytes, key: str | None, run_id: str | None) -> Received:
        """Write down that a payload came, before anything else can happen to it."""
        payload = _parse(body)
        # without a key nobody can tell a repetition from a second sending, so each POST counts as one
        known = key or f"without a key: {uuid4()}"
        values = {
            "communication_id": payload.primary_id if isinstance(payload, Payload) else None,
            "key": known,
            "run_id": run_id,
            "body": body.decode(errors="replace"),
            "at": timestamp(),
        }
        with self._database.transaction() as tables:
            number = tables.execute(_INSERT, values).lastrowid
        return Received(number or 0, payload, known)

    def process(self, received: Received, *, doomed: bool) -> Answer:
        """Decide and do it in one transaction, so that of two connections with one key only the first queues."""
        payload = received.payload
        if isinstance(payload, str):
            return refusal(400, "invalid_payload", payload)
        with self._database.transaction() as tables:
            repeated = tables.execute(_REPEATED, [payload.primary_id, received.key]).fetchone()
            if repeated:
                answer = Answer(repeated["status"], msgspec.json.decode(repeated["answer"]))
            else:
                answer = _decide(tables, received, payload, doomed=doomed)
            _write_answer(tables, received, answer)
        return answer

    def answered(self, received: Received, status: int | None) -> None:
        """Write down the status that went out, None for a connection that was cut."""
        with self._database.transaction() as tables:
            tables.execute("UPDATE payloads SET answered = ? WHERE number = ?", [status, received.number])


def _parse(body: bytes) -> Payload | str:
    try:
        return msgspec.json.decode(body, type=Payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return str(error)


def _decide(tables: sqlite3.Connection, received: Received, payload: Payload, *, doomed: bool) -> Answer:
    query = "SELECT * FROM communications WHERE id = ? AND operation = ?"
    row = tables.execute(query, [payload.primary_id, payload.operation]).fetchone()
    if row is None:
        return refusal(404, "unknown_communication", "there is no such communication")
    if row["state"] == "sent":
        return refusal(409, "already_sent", "it was sent")
    if not is_possible(payload.operation, row["recipient"]):
        return refusal(422, "invalid_address", "its address can never work")
    if row["state"] == "queued":
        return refusal(409, "already_queued", "it is on its way")
    tables.execute(_QUEUE, [received.key, doomed, payload.primary_id])
    return Answer(202, {"status": "queued"})


def _write_answer(tables: sqlite3.Connection, received: Received, answer: Answer) -> None:
    """Keep the answer for repetitions; `two_keys` again, for two keys that were received before either was accepted."""
    tables.execute(
        """UPDATE payloads SET status = :status, answer = :answer, two_keys = two_keys OR EXISTS (
               SELECT 1 FROM communications WHERE id = payloads.communication_id AND accepted_key <> :key)
           WHERE number = :number""",
        {
            "status": answer.status,
            "answer": msgspec.json.encode(answer.content).decode(),
            "key": received.key,
            "number": received.number,
        },
    )
