"""`application.toml`: what it says, and that every mistake in it is told by file, key and rule."""

import pytest

from chalicelib.application import config_file
from chalicelib.application.config import Next
from chalicelib.errors import ConfigurationError
from chalicelib.models import Selection

ENVIRONMENT = {"APPLICATION_URL": "https://app.example.com", "APPLICATION_SECRET": "prod/app"}

SOURCE = """
[[sources]]
operation = "send.email"
list = "${APPLICATION_URL}/emails/failed"
cool_down = "1h"
"""
REPROCESS = """
[reprocess]
url = "${APPLICATION_URL}/communications"
"""
AUTH = """
[auth]
type = "bearer"
secret = "${APPLICATION_SECRET}"
"""
ALL = SOURCE + REPROCESS + AUTH


@pytest.fixture
def read(tmp_path):
    """Read a text as application.toml, in an environment that sets all that it may ask for."""

    def read(text, environment=ENVIRONMENT):
        file = tmp_path / "application.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config_file.read(environment, file)

    return read


def test_the_shortest_file_that_works(read):
    """A source with its operation, list and cool-down and the URL of the POST are enough."""
    it = read(SOURCE + REPROCESS)
    source = it.sources[0]
    assert (source.operation, source.list) == ("send.email", "https://app.example.com/emails/failed")
    assert (source.cool_down_ms, source.min_age_ms, source.max_age_ms) == (3_600_000, None, None)
    assert (source.items, source.id, source.next, source.timeout) == ("@", "id", None, 20)
    assert it.reprocess.url == "https://app.example.com/communications"
    assert (it.reprocess.timeout, it.reprocess.honours_idempotency_key, it.reprocess.already_sent) == (10, False, [])
    assert it.auth.type == "none"


def test_the_file_that_ships_is_right():
    """What comes with the repository can be read as it is."""
    it = config_file.read(ENVIRONMENT)
    assert it.source("send.email").max_age_ms == 7 * 86_400_000
    assert it.auth.secret == "prod/app"


@pytest.mark.parametrize(
    ("line", "retention", "message"),
    [
        ("", 3_600_001, None),
        (
            "",
            3_600_000,
            "sources[0].cool_down: 1h must be shorter than the setting RETENTION (1 h): what the ledger has",
        ),
        ('created = "c"\nmax_age = "2h"', 7_200_001, None),
        (
            'created = "c"\nmax_age = "2h"',
            7_200_000,
            "sources[0].max_age: 2h must be shorter than the setting RETENTION",
        ),
        ("", None, None),
    ],
)
def test_the_ledger_remembers_longer_than_anything_may_be_sent(tmp_path, line, retention, message):
    """What it forgets during a cool-down, or before it is stale, could be sent a second time."""
    file = tmp_path / "application.toml"
    file.write_text(SOURCE + line + REPROCESS)
    if message is None:
        config_file.read(ENVIRONMENT, file, retention)
        return
    with pytest.raises(ConfigurationError) as caught:
        config_file.read(ENVIRONMENT, file, retention)
    assert str(caught.value).startswith(f"application.toml: {message}")


def test_the_environment_fills_in_every_text(read):
    """`${NAME}` stands for the stage's variable in any text at any depth, more than once, and in the middle."""
    it = read(
        SOURCE + 'params = { team = "${TEAM}-${TEAM}" }\nnext = { url = "${NEXT}" }' + REPROCESS,
        ENVIRONMENT | {"TEAM": "a", "NEXT": "links.next"},
    )
    assert it.sources[0].params == {"team": "a-a"}
    assert it.sources[0].next == Next(url="links.next")


def test_a_value_from_the_environment_is_not_filled_in_again(read):
    """What a variable holds is a value, even if it looks like a reference."""
    it = read(SOURCE + 'params = { team = "${TEAM}" }' + REPROCESS, ENVIRONMENT | {"TEAM": "${APPLICATION_SECRET}"})
    assert it.sources[0].params == {"team": "${APPLICATION_SECRET}"}


def test_a_variable_that_is_not_set_is_named(read):
    """The message names the key that asks for it, the variable, and where to add it."""
    with pytest.raises(ConfigurationError) as caught:
        read(ALL, {"APPLICATION_URL": "https://app.example.com"})
    assert str(caught.value) == (
        "application.toml: auth.secret: environment variable APPLICATION_SECRET is not set; "
        "add it to the stage in .chalice/config.json"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # a source's texts
        ('items = "a["', "sources[0].items: 'a[' is not a JMESPath expression: Invalid jmespath expression"),
        ('items = ""', "Expected `str` of length >= 1 - at `$.sources[0].items`"),
        ('id = "a b"', "sources[0].id: 'a b' is not a JMESPath expression"),
        ('created = "`"', "sources[0].created: '`' is not a JMESPath expression"),
        ('created_by = "."', "sources[0].created_by: '.' is not a JMESPath expression"),
        ('failed_at = "[?"', "sources[0].failed_at: '[?' is not a JMESPath expression"),
        ("id = 5", "Expected `str`, got `int` - at `$.sources[0].id`"),
        ("identifier = 'id'", "Object contains unknown field `identifier` - at `$.sources[0]`"),
        # paging
        ("next = {}", "sources[0].next: needs exactly one of url, link, cursor, last_id, page and offset"),
        (
            'next = { url = "a", page = "b" }',
            "sources[0].next: needs exactly one of url, link, cursor, last_id, page and offset",
        ),
        ('next = { page = "" }', "Expected `str` of length >= 1 - at `$.sources[0].next.page`"),
        ('next = { url = "a[" }', "sources[0].next.url: 'a[' is not a JMESPath expression"),
        ('next = { seite = "a" }', "Object contains unknown field `seite` - at `$.sources[0].next`"),
        (
            "next = { link = false }",
            "sources[0].next: needs exactly one of url, link, cursor, last_id, page and offset",
        ),
        ('next = { cursor = "a" }', "sources[0].next: cursor (where to find it) and param (where to send it) belong"),
        ('next = { page = "p", param = "a" }', "sources[0].next: cursor (where to find it) and param (where to"),
        ('next = { cursor = "a[", param = "a" }', "sources[0].next.cursor: 'a[' is not a JMESPath expression"),
        ('next = { last_id = "a", more = "[" }', "sources[0].next.more: '[' is not a JMESPath expression"),
        ('next = { link = true, more = "a" }', "sources[0].next.more: not with url or link, where the list ends"),
        ('total = "a["', "sources[0].total: 'a[' is not a JMESPath expression"),
        # ages
        ('min_age = "ten minutes"', "sources[0].min_age: 'ten minutes' is not a duration; write"),
        ('min_age = ""', "sources[0].min_age: '' is not a duration; write"),
        ('max_age = "7d"', "sources[0]: min_age and max_age need failed_at or created, from which"),
        ('min_age = "0s"', "sources[0]: min_age and max_age need failed_at or created, from which"),
        (
            'created = "c"\nmin_age = "1h"\nmax_age = "1h"',
            "sources[0].max_age: must be longer than min_age, otherwise nothing",
        ),
        ('created = "c"\nmax_age = "0d"', "sources[0].max_age: must be longer than min_age, otherwise nothing"),
        # the rest
        (
            'filters = { author = "a" }',
            "sources[0].filters: 'author' is not a filter; the filters are createdAfter, createdBefore",
        ),
        ('filters = { createdBy = "" }', "Expected `str` of length >= 1 - at `$.sources[0].filters[...]`"),
        (
            'filters = { createdBy = { param = "a", format = "epoch" } }',
            "sources[0].filters.createdBy.format: only applies to times; remove it",
        ),
        ('filters = { createdBy = { name = "a" } }', "Object contains unknown field `name` - at `$.sources[0].filters"),
        ('filters = { createdAfter = { param = "a", format = "ms" } }', "Invalid enum value 'ms' - at `$.sources[0]"),
        ('times = "seconds"', "Invalid enum value 'seconds' - at `$.sources[0].times`"),
        (
            'headers = { Authorization = "x" }',
            "sources[0].headers: Authorization cannot be set here; credentials belong",
        ),
        ('headers = { "X A" = "x" }', "sources[0].headers: 'X A' is not a header whose value is one line of printable"),
        (
            'headers = { X-A = "x\\ny" }',
            "sources[0].headers: 'X-A' is not a header whose value is one line of printable",
        ),
        ("params = { full = true }", "Expected `int | str`, got `bool` - at `$.sources[0].params[...]`"),
        ("timeout = 0", "Expected `float` > 0.0 - at `$.sources[0].timeout`"),
        ("timeout = nan", "Expected `float` > 0.0 - at `$.sources[0].timeout`"),
        ("timeout = 31", "Expected `float` <= 30.0 - at `$.sources[0].timeout`"),
    ],
)
def test_a_mistake_in_a_source_is_told(read, line, message):
    """Each names the file, the key and the rule, before anything is asked of the application."""
    with pytest.raises(ConfigurationError) as caught:
        read(SOURCE + line + REPROCESS + AUTH)
    assert str(caught.value).startswith(f"application.toml: {message}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('cool_down = "1h"', "", "Object missing required field `cool_down` - at `$.sources[0]`"),
        ('cool_down = "1h"', 'cool_down = ""', "sources[0].cool_down: '' is not a duration"),
        ('cool_down = "1h"', 'cool_down = "0m"', "sources[0].cool_down: must be longer than the application may take"),
        ("send.email", "send#email", "sources[0].operation: must be 1 to 100 letters, digits and ._:- and"),
        ("send.email", "", "sources[0].operation: must be 1 to 100 letters, digits and ._:- and begin"),
        ("send.email", "o" * 101, "sources[0].operation: must be 1 to 100 letters, digits and ._:- and"),
        (
            "${APPLICATION_URL}/emails",
            "app.example.com/emails",
            "sources[0].list: 'app.example.com/emails/failed' is not",
        ),
        (
            "${APPLICATION_URL}/comm",
            "ftp://app/comm",
            "reprocess.url: 'ftp://app/communications' is not an http or https",
        ),
        ("[reprocess]", "[reprocess]\ntimeout = 12.5", "Expected `float` <= 12.0 - at `$.reprocess.timeout`"),
        ("[reprocess]", "[reprocess]\ntimeout = -1", "Expected `float` > 0.0 - at `$.reprocess.timeout`"),
        ("[reprocess]", "[reprocess]\nreason = '&'", "reprocess.reason: '&' is not a JMESPath expression"),
        (
            "[reprocess]",
            "[reprocess]\nalready_sent = [500]",
            "Expected `int` <= 499 - at `$.reprocess.already_sent[0]`",
        ),
        (
            "[reprocess]",
            "[reprocess]\nhonours_idempotency_key = 1",
            "Expected `bool`, got `int` - at `$.reprocess.honours",
        ),
        ("[reprocess]", "[processing]", "Object contains unknown field `processing`"),
        ("[[sources]]", "[sources]", "Expected `array`, got `object` - at `$.sources`"),
        ('type = "bearer"', "", "auth.type: is missing or none although there is a secret"),
        (
            "[reprocess]",
            "[reprocess]\nalready_sent = [429]",
            "reprocess.already_sent: 429 always means that it was not processed",
        ),
        (
            "[reprocess]",
            "[reprocess]\nrejected = [408]",
            "reprocess.rejected: 408 always means that it was not processed",
        ),
        ("[reprocess]", "[reprocess]\nrejected = [401]", "reprocess.rejected: 401 always halts the run"),
        ("[reprocess]", "[reprocess]\naccepted = [403]", "reprocess.accepted: 403 always halts the run"),
        (
            "[reprocess]",
            "[reprocess]\naccepted = [202]\nrejected = [202]",
            "reprocess.rejected: 202 is in accepted too; a status can have only one meaning",
        ),
        ("[reprocess]", '[reprocess]\nmethod = "GET"', "Invalid enum value 'GET' - at `$.reprocess.method`"),
        (
            "[reprocess]",
            '[reprocess]\nheaders = { idempotency-KEY = "a" }',
            "reprocess.headers: idempotency-KEY cannot be set here",
        ),
        (
            "[reprocess]",
            '[reprocess]\nfields = { id = "a" }',
            "reprocess.fields: 'id' is not in the payload; its fields are",
        ),
        (
            "[reprocess]",
            '[reprocess]\nfields = { primaryId = "created" }',
            "reprocess.fields: two fields of the payload would be called 'created'",
        ),
        ('type = "bearer"', 'type = "oauth2"', "auth.token_url: is required for type oauth2"),
        ('type = "bearer"', 'type = "bearer"\ntoken_url = "https://a"', "auth.token_url: is required for type oauth2"),
        ('type = "bearer"', 'type = "oauth2"\ntoken_url = "token"', "auth.token_url: 'token' is not an http or https"),
        (
            'type = "bearer"',
            'type = "oauth2"\ntoken_url = "https://app/token"',
            "reprocess.timeout: at most 8 with oauth2, because fetching tokens",
        ),
        ('type = "bearer"', 'type = "oauth"', "Invalid enum value 'oauth' - at `$.auth.type`"),
        (
            'type = "bearer"',
            'type = "header"\nheader = "X Key"',
            "auth.header: 'X Key' cannot hold a secret",
        ),
        (
            'type = "bearer"',
            'type = "header"\nheader = "Idempotency-Key"',
            "auth.header: 'Idempotency-Key' cannot hold a secret",
        ),
        ('secret = "${APPLICATION_SECRET}"', "", "auth.secret: is missing; type 'bearer' needs the name of a secret"),
        ("${APPLICATION_SECRET}", "", "auth.secret: is missing; type 'bearer' needs the name of a secret"),
    ],
)
def test_a_mistake_anywhere_is_told(read, old, new, message):
    """Each names the file, the key and the rule."""
    assert old in ALL
    with pytest.raises(ConfigurationError) as caught:
        read(ALL.replace(old, new))
    assert str(caught.value).startswith(f"application.toml: {message}")


@pytest.mark.parametrize(
    "url",
    [
        *["", "/emails", "https://", "https:///emails", "http:app", "https://a b/", "https://a\\b/", "https://[::1/"],
        *["https://app:0/", "https://app:99999/", "https://app:x/", f"https://{'a' * 64}/", "https://a..b/"],
        *["https://app/#top", " https://app/", "https://app/\n", "javascript:alert(1)", "file:///etc/passwd"],
    ],
)
def test_a_url_that_nothing_could_be_sent_to_is_refused(read, url):
    """What the HTTP client would choke on in the night is refused when the file is read."""
    with pytest.raises(
        ConfigurationError, match=r"application.toml: sources\[0\].list: .* is not an http or https URL"
    ):
        read(ALL.replace("${APPLICATION_URL}/emails/failed", "${LIST}"), ENVIRONMENT | {"LIST": url})


@pytest.mark.parametrize("url", ["https://user:secret@app.example.com", "https://user@app.example.com"])
def test_a_url_takes_no_password(read, url):
    """A password in a URL would end up in messages; and the HTTP client would prefer it to what `auth` says."""
    with pytest.raises(ConfigurationError) as caught:
        read(ALL, ENVIRONMENT | {"APPLICATION_URL": url})
    assert (
        str(caught.value) == "application.toml: sources[0].list: contains a user name; credentials belong into [auth]"
    )


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "https://[::1]:8443", "https://bücher.example", "https://a/b?c=d"]
)
def test_a_url_may_be_any_that_http_knows(read, url):
    """A port, an IPv6 address, a domain outside of ASCII and a query are fine."""
    it = read(ALL.replace("${APPLICATION_URL}/emails/failed", "${LIST}"), ENVIRONMENT | {"LIST": url})
    assert it.sources[0].list == url


def test_two_sources_of_one_operation_are_refused(read):
    """An operation and an id name one communication, so one source lists it."""
    with pytest.raises(ConfigurationError, match=r"application.toml: sources: operation 'send.email' has two sources"):
        read(SOURCE + SOURCE + REPROCESS)


def test_the_mistake_in_the_second_source_is_told_as_there(read):
    """The number of the source in the file tells which one is meant, counted from 0 as everywhere in such paths."""
    second = SOURCE.replace("send.email", "send.sms").replace("1h", "soon")
    with pytest.raises(ConfigurationError, match=r"application.toml: sources\[1\].cool_down: 'soon' is not a duration"):
        read(SOURCE + second + REPROCESS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "application.toml: Object missing required field `sources`"),
        ("sources = []" + REPROCESS, "application.toml: Expected `array` of length >= 1 - at `$.sources`"),
        (SOURCE, "application.toml: Object missing required field `reprocess`"),
        ("[[sources", "application.toml: "),
        (b"operation = '\xff'", "application.toml: 'utf-8' codec can't decode"),
        (ALL + "[auth]\n", "application.toml: "),
    ],
)
def test_a_file_that_is_not_one_is_told(read, text, message):
    """Whatever the file holds, the error is ours and begins with the file's name."""
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert str(caught.value).startswith(message)


def test_a_file_that_is_not_there_is_told(tmp_path):
    """The message names the file and says why, without a traceback of Python's."""
    with pytest.raises(ConfigurationError, match=r"nowhere.toml cannot be read: No such file or directory"):
        config_file.read({}, tmp_path / "nowhere.toml")


def test_an_operation_that_no_source_lists_any_more_is_told(read):
    """A manifest may be older than the configuration."""
    with pytest.raises(ConfigurationError, match=r"application.toml has no source for operation 'send.fax'"):
        read(ALL).source("send.fax")


@pytest.mark.parametrize(("operation", "expected"), [(None, 2), ("send.sms", 1), ("send.fax", 0)])
def test_a_selection_is_about_one_source_or_all(read, operation, expected):
    """Without an operation every source is asked."""
    it = read(SOURCE + SOURCE.replace("send.email", "send.sms") + REPROCESS)
    assert len(it.selected(Selection(operation=operation))) == expected
