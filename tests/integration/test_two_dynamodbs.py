"""What moto's and MiniStack's DynamoDB answer differently, compared with what AWS documents.

The ledger's tests run on both, because each refuses mistakes that the other accepts. A call that starts to be answered
as on AWS fails here: take it off the list, and off the one in docs/design.md.
"""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from deployment.comms_reprocess.storage import LEDGER
from deployment.table import table_definition

NAME = "two-dynamodbs"
KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
TEXT, NUMBER = {":v": {"S": "x"}}, {":v": {"N": "1"}}
INVALID, REFUSED = "ValidationException", "ConditionalCheckFailedException"
CANCELED = "TransactionCanceledException"


def update(expression, values=None, **options):
    request = {"TableName": NAME, "Key": KEY, "UpdateExpression": expression} | options
    return "update_item", request | ({"ExpressionAttributeValues": values} if values else {})


def query(condition, values, **options):
    return "query", {
        "TableName": NAME,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
    } | options


def transact(*actions):
    return "transact_write_items", {"TransactItems": list(actions)}


def action(key="b", values=TEXT, **options):
    request = {"TableName": NAME, "Key": KEY | {"sk": {"S": key}}, "UpdateExpression": "SET w = :v"}
    return {"Update": request | {"ExpressionAttributeValues": values} | options}


# The call, what AWS answers (the code of an error, or "done"), and which implementations answer something else.
CALLS = {
    "a SET without a value": (update("SET w"), INVALID, {"ministack"}),
    "two changes of one attribute": (update("SET q = :v REMOVE q", TEXT), INVALID, {"ministack"}),
    "ADD to a text": (update("ADD q :v", NUMBER), INVALID, set()),
    "list_append to a text": (update("SET q = list_append(q, :v)", {":v": {"L": []}}), INVALID, {"ministack"}),
    "an undefined name": (update("SET #nope = :v", TEXT), INVALID, {"moto"}),
    "an undefined value": (update("SET q = :nope"), INVALID, set()),
    "an unused value": (update("SET q = :v", TEXT | {":w": {"S": "x"}}), INVALID, set()),
    "a reserved word": (update("SET status = :v", TEXT), INVALID, set()),
    "a change of the key": (update("SET pk = :v", TEXT), INVALID, set()),
    "a number as an index's key": (update("SET worklist = :v", NUMBER), INVALID, set()),
    "an empty index's key": (update("SET worklist = :v", {":v": {"S": ""}}), INVALID, set()),
    "an item of more than 400 KB": (update("SET big = :v", {":v": {"S": "x" * 400 * 1024}}), INVALID, set()),
    "an empty key": (update("SET q = :v", TEXT, Key={"pk": {"S": ""}, "sk": {"S": "b"}}), INVALID, {"moto"}),
    "a number of 40 digits": (update("SET w = :v", {":v": {"N": "1" * 40}}), INVALID, {"moto"}),
    "a text compared with a number": (update("SET w = :v", NUMBER, ConditionExpression="q < :v"), REFUSED, {"moto"}),
    "a condition on what is missing": (update("SET w = :v", NUMBER, ConditionExpression="nope < :v"), REFUSED, set()),
    "a consistent query of an index": (
        query("worklist = :v", TEXT, IndexName="worklist", ConsistentRead=True),
        INVALID,
        set(),
    ),
    "a query of an unknown index": (query("pk = :v", TEXT, IndexName="nope"), INVALID, {"moto"}),
    "BETWEEN in the wrong order": (
        query("pk = :v AND sk BETWEEN :v AND :w", TEXT | {":w": {"S": "a"}}),
        INVALID,
        {"moto"},
    ),
    "a start key of another partition": (
        query("pk = :v", TEXT, ExclusiveStartKey={"pk": {"S": "y"}, "sk": {"S": "b"}}),
        INVALID,
        {"moto"},
    ),
    "a batch of 101 keys": (
        ("batch_get_item", {"RequestItems": {NAME: {"Keys": [KEY | {"sk": {"S": str(n)}} for n in range(101)]}}}),
        INVALID,
        set(),
    ),
    "a batch with a key twice": (("batch_get_item", {"RequestItems": {NAME: {"Keys": [KEY, KEY]}}}), INVALID, set()),
    "a transaction of 101 actions": (transact(*(action(str(n)) for n in range(101))), INVALID, set()),
    "a transaction whose condition is not met": (
        transact(action("new"), action(ConditionExpression="q = :v")),
        CANCELED,
        set(),
    ),
    "TTL enabled twice": (
        (
            "update_time_to_live",
            {"TableName": NAME, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "expiresAt"}},
        ),
        INVALID,
        {"moto", "ministack"},
    ),
}


@pytest.fixture(params=["moto", "ministack"])
def client(request):
    """A client that leaves it to the server to refuse mistakes; the table holds one item, and has a TTL."""
    plain = request.getfixturevalue(request.param)
    options = {"region_name": plain.meta.region_name, "endpoint_url": plain.meta.endpoint_url}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("dynamodb", **options, **keys, config=Config(parameter_validation=False))
    client.create_table(**table_definition(LEDGER, NAME))
    client.update_time_to_live(TableName=NAME, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expiresAt"})
    client.put_item(TableName=NAME, Item=KEY | {"q": {"S": "1"}})
    yield request.param, client
    client.delete_table(TableName=NAME)


@pytest.mark.parametrize("what", CALLS)
def test_a_call_is_answered_as_on_aws_except_where_it_is_known_not_to_be(client, what):
    """Sources: the API reference of each operation, and "Using expressions in DynamoDB" in the Developer Guide."""
    name, dynamodb = client
    (operation, request), expected, deviating = CALLS[what]
    assert (_answer(dynamodb, operation, request) != expected) is (name in deviating)


def test_a_page_that_is_full_has_a_key_to_continue_after_only_on_ministack(client):
    """AWS sends one too, even if nothing follows (Developer Guide, "Paginating table query results")."""
    name, dynamodb = client
    operation, request = query("pk = :v", {":v": {"S": "a"}}, Limit=1)
    assert ("LastEvaluatedKey" in getattr(dynamodb, operation)(**request)) is (name == "ministack")


def test_a_transaction_says_of_each_action_why_it_was_cancelled_and_changes_nothing(client):
    """In the order of the actions, `None` for those that would have been done (API reference, TransactWriteItems)."""
    _, dynamodb = client
    unmet = {"ConditionExpression": "q = :v"}
    operation, request = transact(action("new"), action(**unmet), action("newer"), action("gone", **unmet))
    with pytest.raises(ClientError) as raised:
        getattr(dynamodb, operation)(**request)
    codes = [reason["Code"] for reason in raised.value.response["CancellationReasons"]]
    assert codes == ["None", "ConditionalCheckFailed", "None", "ConditionalCheckFailed"]
    assert dynamodb.scan(TableName=NAME)["Count"] == 1
    dynamodb.transact_write_items(TransactItems=[action("new"), action()])
    assert dynamodb.scan(TableName=NAME)["Count"] == 2


def _answer(dynamodb, operation, request):
    """Return the code of the error, "done" without one, or the name of the exception that the server died of."""
    try:
        getattr(dynamodb, operation)(**request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    except Exception as error:  # noqa: BLE001 (moto raises whatever its own mistakes cause)
        return type(error).__name__
    return "done"
