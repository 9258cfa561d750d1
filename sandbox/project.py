"""Copies the deployable part of this checkout, or of another project, and configures the copy for the sandbox."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from deployment import policies
from deployment.stage import ANYWHERE, Stage

ROOT = Path(__file__).parents[1]
STAGE = "dev"

# How comms-reprocess talks to the reference application.
APPLICATION_TOML = ROOT / "sandbox" / "application" / "application.toml"

# What a deployment reads, as far as a project has it. Only app.py and chalicelib ship to Lambda.
_DEPLOYABLE = ("app.py", "chalicelib", "requirements.txt", "statemachine.json", "description.py", ".chalice")


_NOT_COPIED = shutil.ignore_patterns("__pycache__", "deployed", "deployments")


def copy(folder: Path, environment: Mapping[str, str], application_toml: str | None, project: Path = ROOT) -> None:
    """Copy a project to `folder`, with this application.toml, if any, and these environment variables of the stage.

    The stage's policies follow from both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in (project / name for name in _DEPLOYABLE):
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=_NOT_COPIED)
        elif source.exists():
            shutil.copy2(source, folder / source.name)
    if application_toml is not None:
        (folder / "chalicelib" / "application.toml").write_text(application_toml, encoding="utf-8")
    _add_variables(folder / ".chalice" / "config.json", environment)
    policies.write(Stage(folder, STAGE, ANYWHERE))


def stage_variables(project: Path = ROOT) -> dict[str, str]:
    """Return the environment variables of a project's stage."""
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    variables: dict[str, str] = config["stages"][STAGE]["environment_variables"]
    return variables


def _add_variables(file: Path, environment: Mapping[str, str]) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    config["stages"][STAGE]["environment_variables"] |= dict(environment)
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
