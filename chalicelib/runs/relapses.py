"""How runs turn out: what relapsed counts on the run that sent it, runs are settled, and mails name the worse ones."""

import itertools
from collections.abc import Iterable

from chalicelib.application.config import Source
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import uncounted_relapses
from chalicelib.ledger.relapses import Relapse, Relapses
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, WorseRun
from chalicelib.runs.eligibility import Candidate
from chalicelib.telemetry import logs

# How many relapses are kept until they are counted: three full transactions if one run sent them all.
_COUNTED_AT_ONCE = 297

# How many runs a scan settles at most, so that it ends in time. The next one goes on with the others.
_SETTLED_AT_ONCE = 200

# How many earlier runs a mail names. The next one names the others.
_IN_A_MAIL = 10


class RelapseCounter:
    """Counts the relapses that a collector's scan comes across. No error keeps the collector from its work.

    After the first one it counts nothing more, so that a table that does not answer costs no time: the next scan comes
    across the same relapses. `all_counted` is whether nothing was left to it.
    """

    def __init__(self, relapses: Relapses) -> None:
        self._relapses = relapses
        self._found: dict[tuple[str, str], Relapse] = {}  # a list may contain a communication twice
        self._failed = False
        self.all_counted = True

    def look_at(self, candidate: Candidate) -> None:
        """Note whether a listed communication has relapsed."""
        listed, state = candidate.listed, candidate.state
        owners = uncounted_relapses(state, listed.listed_at) if state else []
        if state and owners:
            self._found[listed.key] = (state, owners[0])
            self.all_counted &= len(owners) == 1  # an earlier scan has failed, so one is left to the next
        if len(self._found) >= _COUNTED_AT_ONCE:
            self.count()

    def count(self) -> None:
        """Count what was found so far."""
        found, self._found = self._found, {}
        if self._failed:
            return
        try:
            self.all_counted &= self._relapses.count(found.values())
        except Exception as error:  # noqa: BLE001 (whatever it is, the run comes first)
            self._failed, self.all_counted = True, False
            logs.log_error(error)


def settle_runs(ledger: Ledger, sources: Iterable[Source], began: int) -> None:
    """Settle the runs of which nothing was in its cool-down any more when a complete scan began. No error is raised."""
    cool_down = max(source.cool_down_ms for source in sources)
    try:
        ended = (run for run in ledger.runs.unsettled() if (run.ended_at or 0) + cool_down < began)
        for run in itertools.islice(ended, _SETTLED_AT_ONCE):
            ledger.runs.settle(run.run_id)
    except Exception as error:  # noqa: BLE001 (the next complete scan settles them)
        logs.log_error(error)


def worse_runs(ledger: Ledger) -> list[WorseRun]:
    """Return the earlier runs that the next mail has to name, because they turned out worse than their own said."""
    return [_worse(run) for run in itertools.islice(ledger.runs.worse(), _IN_A_MAIL)]


def _worse(run: Run) -> WorseRun:
    # What was accepted after the report had counted it as unknown may have relapsed too.
    accepted = max(run.counts.get(Outcome.ACCEPTED, 0), run.relapsed)
    return WorseRun(run_id=run.run_id, accepted=accepted, relapsed=run.relapsed)


def mark_told(run: Run, ledger: Ledger) -> None:
    """Note that the mail about a run that has ended names earlier ones. May be repeated."""
    for worse in run.worse_runs:
        ledger.runs.mark_told(worse.run_id)
