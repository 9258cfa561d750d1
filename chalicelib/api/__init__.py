"""The HTTP API. `routes` is the table of all routes; `runs`, `communications` and `service` hold their handlers."""

from chalicelib.api import communications, runs, service
from chalicelib.api.blueprint import authorizer, blueprint

__all__ = ["authorizer", "blueprint", "communications", "runs", "service"]
