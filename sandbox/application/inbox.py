"""`POST /communications`: queues a communication again, once per idempotency key, and keeps every POST."""

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
_QUEUE = """UPDATE communications SET state = 'queued', rounds = 0, ticket = ticket + 1, lost = 0, attempted_at = NULL,
            enqueued_at = NULL, failed_at = NULL, error = NULL, error_code = NULL, accepted_key = ?, never_send = ?
            WHERE id = ?"""


class Payload(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The body of the POST. Any other field is refused."""

    primary_id: _Text
    operation: _Text
    created_by: _Text
    created: _Utc


@dataclass(frozen=True)
class ReceivedPost:
    """A POST in the table `payloads`: its number, its payload or what is wrong with it, and its idempotency key."""

    number: int
    payload: Payload | str
    key: str


@dataclass(frozen=True)
class Answer:
    """An answer: the HTTP status, and the content of the JSON body."""

    status: int
    content: dict[str, object]


def refusal(status: int, code: str, message: str) -> Answer:
    """Return an error."""
    return Answer(status, {"error": {"code": code, "message": message}})


class Inbox:
    """Receives and processes the POSTs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receive(self, body: bytes, key: str | None, run_id: str | None) -> ReceivedPost:
        """Store a POST, before anything else can happen to it."""
        payload = _parse(body)
        # Without a key, a repeated POST looks like a new one, so each POST gets a key.
        key = key or f"without a key: {uuid4()}"
        values = {
            "communication_id": payload.primary_id if isinstance(payload, Payload) else None,
            "key": key,
            "run_id": run_id,
            "body": body.decode(errors="replace"),
            "at": timestamp(),
        }
        with self._database.transaction() as connection:
            number = connection.execute(_INSERT, values).lastrowid
        return ReceivedPost(number or 0, payload, key)

    def process(self, received: ReceivedPost, *, never_send: bool) -> Answer:
        """Queue the communication or refuse, in one transaction: of POSTs with the same key, only the first queues."""
        payload = received.payload
        if isinstance(payload, str):
            return refusal(400, "invalid_payload", payload)
        with self._database.transaction() as connection:
            repeated = connection.execute(_REPEATED, [payload.primary_id, received.key]).fetchone()
            if repeated:
                answer = Answer(repeated["status"], msgspec.json.decode(repeated["answer"]))
            else:
                answer = _decide(connection, received, payload, never_send=never_send)
            _write_answer(connection, received, answer)
        return answer

    def record_answer(self, received: ReceivedPost, status: int | None, *, refused: bool = False) -> None:
        """Store the status that was sent (None: the connection was cut). `refused` says for lack of capacity."""
        query = "UPDATE payloads SET answered = ?, refused = ? WHERE number = ?"
        with self._database.transaction() as connection:
            connection.execute(query, [status, refused, received.number])


def _parse(body: bytes) -> Payload | str:
    try:
        return msgspec.json.decode(body, type=Payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return str(error)


def _decide(connection: sqlite3.Connection, received: ReceivedPost, payload: Payload, *, never_send: bool) -> Answer:
    query = "SELECT * FROM communications WHERE id = ? AND operation = ?"
    row = connection.execute(query, [payload.primary_id, payload.operation]).fetchone()
    if row is None:
        return refusal(404, "unknown_communication", "there is no such communication")
    if row["state"] == "sent":
        return refusal(409, "already_sent", "it was sent already")
    if not is_possible(payload.operation, row["recipient"]):
        return refusal(422, "invalid_address", "its address is invalid")
    if row["state"] == "queued":
        return refusal(409, "already_queued", "it is queued already")
    connection.execute(_QUEUE, [received.key, never_send, payload.primary_id])
    return Answer(202, {"status": "queued"})


def _write_answer(connection: sqlite3.Connection, received: ReceivedPost, answer: Answer) -> None:
    """Store the answer for repeated POSTs.

    `two_keys` is set here too, because two keys may have been received before either was accepted.
    """
    connection.execute(
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
