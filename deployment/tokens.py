"""The API's tokens: made, listed and revoked."""

import argparse

import boto3

from chalicelib import times
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import Token, Tokens
from deployment.stage import Stage

DAY = times.duration("1d")

# Ten years.
_MOST_DAYS = 3650


def _tokens(stage: Stage) -> Tokens:
    return Tokens(Table(boto3.client("dynamodb"), stage.names.table), times.now)


def add(stage: Stage, options: argparse.Namespace) -> None:
    """Make a token and print it: the only time that anybody sees it."""
    if not 0 < options.days <= _MOST_DAYS:
        raise ValueError(f"--days: takes 1 to {_MOST_DAYS}")
    if not options.name.isprintable() or not 0 < len(options.name) <= 100:  # noqa: PLR2004 (fits a line of a mail)
        raise ValueError("--name: takes 1 to 100 printable characters")
    print(_tokens(stage).add(options.name, options.role, options.days * DAY))


def show(stage: Stage, _: argparse.Namespace) -> None:
    """Print all tokens, a line for each: id, role, until when it is valid, whose it is."""
    for token_id, token in _tokens(stage).all().items():
        print(f"{token_id}  {token.role:8}  {_validity(token):32}  {token.name}")


def _validity(token: Token) -> str:
    if token.revoked_at is not None:
        return f"revoked {times.iso(token.revoked_at)}"
    word = "until" if token.valid_until > times.now() else "expired"
    return f"{word} {times.iso(token.valid_until)}"


def revoke(stage: Stage, options: argparse.Namespace) -> None:
    """Make a token worthless from now on. ValueError if there is no valid one of that id."""
    if not _tokens(stage).revoke(options.id):
        raise ValueError("--id: no token of this id, or it has been revoked before; see `deploy.py token list`")
    print(f"revoked {options.id}")
