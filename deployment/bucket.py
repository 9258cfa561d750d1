"""The S3 buckets."""

import json
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.names import Names
from deployment.description import Bucket
from deployment.steps import StepResult

BLOCKED = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}


def ensure(client: Any, names: Names, bucket: Bucket) -> StepResult:
    """Create or correct a private bucket that requires TLS and deletes what has expired. S3 encrypts it itself."""
    result, name = _ensure_bucket(client, names, bucket), bucket.full_name(names)
    changed = [
        _ensure_access_block(client, name),
        _ensure_policy(client, name, tls_only(bucket.arn(names))),
        _ensure_lifecycle(client, name, bucket),
    ]
    return StepResult.CHANGED if result is StepResult.UNCHANGED and any(changed) else result


def _ensure_bucket(client: Any, names: Names, bucket: Bucket) -> StepResult:
    name = bucket.full_name(names)
    try:
        client.head_bucket(Bucket=name, ExpectedBucketOwner=names.location.account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:  # noqa: PLR2004 (a status)
            raise
    else:
        return StepResult.UNCHANGED
    # us-east-1 is the one region that CreateBucket does not accept by name (Amazon S3 API Reference, CreateBucket).
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": names.location.region}}
    client.create_bucket(Bucket=name, **({} if names.location.region == "us-east-1" else elsewhere))
    return StepResult.CREATED


def _ensure_access_block(client: Any, bucket: str) -> bool:
    found = _read(lambda: client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"])
    if found == BLOCKED:
        return False
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=BLOCKED)
    return True


def _ensure_policy(client: Any, bucket: str, policy: dict[str, Any]) -> bool:
    if _read(lambda: json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])) == policy:
        return False
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    return True


def _ensure_lifecycle(client: Any, name: str, bucket: Bucket) -> bool:
    if not bucket.expiry:
        return False
    rules = _read(lambda: client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]) or []
    found = {rule.get("ID"): rule.get("Expiration", {}).get("Days") for rule in rules}
    if found == {rule_id(prefix): days for prefix, days in bucket.expiry.items()}:
        return False
    wanted = {"Rules": [_rule(prefix, days) for prefix, days in bucket.expiry.items()]}
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=wanted)
    return True


def _rule(prefix: str, days: int) -> dict[str, Any]:
    return {
        "ID": rule_id(prefix),
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


def rule_id(prefix: str) -> str:
    """Return the id of the rule by which objects with this prefix expire."""
    return f"expire {prefix}".rstrip()


def remove(client: Any, names: Names, bucket: Bucket) -> bool:
    """Delete a bucket and its content; return whether it existed."""
    name = bucket.full_name(names)
    try:
        client.head_bucket(Bucket=name, ExpectedBucketOwner=names.location.account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:  # noqa: PLR2004 (a status)
            raise
        return False
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=name)
    return True


def _read(call: Any) -> Any:
    """Return what a call reads, or None if the bucket does not have it yet."""
    try:
        return call()
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("NoSuch"):
            raise
        return None


def tls_only(arn: str) -> dict[str, Any]:
    """Return the policy of a bucket that refuses requests without TLS."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
