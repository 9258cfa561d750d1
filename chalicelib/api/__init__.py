"""The HTTP API. `routes` is the table of all routes; `runs`, `communications`, `causes` and `service` handle them."""

from chalicelib.api import causes, communications, runs, service
from chalicelib.api.blueprint import authorizer, blueprint

__all__ = ["authorizer", "blueprint", "causes", "communications", "runs", "service"]
