"""A copy of this checkout's deployable part, set up for the sandbox: the checkout itself is never edited."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGE = "dev"

# What a deployment reads; app.py and chalicelib are what ships.
_PARTS = ("app.py", "chalicelib", "requirements.txt", "statemachine.json", ".chalice")


def copy(folder: Path, application: Path, environment: Mapping[str, str]) -> Path:
    """Copy the project to `folder`, with another application.toml and more environment variables for the stage."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "deploy*"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / part)
    shutil.copy2(application, folder / "chalicelib" / "application.toml")
    _configure(folder / ".chalice" / "config.json", environment)
    return folder


def _configure(file: Path, environment: Mapping[str, str]) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    config["stages"][STAGE]["environment_variables"] |= dict(environment)
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
