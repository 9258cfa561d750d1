"""Causes: why communications are failing now."""

from chalicelib.api.schemas.base import Moment, Operation, RequestModel, ResponseModel
from chalicelib.api.schemas.communications import SampleItem
from chalicelib.models.base import CauseId
from chalicelib.models.communications import CauseKind


class CausesQuery(RequestModel, frozen=True):
    """Of which operation."""

    operation: Operation | None = None


class CauseView(ResponseModel, frozen=True):
    """Why communications are failing: all that fail alike have one cause.

    `onWorklist` of `count` need a person. `example` is one of all, null if their ids are very long. `reason` is a code,
    null if neither the application's answer nor its list gave one. `trend` has the counts of the last twelve scans,
    oldest first. `folded`: it adds up causes that are rare, so it cannot be selected.
    """

    id: CauseId
    operation: str
    kind: CauseKind
    reason: str | None
    count: int
    on_worklist: int
    first_seen: Moment
    last_seen: Moment
    trend: list[int]
    example: SampleItem | None
    folded: bool


class CausesView(ResponseModel, frozen=True):
    """The causes as of the last scan of the schedule, which began at `asOf`; null before the first one.

    A cause that is not seen any more stays for 24 hours, with a count of 0. `complete`: the scan has read all lists
    from beginning to end, as the one at `lastComplete` did. Otherwise the counts are lower bounds, for the operations
    whose lists were not. `capped`: there are so many causes that rare ones are folded, as `other`.
    """

    as_of: Moment | None
    complete: bool
    last_complete: Moment | None
    capped: bool
    causes: list[CauseView]
