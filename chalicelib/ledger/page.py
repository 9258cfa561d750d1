"""The page's address: deploy.py notes it, because only then is the API's id known, and mails lead there."""

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.ledger.table import Table

_PK, _SK = "PAGE", "address"


class PageAddress:
    """The address of the page in one deployment's table, without a slash at its end."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> str | None:
        """Return the address; None if it was never noted, or cannot be read now: no mail waits for it."""
        try:
            item = self._table.get(_PK, _SK)
        except (ClientError, BotoCoreError):
            return None
        return str(item["url"]) if item else None

    def write(self, url: str) -> None:
        """Note the address."""
        self._table.put({"pk": _PK, "sk": _SK, "url": url})
