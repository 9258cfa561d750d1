"""The HTTP API. `routes` is the table of all routes; the modules named after their subjects hold the handlers."""

from chalicelib.api import causes, communications, outages, page, runs, service
from chalicelib.api.blueprint import authorizer, blueprint

__all__ = ["authorizer", "blueprint", "causes", "communications", "outages", "page", "runs", "service"]
