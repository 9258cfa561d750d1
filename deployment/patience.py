"""Waiting for what AWS makes behind: a call is refused until it is there."""

import time
from collections.abc import Callable

from botocore.exceptions import ClientError

# Two minutes, which is what a new role takes at worst (IAM User Guide, "Troubleshoot IAM": changes that I make are not
# always immediately visible).
_TRIES, _WAIT = 40, 3.0


def patiently(call: Callable[[], object], refusal: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Call again as long as AWS answers with the error code `refusal`, for two minutes; then the error is raised."""
    for _ in range(_TRIES - 1):
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] != refusal:
                raise
            sleep(_WAIT)
        else:
            return
    call()
