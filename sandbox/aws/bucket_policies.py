"""Bucket policies, kept beside moto: it would enforce them without their conditions, and refuse all but TLS."""

from werkzeug import Request, Response

_MISSING = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    "<Error><Code>NoSuchBucketPolicy</Code><Message>The bucket policy does not exist</Message></Error>"
)


class BucketPolicies:
    """Answers Get-, Put- and DeleteBucketPolicy; what is put is given back and never enforced."""

    def __init__(self) -> None:
        self._policies: dict[str, bytes] = {}

    def __call__(self, request: Request) -> Response:
        """Answer one of the three calls, for the bucket that the path names."""
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
