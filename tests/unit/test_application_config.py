"""Reading `application.toml`: its defaults, `${NAME}` from the environment, and an error for every mistake."""

import pytest

from chalicelib.application import config_file
from chalicelib.application.config import Next
from chalicelib.errors import ConfigurationError
from chalicelib.models.selections import Selection

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
    """Return a function that reads a text as application.toml; by default in an environment that sets ENVIRONMENT."""

    def read(text, environment=ENVIRONMENT):
        file = tmp_path / "application.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config_file.read(environment, file)

    return read


def test_a_minimal_application_toml_gets_defaults_for_everything_else(read):
    """Only a source's operation, list and cool-down, and the URL of the POST are required."""
    configuration = read(SOURCE + REPROCESS)
    source = configuration.sources[0]
    assert (source.operation, source.list) == ("send.email", "https://app.example.com/emails/failed")
    assert (source.cool_down_ms, source.min_age_ms, source.max_age_ms) == (3_600_000, None, None)
    assert (source.items, source.id, source.next, source.timeout) == ("@", "id", None, 20)
    assert configuration.reprocess.url == "https://app.example.com/communications"
    assert (
        configuration.reprocess.timeout,
        configuration.reprocess.honours_idempotency_key,
        configuration.reprocess.already_sent,
    ) == (10, False, [])
    assert configuration.auth.type == "none"


def test_the_shipped_application_toml_is_valid():
    """A new stage only has to set APPLICATION_URL and APPLICATION_SECRET."""
    configuration = config_file.read(ENVIRONMENT)
    assert configuration.source("send.email").max_age_ms == 7 * 86_400_000
    assert configuration.auth.secret == "prod/app"


SHORT = SOURCE.replace('cool_down = "1h"', 'cool_down = "25s"')
OAUTH = '\n[auth]\ntype = "oauth2"\ntoken_url = "https://auth.example"\nsecret = "s"\n'


@pytest.mark.parametrize(
    ("rest", "seconds", "parts"),
    [
        ("", 25, "two POSTs of 10 s (reprocess.timeout; the second follows a 401) and 5 s of other work"),
        ("timeout = 12\n", 29, "two POSTs of 12 s (reprocess.timeout; the second follows a 401) and 5 s"),
        ("timeout = 8\n" + OAUTH, 29, "two POSTs of 8 s (reprocess.timeout; the second follows a 401), two tokens of"),
    ],
)
def test_a_cool_down_must_be_longer_than_sending_may_take(read, rest, seconds, parts):
    """Otherwise another run could claim a communication whose POST is still under way."""
    with pytest.raises(ConfigurationError) as caught:
        read(SHORT + REPROCESS + rest)
    assert f"sources[0].cool_down: 25s must be longer than sending may take, {seconds} s: {parts}" in str(caught.value)
    long_enough = read(SHORT.replace("25s", f"{seconds + 1}s") + REPROCESS + rest)
    assert long_enough.sources[0].cool_down_ms == 1000 * (seconds + 1)


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
def test_retention_must_exceed_every_cool_down_and_max_age(tmp_path, line, retention, message):
    """If the ledger forgot a communication that may still be sent, a run could send it twice."""
    file = tmp_path / "application.toml"
    file.write_text(SOURCE + line + REPROCESS)
    if message is None:
        config_file.read(ENVIRONMENT, file, retention)
        return
    with pytest.raises(ConfigurationError) as caught:
        config_file.read(ENVIRONMENT, file, retention)
    assert str(caught.value).startswith(f"application.toml: {message}")


def test_environment_variables_are_filled_in_everywhere(read):
    """A reference works at any depth, several times in one text, and in the middle of it."""
    configuration = read(
        SOURCE + 'params = { team = "${TEAM}-${TEAM}" }\nnext = { url = "${NEXT}" }' + REPROCESS,
        ENVIRONMENT | {"TEAM": "a", "NEXT": "links.next"},
    )
    assert configuration.sources[0].params == {"team": "a-a"}
    assert configuration.sources[0].next == Next(url="links.next")


def test_the_value_of_an_environment_variable_is_not_filled_in_again(read):
    """It stays as it is, even if it looks like a reference."""
    configuration = read(
        SOURCE + 'params = { team = "${TEAM}" }' + REPROCESS, ENVIRONMENT | {"TEAM": "${APPLICATION_SECRET}"}
    )
    assert configuration.sources[0].params == {"team": "${APPLICATION_SECRET}"}


def test_an_unset_environment_variable_is_an_error_that_names_it(read):
    """The message also names the key that refers to the variable, and says where to add it."""
    with pytest.raises(ConfigurationError) as caught:
        read(ALL, {"APPLICATION_URL": "https://app.example.com"})
    assert str(caught.value) == (
        "application.toml: auth.secret: environment variable APPLICATION_SECRET is not set; "
        "add it to the stage in .chalice/config.json"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # ids, fields and expressions
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
        # filters, times, headers, parameters and timeouts
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
def test_a_mistake_in_a_source_is_an_error_that_names_its_key_and_rule(read, line, message):
    """The file is checked before any request is sent to the application."""
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
        ('type = "bearer"', "", "auth.type: must be bearer, basic, header or oauth2, because auth.secret is set"),
        (
            "[reprocess]",
            "[reprocess]\nalready_sent = [429]",
            "reprocess.already_sent: 429 means that it was not processed and is sent again; remove it, or",
        ),
        (
            "[reprocess]",
            "[reprocess]\nrejected = [408]",
            "reprocess.rejected: 408 means that it was not processed and is sent again; remove it, or",
        ),
        ("[reprocess]", "[reprocess]\nrejected = [401]", "reprocess.rejected: 401 always stops the run"),
        ("[reprocess]", "[reprocess]\naccepted = [403]", "reprocess.accepted: 403 always stops the run"),
        (
            "[reprocess]",
            "[reprocess]\naccepted = [202]\nrejected = [202]",
            "reprocess.rejected: 202 is in accepted too; a status can have only one meaning",
        ),
        (
            "[reprocess]",
            "[reprocess]\nalready_sent = [409]\ndoubtful = [503, 409]",
            "reprocess.doubtful: 409 is in already_sent too; a status can have only one meaning",
        ),
        ("[reprocess]", "[reprocess]\ndoubtful = [401]", "reprocess.doubtful: 401 always stops the run"),
        ("[reprocess]", "[reprocess]\ndoubtful = [600]", "Expected `int` <= 599 - at `$.reprocess.doubtful[0]`"),
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
        ('type = "bearer"', 'type = "bearer"\nkms_key = "alias/app"', "auth.kms_key: must be the ARN of the KMS key"),
    ],
)
def test_a_mistake_anywhere_in_the_file_is_an_error_that_names_its_key_and_rule(read, old, new, message):
    """Each case changes one place of a valid file."""
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
def test_an_unusable_url_is_refused_when_the_file_is_read(read, url):
    """Otherwise it would only fail in a run, when the HTTP client tries to use it."""
    with pytest.raises(
        ConfigurationError, match=r"application.toml: sources\[0\].list: .* is not an http or https URL"
    ):
        read(ALL.replace("${APPLICATION_URL}/emails/failed", "${LIST}"), ENVIRONMENT | {"LIST": url})


@pytest.mark.parametrize("url", ["https://user:secret@app.example.com", "https://user@app.example.com"])
def test_a_url_must_not_contain_a_user_name_or_password(read, url):
    """It would end up in messages, and the HTTP client would prefer it to the credentials in `[auth]`."""
    with pytest.raises(ConfigurationError) as caught:
        read(ALL, ENVIRONMENT | {"APPLICATION_URL": url})
    assert str(caught.value) == "application.toml: sources[0].list: contains a user name; credentials belong in [auth]"


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "https://[::1]:8443", "https://bücher.example", "https://a/b?c=d"]
)
def test_a_url_may_have_a_port_an_ipv6_address_a_unicode_domain_or_a_query(read, url):
    """The check must not refuse what the HTTP client accepts."""
    configuration = read(ALL.replace("${APPLICATION_URL}/emails/failed", "${LIST}"), ENVIRONMENT | {"LIST": url})
    assert configuration.sources[0].list == url


def test_two_sources_for_one_operation_are_refused(read):
    """An operation and an id identify a communication, so only one source may list it."""
    with pytest.raises(ConfigurationError, match=r"application.toml: sources: operation 'send.email' has two sources"):
        read(SOURCE + SOURCE + REPROCESS)


def test_an_error_names_the_index_of_the_source(read):
    """Sources are counted from 0, as in every other path of an error."""
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
def test_an_invalid_file_is_a_configuration_error_whatever_it_contains(read, text, message):
    """The message begins with the file's name."""
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert str(caught.value).startswith(message)


def test_a_missing_file_is_a_configuration_error(tmp_path):
    """The message names the file and the operating system's reason."""
    with pytest.raises(ConfigurationError, match=r"nowhere.toml cannot be read: No such file or directory"):
        config_file.read({}, tmp_path / "nowhere.toml")


def test_asking_for_the_source_of_an_unknown_operation_is_a_configuration_error(read):
    """A manifest can be older than the configuration, and contain an operation that no source lists any more."""
    with pytest.raises(ConfigurationError, match=r"application.toml has no source for operation 'send.fax'"):
        read(ALL).source("send.fax")


@pytest.mark.parametrize(("operation", "expected"), [(None, 2), ("send.sms", 1), ("send.fax", 0)])
def test_a_selection_covers_the_source_of_its_operation_or_all_sources(read, operation, expected):
    """An unknown operation has no source, so the selection covers none."""
    configuration = read(SOURCE + SOURCE.replace("send.email", "send.sms") + REPROCESS)
    assert len(configuration.selected(Selection(operation=operation))) == expected
