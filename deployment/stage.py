"""A stage of `.chalice/config.json`, and the AWS account and region that it is deployed to."""

import json
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ConfigurationError
from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from deployment import aws_errors

# For what does not depend on an account: the policies of a stage.
ANYWHERE = AwsLocation("*", "*", "*")


class Stage:
    """A stage's configuration: its settings, and the names that derive from them and from `location`.

    `config` is the content of config.json, None to read it.
    """

    def __init__(self, project: Path, name: str, location: AwsLocation, config: dict[str, Any] | None = None) -> None:
        self.project = project
        self.name = name
        config = config or read_config(project)
        self.environment = _environment(config, name)
        self.app_name = str(config["app_name"])
        self.api_stage = str(config["stages"][name].get("api_gateway_stage", config.get("api_gateway_stage", "api")))
        self.traced = bool(config["stages"][name].get("xray", config.get("xray", False)))
        functions = _functions(config, name)
        # In seconds; Chalice's default is 60.
        self.timeouts = {each: int(function.get("lambda_timeout", 60)) for each, function in functions.items()}
        self.reserved = {each for each, function in functions.items() if "reserved_concurrency" in function}
        self.policy_files = {each: function.get("iam_policy_file") for each, function in functions.items()}
        self.settings = Settings.read(self.environment)
        self.names = Names(self.settings.resource_prefix, location)

    @property
    def deployed(self) -> Path:
        """The file in which Chalice notes what it has deployed. It is not committed, so other checkouts lack it."""
        return self.project / ".chalice" / "deployed" / f"{self.name}.json"

    @property
    def application_toml(self) -> Path:
        """The description of the application that is deployed with the stage."""
        return self.project / "chalicelib" / "application.toml"


def _environment(config: dict[str, Any], stage: str) -> dict[str, str]:
    """Return the environment variables of a stage. ConfigurationError if the stage or its prefix is wrong."""
    stages = config.get("stages", {})
    if stage not in stages:
        raise ConfigurationError(
            f"there is no stage {stage!r} in .chalice/config.json; the stages are {', '.join(stages)}"
        )
    environment: dict[str, str] = config.get("environment_variables", {}) | stages[stage].get(
        "environment_variables", {}
    )
    # Chalice names the functions so, and everything else has to match them.
    prefix = f"{config['app_name']}-{stage}"
    if environment.get("RESOURCE_PREFIX") != prefix:
        raise ConfigurationError(
            f"stage {stage!r}: RESOURCE_PREFIX must be {prefix!r}, the names of the app and the stage"
        )
    return environment


def _functions(config: dict[str, Any], stage: str) -> dict[str, dict[str, Any]]:
    """Return the settings of each function: the stage's come before those of all stages."""
    functions: dict[str, dict[str, Any]] = config.get("lambda_functions", {})
    of_stage: dict[str, dict[str, Any]] = config["stages"][stage].get("lambda_functions", {})
    names = {*functions, *of_stage}
    return {name: functions.get(name, {}) | of_stage.get(name, {}) for name in names}


def read_config(project: Path) -> dict[str, Any]:
    """Return the content of `.chalice/config.json`. ConfigurationError if it cannot be read."""
    file = project / ".chalice" / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from None
    return config


def current_location() -> AwsLocation:
    """Return the account and region of the caller's AWS credentials. ConfigurationError says what is missing."""
    try:
        session = boto3.session.Session()
        if not session.region_name:
            raise ConfigurationError("no AWS region: set AWS_DEFAULT_REGION, or region in ~/.aws/config")
        arn = session.client("sts").get_caller_identity()["Arn"]
    except (BotoCoreError, ClientError) as error:
        advice = aws_errors.advice(error)
        enough = aws_errors.is_advice_enough(error)
        raise ConfigurationError(advice if enough else f"no access to AWS: {error}. {advice}") from None
    _, partition, _, _, account, _ = arn.split(":", 5)
    return AwsLocation(partition, session.region_name, account)
