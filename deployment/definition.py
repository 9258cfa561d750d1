"""The definition of the state machine: `statemachine.json` with its placeholders filled in."""

import json
import re
from pathlib import Path
from typing import Any

from chalicelib.names import Names

# The children on AWS are EXPRESS: a hundredth of the price of STANDARD, and a batch fits into their five minutes.
EXPRESS = "EXPRESS"


def placeholders(names: Names, child_execution_type: str = EXPRESS) -> dict[str, str]:
    """Return the value of each `${Placeholder}` of statemachine.json for one deployment."""
    return {
        "Partition": names.location.partition,
        "Bucket": names.bucket,
        "BeginFunction": names.function_arn("begin"),
        "ReprocessFunction": names.function_arn("reprocess"),
        "RecordFunction": names.function_arn("record"),
        "ReportFunction": names.function_arn("report"),
        "RequestApprovalFunction": names.function_arn("request_approval"),
        "CollectorFunction": names.function_arn("collector"),
        "SucceededTopic": names.succeeded_topic_arn,
        "FailedTopic": names.failed_topic_arn,
        "ChildExecutionType": child_execution_type,
    }


def render(file: Path, values: dict[str, str]) -> str:
    """Return the definition as JSON text. ValueError names a placeholder without a value."""
    text = file.read_text(encoding="utf-8")
    unknown = set(re.findall(r"\$\{(\w+)\}", text)) - set(values)
    if unknown:
        raise ValueError(f"{file.name}: no value for the placeholder {min(unknown)}")
    filled = re.sub(r"\$\{(\w+)\}", lambda match: json.dumps(values[match[1]])[1:-1], text)
    definition: dict[str, Any] = json.loads(filled)
    return json.dumps(definition, indent=2)
