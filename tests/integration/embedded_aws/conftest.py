"""An embedded AWS with a small app deployed to it, one for each module of tests."""

import pytest

from sandbox.aws import EmbeddedAws, Timings
from sandbox.mailbox import Mailbox
from tests.integration.embedded_aws.small_app import ManualClock, SmallApp, deploy, write_project


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The small app. The clock stands still, and a failed event is retried at once."""
    folder = tmp_path_factory.mktemp("small")
    write_project(folder)
    timings = Timings(clock=ManualClock(), event_retry=0.05)
    with Mailbox() as mailbox, EmbeddedAws(smtp=(mailbox.host, mailbox.port), timings=timings) as aws:
        deploy(folder, aws)
        yield SmallApp(aws, folder, timings, mailbox)
