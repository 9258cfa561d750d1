"""When the application wants to hear from us again, as the headers of its answer say. No I/O here."""

import calendar
import re
import time
from collections.abc import Iterator, Mapping

# In milliseconds. Whoever says a year, by mistake or in another unit, must not stop us for a year: after an hour we ask
# again, and an application that means it says it again.
MAX_RETRY_AFTER = 3_600_000

# The formats of an HTTP date, the two old ones last (RFC 9110, section 5.6.7).
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")

# A reset in so many seconds is meant as a time, in seconds since 1970: nobody means 31 years.
_SINCE_1970 = 1_000_000_000


def read(headers: Mapping[str, str], now: int) -> int | None:
    """Return how many milliseconds the application wants us to wait, None if it does not say. Never raises.

    `headers` finds names in any case. Times are compared with the answer's own `Date`, and with `now` only if it has
    none, so that clocks that differ do no harm. A field that cannot be read counts as missing.
    """
    date = _date(headers.get("Date", ""))
    waits = _waits(headers, now if date is None else date)
    wait = next((wait for wait in waits if wait is not None), None)
    return None if wait is None else max(0, min(wait, MAX_RETRY_AFTER))


def _waits(headers: Mapping[str, str], now: int) -> Iterator[int | None]:
    """Yield what each field says, in milliseconds, beginning with the one that is about this very answer.

    The fields for rate limits are those of draft-ietf-httpapi-ratelimit-headers (`RateLimit` since draft 7), and those
    of GitHub (`X-RateLimit-*`) and Twitter (`X-Rate-Limit-*`).
    """
    yield _delay(headers.get("Retry-After", ""), now)
    yield max(_resets(headers.get("RateLimit", ""), now), default=None)
    for name in ("RateLimit", "X-RateLimit", "X-Rate-Limit"):
        yield _reset(headers.get(f"{name}-Reset", ""), headers.get(f"{name}-Remaining", ""), now)


def _delay(text: str, now: int) -> int | None:
    """Return the milliseconds that a `Retry-After` stands for: seconds, or a date (RFC 9110, section 10.2.3)."""
    seconds, date = _number(text), _date(text)
    if seconds is not None:
        return seconds * 1000
    return None if date is None else date - now


def _resets(text: str, now: int) -> Iterator[int]:
    """Yield the milliseconds until each limit that a `RateLimit` says is used up begins anew.

    Draft 7 has one limit, `limit=9, remaining=0, reset=5`; later drafts have a list of them, `"name";r=0;t=5`.
    """
    for limit in [text] if "reset=" in text else text.split(","):
        pairs = (part.partition("=") for part in re.split("[;,]", limit))
        values = {name.strip(): value for name, _, value in pairs}
        remaining = values.get("remaining", values.get("r", ""))
        wait = _reset(values.get("reset", values.get("t", "")), remaining, now)
        if wait is not None:
            yield wait


def _reset(reset: str, remaining: str, now: int) -> int | None:
    """Return the milliseconds until a limit begins anew, None if it is not this limit that has been reached.

    With something remaining, the answer has another cause, which may be over long before: GitHub's documentation ("Rate
    limits for the REST API") says to wait for the reset only if nothing remains.
    """
    seconds, rest = _number(reset), _number(remaining)
    if seconds is None or (remaining and (rest is None or rest > 0)):
        return None
    return seconds * 1000 - (now if seconds >= _SINCE_1970 else 0)


def _number(text: str) -> int | None:
    """Return a whole number of at most ten digits: times in seconds have as many until the year 2286."""
    return int(text) if re.fullmatch(r"\s*-?[0-9]{1,10}\s*", text) else None


def _date(text: str) -> int | None:
    """Return an HTTP date in milliseconds since 1970."""
    for each in _DATES if text.isascii() else ():
        try:
            return calendar.timegm(time.strptime(text.strip(), each)) * 1000
        except ValueError:
            continue
    return None
