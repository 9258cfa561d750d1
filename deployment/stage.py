"""A stage of `.chalice/config.json`, and the AWS account and region that it is deployed to."""

import json
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ConfigurationError
from chalicelib.settings import Names, Place, Settings


class Stage:
    """What a stage's configuration says: its settings, and the names that derive from them and from `place`."""

    def __init__(self, project: Path, name: str, place: Place) -> None:
        self.project = project
        self.name = name
        self.environment = _environment(project, name)
        self.timeouts = _timeouts(project, name)
        self.settings = Settings.read(self.environment)
        self.names = Names(self.settings.resource_prefix, place)


def _environment(project: Path, stage: str) -> dict[str, str]:
    """Return the environment variables of a stage. ConfigurationError if the stage or its prefix is wrong."""
    config = _config(project)
    stages = config.get("stages", {})
    if stage not in stages:
        raise ConfigurationError(f"there is no stage {stage!r} in .chalice/config.json; there are {', '.join(stages)}")
    environment: dict[str, str] = config.get("environment_variables", {}) | stages[stage].get(
        "environment_variables", {}
    )
    # Chalice names the functions so, and everything else has to go with them.
    prefix = f"{config['app_name']}-{stage}"
    if environment.get("RESOURCE_PREFIX") != prefix:
        raise ConfigurationError(f"stage {stage!r}: RESOURCE_PREFIX must be {prefix!r}: the app's name and the stage's")
    return environment


def _timeouts(project: Path, stage: str) -> dict[str, int]:
    """Return the seconds that each function of a stage may run; Chalice's own default is 60."""
    config = _config(project)
    functions: dict[str, dict[str, Any]] = config.get("lambda_functions", {})
    of_stage: dict[str, dict[str, Any]] = config["stages"][stage].get("lambda_functions", {})
    names = {*functions, *of_stage}
    merged = {name: functions.get(name, {}) | of_stage.get(name, {}) for name in names}
    return {name: int(function.get("lambda_timeout", 60)) for name, function in merged.items()}


def _config(project: Path) -> dict[str, Any]:
    file = project / ".chalice" / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from None
    return config


def place() -> Place:
    """Return where the caller's AWS credentials and region lead. ConfigurationError says what is missing."""
    session = boto3.session.Session()
    if not session.region_name:
        raise ConfigurationError("no AWS region: set AWS_DEFAULT_REGION, or region in ~/.aws/config")
    try:
        arn = session.client("sts").get_caller_identity()["Arn"]
    except (BotoCoreError, ClientError) as error:
        raise ConfigurationError(f"no access to AWS: {error}") from None
    _, partition, _, _, account, _ = arn.split(":", 5)
    return Place(partition, session.region_name, account)
