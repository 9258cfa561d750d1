"""Your own application for `make serve APPLICATION=path/application.toml`: its variables, its settings and its secret.

All of them come from the environment. What is missing there is asked for.
"""

import getpass
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.application import config_file
from chalicelib.application.secret_reader import SSM
from chalicelib.errors import ConfigurationError
from chalicelib.settings import Settings
from sandbox import project
from sandbox.deployed import PREFIX

# The environment variable with the secret itself; the configuration only names the secret.
SECRET = "APPLICATION_TOKEN"  # noqa: S105 (the name of a variable)

_SECRET_NAME = f"{PREFIX}-application"

# Asks a person a question and returns the answer; EOFError if nobody is there.
Ask = Callable[[str], str]


@dataclass(frozen=True)
class OwnApplication:
    """An application: the text of its application.toml, the stage's environment variables, and its secret."""

    toml: str
    variables: dict[str, str]
    secret_name: str | None
    secret: str

    def store_secret(self, client: Any) -> None:
        """Store the secret in the embedded AWS; `client` returns boto3's client of a service."""
        if self.secret_name is None:
            return
        if self.secret_name.startswith(SSM):
            name = self.secret_name.removeprefix(SSM)
            client("ssm").put_parameter(Name=name, Value=self.secret, Type="SecureString")
        else:
            client("secretsmanager").create_secret(Name=self.secret_name, SecretString=self.secret)


def read(
    file: Path,
    environment: Mapping[str, str] = os.environ,
    ask: Ask = input,
    ask_secret: Ask = getpass.getpass,
) -> OwnApplication:
    """Read an application.toml and what belongs to it; ConfigurationError names what is wrong or missing."""
    toml, document = _parse(file)
    variables = {name: _value(name, environment, ask) for name in _used_variables(document)} | _settings(environment)
    name = config_file.read(variables, file).auth.secret
    if name and name.startswith("arn:"):
        # The ARN is one of your real account, which the embedded AWS does not have.
        toml, name = toml.replace(document["auth"]["secret"], _SECRET_NAME), _SECRET_NAME
    return OwnApplication(toml, variables, name, _secret(environment, ask_secret) if name else "")


def _parse(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the text and the content of a TOML file."""
    try:
        toml = file.read_text(encoding="utf-8")
        return toml, tomllib.loads(toml)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise ConfigurationError(f"{file.name}: {error}") from None


def _used_variables(document: dict[str, Any]) -> list[str]:
    """Return the names in `${NAME}`, in the order of the file. Comments do not count."""
    text = json.dumps(document, default=str, ensure_ascii=False)
    return list(dict.fromkeys(re.findall(r"\$\{(\w+)\}", text)))


def _value(name: str, environment: Mapping[str, str], ask: Ask) -> str:
    """Return a variable from the environment, or ask for it. The name of the secret matters only on AWS."""
    if name == "APPLICATION_SECRET":
        return environment.get(name, _SECRET_NAME)
    if environment.get(name):
        return environment[name]
    default = project.stage_variables().get(name, "")
    try:
        return ask(f"{name} [{default}]: " if default else f"{name}: ") or default
    except EOFError:
        raise ConfigurationError(f"{name} is not set: set this environment variable") from None


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in an environment, such as CONCURRENCY. The prefix is always the sandbox's own."""
    names = {name.upper() for name in Settings.__struct_fields__} - {"RESOURCE_PREFIX"}
    return {name: environment[name] for name in sorted(names) if name in environment}


def _secret(environment: Mapping[str, str], ask: Ask) -> str:
    """Return the secret from the environment, or ask for it."""
    secret = environment.get(SECRET, "")
    with suppress(EOFError):
        secret = secret or ask("The secret that your application expects (it stays on this machine): ")
    if not secret:
        raise ConfigurationError(f"there is no secret: set {SECRET} to what your application expects")
    return secret
