"""The parts of an IAM policy that several policies here are made of."""

from typing import Any

from chalicelib.names import AwsLocation, Names

Json = dict[str, Any]

# Names an account's own buckets only: a bucket of this name may also belong to somebody else, since bucket names are
# global (IAM User Guide, "AWS global condition context keys", aws:ResourceAccount).
OWN_ACCOUNT: Json = {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}


def callers(names: Names) -> Names:
    """Return the names in the region and the account of whoever makes the request, for a bucket.

    With `*` for both, a policy would cover the buckets of stages whose name begins with this one's (for variables: IAM
    User Guide, "IAM policy elements: Variables and tags").
    """
    return Names(names.prefix, AwsLocation("*", "${aws:RequestedRegion}", "${aws:PrincipalAccount}"))


def document(*statements: Json) -> Json:
    """Return a policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(actions: str, *resources: str, condition: Json | None = None) -> Json:
    """Return a statement that allows actions, written `service:Action Action ...`."""
    return _statement("Allow", actions, resources, condition)


def deny(actions: str, *resources: str, condition: Json) -> Json:
    """Return a statement that denies actions, written `service:Action Action ...`, whatever else allows them."""
    return _statement("Deny", actions, resources, condition)


def _statement(effect: str, actions: str, resources: tuple[str, ...], condition: Json | None) -> Json:
    service, _, names = actions.partition(":")
    found = {"Effect": effect, "Action": [f"{service}:{name}" for name in names.split()], "Resource": list(resources)}
    return found | ({"Condition": condition} if condition else {})


def x_ray() -> Json:
    """Return the statement for the traces of a function.

    X-Ray's actions have no resources (Service Authorization Reference, "Actions, resources, and condition keys for AWS
    X-Ray").
    """
    return allow("xray:PutTraceSegments PutTelemetryRecords", "*")


def log_streams(names: Names, group: str) -> Json:
    """Return the statement for writing to a log group."""
    return allow("logs:CreateLogStream PutLogEvents", names.log_group_arn(group))
