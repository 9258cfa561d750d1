"""What the API does: take a file, and say what has become of it."""

import hashlib
from typing import Any, NamedTuple

from chalicelib.executions import FAILED, RUNNING, Executions
from chalicelib.ledger import Ledger
from chalicelib.store import Store

_AGAIN = "Upload the same file again: it is paid once at most."


class Deps(NamedTuple):
    """What it talks to."""

    ledger: Ledger
    store: Store
    executions: Executions


def upload(content: bytes, deps: Deps) -> dict[str, Any]:
    """Take a file, and return the status of its payroll.

    The payroll's id is the digest of the content, so the same file is the same payroll, and its second upload gets the
    status of the first. Only if that has failed, there is another attempt.
    """
    payroll = hashlib.sha256(content).hexdigest()
    paid = _paid(payroll, deps)
    if paid:
        return paid
    deps.store.put_upload(payroll, content)
    return _start(payroll, deps)


def _start(payroll: str, deps: Deps) -> dict[str, Any]:
    """See to it that an attempt is under way, unless one has paid.

    It is counted before it is started, so that what dies in between leaves nothing that the next upload does not
    continue. Only the start itself says for certain that an attempt has ended.
    """
    attempt = max(deps.ledger.attempt(payroll), 1)
    deps.ledger.begin(payroll, attempt)
    while not deps.executions.start(payroll, attempt):
        paid = _paid(payroll, deps)
        if paid:
            return paid
        attempt += 1
        deps.ledger.begin(payroll, attempt)
    return {"payroll": payroll, "attempt": attempt, "status": "running"}


def status(payroll: str, deps: Deps) -> dict[str, Any] | None:
    """Return what has become of a payroll; None if it was never uploaded. The ledger alone says whether it is paid.

    It is asked last: an execution that has ended by then has paid, or never will.
    """
    attempt = deps.ledger.attempt(payroll)
    if not attempt:
        return None
    execution = deps.executions.find(payroll, attempt)
    return _paid(payroll, deps) or {"payroll": payroll, "attempt": attempt, **_of_execution(execution)}


def _paid(payroll: str, deps: Deps) -> dict[str, Any] | None:
    paid = deps.ledger.paid(payroll)
    return {"payroll": payroll, "status": "paid", **paid} if paid else None


def _of_execution(execution: dict[str, Any] | None) -> dict[str, str]:
    if execution is None:
        unknown = "It is just starting, was never started, or failed months ago."
        return {"status": "unknown", "message": f"{unknown} {_AGAIN}"}
    if execution["status"] == RUNNING:
        return {"status": "running"}
    # Somebody who stops an execution may say why, but not what to do.
    stopped = f"Its execution is {execution['status']}. {_AGAIN}"
    message = execution.get("cause", stopped) if execution["status"] == FAILED else stopped
    return {"status": "failed", "error": execution.get("error", ""), "message": message}
