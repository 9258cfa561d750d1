"""Fixtures for the tests of all examples."""

import pytest

from tests.examples.payroll import SOURCE, Payroll


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """Tests talk to their servers directly, even where the environment names a proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def payroll(tmp_path_factory):
    """The payroll, deployed once for all tests of a file."""
    with Payroll(tmp_path_factory.mktemp("payroll"), SOURCE) as running:
        running.configure({})
        running.deploy()
        running.sign_in()
        yield running
