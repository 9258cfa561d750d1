"""Changes of many communications of the worklist at once."""

import msgspec

from chalicelib.api.schemas.base import Cursor, Ids, Operation, Reason, RequestModel, ResponseModel
from chalicelib.models.base import CauseId, Note


class BulkSelection(RequestModel, frozen=True):
    """Which communications: `ids`, a part of those with a `reason`, or `all` that match.

    With a `reason` (and `operation`), the answer's `nextCursor` continues. With `all`, a run does the work: everything
    that is on the worklist now and has the `reason`, `operation` and `cause` that are given, at least one of them.
    """

    ids: Ids | None = None
    reason: Reason | None = None
    operation: Operation | None = None
    cursor: Cursor | None = None
    every: bool = msgspec.field(default=False, name="all")
    cause: CauseId | None = None

    def __post_init__(self) -> None:
        if self.every:
            self._check_all()
        elif self.cause is not None:
            raise ValueError("cause needs all")
        elif (self.ids is None) == (self.reason is None):
            raise ValueError("give either ids or a reason, or all")
        elif self.ids is not None and (self.operation or self.cursor):
            raise ValueError("ids cannot be combined with operation or cursor")

    def _check_all(self) -> None:
        if self.ids is not None or self.cursor is not None:
            raise ValueError("all cannot be combined with ids or cursor")
        if self.reason is None and self.operation is None and self.cause is None:
            raise ValueError("all needs a reason, an operation or a cause")


_NULL, _TEXT = {"type": "null"}, {"type": "string"}
_NOT_ALL = {"all": {"const": False}, "cause": _NULL}

# What BulkSelection and BulkRetry check, in JSON Schema.
ONE_SELECTION = {
    "oneOf": [
        {
            "required": ["ids"],
            "properties": {
                "ids": {"type": "array"},
                "reason": _NULL,
                "operation": _NULL,
                "cursor": _NULL,
                **_NOT_ALL,
            },
        },
        {"required": ["reason"], "properties": {"reason": _TEXT, "ids": _NULL, **_NOT_ALL}},
        {
            "required": ["all"],
            "properties": {
                "all": {"const": True},
                "ids": _NULL,
                "cursor": _NULL,
                "startRun": {"const": False},
            },
            "anyOf": [{"required": [name], "properties": {name: _TEXT}} for name in ("reason", "operation", "cause")],
        },
    ]
}


class BulkRetry(BulkSelection, frozen=True):
    """Which communications to retry. `startRun` also starts runs for them; after `all`, the next run takes them."""

    start_run: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every and self.start_run:
            raise ValueError("startRun cannot be combined with all; the next run takes what was retried")


class BulkDismissal(BulkSelection, frozen=True, kw_only=True):
    """Which communications to dismiss, and why, in the caller's own words."""

    note: Note


class BulkResult(ResponseModel, frozen=True):
    """How many communications were changed, how many could not be and why, and the runs that were started for them.

    In `refused`, `no_time` counts the last of the `ids`: call again with these. `error`: AWS did not answer, so look at
    the communications before you call again. A run that could not be started is missing in `runIds`; the next run takes
    what was retried.
    """

    changed: int
    refused: dict[str, int]
    run_ids: list[str]
    next_cursor: str | None
