"""The API's tokens in the table."""

import pytest

from chalicelib.api.auth import find_token
from tests.fakes import HOUR


def test_a_token_is_found_by_its_secret_until_it_expires(ledger, clock):
    """It is valid until the last millisecond before its expiry."""
    secret = ledger.tokens.add("bob", "operator", HOUR)
    found = ledger.tokens.find(secret)
    assert (found.name, found.role) == ("bob", "operator")
    assert ledger.tokens.find(secret + "x") is None
    clock.advance(HOUR - 1)
    assert ledger.tokens.find(secret) == found
    clock.advance(1)
    assert ledger.tokens.find(secret) is None


def test_every_token_has_a_different_secret(ledger):
    """Each is 32 random bytes, even for the same name and role."""
    assert ledger.tokens.add("bob", "viewer", HOUR) != ledger.tokens.add("bob", "viewer", HOUR)


def test_a_token_is_stored_under_the_hash_of_its_secret(ledger, dynamodb, table):
    """Reading the table gives nobody access."""
    secret = ledger.tokens.add("Jo", "viewer", HOUR)
    assert len(list(table.query("TOKEN", "sha256-"))) == 1
    assert secret not in str(dynamodb.scan(TableName=table._name)["Items"])


def test_tokens_are_listed_and_revoked_by_their_id(ledger, clock):
    """Revoked tokens stay in the list, so that people can still see who had access."""
    secrets = [ledger.tokens.add(name, "operator", HOUR) for name in ("Jo", "Al")]
    by_name = {token.name: token_id for token_id, token in ledger.tokens.all().items()}
    assert ledger.tokens.revoke(by_name["Jo"])
    assert [ledger.tokens.find(secret) is None for secret in secrets] == [True, False]
    assert find_token(f"Bearer {secrets[0]}", ledger.tokens) is None
    assert {token.name: token.revoked_at for token in ledger.tokens.all().values()} == {"Jo": clock(), "Al": None}
    assert not ledger.tokens.revoke(by_name["Jo"])


@pytest.mark.parametrize("token_id", ["", "0", "0" * 11, "0" * 12, "sha256-", "#"])
def test_an_unknown_or_incomplete_token_id_revokes_nothing(ledger, token_id):
    """A short id might be meant for another token."""
    ledger.tokens.add("Jo", "viewer", HOUR)
    assert not ledger.tokens.revoke(token_id)
