"""A stage of `.chalice/config.json`, and the AWS account and region that it is deployed to."""

import functools
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ConfigurationError
from chalicelib.names import PREFIX, PREFIX_RULE, AwsLocation, Names
from deployment import aws_errors
from deployment.description import Description

# For what does not depend on an account: the policies of a stage.
ANYWHERE = AwsLocation("*", "*", "*")

# Returns what the project consists of in a stage, with these names.
Describe = Callable[["Stage", Names], Description]

_CHECKOUT = Path(__file__).parents[1]


class Stage:
    """A stage's configuration, and the names that derive from it and from `location`.

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
        self.names = Names(self.environment["RESOURCE_PREFIX"], location)

    @functools.cached_property
    def description(self) -> Description:
        """What the project consists of. ConfigurationError if its description, or a setting, is wrong."""
        return self.describe(self.names)

    @functools.cached_property
    def describe(self) -> Callable[[Names], Description]:
        """Returns what the project consists of, with other names."""
        return functools.partial(_load(self.project), self)

    @property
    def option(self) -> str:
        """What a command line needs besides the stage; nothing in the checkout that deploy.py belongs to."""
        return "" if self.project.resolve() == _CHECKOUT else f" --project {self.project}"

    @property
    def deployed(self) -> Path:
        """The file in which Chalice notes what it has deployed. It is not committed, so other checkouts lack it."""
        return self.project / ".chalice" / "deployed" / f"{self.name}.json"


def _load(project: Path) -> Describe:
    """Return the function `describe` of a project's description.py. ConfigurationError if there is no such file."""
    file = project / "description.py"
    if not file.exists():
        raise ConfigurationError(f"there is no {file}: it says what the project consists of")
    spec = importlib.util.spec_from_file_location("description", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    describe: Describe = module.describe
    return describe


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
    if not re.search(PREFIX, prefix):
        raise ConfigurationError(f"setting RESOURCE_PREFIX: {PREFIX_RULE}")
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
