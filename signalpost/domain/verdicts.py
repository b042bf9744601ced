"""What a report may say about an experiment, and "not yet known" when it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from signalpost.domain.designs import Design
from signalpost.domain.sample_ratio import MISMATCH, SampleRatio, sample_ratio
from signalpost.domain.statistics import Arm, RateDifference, RevenueDifference
from signalpost.errors import BadInputError


class Says(StrEnum):
    """The answers that a report may give."""

    HIGHER = "higher"  #: the treated arm converts more than the control
    LOWER = "lower"  #: the treated arm converts less than the control
    NO_DIFFERENCE = "no difference seen"  #: the end has come and zero is still possible
    TOO_FEW = (
        "too few to tell"  #: the end has come, and the counts go together with nearly anything
    )
    NOT_YET = "not yet known"
    NEVER = "cannot be known"  #: there is nobody to compare with, and there will be nobody


#: Fewer people than this on a side answer nothing: whatever the rate, one of the side's two expected
#: counts (who converted, who did not) is below five, where the z-test cannot be trusted (Cochran,
#: "Some methods for strengthening the common chi-square tests", Biometrics 10, 1954).
FEWEST_PEOPLE = 10
WIDEST = 0.1
"""An interval wider than this on either side of its middle, as a share (10 points), is too wide for "no
difference seen": campaigns convert single-digit percentages, so that it leaves open anything from nobody
to three times as many. It is our bound, not a paper's."""


@dataclass(frozen=True)
class Verdict:
    """What is known about one treated arm, with a sentence that says why."""

    says: Says
    why: str
    trust: bool = True  #: False: the sample ratio is wrong, so that no figure means anything

    @property
    def known(self) -> bool:
        """Whether the question has been answered."""
        return self.says not in (Says.NOT_YET, Says.NEVER)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One treated arm beside the control; no figures while one of them has no people."""

    arm: str
    rates: RateDifference | None
    revenue: RevenueDifference | None  #: shown, never decided by
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Report:
    """All treated arms of an experiment, at one look."""

    confidence: float  #: of every interval; above 1 - alpha when arms share the error
    sample_ratio: SampleRatio
    comparisons: tuple[Comparison, ...]

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Arm → verdict: what to keep, and to give back as ``earlier`` at the next look."""
        return {comparison.arm: comparison.verdict for comparison in self.comparisons}


def judge(
    *,
    control: Arm | None,
    treated: Sequence[Arm],
    weights: Mapping[str, float],
    design: Design,
    now: datetime,
    earlier: Mapping[str, Verdict] | None = None,
) -> Report:
    """Compare every treated arm with the control, and say only what is known.

    ``weights`` is the plan: the share of people of every arm, by name, the control among them. The
    error ``design.alpha`` is of the report as a whole: several arms share it evenly (Bonferroni), in
    intervals, p-values and verdicts alike. A verdict once known stands when it comes back in
    ``earlier``, unless the sample ratio raises its alarm: an experiment is decided once.

    Raises:
        BadInputError: there is no treated arm, an arm is not in the plan or comes twice, or
            ``now`` has no zone.
    """
    if not treated:
        raise BadInputError("there is no treated arm to report on; give at least one")
    if now.utcoffset() is None:
        raise BadInputError(f"now is {now}, without a zone; give an aware datetime")
    arms = [*treated, control] if control else list(treated)
    ratio = sample_ratio(arms=arms, weights=weights)
    waits = design.waits_for(arms=arms, now=now)
    comparisons: list[Comparison] = []
    for arm in treated:
        seen = _compare(design, control, arm, sharing=len(treated))
        before = (earlier or {}).get(arm.name)
        if ratio.alarm:
            verdict = _mismatch(ratio)
        elif before and before.known:
            verdict = before
        else:
            verdict = _verdict(design, control, arm, seen, waits)
        comparisons.append(replace(seen, verdict=verdict))
    return Report(
        confidence=1 - design.alpha / len(treated),
        sample_ratio=ratio,
        comparisons=tuple(comparisons),
    )


def _compare(design: Design, control: Arm | None, arm: Arm, *, sharing: int) -> Comparison:
    nothing = Comparison(arm=arm.name, rates=None, revenue=None, verdict=Verdict(Says.NOT_YET, ""))
    if control is None or not control.people or not arm.people:
        return nothing
    alpha = design.alpha / sharing
    rates = design.compare_rates(control=control, treated=arm, alpha=alpha)
    revenue = design.compare_revenue(control=control, treated=arm, alpha=alpha)
    return replace(
        nothing,
        rates=replace(rates, p_value=min(1.0, sharing * rates.p_value)),
        revenue=replace(revenue, p_value=min(1.0, sharing * revenue.p_value)),
    )


def _mismatch(ratio: SampleRatio) -> Verdict:
    arms = ", ".join(
        f"{name} {ratio.people[name]:,} people instead of about {expected:,.0f}"
        for name, expected in ratio.expected.items()
    )
    return Verdict(
        Says.NOT_YET,
        f"Do not trust these figures: people did not fall into the arms as planned ({arms}), which"
        f" chance does less than once in {1 / MISMATCH:,.0f} looks. Find out what moved or"
        " lost them before you read any difference.",
        trust=False,
    )


_NOBODY_ELSE = Verdict(
    Says.NEVER,
    "It cannot be known what this changed: nobody was held out, so that there is nobody to compare with."
    " Next time give the campaign's file a holdout, such as 10%, or an experiment with several arms,"
    " before its launch.",
)


def _verdict(
    design: Design, control: Arm | None, treated: Arm, seen: Comparison, waits: str | None
) -> Verdict:
    rates = seen.rates
    if control is None:
        return _NOBODY_ELSE
    if rates is None:
        return _not_yet(waits or f"{control.name} and {seen.arm} do not both have people")
    differs = rates.differs(alpha=design.alpha)
    if waits and not (differs and design.any_look_decides):
        return _not_yet(waits)
    figures = _figures(control.name, seen.arm, rates)
    if (too_few := _too_few(control, treated, rates, differs)) is not None:
        if waits:
            return _not_yet(f"{too_few}; {figures}")
        # As final as any answer: at a fixed horizon a second look would be one look too many.
        return Verdict(Says.TOO_FEW, f"Nobody can tell from this: {too_few}; {figures}.")
    if not differs:
        return Verdict(
            Says.NO_DIFFERENCE,
            f"No difference seen: {figures}. That does not prove that there is none.",
        )
    says = Says.HIGHER if rates.absolute > 0 else Says.LOWER
    often = "more" if rates.absolute > 0 else "less"
    return Verdict(says, f"People in {seen.arm} converted {often} often: {figures}.")


def _too_few(control: Arm, treated: Arm, rates: RateDifference, differs: bool) -> str | None:
    """Say what is too little for an answer, if anything is."""
    fewest = min(control, treated, key=lambda arm: arm.people)
    if fewest.people < FEWEST_PEOPLE:
        return (
            f"too few people, {fewest.people:,} in {fewest.name}, and an answer needs {FEWEST_PEOPLE} on"
            " either side"
        )
    low, high = rates.absolute_interval.low or 0.0, rates.absolute_interval.high or 0.0
    if not differs and (high - low) / 2 > WIDEST:
        return (
            "too few people, or too few who converted, so that the interval is wider than"
            f" {100 * WIDEST:.0f} points on either side"
        )
    return None


def _not_yet(why: str) -> Verdict:
    return Verdict(Says.NOT_YET, f"Not yet known: {why}.")


def _figures(control: str, treated: str, rates: RateDifference) -> str:
    low, high = rates.absolute_interval.low or 0.0, rates.absolute_interval.high or 0.0
    digits = 2
    while digits < 6 and any(0 < abs(bound) * 100 < 0.5 / 10**digits for bound in (low, high)):
        digits += 1  # until no bound that is not zero reads as zero
    return (
        f"{rates.treated_rate:.{digits}%} in {treated}, {rates.control_rate:.{digits}%} in"
        f" {control}; the difference lies between {100 * low:+.{digits}f} and"
        f" {100 * high:+.{digits}f} percentage points"
    )
