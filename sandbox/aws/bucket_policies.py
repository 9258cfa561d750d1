"""The calls for bucket policies, which are stored and never enforced.

moto would enforce a policy without its conditions, so a policy that demands TLS would refuse everything.
"""

from werkzeug import Request, Response

_MISSING = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    "<Error><Code>NoSuchBucketPolicy</Code><Message>The bucket policy does not exist</Message></Error>"
)


class BucketPolicies:
    """Answers GetBucketPolicy, PutBucketPolicy and DeleteBucketPolicy."""

    def __init__(self) -> None:
        self._policies: dict[str, bytes] = {}

    def __call__(self, request: Request) -> Response:
        """Answer a call for the bucket in the path."""
        bucket = request.path.strip("/")
        if request.method == "PUT":
            self._policies[bucket] = request.get_data()
            return Response(status=204)
        if request.method == "DELETE":
            self._policies.pop(bucket, None)
            return Response(status=204)
        if bucket not in self._policies:
            return Response(_MISSING, status=404, mimetype="application/xml")
        return Response(self._policies[bucket], mimetype="application/json")
