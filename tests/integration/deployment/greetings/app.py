"""Remembers who was greeted."""

import os

import boto3
from chalice import Chalice

app = Chalice(app_name="greetings")


@app.lambda_function()
def greet(event, _context):
    """Remember a person, and say hello."""
    item = {"person": {"S": event["person"]}}
    boto3.client("dynamodb").put_item(TableName=os.environ["RESOURCE_PREFIX"], Item=item)
    return {"person": event["person"], "greeting": f"Hello {event['person']}"}
