"""Shows the first request that a run would send, for `deploy.py check`."""

import json
from collections.abc import Iterator

from chalicelib import times
from chalicelib.application.client import rename_fields
from chalicelib.application.config import Configuration, Reprocess
from chalicelib.models.communications import Communication


def show(configuration: Configuration, first: Communication | None, now: int) -> None:
    """Print the request for a communication, without the secret, and how fast a run may send.

    None: there is nothing to send.
    """
    _show_request(configuration, first, now)
    print(f"\nHow fast: {_pace(configuration.reprocess)}")


def _pace(config: Reprocess) -> str:
    ceilings = [
        f"at most {config.max_per_second:g} a second (max_per_second)" if config.max_per_second else "",
        f"at most {config.max_in_flight} at once (max_in_flight)" if config.max_in_flight else "",
    ]
    found_out = "the pace finds out what the application can take"
    return ", ".join([each for each in ceilings if each] or [f"{found_out}; usually there is nothing to write"])


def _show_request(configuration: Configuration, first: Communication | None, now: int) -> None:
    config = configuration.reprocess
    if first is None:
        print("\nThere would be no POST, because there is nothing to send. It would go to")
        print(f"  {config.method} {config.url}")
        return
    print(f"\nThe first POST would be\n  {config.method} {config.url}")
    for line in _headers(configuration):
        print(f"  {line}")
    payload = {
        "primaryId": first.primary_id,
        "operation": first.operation,
        "createdBy": first.created_by or "(whoever requests the run)",
        "created": times.format_iso(now),
    }
    print(f"  {json.dumps(rename_fields(config, payload), ensure_ascii=False)}")


def _headers(configuration: Configuration) -> Iterator[str]:
    yield "Idempotency-Key: (one for each communication)"
    yield "X-Run-Id: (the run's id)"
    for name, value in configuration.reprocess.headers.items():
        yield f"{name}: {value}"
    auth = configuration.auth
    if auth.type != "none":
        yield f"{auth.header if auth.type == 'header' else 'Authorization'}: (from the secret {auth.secret})"
