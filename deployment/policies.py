"""The policies of a stage as files in `.chalice/<stage>/`: one for each function, and one for the deploying identity.

They follow from the stage's name and from the project's description, so nobody writes them. They are files,
because Chalice reads them there, and so that people can review them. Account, region and partition stay open in them:
the same files serve every account.
"""

import json
from pathlib import Path

from chalicelib.errors import ConfigurationError
from chalicelib.names import Names
from deployment import deployer_policy, logs
from deployment.description import DEPLOYER
from deployment.iam_policy import Json, document, log_streams, x_ray
from deployment.stage import ANYWHERE, Stage


def derive(stage: Stage) -> dict[Path, Json]:
    """Return what the files of a stage have to contain. ConfigurationError if what they follow from is wrong."""
    return {_folder(stage) / f"{name}.json": policy for name, policy in documents(stage).items()}


def documents(stage: Stage) -> dict[str, Json]:
    """Return the policy of each function, and under `deployer` that of the deploying identity."""
    names = Names(stage.names.prefix, ANYWHERE)
    description = stage.describe(names)
    permissions = description.permissions()
    if unknown := sorted(permissions.keys() - {*description.functions, DEPLOYER}):
        raise ConfigurationError(f"description.py: there are permissions for {unknown[0]!r}, which is no function")
    traces = [x_ray()] if stage.traced else []
    found = {
        name: document(log_streams(names, logs.of_function(names, name)), *traces, *permissions.get(name, []))
        for name in description.functions
    }
    return found | {DEPLOYER: deployer_policy.policy(names, description, permissions.get(DEPLOYER, []))}


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
    for function in stage.description.functions:
        wanted = policy_file(stage.name, function)
        if stage.policy_files.get(function) != wanted:
            raise ConfigurationError(
                f".chalice/config.json: stage {stage.name!r}: iam_policy_file of {function} must be {wanted!r}"
            )
    outdated = ", ".join(str(file.relative_to(stage.project)) for file in _outdated(stage))
    if outdated:
        raise ConfigurationError(
            f"these policies do not match {stage.description.follows_from} and .chalice/config.json: {outdated}. Run "
            f".venv/bin/python deploy.py stage update {stage.name}{stage.option}, and review what it changes"
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
