"""The pace as people see it, and as they set it by hand."""

import msgspec

from chalicelib.application.config import Configuration
from chalicelib.errors import InvalidRequest
from chalicelib.ledger import Ledger
from chalicelib.ledger.pace import HIGHEST, Limits, Pace, SetPace, as_of, effective_rate
from chalicelib.models.runs import SET_BY
from chalicelib.notifications.phrases import answered, moment
from chalicelib.runs.turn import limits_of
from chalicelib.settings import Settings

# Why the pace does not rise any more: the application's owner has set a ceiling.
_CEILING = "max_per_second"


class PaceState(msgspec.Struct, frozen=True):
    """The pace as a batch would find it `now`, and what the application's owner allows."""

    pace: Pace
    limits: Limits
    now: int

    @property
    def per_second(self) -> float:
        """The rate that holds now."""
        return effective_rate(self.pace, self.limits, self.now) / 1000

    @property
    def lasting_per_second(self) -> float | None:
        """The rate that a whole run has to live with. None: nothing was refused, so it rises when a run needs more."""
        if self.pace.set_pace or self.pace.refused:
            return self.per_second
        return self.limits.max_per_second

    def within(self, settings: Settings) -> Settings:
        """Return the settings as a run has them that sends no more at once than the application's owner allows."""
        most = self.limits.max_in_flight or settings.concurrency
        return msgspec.structs.replace(settings, concurrency=min(settings.concurrency, most))

    @property
    def blocked_until(self) -> int | None:
        """Until when nobody may send, None if that is not forbidden."""
        return self.pace.blocked_until if self.pace.blocked_until > self.now else None

    @property
    def since(self) -> int | None:
        """Since when the rate is what it is; None if it is the one that every application begins with."""
        if self.pace.set_pace:
            return self.pace.set_pace.at
        return (self.pace.lowered_at if self.pace.since > self.now else self.pace.since) or None

    @property
    def reason(self) -> str | None:
        """The code of what holds the rate down, None if nothing does."""
        wanted = effective_rate(self.pace, Limits(), self.now)
        ceiling = effective_rate(Pace(rate=HIGHEST), self.limits, self.now)
        by_hand = self.pace.set_pace
        if self.limits.max_per_second is not None and (wanted > ceiling or (wanted == ceiling and not by_hand)):
            return _CEILING
        if by_hand:
            return SET_BY + by_hand.by
        return self.pace.reason if self.pace.refused or self.blocked_until else None

    @property
    def why(self) -> str:
        """The same in words, with what else keeps communications waiting."""
        sentences = [self._why_this_rate()]
        if self.blocked_until:
            sentences.append(f"Nothing is sent until {moment(self.blocked_until)}: {answered(self.pace.reason)}.")
        if self.pace.canary:
            sentences.append("Nobody knows whether the application works now, so a run tries a few first.")
        return " ".join(sentences)

    def _why_this_rate(self) -> str:
        if self.reason == _CEILING:
            return "max_per_second in application.toml allows no more."
        if self.pace.set_pace:
            return f"{self.pace.set_pace.by} has set it by hand, until {moment(self.pace.set_pace.until)}."
        if self.reason:
            return f"Slowed down, because {answered(self.reason)} at higher rates."
        return "Nothing holds it down: it rises as soon as a run needs more."


def get_pace(ledger: Ledger, configuration: Configuration) -> PaceState:
    """Return the pace."""
    return _state(ledger.pacing.read(), configuration, ledger.clock())


def set_pace(per_second: float, duration: int, by: str, ledger: Ledger, configuration: Configuration) -> PaceState:
    """Set the pace by hand for a while (in milliseconds), and return it. It replaces what somebody has set before.

    InvalidRequest if it is more than the application's owner allows.
    """
    ceiling = configuration.reprocess.max_per_second
    if ceiling is not None and per_second > ceiling:
        raise InvalidRequest(
            f"perSecond: {per_second:g} is more than max_per_second in application.toml allows, {ceiling:g}"
        )

    def by_hand(pace: Pace, now: int) -> tuple[Pace, Pace]:
        rate = SetPace(rate=round(per_second * 1000), by=by, at=now, until=now + duration)
        changed = msgspec.structs.replace(pace, set_pace=rate)
        return changed, changed

    return _state(ledger.pacing.change(by_hand), configuration, ledger.clock())


def release_pace(ledger: Ledger, configuration: Configuration) -> PaceState:
    """Let the pace find out again what the application can take, and return it. A block ends, too."""

    def released(pace: Pace, now: int) -> tuple[Pace, Pace]:
        blocked, free = min(pace.blocked_until, now), min(pace.next_free, now)
        changed = msgspec.structs.replace(pace, set_pace=None, blocked_until=blocked, next_free=free, blocks=0)
        return changed, changed

    return _state(ledger.pacing.change(released), configuration, ledger.clock())


def _state(pace: Pace, configuration: Configuration, now: int) -> PaceState:
    return PaceState(as_of(pace, now), limits_of(configuration), now)
