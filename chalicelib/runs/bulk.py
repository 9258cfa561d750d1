"""Bulk runs: retry or dismiss all that matches on the worklist, page by page, in the collector's Lambda.

Each page is pinned before anything is done about it, and counted once, by the same conditional write that moves the run
on to the next page. In between, each decision is one conditional write that names the run; whoever comes to it again
recognises it. What is refused stays refused, because a page is judged as of the time when it was pinned. So a collector
may die anywhere, and two may be at work at once: the communications and the numbers end the same.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from chalicelib.application.config import Configuration
from chalicelib.errors import ConfigurationError
from chalicelib.ledger import Ledger
from chalicelib.ledger.bulk_pages import BulkPage, PinnedEntry
from chalicelib.ledger.runs import run_key
from chalicelib.ledger.worklist import Refusal, Stay, WorklistEntry
from chalicelib.manifests import Manifests
from chalicelib.models.base import PageKey
from chalicelib.models.communications import CommunicationStatus
from chalicelib.models.runs import Run, RunKind, RunStatus
from chalicelib.models.selections import WorklistSelection
from chalicelib.notifications import bulk_result, policy
from chalicelib.runs.causes import cause_on_worklist
from chalicelib.runs.closing import Notify, as_it_is, close_failed, notification_fields, send_mail
from chalicelib.runs.worklist import Action, dismiss_action, retry_action
from chalicelib.settings import Settings

# How many entries of the worklist one query reads. A page is at most twice as long: with the longest ids that is half
# of the 400 KB of an item (Amazon DynamoDB Developer Guide, "Constraints"), and it takes a few seconds.
PAGE_SIZE = 100

# In milliseconds: then a page ends with what it has. So a stop is noticed where few entries match, too.
SEARCH_MS = 2_000

# In milliseconds: the last page, and then the recovery of other runs. The next collector goes on.
RESERVED_MS = 120_000


class Bulk:
    """Carries out bulk runs, in pages made of queries of `page_size`.

    `time_left` returns the milliseconds that the Lambda still has.
    """

    def __init__(
        self,
        ledger: Ledger,
        manifests: Manifests,
        read_configuration: Callable[[], Configuration],
        settings: Settings,
        invoke_collector: Callable[[str], None],
        notify: Notify,
        time_left: Callable[[], int],
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._ledger = ledger
        self._manifests = manifests
        self._read_configuration = read_configuration
        self._settings = settings
        self._invoke_collector = invoke_collector
        self._notify = notify
        self._time_left = time_left
        self._page_size = page_size

    def carry_out(self, run: Run) -> None:
        """Go on with a bulk run to its end and send its mail, or invoke the next collector when the time is over.

        After some 16 collectors in a row AWS takes that for an endless loop and refuses the call (AWS Lambda Developer
        Guide, "Lambda recursive loop detection"). Then recovery goes on with the run, as with one that was killed.
        """
        selection = self._manifests.read_selection(run.selection or "", WorklistSelection)
        try:
            while not run.closed:
                run = self._finish_page(run, selection)
                if not run.closed and self._time_left() < RESERVED_MS:
                    self._invoke_collector(run.run_id)
                    return
        except ConfigurationError as error:
            failed = bulk_result.failed
            run = close_failed(run, policy.UNREPORTED, str(error), failed, self._ledger, self._settings)
        send_mail(run_key(run.run_id), self._ledger, self._notify)

    def _finish_page(self, run: Run, selection: WorklistSelection) -> Run:
        """Decide about the page in hand, count it, and take the next one in hand or close the run."""
        page = self._ledger.bulk_pages.read(run.run_id, run.pages)
        counted = _count(run, [self._decide(run, page, entry) for entry in page.entries])
        halt_reason = self._ledger.runs.halt_reason(run.run_id)
        if page.last or halt_reason:
            return self._close(run, selection, None if page.last else halt_reason, counted)
        following = self._ledger.bulk_pages.pin(run.run_id, self._next_page(run, page, selection))
        matched = run.matched + len(following.entries)
        # Recovery counts anew: the run has got on.
        return self._move(run, pages=following.index, matched=matched, collections=0, recoveries=0, **counted)

    def _decide(self, run: Run, page: BulkPage, entry: PinnedEntry) -> Refusal | None:
        stay = Stay(run_id=run.run_id, since=entry.since, as_of=page.at)
        return self._action(run, stay)(entry.operation, entry.primary_id)

    def _action(self, run: Run, stay: Stay) -> Action:
        if run.kind == RunKind.DISMISS:
            return dismiss_action(run.requested_by, run.note or "", self._ledger, stay)
        return retry_action(run.requested_by, self._ledger, self._read_configuration(), stay)

    def _next_page(self, run: Run, page: BulkPage, selection: WorklistSelection) -> BulkPage:
        """Return the page after one, as the index has it now."""
        found: list[PinnedEntry] = []
        key, last, deadline = page.next_key, False, self._ledger.clock() + SEARCH_MS
        while not last and len(found) < self._page_size and self._ledger.clock() <= deadline:
            entries, key = self._query(key, selection)
            in_time = [entry for entry in entries if (entry.manual_since or 0) <= run.requested_at]
            found += [_pinned(entry) for entry in in_time if _matches(entry, selection)]
            last = key is None or len(in_time) < len(entries)
        at = max(self._ledger.clock(), run.requested_at)
        return BulkPage(index=page.index + 1, at=at, entries=found, next_key=key, last=last)

    def _query(self, after: PageKey | None, selection: WorklistSelection) -> tuple[list[WorklistEntry], PageKey | None]:
        filters = {"operation": selection.operation, "manualReason": selection.reason}
        equal = {name: value for name, value in filters.items() if value is not None}
        return self._ledger.worklist.page(CommunicationStatus.MANUAL, self._page_size, after, equal=equal)

    def _close(
        self, run: Run, selection: WorklistSelection, halt_reason: str | None, counted: dict[str, dict[str, int]]
    ) -> Run:
        """Close a run that has come to its end, or that was stopped. One that found nothing has no mail."""
        changes: dict[str, Any] = counted | {"status": _status(run, counted, halt_reason)}
        if changes["status"] == RunStatus.EMPTY:
            return self._move(run, **changes)
        changes |= notification_fields(run, None, self._ledger, self._settings)
        closed = msgspec.structs.replace(run, **changes, ended_at=self._ledger.clock())
        return self._move(run, mail=bulk_result.ended(closed, selection, halt_reason), **changes)

    def _move(self, run: Run, **changes: Any) -> Run:
        """Change a run, or return it as another collector has changed it."""
        return self._ledger.runs.change(run, **changes) or as_it_is(run, self._ledger)


def _count(run: Run, refusals: list[Refusal | None]) -> dict[str, dict[str, int]]:
    """Return the numbers of a run with those of the page in hand: why each entry was refused, None if it was not."""
    refused = Counter(refusal.value for refusal in refusals if refusal)
    counts = Counter(changed=refusals.count(None), refused=refused.total())
    return {"counts": dict(+(Counter(run.counts) + counts)), "refused": dict(Counter(run.refused) + refused)}


def _status(run: Run, counted: dict[str, dict[str, int]], halt_reason: str | None) -> RunStatus:
    if halt_reason:
        return RunStatus.STOPPED
    if counted["refused"]:
        return RunStatus.PARTIAL
    return RunStatus.SUCCEEDED if run.matched else RunStatus.EMPTY


def _matches(entry: WorklistEntry, selection: WorklistSelection) -> bool:
    """Whether an entry has the cause that a run is for; the query has compared everything else."""
    if selection.cause is None:
        return True
    cause = cause_on_worklist(entry)
    return cause is not None and cause.id == selection.cause


def _pinned(entry: WorklistEntry) -> PinnedEntry:
    return PinnedEntry(operation=entry.operation, primary_id=entry.primary_id, since=entry.manual_since or 0)
