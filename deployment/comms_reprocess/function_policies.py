"""What each function may do: exactly what it does. A test compares it with the requests that they make."""

from chalicelib.application.config import Auth
from chalicelib.ledger.tokens import PARTITION as TOKENS
from chalicelib.names import Names
from deployment.comms_reprocess import secret_policy
from deployment.iam_policy import OWN_ACCOUNT, Json, allow, callers, deny

_EVERYTHING = "GetItem PutItem UpdateItem DeleteItem BatchGetItem Query"


def statements(names: Names, auth: Auth) -> dict[str, list[Json]]:
    """Return what each function may do besides writing its log and its traces, by its name in app.py."""
    secret = secret_policy.statements(auth)
    return {
        "api_handler": _api_handler(names, secret),
        "authorizer": _ledger(names, "GetItem", reads_tokens=True),
        "collector": _collector(names, secret),
        "begin": _ledger(names, "GetItem UpdateItem"),
        "record": _ledger(names, "GetItem PutItem UpdateItem BatchGetItem"),
        "report": [
            *_ledger(names, _EVERYTHING, "open"),
            _objects(names, "GetObject", "runs"),
            _told_what_is_gone(names),
        ],
        "reprocess": [*_ledger(names, "GetItem UpdateItem"), *secret],
        "request_approval": [
            *_ledger(names, "GetItem UpdateItem"),
            allow("sns:Publish", names.failed_topic_arn),
            _ends_waits_for_approval(names),
        ],
    }


def _api_handler(names: Names, secret: list[Json]) -> list[Json]:
    return [
        *_ledger(names, _EVERYTHING, "runs", "open", "worklist", reads_tokens=True),
        _objects(names, "PutObject", "runs"),
        _objects(names, "GetObject", "outages"),
        _told_what_is_gone(names),
        _starts_collectors(names),
        *secret,
        _ends_waits_for_approval(names),
    ]


def _collector(names: Names, secret: list[Json]) -> list[Json]:
    return [
        *_ledger(names, _EVERYTHING, "runs", "open", "worklist"),
        _objects(names, "GetObject PutObject", "runs", "outages"),
        _told_what_is_gone(names),
        allow("states:StartExecution SendTaskSuccess SendTaskFailure", names.state_machine_arn),
        allow("states:DescribeExecution", names.execution_arn("*")),
        allow("sns:Publish", names.succeeded_topic_arn, names.failed_topic_arn),
        _starts_collectors(names),
        *secret,
    ]


def _starts_collectors(names: Names) -> Json:
    return allow("lambda:InvokeFunction", names.function_arn("collector"))


def _ends_waits_for_approval(names: Names) -> Json:
    return allow("states:SendTaskSuccess SendTaskFailure", names.state_machine_arn)


def _ledger(names: Names, actions: str, *indexes: str, reads_tokens: bool = False) -> list[Json]:
    """Return the statements for the table and its indexes.

    Tokens are out of reach: whoever could write one could give itself any role. `reads_tokens` lets a function look one
    up. The key is the partition key of every item that a call names (Amazon DynamoDB Developer Guide, "Using IAM policy
    conditions for fine-grained access control").
    """
    found = [allow(f"dynamodb:{actions}", names.table_arn)]
    if indexes:
        found.append(allow("dynamodb:Query", *(f"{names.table_arn}/index/{index}" for index in indexes)))
    denied = [action for action in actions.split() if not (reads_tokens and action == "GetItem")]
    if denied:
        tokens = {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": [TOKENS]}}
        found.append(deny(f"dynamodb:{' '.join(denied)}", names.table_arn, condition=tokens))
    return found


def _objects(names: Names, actions: str, *folders: str) -> Json:
    bucket = callers(names).bucket_arn
    return allow(f"s3:{actions}", *(f"{bucket}/{folder}/*" for folder in folders), condition=OWN_ACCOUNT)


def _told_what_is_gone(names: Names) -> Json:
    """Return the statement with which S3 answers 404 for a manifest that is gone.

    Without it, the answer is 403, as for one that may not be read (Amazon S3 API Reference, GetObject).
    """
    return allow("s3:ListBucket", callers(names).bucket_arn, condition=OWN_ACCOUNT)
