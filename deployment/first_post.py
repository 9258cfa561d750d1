"""What a run would send first, for `deploy.py check`."""

import json
from collections.abc import Iterator

from chalicelib import times
from chalicelib.application import body
from chalicelib.description import Configuration
from chalicelib.models import Communication


def show(configuration: Configuration, first: Communication | None, now: int) -> None:
    """Print the request for a communication, without the secret; None: nothing is due."""
    it = configuration.reprocess
    print(f"\nThe first POST{' would be' if first else ': none, as nothing is due. It would go to'}")
    print(f"  {it.method} {it.url}")
    if first is None:
        return
    for line in _headers(configuration):
        print(f"  {line}")
    payload = {
        "primaryId": first.primary_id,
        "operation": first.operation,
        "createdBy": first.created_by or "(whoever asks for the run)",
        "created": times.iso(now),
    }
    print(f"  {json.dumps(body(it, payload), ensure_ascii=False)}")


def _headers(configuration: Configuration) -> Iterator[str]:
    yield "Idempotency-Key: (one for each communication)"
    yield "X-Run-Id: (the run's id)"
    for name, value in configuration.reprocess.headers.items():
        yield f"{name}: {value}"
    auth = configuration.auth
    if auth.type != "none":
        yield f"{auth.header if auth.type == 'header' else 'Authorization'}: (from the secret {auth.secret})"
