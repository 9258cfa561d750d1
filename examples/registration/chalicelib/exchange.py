"""The only module that speaks HTTP to the other systems, and that judges what an answer means."""

import json
import os
import re
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

# Seconds that a system may take to connect, and for each part of its answer. If it sends one byte after the other, the
# function's own timeout ends the call, and the state machine treats that as any other error.
TIMEOUT_S = 3.0

# The answers of a system that has looked at the request and declines it: sending it again changes nothing.
_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY)

# A reason becomes a part of the execution's state: at 256 KiB, that would end in States.DataLimitExceeded, which
# States.ALL does not catch (AWS Step Functions Developer Guide, "Handling errors in Step Functions workflows").
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,99}")
_LONGEST = 10_000  # bytes of an answer with a code


class Refused(Exception):
    """The system has looked at the request and declined it. The text is its code for the reason, or `refused`."""


class Unavailable(Exception):
    """There was no answer, or one that leaves open whether the request was processed."""


def call(method: str, system: str, path: str, body: dict[str, Any] | None = None) -> None:
    """Call a system, whose address is in `<SYSTEM>_URL`. Refused or Unavailable unless it says that it has done it.

    A 500 may come after the system has written, and a timeout before it does: both are Unavailable.
    """
    request = Request(  # noqa: S310 (the address is the stage's own)
        f"{os.environ[f'{system.upper()}_URL']}{path}",
        data=json.dumps(body or {}).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    try:
        urlopen(request, timeout=TIMEOUT_S).close()  # noqa: S310 (the same)
    except HTTPError as error:
        raise _refusal(error) from None
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{system} does not answer: {error}") from None


def _refusal(error: HTTPError) -> Exception:
    with error:
        if error.code in _REFUSALS:
            return Refused(_code(error))
        return Unavailable(f"{error.url} answered {error.code}")


def _code(error: HTTPError) -> str:
    """Return the code in a refusal. Whatever else is in it, or however it breaks off, it is a refusal."""
    try:
        code = json.loads(error.read(_LONGEST))["error"]
        return code if _CODE.fullmatch(code) else "refused"
    except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return "refused"
