"""The mail to the person who registers: its text, and the call of the mail provider."""

import json
from typing import Any

from chalicelib import exchange

_WELCOME = "Hello {name},\n\nyou are registered. Welcome!\n"
_SORRY = "Hello {name},\n\nwe could not register you: {reason}. {advice}\n"

# What a system's reason means to a person, and what to do next.
_REASONS = {
    # By the person's other registration, which may be under way at the same time and fail for the same reason.
    "email_taken": ("this address is in use already", "Log in. If you cannot, try again, or use another address."),
}
_NO_REASON = ("one of our systems did not answer", "Please try again later.")


def send(mail_id: str, state: dict[str, Any]) -> None:
    """Send the mail that the state of an execution asks for.

    The provider knows the mail by its id and sends it only once, so sending it again is safe. Refused or Unavailable if
    it cannot be sent.
    """
    person = state["person"]
    subject, text = _write(state["mail"]["kind"], person["name"], state["systems"]["all"])
    exchange.call("PUT", "mail", f"/mails/{mail_id}", {"to": person["email"], "subject": subject, "text": text})


def _write(kind: str, name: str, systems: list[dict[str, str]]) -> tuple[str, str]:
    """Return the subject and the text."""
    if kind == "welcome":
        return "You are registered", _WELCOME.format(name=name)
    reason, advice = next((_REASONS[each] for each in map(_reason, systems) if each in _REASONS), _NO_REASON)
    return "We could not register you", _SORRY.format(name=name, reason=reason, advice=advice)


def _reason(system: dict[str, str]) -> str:
    """Return the reason for which a system has refused; empty if it has not.

    The cause of a function's error is JSON with the exception's text (AWS Step Functions Developer Guide, "Handling
    errors in Step Functions workflows").
    """
    return str(json.loads(system["cause"])["errorMessage"]) if "cause" in system else ""
