"""The bucket for manifests, selections and the Map's results."""

import json
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.names import Names
from deployment.steps import StepResult

# Everything in it is needed while a run is under way, and sometimes looked at for a while afterwards.
DAYS = 90

BLOCKED = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}

_LIFECYCLE = {
    "Rules": [
        {
            "ID": "expire",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"Days": DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
    ]
}


def ensure(client: Any, names: Names) -> StepResult:
    """Create or correct a private bucket that requires TLS and deletes objects after 90 days. S3 encrypts it itself."""
    result = _ensure_bucket(client, names)
    changed = [
        _ensure_access_block(client, names.bucket),
        _ensure_policy(client, names.bucket, tls_only(names)),
        _ensure_lifecycle(client, names.bucket),
    ]
    return StepResult.CHANGED if result is StepResult.UNCHANGED and any(changed) else result


def _ensure_bucket(client: Any, names: Names) -> StepResult:
    try:
        client.head_bucket(Bucket=names.bucket, ExpectedBucketOwner=names.location.account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:  # noqa: PLR2004 (a status)
            raise
    else:
        return StepResult.UNCHANGED
    # us-east-1 is the one region that CreateBucket does not accept by name (Amazon S3 API Reference, CreateBucket).
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": names.location.region}}
    client.create_bucket(Bucket=names.bucket, **({} if names.location.region == "us-east-1" else elsewhere))
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


def _ensure_lifecycle(client: Any, bucket: str) -> bool:
    rules = _read(lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]) or []
    if [(rule.get("ID"), rule.get("Expiration", {}).get("Days")) for rule in rules] == [("expire", DAYS)]:
        return False
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=_LIFECYCLE)
    return True


def remove(client: Any, names: Names) -> bool:
    """Delete the bucket and its content; return whether it existed."""
    try:
        client.head_bucket(Bucket=names.bucket, ExpectedBucketOwner=names.location.account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:  # noqa: PLR2004 (a status)
            raise
        return False
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=names.bucket):
        keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=names.bucket, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=names.bucket)
    return True


def _read(call: Any) -> Any:
    """Return what a call reads, or None if the bucket does not have it yet."""
    try:
        return call()
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("NoSuch"):
            raise
        return None


def tls_only(names: Names) -> dict[str, Any]:
    """Return the policy that refuses requests without TLS."""
    arn = names.bucket_arn
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
