"""`application.toml`, read: `${NAME}` filled in from the environment, and every mistake told at once."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from chalicelib import checks
from chalicelib.description import Auth, Configuration, Filter, Next, Reprocess, Source
from chalicelib.errors import ConfigurationError

__all__ = ["FILE", "Auth", "Configuration", "Filter", "Next", "Reprocess", "Source", "read"]

FILE = Path(__file__).with_name("application.toml")


def read(environment: Mapping[str, str], file: Path = FILE, retention: int | None = None) -> Configuration:
    """Return the configuration in `file`, `${NAME}` filled in; ConfigurationError names file, key and rule.

    `retention` is the ledger's memory in milliseconds, which must outlast every cool-down and age (None: not checked).
    """
    try:
        filled = _substitute(tomllib.loads(file.read_text(encoding="utf-8")), environment, "")
        configuration = msgspec.convert(filled, Configuration)
        checks.check(configuration)
        if retention is not None:
            checks.check_retention(configuration, retention)
    except OSError as error:
        raise ConfigurationError(f"{file.name} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{file.name}: {error}") from None
    return configuration


def _substitute(value: Any, environment: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(each, environment, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_substitute(each, environment, f"{where}[{number}]") for number, each in enumerate(value)]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: _from(environment, match[1], where.lstrip(".")), value)
    return value


def _from(environment: Mapping[str, str], name: str, where: str) -> str:
    if name not in environment:
        raise ValueError(
            f"{where}: environment variable {name} is not set; add it to the stage in .chalice/config.json"
        )
    return environment[name]
