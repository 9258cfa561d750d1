"""The embedded AWS's DynamoDB, used by several functions at the same time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError


def client_with_table(app, name):
    """Create a table with the key `id`, and return a client."""
    client = app.client("dynamodb")
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def test_failed_transactions_do_not_undo_other_writes(app):
    """An implementation that is not safe to use from several threads would lose some, as moto's does."""
    client = client_with_table(app, "table")
    done = threading.Event()
    failing = threading.Thread(target=_fail_transactions, args=(app.client("dynamodb"), done))
    failing.start()
    with ThreadPoolExecutor(4) as threads:
        ids = [str(number) for number in range(100)]
        list(threads.map(lambda each: client.put_item(TableName="table", Item={"id": {"S": each}}), ids))
    done.set()
    failing.join()
    stored = client.scan(TableName="table", ConsistentRead=True)["Items"]
    assert {item["id"]["S"] for item in stored} == set(ids)


def _fail_transactions(client, done):
    write = {"TableName": "table", "Item": {"id": {"S": "never"}}, "ConditionExpression": "attribute_exists(id)"}
    while not done.is_set():
        with pytest.raises(client.exceptions.TransactionCanceledException):
            client.transact_write_items(TransactItems=[{"Put": write}])
        time.sleep(0.001)


def test_requests_can_be_throttled_and_answers_lost(app):
    """What is throttled is not carried out; what lost its answer is. AWS's SDK would repeat both."""
    client = client_with_table(app, "faults")
    app.aws.dynamodb.disturb(throttled=1)
    with pytest.raises(ClientError, match="ThrottlingException") as throttled:
        client.put_item(TableName="faults", Item={"id": {"S": "throttled"}})
    # AWS sends it with every answer, and a Task of the interpreter reads it.
    assert throttled.value.response["ResponseMetadata"]["RequestId"]
    app.aws.dynamodb.disturb(answer_lost=1)
    with pytest.raises(ClientError, match="InternalServerError"):
        client.put_item(TableName="faults", Item={"id": {"S": "lost"}})
    app.aws.dynamodb.disturb()
    assert [item["id"]["S"] for item in client.scan(TableName="faults")["Items"]] == ["lost"]


def test_updates_may_meet_a_transaction_and_transactions_may_be_cancelled(app):
    """Neither is carried out, and AWS's SDK repeats neither."""
    client = client_with_table(app, "conflicts")
    app.aws.dynamodb.disturb(conflict=1)
    with pytest.raises(client.exceptions.TransactionConflictException):
        client.update_item(TableName="conflicts", Key={"id": {"S": "updated"}})
    write = {"Put": {"TableName": "conflicts", "Item": {"id": {"S": "written"}}}}
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        client.transact_write_items(TransactItems=[write])
    assert [each["Code"] for each in cancelled.value.response["CancellationReasons"]] == ["TransactionConflict"]
    hits = app.aws.dynamodb.disturb()
    assert (hits["conflict UpdateItem"], hits["conflict TransactWriteItems"]) == (1, 1)
    assert client.scan(TableName="conflicts")["Items"] == []
