"""A client for a running reference application, for the demo and for tests."""

import time
from typing import Any
from urllib.parse import quote

import requests

_TIMEOUT = 30


class Client:
    """Calls the endpoints at `url` with `token`. An answer of 400 or more raises `requests.HTTPError`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call any endpoint and return the response, whatever its status."""
        options.setdefault("headers", {}).setdefault("Authorization", f"Bearer {self.token}")
        with requests.Session() as session:
            session.trust_env = False  # loopback needs no proxy
            return session.request(method, self.url + path, timeout=_TIMEOUT, **options)

    def create(
        self,
        kind: str,
        count: int = 1,
        created_by: str = "alice",
        recipient: str | None = None,
        created: str | None = None,
    ) -> list[str]:
        """Create `count` "emails" or "sms", which the application then sends; return their ids."""
        to = recipient or ("someone@example.org" if kind == "emails" else "+4930123456")
        new = {"recipient": to, "body": "Hello", "createdBy": created_by, "created": created}
        if kind == "emails":
            new["subject"] = "Hello"
        ids: list[str] = self._json("POST", f"/{kind}", json=[new] * count)["ids"]
        return ids

    def stats(self) -> dict[str, int]:
        """Return the application's counters."""
        return self._json("GET", "/stats")

    def wait_for_stats(self, timeout: float = 120, **wanted: int) -> dict[str, int]:
        """Return the counters once all `wanted` ones have their value; TimeoutError contains the last counters."""
        deadline = time.monotonic() + timeout
        while True:
            stats = self.stats()
            if wanted.items() <= stats.items():
                return stats
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {wanted} within {timeout} s but {stats}")
            time.sleep(0.05)

    def switch(self, **changes: object) -> dict[str, Any]:
        """Turn faults on, or off with None; return all switches."""
        return self._json("POST", "/switches", json=changes)

    def reset_switches(self) -> None:
        """Turn all faults off."""
        self._json("DELETE", "/switches")

    def communication(self, communication_id: str) -> dict[str, Any]:
        """Return everything about one communication."""
        return self._json("GET", f"/communications/{quote(communication_id, safe='')}")

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self.request(method, path, **options)
        response.raise_for_status()
        content: dict[str, Any] = response.json()
        return content
