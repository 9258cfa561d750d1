"""The definition of the state machine: `statemachine.json` with its placeholders filled in."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployment.description import StateMachine

# The children on AWS are EXPRESS: a hundredth of the price of STANDARD.
EXPRESS = "EXPRESS"


def read(project: Path, machine: StateMachine, child_execution_type: str = EXPRESS) -> str:
    """Return a project's definition as JSON text. ValueError names a placeholder without a value."""
    values = {**machine.placeholders, "ChildExecutionType": child_execution_type}
    return render(project / "statemachine.json", values)


def render(file: Path, values: Mapping[str, str]) -> str:
    """Return a file's definition with these values. ValueError says what is wrong, or which value is missing."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    unknown = set(re.findall(r"\$\{(\w+)\}", text)) - set(values)
    if unknown:
        raise ValueError(f"{file.name}: no value for the placeholder {min(unknown)}")
    filled = re.sub(r"\$\{(\w+)\}", lambda match: json.dumps(values[match[1]])[1:-1], text)
    definition: dict[str, Any] = json.loads(filled)
    return json.dumps(definition, indent=2)
