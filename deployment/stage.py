"""A stage of `.chalice/config.json`, and the AWS account and region that it is deployed to."""

import json
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ConfigurationError
from chalicelib.settings import Names, Place, Settings
from deployment import hints


class Stage:
    """What a stage's configuration says: its settings, and the names that derive from them and from `place`."""

    def __init__(self, project: Path, name: str, place: Place) -> None:
        self.project = project
        self.name = name
        config = _config(project)
        self.environment = _environment(config, name)
        self.app_name = str(config["app_name"])
        self.api_stage = str(config["stages"][name].get("api_gateway_stage", config.get("api_gateway_stage", "api")))
        self.traced = bool(config["stages"][name].get("xray", config.get("xray", False)))
        self.timeouts = _timeouts(config, name)
        self.settings = Settings.read(self.environment)
        self.names = Names(self.settings.resource_prefix, place)

    @property
    def deployed(self) -> Path:
        """Where Chalice notes what it has deployed; it is not committed, so another checkout has none."""
        return self.project / ".chalice" / "deployed" / f"{self.name}.json"


def _environment(config: dict[str, Any], stage: str) -> dict[str, str]:
    """Return the environment variables of a stage. ConfigurationError if the stage or its prefix is wrong."""
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


def _timeouts(config: dict[str, Any], stage: str) -> dict[str, int]:
    """Return the seconds that each function of a stage may run; Chalice's own default is 60."""
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
    try:
        session = boto3.session.Session()
        if not session.region_name:
            raise ConfigurationError("no AWS region: set AWS_DEFAULT_REGION, or region in ~/.aws/config")
        arn = session.client("sts").get_caller_identity()["Arn"]
    except (BotoCoreError, ClientError) as error:
        hint = hints.hint(error)
        raise ConfigurationError(hint if hints.known(error) else f"no access to AWS: {error}. {hint}") from None
    _, partition, _, _, account, _ = arn.split(":", 5)
    return Place(partition, session.region_name, account)
