"""The page: its address, and who names it in mails."""

from chalicelib.ledger.page import PageAddress
from chalicelib.ledger.table import Table
from chalicelib.names import Names
from chalicelib.settings import Settings
from deployment.description import Page

# The functions that send mails, or return one. None of them serves the API, so in a template they can know its id.
_SENDERS = ("collector", "report", "request_approval")


def page(names: Names, settings: Settings) -> Page:
    """Return the page of a stage."""
    return Page(
        url=settings.page_address,
        noted=lambda clients: PageAddress(Table(clients("dynamodb"), names.table)),
        senders=_SENDERS,
    )
