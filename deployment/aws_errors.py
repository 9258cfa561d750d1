"""What to do about an error of AWS, in one sentence."""

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
_UNKNOWN = "AWS does not know these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
_MISSING = "no AWS credentials: set AWS_PROFILE, or log in (for example with aws sso login)."
_DENIED = "The deploying identity lacks this permission: ask for it (.chalice/<stage>/deployer.json lists them all)."
_NOT_OURS = (
    "Either another account has a bucket of this name: choose another app_name. Or the deploying identity lacks "
    "s3:ListBucket: ask for it."
)
_BUSY = "AWS is still busy with an earlier call for it: wait a minute."
_THROTTLED = "AWS is not accepting more calls right now: wait a minute."
_OTHER = "Fix what AWS reports."

_BY_CODE = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidClientTokenId": _UNKNOWN,
    "UnrecognizedClientException": _UNKNOWN,
    "SignatureDoesNotMatch": _UNKNOWN,
    # HeadBucket's answer has no body, so its code is the bare status.
    "403": _NOT_OURS,
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "AuthorizationError": _DENIED,
    "BucketAlreadyExists": "Another account has a bucket of this name: choose another app_name.",
    "LimitExceededException": "A quota of the account is used up: have it raised in Service Quotas.",
    "StateMachineDeleting": "An earlier state machine of this name is still being deleted: wait a few minutes.",
    "ContinuousBackupsUnavailableException": "AWS is still busy with the new table: wait a minute.",
    "OperationAborted": _BUSY,
    "ResourceInUseException": _BUSY,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
}

_BY_KIND: tuple[tuple[type[BotoCoreError], str], ...] = (
    (NoCredentialsError, _MISSING),
    (PartialCredentialsError, _MISSING),
    (ProfileNotFound, "AWS_PROFILE names a profile that is not in ~/.aws/config: correct it."),
    (SSOTokenLoadError, _EXPIRED),
    (TokenRetrievalError, _EXPIRED),
    (UnauthorizedSSOTokenError, _EXPIRED),
    (Unreachable, "AWS cannot be reached: check the network, the proxy, and the region name."),
)


def code(error: ClientError) -> str:
    """Return AWS's code for an error."""
    return error.response["Error"]["Code"]


def advice(error: ClientError | BotoCoreError) -> str:
    """Return what to do about an error."""
    if isinstance(error, ClientError):
        return _BY_CODE.get(code(error), _OTHER)
    return next((text for kind, text in _BY_KIND if isinstance(error, kind)), _OTHER)


def is_advice_enough(error: ClientError | BotoCoreError) -> bool:
    """Whether the advice alone says what is wrong, without AWS's own message."""
    return advice(error) in (_EXPIRED, _UNKNOWN, _MISSING) or isinstance(error, (ProfileNotFound, Unreachable))
