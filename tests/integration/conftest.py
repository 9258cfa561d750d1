"""Fixtures for all integration tests."""

import pytest


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """Tests talk to their servers directly, even where the environment names a proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
