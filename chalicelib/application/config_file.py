"""Reads `application.toml`, and fills in `${NAME}` from the environment. Every mistake is one clear error."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.application import config_rules
from chalicelib.application.config import Configuration
from chalicelib.errors import ConfigurationError

FILE = Path(__file__).parents[1] / "application.toml"


def read(environment: Mapping[str, str], file: Path = FILE, retention: int | None = None) -> Configuration:
    """Return the configuration in `file`, with `${NAME}` filled in. ConfigurationError names file, key and rule.

    `retention` is how long the ledger remembers, in milliseconds. It must exceed every cool-down and maximum age (None:
    not checked).
    """
    try:
        filled = _substitute(tomllib.loads(file.read_text(encoding="utf-8")), environment, "")
        configuration = msgspec.convert(filled, Configuration)
        config_rules.check(configuration)
        if retention is not None:
            config_rules.check_retention(configuration, retention)
    except OSError as error:
        raise ConfigurationError(f"{file.name} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{file.name}: {error}") from None
    return configuration


def _substitute(value: Any, environment: Mapping[str, str], where: str) -> Any:
    """Return a value with every `${NAME}` filled in; `where` is its key."""
    if isinstance(value, dict):
        return {key: _substitute(each, environment, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_substitute(each, environment, f"{where}[{number}]") for number, each in enumerate(value)]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: _variable(environment, match[1], where.lstrip(".")), value)
    return value


def _variable(environment: Mapping[str, str], name: str, where: str) -> str:
    if name not in environment:
        raise ValueError(
            f"{where}: environment variable {name} is not set; add it to the stage in .chalice/config.json"
        )
    return environment[name]
