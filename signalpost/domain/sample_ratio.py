"""Whether people fell into the arms of an experiment as planned.

When they did not, something other than chance moves people between the arms or loses them on the
way, and no difference between the arms can be trusted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from signalpost.domain.distributions import binomial_tail, chi_square_tail
from signalpost.domain.statistics import Arm
from signalpost.errors import BadInputError

MISMATCH = 0.001
"""A sample ratio less likely than this by chance raises the alarm (Kohavi, Tang and Xu, Trustworthy
Online Controlled Experiments, 2020; Fabijan et al., "Diagnosing Sample Ratio Mismatch", KDD 2019)."""
FEW = 5  #: with fewer people expected in an arm the chi-square approximation is not good enough


@dataclass(frozen=True, kw_only=True)
class SampleRatio:
    """How the people fell into the arms, beside how they should have."""

    people: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float  #: how likely so large a mismatch is by chance
    alarm: bool  #: too unlikely: something moves people between arms, so trust no difference


def sample_ratio(*, arms: Sequence[Arm], weights: Mapping[str, float]) -> SampleRatio:
    """Check that the people fell into the arms as planned.

    Pearson's chi-square test of fit; with fewer than five people expected in an arm, an exact
    binomial test of every arm against the rest, of which the smallest p-value counts, times the
    number of arms (Bonferroni). An arm of the plan that is not among ``arms`` has nobody.

    Raises:
        BadInputError: an arm is not in the plan or counted twice, or a weight is not above zero.
    """
    people = _people_by_arm(arms, weights)
    everybody, whole = sum(people.values()), sum(weights.values())
    shares = {name: weight / whole for name, weight in weights.items()}
    expected = {name: everybody * share for name, share in shares.items()}
    p_value = 1.0
    if len(people) > 1 and everybody:
        p_value = (_exact_fit if min(expected.values()) < FEW else _pearson_fit)(people, shares)
    return SampleRatio(people=people, expected=expected, p_value=p_value, alarm=p_value < MISMATCH)


def _people_by_arm(arms: Sequence[Arm], weights: Mapping[str, float]) -> dict[str, int]:
    for name, weight in weights.items():
        if not (isfinite(weight) and weight > 0):
            raise BadInputError(
                f"the plan gives arm {name!r} a weight of {weight!r}; give it one"
                " above zero, or take it out"
            )
    people = dict.fromkeys(weights, 0)
    for arm in arms:
        if arm.name not in people:
            raise BadInputError(f"arm {arm.name!r} is not in the plan: {', '.join(weights)}")
        people[arm.name] += arm.people
    if len({arm.name for arm in arms}) < len(arms):
        raise BadInputError("an arm is counted twice; give every arm once")
    return people


def _pearson_fit(people: Mapping[str, int], shares: Mapping[str, float]) -> float:
    everybody = sum(people.values())
    statistic = sum(
        (people[name] - everybody * share) ** 2 / (everybody * share)
        for name, share in shares.items()
    )
    return chi_square_tail(statistic, len(shares) - 1)


def _exact_fit(people: Mapping[str, int], shares: Mapping[str, float]) -> float:
    everybody = sum(people.values())
    smallest = min(binomial_tail(people[name], everybody, share) for name, share in shares.items())
    looks = 1 if len(shares) == 2 else len(shares)  # of two arms, one says all about the other
    return min(1.0, smallest * looks)
