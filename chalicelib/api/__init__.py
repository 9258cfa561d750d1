"""The HTTP API: each module holds the handlers of a few routes of chalicelib.doors."""

from chalicelib.api import communications, runs, service
from chalicelib.api.door import api, authorizer

__all__ = ["api", "authorizer", "communications", "runs", "service"]
