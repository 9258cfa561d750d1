"""The ids of runs. A run's id is also the name of its Step Functions execution.

An execution's name has at most 80 characters out of `[0-9A-Za-z-_]` (AWS Step Functions API Reference,
StartExecution).
"""

import hashlib
import re
import uuid

from chalicelib import times

MAX_LENGTH = 80

# Exactly what the two functions below make.
PATTERN = re.compile(r"[0-9TZ]+-[0-9A-Za-z]{1,12}|key-[0-9a-f]{40}")


def for_schedule(event_id: str, event_time: str) -> str:
    """Return the id of the run that a scheduled event starts; an event delivered twice gives the same id twice."""
    moment = "".join(char for char in event_time if char.isdigit() or char in "TZ")[:20]
    return f"{moment}-{''.join(char for char in event_id if char.isalnum())[:12]}"


def for_request(requested_by: str, idempotency_key: str | None, now: int) -> str:
    """Return the id of a requested run: always the same one for the same requester and `Idempotency-Key`."""
    if idempotency_key is None:
        moment = times.format_iso(now).replace("-", "").replace(":", "")
        return f"{moment[:15]}Z-{uuid.uuid4().hex[:12]}"
    return "key-" + hashlib.sha256(f"{requested_by}\n{idempotency_key}".encode()).hexdigest()[:40]
