"""The customer's application: its HTTP API, and the description of it in `application.toml`."""
