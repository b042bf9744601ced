"""When an experiment may be decided, as stated before it starts.

A *fixed horizon* is looked at as often as one likes and decided once, when enough people or enough
time have passed. A *sequential* design may be decided at any look: its intervals are wider, by just
as much as looking all the time would otherwise mislead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil, exp, log, log1p, sqrt
from typing import Protocol

from signalpost.domain.distributions import normal_bound
from signalpost.domain.statistics import (
    Arm,
    RateDifference,
    RevenueDifference,
    check_share,
    pooled_information,
    rate_difference,
    rate_difference_at,
    revenue_difference,
    revenue_difference_at,
    z_score,
)
from signalpost.errors import BadInputError

POWER = 0.8  #: how surely the difference that one looks for is to be found
FARTHEST = 1e6  #: standard errors; an interval as wide as this says nothing
RAREST = 1e-300  #: the smallest p-value that is told from zero


class Design(Protocol):
    """What was stated before the start: how to compare, and when to decide."""

    @property
    def alpha(self) -> float:
        """How often the whole report may see a difference where there is none."""
        ...

    @property
    def any_look_decides(self) -> bool:
        """Whether a difference that is seen counts before the end."""
        ...

    def waits_for(self, *, arms: Sequence[Arm], now: datetime) -> str | None:
        """Say what is missing until the end, or nothing when it has come."""
        ...

    def compare_rates(self, *, control: Arm, treated: Arm, alpha: float) -> RateDifference:
        """Compare two conversion rates with the error ``alpha``."""
        ...

    def compare_revenue(self, *, control: Arm, treated: Arm, alpha: float) -> RevenueDifference:
        """Compare the revenue per person with the error ``alpha``."""
        ...


@dataclass(frozen=True, kw_only=True)
class FixedHorizon:
    """Decided once: when every arm has enough people, and the time has come (what is given of both).

    ``people`` alone suits an audience that trickles in. A campaign assigns everybody at once, before
    anybody could convert: give it ``ends_at``, or count only people whose time to convert is over.

    Raises:
        BadInputError: neither end is given, or one of them makes no sense.
    """

    people: int | None = None  #: in every arm
    ends_at: datetime | None = None
    alpha: float = 0.05

    any_look_decides = False

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        _check_aware("ends_at", self.ends_at)
        if self.people is None and self.ends_at is None:
            raise BadInputError("a fixed horizon needs people, ends_at or both")
        if self.people is not None and self.people < 1:
            raise BadInputError(f"people is {self.people}; give how many every arm must have")

    def waits_for(self, *, arms: Sequence[Arm], now: datetime) -> str | None:
        """Say what is missing until the horizon, or nothing when it is reached."""
        missing: list[str] = []
        fewest = min((arm.people for arm in arms), default=0)
        if self.people is not None and fewest < self.people:
            missing.append(f"the smallest arm has {fewest:,} of {self.people:,} people")
        if self.ends_at is not None and now < self.ends_at:
            missing.append(f"it ends at {_minute(self.ends_at)}")
        return " and ".join(missing) or None

    def compare_rates(self, *, control: Arm, treated: Arm, alpha: float) -> RateDifference:
        """Compare two conversion rates with intervals for a single look."""
        return rate_difference(control=control, treated=treated, alpha=alpha)

    def compare_revenue(self, *, control: Arm, treated: Arm, alpha: float) -> RevenueDifference:
        """Compare the revenue per person with an interval for a single look."""
        return revenue_difference(control=control, treated=treated, alpha=alpha)


@dataclass(frozen=True, kw_only=True)
class Sequential:
    """Decided at any look, by intervals that hold at all of them together.

    The normal-mixture confidence sequence: Robbins 1970; Johari, Pekelis and Walsh, "Always valid
    inference" (2015; Operations Research 70, 2022); for estimated variances
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and
    asymptotic confidence sequences" (Annals of Statistics 52, 2024). Its clock is the information
    about the log odds ratio, which grows both when people trickle in and when all are assigned at
    once and convert little by little. The bound on the z-score replaces the normal quantile in the
    same score intervals that a fixed horizon uses, so that small and zero counts are safe.

    Raises:
        BadInputError: ``lift`` or ``alpha`` is out of range, or ``ends_at`` has no zone.
    """

    lift: float = 0.2
    """The relative lift that one looks for, 0.2 being 20 per cent: the intervals are narrowest, for
    their kind, about when such a lift can be seen. It does not change how often they err."""
    ends_at: datetime | None = None  #: from here on "no difference seen" is an answer
    alpha: float = 0.05

    any_look_decides = True

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        _check_aware("ends_at", self.ends_at)
        if not 0.001 <= self.lift <= 1:
            raise BadInputError(f"lift is {self.lift!r}; give a share from 0.001 to 1, such as 0.2")

    def waits_for(self, *, arms: Sequence[Arm], now: datetime) -> str | None:
        """Say that the difference may still show, or nothing when the end has come."""
        if self.ends_at and now >= self.ends_at:
            return None
        people = sum(arm.people for arm in arms)
        end = f"it ends at {_minute(self.ends_at)}" if self.ends_at else "no end was set"
        return f"after {people:,} people the difference may still be zero, and {end}"

    def bound(self, *, control: Arm, treated: Arm, alpha: float) -> float:
        """Give the z-score that is passed at any look ever, with probability ``alpha`` at most."""
        progress = self._progress(control, treated, alpha)
        if progress == 0:
            return FARTHEST
        squared = (1 + 1 / progress) * (log1p(progress) - 2 * log(alpha))
        return min(FARTHEST, sqrt(squared))

    def compare_rates(self, *, control: Arm, treated: Arm, alpha: float) -> RateDifference:
        """Compare two conversion rates with intervals and p-value for any number of looks."""
        z = self.bound(control=control, treated=treated, alpha=alpha)
        seen = rate_difference_at(control=control, treated=treated, z=z)
        progress = self._progress(control, treated, alpha)
        score = z_score(control=control, treated=treated)
        return replace(seen, p_value=_always_valid(score, progress))

    def compare_revenue(self, *, control: Arm, treated: Arm, alpha: float) -> RevenueDifference:
        """Compare the revenue per person with an interval for any number of looks.

        It is as wide, in standard errors, as that of the rates: what people spend comes with the
        conversions, and so runs on the same clock.
        """
        z = self.bound(control=control, treated=treated, alpha=alpha)
        seen = revenue_difference_at(control=control, treated=treated, z=z)
        score = normal_bound(max(seen.p_value, RAREST))
        progress = self._progress(control, treated, alpha)
        return replace(seen, p_value=_always_valid(score, progress))

    def _progress(self, control: Arm, treated: Arm, alpha: float) -> float:
        """Give the information so far, in units of the mixture's variance.

        The unit makes the bound tightest at the information that a fixed horizon would need to see
        ``lift`` (Waudby-Smith et al. 2024 on tuning Robbins' mixture).
        """
        needed = (
            (normal_bound(self.alpha) + normal_bound(2 * (1 - POWER))) / log1p(self.lift)
        ) ** 2
        tight = -2 * log(alpha) + log(1 - 2 * log(alpha))
        return tight * pooled_information(control=control, treated=treated) / needed


@dataclass(frozen=True)
class PeopleNeeded:
    """How many people an experiment needs on either side."""

    control: int
    treated: int  #: in each treated arm


def people_needed(
    *,
    base_rate: float,
    lift: float,
    alpha: float = 0.05,
    power: float = POWER,
    treated_per_control: float = 1.0,
    comparisons: int = 1,
) -> PeopleNeeded:
    """Give the people that a fixed horizon needs to see a relative ``lift`` with this ``power``.

    Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions (3rd ed. 2003), chapter 4,
    without continuity correction; ``alpha`` is shared by the ``comparisons``.

    Raises:
        BadInputError: a share is out of range, or the lift leads to no rate between 0 and 1.
    """
    for what, value in (("base_rate", base_rate), ("alpha", alpha), ("power", power)):
        check_share(what, value)
    goal = base_rate * (1 + lift)
    if lift == 0 or not 0 < goal < 1:
        raise BadInputError(
            f"a lift of {lift!r} on a base rate of {base_rate!r} leads to {goal!r}; give one that"
            " is not zero and leads to a rate between 0 and 1"
        )
    if not 0 < treated_per_control < float("inf") or comparisons < 1:
        raise BadInputError("treated_per_control and comparisons must be above zero")
    ratio = treated_per_control
    pooled = (base_rate + ratio * goal) / (1 + ratio)
    by_chance = normal_bound(alpha / comparisons) * sqrt((1 + 1 / ratio) * pooled * (1 - pooled))
    spread = base_rate * (1 - base_rate) + goal * (1 - goal) / ratio
    by_effect = normal_bound(2 * (1 - power)) * sqrt(spread)
    control = ((by_chance + by_effect) / (goal - base_rate)) ** 2
    return PeopleNeeded(control=ceil(control), treated=ceil(control * ratio))


def detectable_lift(
    *,
    base_rate: float,
    control: int,
    treated: int,
    alpha: float = 0.05,
    power: float = POWER,
    comparisons: int = 1,
) -> float | None:
    """Give the smallest relative lift upwards that so many people would show, or none.

    Raises:
        BadInputError: a share is out of range, or an arm has no people.
    """
    check_share("base_rate", base_rate)
    if control < 1 or treated < 1:
        raise BadInputError("both arms need people to see a lift by")

    def enough(lift: float) -> bool:
        needed = people_needed(
            base_rate=base_rate,
            lift=lift,
            alpha=alpha,
            power=power,
            treated_per_control=treated / control,
            comparisons=comparisons,
        )
        return needed.control <= control

    low, high = 0.0, (1 / base_rate - 1) * (1 - 1e-9)
    if not enough(high):
        return None
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _always_valid(z: float, progress: float) -> float:
    """Give the p-value that falls below alpha, at any look ever, with probability alpha at most."""
    return exp(min(0.0, (log1p(progress) - z * z * progress / (1 + progress)) / 2))


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"


def _check_aware(what: str, moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() is None:
        raise BadInputError(f"{what} is {moment}, without a zone; give an aware datetime")
