"""The whole system, deployed once for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from sandbox.system import System


@pytest.fixture(scope="package")
def system(tmp_path_factory) -> Iterator[System]:
    """A cool-down of two seconds lets a test see what a later run does after it."""
    settings = {"SCHEDULE": "rate(1 hour)", "COOL_DOWN": "2s"}
    with System(tmp_path_factory.mktemp("system"), settings, requeue_after=0.2, lost_after=2.0) as running:
        running.deploy()
        yield running


@pytest.fixture(scope="package")
def operator(system) -> str:
    """An operator's token."""
    return system.token("operator", "olga")


@pytest.fixture(scope="package")
def viewer(system) -> str:
    """A viewer's token."""
    return system.token("viewer", "vera")


@pytest.fixture(scope="package")
def approver(system) -> str:
    """An approver's token."""
    return system.token("approver", "anna")
