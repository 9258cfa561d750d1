"""A copy of this checkout's deployable part, set up for the sandbox: the checkout itself is never edited."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGE = "dev"

# How comms-reprocess speaks to the reference application.
APPLICATION_TOML = ROOT / "sandbox" / "application" / "application.toml"

# What a deployment reads; app.py and chalicelib are what ships.
_PARTS = ("app.py", "chalicelib", "requirements.txt", "statemachine.json", ".chalice")


def copy(folder: Path, environment: Mapping[str, str], application_toml: str) -> None:
    """Copy the project to `folder`, with another application.toml and more environment variables for the stage."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "deploy*"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / part)
    (folder / "chalicelib" / "application.toml").write_text(application_toml, encoding="utf-8")
    _configure(folder / ".chalice" / "config.json", environment)


def _configure(file: Path, environment: Mapping[str, str]) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    config["stages"][STAGE]["environment_variables"] |= dict(environment)
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
