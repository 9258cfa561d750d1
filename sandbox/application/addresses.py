"""The check for addresses that can never work."""

import re

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE = re.compile(r"\+[0-9]{6,15}")


def is_possible(operation: str, recipient: str) -> bool:
    """Return whether a recipient looks like an email address, or for SMS like a phone number."""
    pattern = _EMAIL if operation == "send.email" else _PHONE
    return pattern.fullmatch(recipient) is not None
