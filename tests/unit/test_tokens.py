"""The API's tokens in the real table."""

import pytest

from chalicelib.api.auth import find_token
from chalicelib.runs import start

HOUR = 3_600_000


def test_a_token_is_found_by_itself_only_and_stored_as_its_hash(ledger, table):
    """Whoever reads the table gets no access by it."""
    secret = ledger.tokens.add("Jo", "viewer", HOUR)
    assert ledger.tokens.find(secret).name == "Jo"
    assert ledger.tokens.find(secret + "x") is None
    assert secret not in str(list(table.query("TOKEN", "sha256-")))


def test_all_tokens_are_listed_by_an_id_that_revokes_them(ledger, clock):
    """Expired and revoked ones too: who may have done something stays known."""
    secrets = [ledger.tokens.add(name, "operator", HOUR) for name in ("Jo", "Al")]
    by_name = {token.name: token_id for token_id, token in ledger.tokens.all().items()}
    assert ledger.tokens.revoke(by_name["Jo"])
    assert [ledger.tokens.find(secret) is None for secret in secrets] == [True, False]
    assert find_token(f"Bearer {secrets[0]}", ledger.tokens) is None
    assert {token.name: token.revoked_at for token in ledger.tokens.all().values()} == {"Jo": clock(), "Al": None}
    assert not ledger.tokens.revoke(by_name["Jo"])


@pytest.mark.parametrize("token_id", ["", "0", "0" * 11, "0" * 12, "sha256-", "#"])
def test_an_id_of_no_token_revokes_none(ledger, token_id):
    """A short one might be meant for another."""
    ledger.tokens.add("Jo", "viewer", HOUR)
    assert not ledger.tokens.revoke(token_id)


def test_a_paused_schedule_starts_no_run(ledger):
    """Until somebody resumes it; the first to pause it is the one who is shown."""
    ledger.schedule.pause("olga")
    ledger.schedule.pause("anna")
    assert ledger.schedule.paused().by == "olga"
    assert start.begin_scheduled("r-1", ledger) is None
    ledger.schedule.resume()
    assert start.begin_scheduled("r-1", ledger).run_id == "r-1"
