"""What the counts of an experiment say: how two arms differ, and how surely.

Everything is by *intention to treat*: an arm's people are all who were assigned to it, whether or
not a message reached them. Nothing here knows when to stop looking; that is ``domain.verdicts``.
"""

from dataclasses import dataclass, replace
from math import sqrt

from signalpost.domain.distributions import (
    normal_bound,
    normal_tail,
    student_bound,
    student_tail,
)
from signalpost.errors import BadInputError


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The counts of one side of an experiment.

    Raises:
        BadInputError: the counts cannot be those of any group of people.
    """

    name: str
    people: int  #: all who were assigned, reached or not
    conversions: int = 0  #: of those people, how many converted; each counts once
    revenue: int = 0
    """What those people spent, in minor units of one currency (cents): whole numbers, so that no
    sum is ever rounded. Refunds may make it negative."""
    revenue_squares: int = 0  #: the sum, over people, of the square of what each one spent

    def __post_init__(self) -> None:
        for field in ("people", "conversions", "revenue", "revenue_squares"):
            if not isinstance(getattr(self, field), int):
                raise BadInputError(
                    f"arm {self.name!r}: {field} is {getattr(self, field)!r}; give a whole number"
                    " (revenue in minor units)"
                )
        if not 0 <= self.conversions <= self.people:
            raise BadInputError(
                f"arm {self.name!r}: {self.conversions} conversions of {self.people} people;"
                " count each person once, and only those who were assigned"
            )
        if self.revenue_squares * self.people < self.revenue**2 or (
            self.revenue_squares < abs(self.revenue)
        ):
            raise BadInputError(
                f"arm {self.name!r}: revenue_squares is {self.revenue_squares}, too small for a"
                f" revenue of {self.revenue} from {self.people} people; square what each person"
                " spent in minor units, then add up"
            )

    @property
    def rate(self) -> float | None:
        """The share of the people who converted; nothing when there is nobody."""
        return self.conversions / self.people if self.people else None


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``; ``None`` is no bound on that side."""

    low: float | None
    high: float | None

    @property
    def spans_zero(self) -> bool:
        """Whether no difference at all is among what the counts allow."""
        return (self.low is None or self.low <= 0) and (self.high is None or self.high >= 0)


@dataclass(frozen=True, kw_only=True)
class RateDifference:
    """How two conversion rates differ; rates and differences are shares: 0.01 is one point."""

    control_rate: float
    treated_rate: float
    absolute: float  #: treated - control
    absolute_interval: Interval
    relative: float | None  #: of the control's rate: 0.1 is ten per cent more; none without one
    relative_interval: Interval
    p_value: float

    def differs(self, *, alpha: float) -> bool:
        """Whether both the interval and the p-value rule out that there is no difference."""
        return not self.absolute_interval.spans_zero and self.p_value <= alpha


@dataclass(frozen=True, kw_only=True)
class RevenueDifference:
    """How the revenue per person assigned differs, in minor units of the currency."""

    control_mean: float
    treated_mean: float
    absolute: float  #: treated - control
    absolute_interval: Interval  #: without bounds while nothing tells how large the error is
    p_value: float


def rate_difference(*, control: Arm, treated: Arm, alpha: float = 0.05) -> RateDifference:
    """Compare two conversion rates, with intervals that miss the truth with ``alpha``.

    The absolute interval is Newcombe's hybrid score interval ("Interval estimation for the
    difference between independent proportions", Statistics in Medicine 17, 1998, method 10).
    The relative one is built of the same two score intervals by MOVER (Donner and Zou, Statistical
    Methods in Medical Research 21, 2012): it is safe at zero counts, and leaves out "no lift" just
    when the absolute one leaves out zero. The p-value is of the two-sided z-test with pooled rate.

    Raises:
        BadInputError: an arm has no people, or ``alpha`` is no probability.
    """
    check_share("alpha", alpha)
    return rate_difference_at(control=control, treated=treated, z=normal_bound(alpha))


def rate_difference_at(*, control: Arm, treated: Arm, z: float) -> RateDifference:
    """Compare two conversion rates, with intervals ``z`` standard errors wide on either side.

    Raises:
        BadInputError: an arm has no people.
    """
    _need_people(control, treated)
    before, after = control.conversions / control.people, treated.conversions / treated.people
    control_limits, treated_limits = _wilson(control, z), _wilson(treated, z)
    return RateDifference(
        control_rate=before,
        treated_rate=after,
        absolute=after - before,
        absolute_interval=_newcombe(before, control_limits, after, treated_limits),
        relative=after / before - 1 if before else None,
        relative_interval=_mover_ratio(before, control_limits, after, treated_limits),
        p_value=normal_tail(z_score(control=control, treated=treated)),
    )


def z_score(*, control: Arm, treated: Arm) -> float:
    """Give the difference of two rates in standard errors, as if both arms had the same rate."""
    information = pooled_information(control=control, treated=treated)
    if information == 0:
        return 0.0
    people = control.people + treated.people
    score = (treated.conversions * control.people - control.conversions * treated.people) / people
    return score / sqrt(information)


def pooled_information(*, control: Arm, treated: Arm) -> float:
    """Give the information about the log odds ratio that the counts hold, if there is no effect.

    It is the variance of the efficient score (Whitehead, The Design and Analysis of Sequential
    Clinical Trials, 2nd ed. 1997); with two equal arms and a low rate, a quarter of all
    conversions. Zero while nobody, or everybody, has converted.
    """
    people = control.people + treated.people
    conversions = control.conversions + treated.conversions
    if people == 0:
        return 0.0
    return control.people * treated.people * conversions * (people - conversions) / people**3


def revenue_difference(*, control: Arm, treated: Arm, alpha: float = 0.05) -> RevenueDifference:
    """Compare the revenue per person assigned, unequal variances allowed (Welch 1947).

    Raises:
        BadInputError: an arm has no people, or ``alpha`` is no probability.
    """
    check_share("alpha", alpha)
    _need_people(control, treated)
    if min(control.people, treated.people) < 2:
        return _revenue(control, treated, error=0.0)
    mine, theirs = _variance(treated) / treated.people, _variance(control) / control.people
    error = sqrt(mine + theirs)
    if error == 0:
        return _revenue(control, treated, error=0.0)
    own, other = mine / (mine + theirs), theirs / (mine + theirs)
    degrees = 1 / (own**2 / (treated.people - 1) + other**2 / (control.people - 1))
    seen = _revenue(control, treated, error=student_bound(alpha, degrees) * error)
    return replace(seen, p_value=student_tail(seen.absolute / error, degrees))


def revenue_difference_at(*, control: Arm, treated: Arm, z: float) -> RevenueDifference:
    """Compare the revenue per person, with an interval ``z`` standard errors wide on either side.

    The standard error is the larger of Welch's and the one with pooled variance: few people spend
    and some spend much, so that a small arm alone tells too little about its own variance for many
    looks (in simulation up to a third of them went wrong with Welch's, none with the larger one).

    Raises:
        BadInputError: an arm has no people.
    """
    _need_people(control, treated)
    if min(control.people, treated.people) < 2:
        return _revenue(control, treated, error=0.0)
    everybody = Arm(
        name="both",
        people=control.people + treated.people,
        revenue=control.revenue + treated.revenue,
        revenue_squares=control.revenue_squares + treated.revenue_squares,
    )
    welch = _variance(treated) / treated.people + _variance(control) / control.people
    pooled = _variance(everybody) * (1 / treated.people + 1 / control.people)
    error = sqrt(max(welch, pooled))
    seen = _revenue(control, treated, error=z * error)
    return replace(seen, p_value=normal_tail(seen.absolute / error)) if error else seen


def check_share(what: str, value: float) -> None:
    """Insist that a value lies between 0 and 1, both left out.

    Raises:
        BadInputError: it does not.
    """
    if not 0 < value < 1:
        raise BadInputError(f"{what} is {value!r}; give a share between 0 and 1, such as 0.05")


def _need_people(*arms: Arm) -> None:
    for arm in arms:
        if arm.people == 0:
            raise BadInputError(f"arm {arm.name!r} has no people, so there is nothing to compare")


def _wilson(arm: Arm, z: float) -> tuple[float, float]:
    """Give the score interval of one rate (Wilson 1927); from 0 to 1 when there is nobody."""
    if arm.people == 0:
        return 0.0, 1.0
    n, rate = arm.people, arm.conversions / arm.people
    centre = rate + z * z / (2 * n)
    half = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    low = min(rate, (centre - half) / whole) if arm.conversions else 0.0
    high = max(rate, (centre + half) / whole) if arm.conversions < n else 1.0
    return max(0.0, low), min(1.0, high)


def _newcombe(
    before: float, control: tuple[float, float], after: float, treated: tuple[float, float]
) -> Interval:
    apart = after - before
    low = apart - sqrt((after - treated[0]) ** 2 + (control[1] - before) ** 2)
    high = apart + sqrt((treated[1] - after) ** 2 + (before - control[0]) ** 2)
    return Interval(max(-1.0, low), min(1.0, high))


def _mover_ratio(
    before: float, control: tuple[float, float], after: float, treated: tuple[float, float]
) -> Interval:
    """Give the lifts at which the treated rate could still be (1 + lift) times the control's.

    Each bound is a root R of (after - R before)² = (after - limit)² + R² (other limit - before)²,
    written so that nothing is divided by zero.
    """
    across = before * after

    def apart(squared: float, constant: float) -> float:
        return sqrt(max(0.0, across**2 - squared * constant))

    squared = control[1] * (2 * before - control[1])
    constant = treated[0] * (2 * after - treated[0])
    low = constant / (across + apart(squared, constant)) if constant else 0.0
    squared = control[0] * (2 * before - control[0])
    constant = treated[1] * (2 * after - treated[1])
    high = (across + apart(squared, constant)) / squared - 1 if squared else None
    return Interval(low - 1, high)


def _revenue(control: Arm, treated: Arm, *, error: float) -> RevenueDifference:
    before, after = control.revenue / control.people, treated.revenue / treated.people
    apart = after - before
    return RevenueDifference(
        control_mean=before,
        treated_mean=after,
        absolute=apart,
        absolute_interval=Interval(apart - error, apart + error) if error else Interval(None, None),
        p_value=1.0,
    )


def _variance(arm: Arm) -> float:
    """Give the variance of what a person spends; from whole numbers, so that no digits cancel."""
    n = arm.people
    return (n * arm.revenue_squares - arm.revenue**2) / (n * (n - 1))
