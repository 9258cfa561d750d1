"""The policies of a stage as files in `.chalice/<stage>/`: one for each function, and one for the deploying identity.

They follow from the stage's name and from the secret in `application.toml`, so nobody writes them. They are files,
because Chalice reads them there, and so that people can review them. Account, region and partition stay open in them:
the same files serve every account.
"""

import json
from pathlib import Path

from chalicelib.application import config_file
from chalicelib.errors import ConfigurationError
from chalicelib.names import Names
from deployment import chalice_names, deployer_policy, function_policies
from deployment.iam_policy import Json
from deployment.stage import ANYWHERE, Stage

_DEPLOYER = "deployer"


def derive(stage: Stage) -> dict[Path, Json]:
    """Return what the files of a stage have to contain. ConfigurationError if `application.toml` is wrong."""
    names = Names(stage.names.prefix, ANYWHERE)
    auth = config_file.read(stage.environment, stage.application_toml, stage.settings.retention_ms).auth
    found = function_policies.documents(names, auth)
    found[_DEPLOYER] = deployer_policy.policy(names, stage.settings, auth)
    return {_folder(stage) / f"{name}.json": policy for name, policy in found.items()}


def _folder(stage: Stage) -> Path:
    return stage.project / ".chalice" / stage.name


def write(stage: Stage) -> list[Path]:
    """Write the files of a stage that are missing or out of date; return them."""
    outdated = _outdated(stage)
    _folder(stage).mkdir(parents=True, exist_ok=True)
    for file, policy in outdated.items():
        file.write_text(json.dumps(policy, indent=2) + "\n", encoding="utf-8")
    return list(outdated)


def check(stage: Stage) -> None:
    """Raise ConfigurationError, with what to do, if files are missing, out of date, or those of another stage."""
    for function in chalice_names.POLICY_FILES:
        wanted = policy_file(stage.name, function)
        if stage.policy_files.get(function) != wanted:
            raise ConfigurationError(
                f".chalice/config.json: stage {stage.name!r}: iam_policy_file of {function} must be {wanted!r}"
            )
    outdated = ", ".join(str(file.relative_to(stage.project)) for file in _outdated(stage))
    if outdated:
        raise ConfigurationError(
            f"these policies do not match application.toml and .chalice/config.json: {outdated}. Run "
            f".venv/bin/python deploy.py stage update {stage.name}, and review what it changes"
        )


def policy_file(stage: str, function: str) -> str:
    """Return a function's policy file as config.json names it."""
    return f"{stage}/{function}.json"


def _outdated(stage: Stage) -> dict[Path, Json]:
    return {file: policy for file, policy in derive(stage).items() if _content(file) != policy}


def _content(file: Path) -> object:
    """Return what a file contains; None if it is missing or not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
