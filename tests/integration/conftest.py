"""An embedded AWS with a small app deployed to it; one for each module of tests that asks for it."""

import pytest

from sandbox.aws import EmbeddedAws, Timings
from sandbox.mailbox import Mailbox
from tests.integration import small_app


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small app, deployed; the clock stands still, and a failed event is tried again at once."""
    folder = tmp_path_factory.mktemp("small")
    small_app.write(folder)
    timings = Timings(clock=small_app.Clock(), event_retry=0.05)
    with Mailbox() as mailbox, EmbeddedAws(smtp=(mailbox.host, mailbox.port), timings=timings) as aws:
        small_app.deploy(folder, aws)
        yield small_app.Small(aws, folder, timings, mailbox)
