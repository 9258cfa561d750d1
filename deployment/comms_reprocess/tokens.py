"""The commands for the API's tokens: add, list and revoke."""

import argparse

from chalicelib import times
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import Token, Tokens
from deployment.clients import Clients
from deployment.stage import Stage

_DAY = times.parse_duration("1d")

# Ten years.
_MAX_DAYS = 3650


def _tokens(stage: Stage) -> Tokens:
    return Tokens(Table(Clients()("dynamodb"), stage.names.table), times.now)


def add(stage: Stage, options: argparse.Namespace) -> None:
    """Create a token and print it. It cannot be shown again."""
    if not 0 < options.days <= _MAX_DAYS:
        raise ValueError(f"--days: must be between 1 and {_MAX_DAYS}")
    if not options.name.isprintable() or not 0 < len(options.name) <= 100:  # noqa: PLR2004 (fits into a line of a mail)
        raise ValueError("--name: must have 1 to 100 printable characters")
    print(_tokens(stage).add(options.name, options.role, options.days * _DAY))


def show(stage: Stage, _: argparse.Namespace) -> None:
    """Print all tokens, one line each: id, role, until when it is valid, whose it is."""
    for token_id, token in _tokens(stage).all().items():
        print(f"{token_id}  {token.role:8}  {_validity(token):32}  {token.name}")


def _validity(token: Token) -> str:
    if token.revoked_at is not None:
        return f"revoked {times.format_iso(token.revoked_at)}"
    word = "until" if token.valid_until > times.now() else "expired"
    return f"{word} {times.format_iso(token.valid_until)}"


def revoke(stage: Stage, options: argparse.Namespace) -> None:
    """Revoke a token. ValueError if no valid token has this id."""
    if not _tokens(stage).revoke(options.id):
        raise ValueError("--id: no token has this id, or it was revoked before; see `deploy.py token list`")
    print(f"revoked {options.id}")
