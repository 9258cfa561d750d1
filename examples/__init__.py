"""Example workflows: small projects, each deployed and broken by its own tests."""
