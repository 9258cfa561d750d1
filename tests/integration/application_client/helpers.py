"""What these tests share: clients of a test server, and the pages of a list that it answers with."""

import pytest

from chalicelib import times
from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.errors import ConfigurationError, ListingFailed, ReprocessError, SecretUnavailable
from chalicelib.models.selections import Selection
from tests.fakes import FakeClock
from tests.servers import reply

PAYLOAD = {"primaryId": "123455", "operation": "send.email", "createdBy": "Jö", "created": "2026-11-20T09:30:00.000Z"}

# A deadline that a test lets expire, and how long the test may take on a slow machine. Seconds.
DEADLINE, AT_MOST = 0.6, 5

# Sent byte by byte, this takes a minute: far longer than any deadline in a test.
SLOW_BODY = b"x" * 1_200

# The ids in a list of many pages.
IDS = [f"id-{number}" for number in range(2_347)]


# A value of FakeSecret: AWS refuses to give it now.
THROTTLED = object()


class FakeSecret:
    """Reads one value after the other, as if the secret were rotated; the last one stays.

    None cannot be read, and THROTTLED cannot be read now.
    """

    def __init__(self, *values):
        self.values = list(values)

    def __call__(self, name):
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if value is THROTTLED:
            raise SecretUnavailable(f"the secret {name!r} cannot be read now: ThrottlingException")
        if value is None:
            raise ConfigurationError(f"the secret {name!r} cannot be read: AccessDeniedException")
        return value


def make_client(url, secret=None, source=None, timeout=5, clock=None, **reprocess):
    """A client of the application at `url`, with bearer authentication if there is a secret."""
    configuration = Configuration(
        sources=[source or email_source(url)],
        reprocess=Reprocess(url=f"{url}/communications", timeout=timeout, **reprocess),
        auth=Auth(type="bearer", secret="app") if secret else Auth(),
    )
    clock = clock or FakeClock()
    return ApplicationClient(configuration, Credentials(configuration.auth, secret or FakeSecret(None), clock), clock)


def email_source(url, **changes):
    defaults = {"operation": "send.email", "list": f"{url}/emails/failed", "cool_down": "1h", "items": "results"}
    return Source(**defaults | changes)


def send(url, **options):
    """Send one communication; the options are those of `make_client`."""
    make_client(url, **options).reprocess(PAYLOAD, "key-1", "run-1")


def sending_error(url, **options):
    """Send one communication; return the type and the reason of the error that this raises."""
    with pytest.raises(ReprocessError) as caught:
        send(url, **options)
    return type(caught.value), caught.value.reason


def list_all(url, source=None, selection=None, **options):
    """Read the whole list and return its communications."""
    source = source or email_source(url)
    pages = make_client(url, source=source, **options).failed_pages(source, selection or Selection())
    return [communication for page in pages for communication in page.communications]


def listing_error(url, source=None, **options):
    """Read a list that fails; return the error's message without the source and the key, which it must name."""
    with pytest.raises(ListingFailed) as caught:
        list_all(url, source, **options)
    name, _, message = str(caught.value).partition(": ")
    assert name == "send.email"
    assert caught.value.key in message
    return message.removesuffix(f" (see {caught.value.key} in application.toml)")


def page_of(*ids, **fields):
    """The answer of a list: a page of records with these ids."""
    return reply(200, {"results": [{"id": each} for each in ids], **fields})


def ids_of(communications):
    return [communication.primary_id for communication in communications]


def read_pages(url, **source):
    """The pages of the list at `url`, read now; `source` holds its other keys in application.toml."""
    emails = Source(**{"operation": "send.email", "list": url, "cool_down": "1h"} | source)
    return make_client(url, source=emails, clock=times.now).failed_pages(emails, Selection())


def ids_on(pages):
    return [communication.primary_id for page in pages for communication in page.communications]
