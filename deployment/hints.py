"""What to do about an error of AWS's, in a sentence."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import (
    ConnectionError as Unreachable,
)

_EXPIRED = "the AWS session has expired: log in again (for example with aws sso login)."
_WRONG = "AWS does not know these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
_MISSING = "no AWS credentials: set AWS_PROFILE, or log in (for example with aws sso login)."

_BY_CODE = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidClientTokenId": _WRONG,
    "UnrecognizedClientException": _WRONG,
    "SignatureDoesNotMatch": _WRONG,
    "AccessDenied": "who deploys lacks this right: have it granted (docs/operate.md lists them).",
    "AccessDeniedException": "who deploys lacks this right: have it granted (docs/operate.md lists them).",
    "AuthorizationError": "who deploys lacks this right: have it granted (docs/operate.md lists them).",
    "BucketAlreadyExists": "another account has a bucket of this name: choose another app_name.",
    "LimitExceededException": "a quota of the account is used up: have it raised in Service Quotas.",
    "StateMachineDeleting": "an earlier state machine of this name is still being deleted: wait some minutes.",
    "ContinuousBackupsUnavailableException": "AWS is still busy with the new table: wait a minute.",
    "OperationAborted": "AWS is still busy with an earlier call for it: wait a minute.",
    "ResourceInUseException": "AWS is still busy with an earlier call for it: wait a minute.",
    "Throttling": "AWS takes no more calls just now: wait a minute.",
    "ThrottlingException": "AWS takes no more calls just now: wait a minute.",
    "TooManyRequestsException": "AWS takes no more calls just now: wait a minute.",
}

_BY_KIND: tuple[tuple[type[BotoCoreError], str], ...] = (
    (NoCredentialsError, _MISSING),
    (PartialCredentialsError, _MISSING),
    (ProfileNotFound, "AWS_PROFILE names a profile that is not in ~/.aws/config: correct it."),
    (SSOTokenLoadError, _EXPIRED),
    (TokenRetrievalError, _EXPIRED),
    (UnauthorizedSSOTokenError, _EXPIRED),
    (Unreachable, "AWS cannot be reached: check the network, the proxy, and the region's name."),
)


def hint(error: ClientError | BotoCoreError) -> str:
    """Return what to do about an error."""
    if isinstance(error, ClientError):
        return _BY_CODE.get(error.response["Error"]["Code"], "Mend what AWS says.")
    return next((text for kind, text in _BY_KIND if isinstance(error, kind)), "Mend what AWS says.")


def known(error: ClientError | BotoCoreError) -> bool:
    """Whether the hint alone says what is wrong."""
    return hint(error) in (_EXPIRED, _WRONG, _MISSING) or isinstance(error, (ProfileNotFound, Unreachable))
