"""What `deploy.py check` prints about endpoints that are right, and about those that are not."""

import pytest

from chalicelib import times
from chalicelib.application import config_file
from chalicelib.errors import ConfigurationError
from chalicelib.ledger.claims import State
from chalicelib.models.communications import CommunicationStatus
from chalicelib.names import AwsLocation
from deployment.comms_reprocess import check
from deployment.comms_reprocess.toml_location import line_of
from deployment.stage import Stage
from tests.fakes import FakeClock
from tests.servers import always, closed_port, reply, serving

FILE = """\
[[sources]]
operation = "send.email"
list = "${URL}/emails"
items = "results"
created = "created_at"
created_by = "author"
next = { url = "next" }
total = "count"
cool_down = "1h"
min_age = "10m"
max_age = "7d"

[reprocess]
url = "${URL}/communications"
headers = { X-Tenant = "blue" }
fields = { primaryId = "id" }
"""


@pytest.fixture
def run_check(tmp_path, capsys):
    """Checks a file against a server; returns the number of problems and what was printed."""

    def run_check(url, file=FILE, states=lambda _: {}, listing=None):
        path = tmp_path / "application.toml"
        path.write_text(file)
        clock = FakeClock()
        configuration = config_file.read({"URL": url}, path)
        listing = listing or check.Listing(configuration, check.Credentials(configuration.auth, str, clock), clock)
        settings = check.Settings(resource_prefix="app-dev")
        problems = check.Check(configuration, file, listing, settings).run(states, clock)
        return problems, capsys.readouterr().out

    return run_check


def record(number, minutes, author="Jo"):
    """A record that was created this many minutes ago."""
    return {
        "id": number,
        "created_at": times.format_iso(FakeClock()() - minutes * 60_000),
        "author": author,
        "text": "Dear",
    }


def page(*records, **more):
    return reply(200, {"count": len(records), "results": records} | more)


def test_check_shows_what_a_list_contains_what_would_be_skipped_and_the_first_post(run_check):
    """It prints counts, ages, and an example of each field."""
    records = [record(1, 5), record(2, 60), record(3, 120, None), record(4, 20_000), record(5, 180)]
    known = {("send.email", "2"): State(operation="send.email", primary_id="2", status=CommunicationStatus.MANUAL)}
    with serving(always(page(*records, next="?p=2", count=812))) as server:
        problems, text = run_check(server.url, states=lambda _: known)
    assert problems == 0
    for line in (
        f"send.email: GET {server.url}/emails",
        "  id             5 of 5 records   such as 1",
        '  created        5 of 5 records   such as "2026-11-20T11:55:00.000Z"',
        '  created_by     4 of 5 records   such as "Jo"',
        "  5 on the first page, 812 in total; there is a next page",
        "  failed (or created) 5 min to 13.9 d ago",
        "  2 would be sent",
        "  1 would not: too_fresh (younger than min_age)",
        "  1 would not: manual (on the worklist)",
        "  1 would not: expired (older than max_age, so it goes to the worklist)",
        "The first POST would be",
        f"  POST {server.url}/communications",
        "  X-Tenant: blue",
        f"  {PAYLOAD}",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("errors", "problems", "lines"),
    [
        (["smtp_timeout", None], 0, ['  failure_reason 1 of 2 records   such as "smtp_timeout"']),
        (
            ["smtp_timeout", "Mailbox of jo is full"],
            0,
            [
                "  note: 1 of failure_reason are ignored, because they are no codes: text like 'aaaaaaa aa aa aa aaaa'",
                '  failure_reason 1 of 2 records   such as "smtp_timeout"',
            ],
        ),
        ([550, 551], 1, ["  note: 2 of failure_reason are ignored, because they are no codes: a number like 000"]),
        ([None, None], 1, ["  failure_reason 0 of 2 records"]),
    ],
)
def test_check_shows_which_reason_codes_a_list_gives(run_check, errors, problems, lines):
    """What is no code may be personal data: it is ignored, and not printed."""
    file = FILE.replace('total = "count"', 'total = "count"\nfailure_reason = "error"')
    with serving(always(page(*[record(1, 60) | {"error": each} for each in errors]))) as server:
        found, text = run_check(server.url, file)
    assert found == problems, text
    assert [line for line in text.splitlines() if line.startswith(("  failure_reason 1", "  note", lines[-1]))] == lines
    assert ("PROBLEM: failure_reason = 'error' finds nothing" in text) == bool(problems)
    assert "jo is" not in text


def test_check_sends_one_get_for_each_source_and_nothing_else(run_check):
    """A check must not change anything in the application."""
    with serving(always(page(record(1, 60)))) as server:
        run_check(server.url)
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize(
    ("ceilings", "line"),
    [
        ("", "How fast: the pace finds out what the application can take; usually there is nothing to write"),
        ("max_in_flight = 5", "How fast: at most 5 at once (max_in_flight)"),
        (
            "max_per_second = 2.5\nmax_in_flight = 5",
            "How fast: at most 2.5 a second (max_per_second), at most 5 at once (max_in_flight)",
        ),
    ],
)
def test_check_shows_which_ceilings_hold(run_check, ceilings, line):
    """Whether there is something to send or not."""
    with serving(always(page())) as server:
        problems, text = run_check(server.url, file=f"{FILE}{ceilings}\n")
    assert problems == 0
    assert line in text.splitlines()


def test_check_finds_no_problem_with_an_empty_list(run_check):
    """Nothing has failed. There may be no ledger yet either."""
    with serving(always(page())) as server:
        problems, text = run_check(server.url, states=lambda _: None)
    assert problems == 0
    assert "There would be no POST, because there is nothing to send. It would go to" in text
    assert "(there is no ledger yet; `deploy.py deploy` will create it)" in text


def test_check_notes_a_list_that_ends_with_its_first_page(run_check):
    """The expression may be mistyped, so the note lists the keys of the answer. A total shows that it is not."""
    answer = reply(200, {"results": [record(1, 60)], "next_page": "?p=2"})
    with serving(always(answer)) as server:
        problems, text = run_check(server.url, FILE.replace('total = "count"\n', ""))
    assert problems == 0
    assert "'next' finds nothing, so the list ends here. The keys of the answer are: results, next_page" in text
    with serving(always(page(record(1, 60)))) as server:
        assert "so the list ends here" not in run_check(server.url)[1]


def test_check_shows_how_many_records_are_left_out_as_unreadable_and_the_first_of_them(run_check):
    """A source that skips them has no problem, but people should know what is never sent."""
    file = FILE.replace("[reprocess]", 'unreadable = "skip"\n[reprocess]')
    bad = record(2, 60) | {"created_at": "soon"}
    with serving(always(page(record(1, 60), bad, bad))) as server:
        problems, text = run_check(server.url, file)
    assert problems == 0
    assert "  2 unreadable, left out. The first: created = 'created_at' finds text like 'aaaa', not an ISO" in text
    assert "(record 2 of page 1, id '2')" in text


class EmptyListing:
    """Finds an empty list at any URL."""

    def fetch(self, _source, _request):
        return {"count": 0, "results": []}, None


def test_check_notes_each_url_to_which_the_secret_travels_unencrypted(run_check):
    """URLs of this machine are fine, and so is any URL if there is no secret."""
    _, text = run_check("http://app.example", FILE + SECRET, listing=EmptyListing())
    notes = [line for line in text.splitlines() if line.startswith("Note")]
    assert [line.split()[7] for line in notes] == ["http://app.example/emails", "http://app.example/communications"]
    for url, file in (
        ("http://app.example", FILE),
        ("https://app.example", FILE + SECRET),
        ("http://127.0.0.1", FILE + SECRET),
    ):
        assert "Note" not in run_check(url, file, listing=EmptyListing())[1]


SECRET = """
[auth]
type = "bearer"
secret = "app"
"""

PAYLOAD = (
    '{"id": "3", "operation": "send.email", "createdBy": "(whoever requests the run)", '
    '"created": "2026-11-20T12:00:00.000Z"}'
)

PROBLEMS = {
    "items": (
        reply(200, {"data": [], "total": 0}),
        "items = 'results' finds no list in the answer. The keys of the answer are: data, total",
        'sources[0].items, line 4: items = "results"',
    ),
    "id": (
        page({"created_at": None, "author": None, "key": 5}),
        "id = 'id' finds nothing. The keys of a record are: created_at, author, key",
        "sources[0].id, line 1: [[sources]]",
    ),
    "author": (
        page({"id": 1, "user": "Jo"}),
        "created_by = 'author' finds nothing. The keys of a record are: id, user",
        'sources[0].created_by, line 6: created_by = "author"',
    ),
    "time": (
        page({"id": 1, "created_at": 1_763_631_000, "author": "Jo"}),
        "created = 'created_at' finds a number like 0000000000, not an ISO 8601 time",
        'sources[0].created, line 5: created = "created_at"',
    ),
    "next": (
        page(record(1, 60), count=500),
        "the list has 500, but no next page is found",
        'sources[0].next, line 7: next = { url = "next" }',
    ),
    "host": (
        page(record(1, 60), next="https://other.example/"),
        "the list's next page is on 'https://other.example'",
        'sources[0].next, line 7: next = { url = "next" }',
    ),
    "not found": (reply(404), "/emails answered 404, not 200", 'sources[0].list, line 3: list = "${URL}/emails"'),
    "login": (reply(200, b"<html>"), "/emails did not answer with JSON", 'sources[0].list, line 3: list = "${URL}'),
    "refused": (reply(403), "/emails answered 403, not 200", "auth.secret"),
}


@pytest.mark.parametrize(("answer", "problem", "change"), PROBLEMS.values(), ids=PROBLEMS)
def test_check_reports_a_problem_with_the_line_to_change(run_check, answer, problem, change):
    """It names the keys that exist instead, but no value of the application's."""
    with serving(always(answer)) as server:
        problems, text = run_check(server.url)
    assert problems >= 1
    assert problem in text
    assert f"    change {change}" in text


def test_check_reports_a_source_that_it_cannot_connect_to(run_check):
    """The other sources are checked all the same."""
    with closed_port() as url, serving(always(page(record(7, 60)))) as server:
        sms = FILE[: FILE.index("[reprocess]")].replace("send.email", "send.sms").replace("${URL}", server.url)
        problems, text = run_check(url, sms + FILE)
    assert problems == 1
    assert f"  PROBLEM: {url}/emails cannot be read: connection_refused (see list in application.toml)" in text
    assert '    change sources[1].list, line 15: list = "${URL}/emails"' in text
    assert "1 would be sent" in text


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("application.toml: sources[0].next.url: 'a[' is not", 7),
        ("application.toml: sources[0].timeout: nothing", 1),
        ("Expected `float` > 0.0 - at `$.reprocess.url`", 14),
        ("application.toml: sources[1].id: nothing", None),
        ("application.toml: auth.secret: is missing", None),
        ("application.toml: Object missing required field `sources`", None),
    ],
)
def test_the_line_of_a_configuration_error_is_found(message, line):
    """The line of the key, else of its table, else None."""
    assert line_of(FILE, message) == line


def test_check_raises_a_configuration_error_with_its_line(tmp_path):
    """That happens before any request is sent. Here max_age exceeds RETENTION."""
    (tmp_path / ".chalice").mkdir()
    (tmp_path / ".chalice" / "config.json").write_text(
        '{"app_name": "app", "stages": {"dev": {"environment_variables": '
        '{"RESOURCE_PREFIX": "app-dev", "RETENTION": "5d", "URL": "https://app.example.com"}}}}'
    )
    (tmp_path / "chalicelib").mkdir()
    (tmp_path / "chalicelib" / "application.toml").write_text(FILE)
    stage = Stage(tmp_path, "dev", AwsLocation(partition="aws", region="eu-central-1", account="1"))
    with pytest.raises(ConfigurationError) as caught:
        check.check(stage)
    assert str(caught.value) == (
        "application.toml: sources[0].max_age: 7d must be shorter than the setting RETENTION (5 d): "
        "what the ledger has forgotten may be sent again (line 11)"
    )


def test_the_application_toml_that_ships_is_valid():
    """Its placeholders are filled in from the environment."""
    configuration = config_file.read({"APPLICATION_URL": "https://a.example", "APPLICATION_SECRET": "s"})
    assert configuration.sources[0].operation == "send.email"
