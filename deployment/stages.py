"""The commands for stages: add one to `.chalice/config.json`, and write its policies. They need no AWS account."""

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chalicelib.errors import ConfigurationError
from deployment import policies
from deployment.stage import ANYWHERE, Stage, read_config

Json = dict[str, Any]


def add(options: argparse.Namespace) -> None:
    """Add a stage, and print what to do next."""
    stage = _add(options.project, options.name, options.like)
    print(f"Added stage {stage.name} to .chalice/config.json, and its policies. Its variables:")
    for name, value in stage.environment.items():
        print(f"  {name} = {value}")
    first = "store the secret, and run {} check" if "check" in stage.description.commands else "and run {} plan"
    print(f"Correct them, {first.format('.venv/bin/python deploy.py')} --stage {stage.name}{stage.option}")


def update(options: argparse.Namespace) -> None:
    """Write the policies of a stage that do not match its configuration, and print which."""
    written = policies.write(Stage(options.project, options.name, ANYWHERE))
    for file in written:
        print(f"wrote {file.relative_to(options.project)}")
    if not written:
        print("The policies are up to date.")


def _add(project: Path, name: str, like: str | None) -> Stage:
    """Add a stage with the settings of the stage `like` (None: the first one), and return it.

    Only names change: everything that contains the other stage's prefix gets the new one's. ConfigurationError if the
    stage exists, or its name does not make a valid prefix; then nothing has changed. Interrupted, it can be repeated.
    """
    config = read_config(project)
    stages = config.setdefault("stages", {})
    if name in stages:
        raise ConfigurationError(f"stage {name!r} exists already: change it in .chalice/config.json")
    like = like or next(iter(stages), "dev")
    functions = Stage(project, like, ANYWHERE).description.functions  # refuses an unknown or faulty one
    stages[name] = _copy(stages[like], config["app_name"], like, name, functions)
    stage = Stage(project, name, ANYWHERE, config)
    policies.write(stage)
    _replace(project / ".chalice" / "config.json", json.dumps(config, indent=2) + "\n")
    return stage


def _copy(stage: Json, app: str, old: str, new: str, known: Iterable[str]) -> Json:
    # Whole names only: those of a stage `developers` begin with those of `dev`.
    copied: Json = json.loads(re.sub(rf"\b{re.escape(f'{app}-{old}')}\b", f"{app}-{new}", json.dumps(stage)))
    functions = copied.setdefault("lambda_functions", {})
    for function in known:
        functions.setdefault(function, {})["iam_policy_file"] = policies.policy_file(new, function)
    return copied


def _replace(file: Path, text: str) -> None:
    """Replace a file at once, so that it is never half written."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
