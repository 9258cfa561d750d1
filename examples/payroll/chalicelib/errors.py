"""The errors that the state machine handles differently. Their names are what it catches, their texts go into mails."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError


class FileRefused(Exception):
    """The file cannot be paid as it is. Somebody has to correct it, so nothing tries again."""


class AwsRefused(Exception):
    """A service of AWS has refused a call, or has not answered."""


class PaymentsDiffer(Exception):
    """The results of the batches are not the payments of the payment file."""


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the errors of AWS into AwsRefused.

    Its text names the call and the code only: messages of AWS contain ARNs, and may quote a request.
    """
    try:
        yield
    except ClientError as error:
        what = f"AWS refused {error.operation_name} with {error.response['Error']['Code']}."
    except BotoCoreError as error:
        what = f"AWS did not answer: {type(error).__name__}."
    else:
        return
    raise AwsRefused(f"{what} Correct that, then upload the same file again: it is paid once at most.")
