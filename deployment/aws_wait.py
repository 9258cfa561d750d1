"""Waiting for what AWS creates asynchronously: calls that depend on it are refused until it is there."""

import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from deployment.aws_errors import code

# Two minutes: the longest that a new role takes to become visible (IAM User Guide, "Troubleshoot IAM": "Changes that I
# make are not always immediately visible").
_TRIES, _WAIT_S = 40, 3.0


def retry_until_ready(
    call: Callable[[], object],
    is_busy: Callable[[ClientError], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Repeat a call while `is_busy` recognizes AWS's error, for two minutes at most; then the error is raised."""
    for _ in range(_TRIES - 1):
        try:
            call()
        except ClientError as error:
            if not is_busy(error):
                raise
            sleep(_WAIT_S)
        else:
            return
    call()


def answers(error_code: str) -> Callable[[ClientError], bool]:
    """Return a function that recognizes an error by its code."""
    return lambda error: code(error) == error_code
