"""Reference applications with a real SQS (moto's): one for each module, and others that a test starts itself."""

import logging
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

from sandbox.application import ReferenceApplication
from sandbox.mailbox import Mailbox
from sandbox.providers import SmsProvider
from tests.integration.reference_application.system import ReferenceSystem


@pytest.fixture(scope="module")
def aws_environment():
    """The environment variables for moto's SQS."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # pytest would keep thousands of lines
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    server.stop()
    logging.getLogger("werkzeug").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def providers():
    with Mailbox() as mail, SmsProvider() as sms:
        yield mail, sms


@pytest.fixture(scope="module")
def shared_reference(aws_environment, providers, tmp_path_factory):
    """An application that tries each communication only a few times, with short pauses."""
    mail, sms = providers
    folder = tmp_path_factory.mktemp("shared")
    smtp = (mail.host, mail.port)
    with ReferenceApplication(
        folder, aws_environment, smtp, sms.url, queue_prefix="shared", rounds=2, requeue_after=0.05
    ) as application:
        yield ReferenceSystem(application, mail, sms)


@pytest.fixture
def reference(shared_reference):
    """The module's application, repaired after each test."""
    yield shared_reference
    shared_reference.set_down(False)
    shared_reference.app.reset_switches()
    shared_reference.app.wait_for_stats(queued=0)


@pytest.fixture
def start_reference(aws_environment, tmp_path):
    """Starts an application for one test. Called again, it keeps the database, the queues and the providers."""
    with Mailbox() as mail, SmsProvider() as sms:
        started, prefix = [], f"app-{uuid4().hex}"

        def start(sms=sms, **options):
            app = ReferenceApplication(
                tmp_path, aws_environment, (mail.host, mail.port), sms.url, queue_prefix=prefix, **options
            )
            started.append(app.start())
            return ReferenceSystem(app, mail, sms)

        yield start
        for app in started:
            app.kill()
