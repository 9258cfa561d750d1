"""Everything that ships to Lambda. docs/design.md begins with a map of it."""

# The one place that holds the version: GET /health, the OpenAPI document and deploy.py all read it here.
__version__ = "0.1.0"
