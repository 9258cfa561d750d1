"""Your own application for `make serve`: what is taken from the environment, what is asked for, and what is refused."""

import pytest

from chalicelib.errors import ConfigurationError
from sandbox import own_application
from sandbox.own_application import OwnApplication

TOML = """
# ${NOT_ASKED_FOR}: comments do not count
[[sources]]
operation = "send.letter"
list = "${LETTERS_URL}/failed"
cool_down = "${COOL_DOWN}"

[reprocess]
url = "${LETTERS_URL}/letters"
"""

AUTH = """
[auth]
type = "bearer"
secret = "SECRET_NAME"
"""

VARIABLES = {"LETTERS_URL": "http://127.0.0.1:1", "COOL_DOWN": "1h"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "application.toml"


def nobody(_question):
    """Nobody is there to be asked."""
    raise EOFError


def read(file, ask=nobody, ask_secret=nobody, **variables):
    return own_application.read(file, variables, ask, ask_secret)


def test_variables_and_settings_come_from_the_environment(file):
    """The prefix is always the sandbox's own, so that it cannot be set."""
    file.write_text(TOML)
    application = read(file, **VARIABLES, CONCURRENCY="7", RESOURCE_PREFIX="mine", UNUSED="x")
    assert application == OwnApplication(TOML, VARIABLES | {"CONCURRENCY": "7"}, None, "")


def test_what_is_not_set_is_asked_for(file):
    """The secret has a question of its own, which is asked without an echo."""
    file.write_text(TOML + AUTH)
    questions = []

    def ask(question):
        questions.append(question)
        return "http://127.0.0.1:1"

    application = read(file, ask, lambda _question: "s3cret", COOL_DOWN="1h")
    assert questions == ["LETTERS_URL: "]
    assert (application.variables["LETTERS_URL"], application.secret) == ("http://127.0.0.1:1", "s3cret")


def test_a_missing_variable_is_named_when_nobody_can_be_asked(file):
    """Standard input is closed, as in a script."""
    file.write_text(TOML)
    with pytest.raises(ConfigurationError, match="LETTERS_URL is not set"):
        read(file, COOL_DOWN="1h")


@pytest.mark.parametrize("ask_secret", [nobody, lambda _question: ""])
def test_a_missing_secret_is_named_when_there_is_no_answer(file, ask_secret):
    """Nobody is there, or presses Enter. The variable with the secret itself is not the one with its name."""
    file.write_text(TOML + AUTH)
    with pytest.raises(ConfigurationError, match="set APPLICATION_TOKEN"):
        read(file, ask_secret=ask_secret, **VARIABLES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "application.toml cannot be read: No such file"),
        ("[[sources", "application.toml: "),
        ("[[sources]]\nsince = 2026-11-22\n", "application.toml: "),
        (TOML.replace("operation", "operatoin"), "application.toml: "),
    ],
)
def test_a_file_that_is_missing_or_wrong_is_refused(file, text, message):
    """The error is one sentence."""
    if text:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read(file, **VARIABLES)


def test_a_file_that_is_not_utf_8_is_refused(file):
    """TOML has to be (https://toml.io/en/v1.0.0)."""
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="codec can't decode"):
        read(file, **VARIABLES)


class FakeClient:
    """Stands in for Secrets Manager and SSM: it keeps the calls."""

    def __init__(self):
        self.calls = []

    def create_secret(self, **request):
        self.calls.append(request)

    put_parameter = create_secret


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("letters", {"Name": "letters", "SecretString": "s3cret"}),
        ("ssm:/letters/token", {"Name": "/letters/token", "Value": "s3cret", "Type": "SecureString"}),
        (
            "arn:aws:secretsmanager:eu-west-1:999999999999:secret:letters-AbCdEf",
            {"Name": "comms-reprocess-dev-application", "SecretString": "s3cret"},
        ),
    ],
)
def test_the_secret_is_stored_under_the_name_that_the_file_gives(file, name, stored):
    """An ARN is one of a real account, so the file that is deployed here names another secret."""
    file.write_text(TOML + AUTH.replace("SECRET_NAME", name))
    client = FakeClient()
    application = read(file, **VARIABLES, APPLICATION_TOKEN="s3cret")
    application.store_secret(lambda _service: client)
    assert client.calls == [stored]
    assert (name in application.toml) is not name.startswith("arn:")
    assert "s3cret" not in application.toml


@pytest.mark.parametrize("secret", ["${APPLICATION_SECRET}", "arn:aws:ssm:eu-west-1:${ACCOUNT}:parameter/letters"])
def test_an_arn_with_variables_is_replaced_too(file, secret):
    """The whole ARN may be a variable, or a part of it."""
    file.write_text(TOML + AUTH.replace("SECRET_NAME", secret))
    arn = "arn:aws:ssm:eu-west-1:999999999999:parameter/letters"
    application = read(file, **VARIABLES, APPLICATION_SECRET=arn, ACCOUNT="999999999999", APPLICATION_TOKEN="s3cret")
    assert application.secret_name == "comms-reprocess-dev-application"
    assert 'secret = "comms-reprocess-dev-application"' in application.toml
