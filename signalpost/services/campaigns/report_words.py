"""A report in words: what is known first, in plain sentences, then the tables it rests on.

The terminal and Prefect's pages show them as markdown (``report_markdown``), a run's page as HTML.
"""

import csv as comma_separated
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from signalpost.domain.event_facts import DIGITS
from signalpost.domain.reason_words import channel_name, reason_for_many, shared_reason
from signalpost.domain.statistics import RateDifference
from signalpost.domain.verdicts import Comparison, Says
from signalpost.record.campaign_results import CONTROL, HOUSE
from signalpost.services.campaigns.reported import ByChannel, Experiment, Figures, Money, Period
from signalpost.services.campaigns.texts import cost_in_words

_OUTCOMES = {
    "sent": "sent", "skipped": "not sent", "held_out": "held out", "set_aside": "set aside",
    "cancelled": "cancelled", "open": "not decided yet",
}  # fmt: skip
_REASONS = 3  #: named in the opening sentences; the table has all


@dataclass(frozen=True)
class Table:
    """A table: the first column names each row."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Part:
    """A part of a report under its own title. In sentences, `` ` `` stands around names and commands."""

    title: str
    says: Sequence[str | Table]
    is_detail: bool = False  #: for who wants to look closer; a page folds it


def parts(found: Figures) -> list[Part]:
    """Give what it brought about, part by part; what there is nothing to say of is left out."""
    given = (cause(found.experiment), _channels(found), _owed(found), _periods(found))
    return [part for part in given if part.says]


def verdicts(found: Experiment) -> list[str]:
    """Say what is known of each arm, or why it is not."""
    if found.report is None:
        return [_nobody(found)]
    if not any(side.counted for side in found.sides):
        return [f"Not yet known: nobody's {found.within} to convert are over."]
    return list(dict.fromkeys(_answer(found, one) for one in found.report.comparisons))


def _nobody(found: Experiment) -> str:
    if any(side.people for side in found.sides):
        return "Not yet known: people are on a side that the campaign's file does not plan."
    if found.earlier:
        came = (
            "1 person passed the gate and"
            if found.earlier == 1
            else (f"all {found.earlier:,} people who passed the gate")
        )
        return (
            f"It cannot be known from this run alone: {came} had come in with an earlier run, and counts"
            " there. `signalpost campaign report NAME --all-runs` measures all runs together."
        )
    return "Not yet known: nobody has passed the gate so far."


def _answer(found: Experiment, one: Comparison) -> str:
    said = one.verdict.why
    if one.verdict.known:
        return f"{said} (Decided at an earlier look; it stands.)" if one.arm in found.kept else said
    if found.is_complete and one.verdict.trust and one.verdict.says is not Says.NEVER:
        return f"{said} Nobody else comes in, so that it will not be known from this alone."
    return said


def sums(found: Figures) -> Iterator[str]:
    """Say in sentences who got it, and who did not and why."""
    people = "person" if found.people == 1 else "people"
    runs = len(found.run_ids)
    over = f", over {runs:,} runs together; each counts once" if runs > 1 else ""
    yield f"Sent to {found.count('sent'):,} of {found.people:,} {people}{over}."
    skipped = [one for one in found.outcomes if one.outcome == "skipped"]
    if skipped:
        said = "; ".join(
            f"{one.people:,}: {reason_for_many(one.reason)}" for one in skipped[:_REASONS]
        )
        rest = sum(one.people for one in skipped[_REASONS:])
        more = f"; {rest:,} for other reasons" if rest else ""
        yield f"Not sent to {found.count('skipped'):,} ({said}{more})."
    for outcome, one, many, says in (
        ("held_out", "was", "were", "held out on purpose, to measure by."),
        ("set_aside", "was", "were", "set aside: something went wrong with their message."),
        ("cancelled", "was", "were", "left when it was cancelled."),
        ("open", "is", "are", "not decided yet."),
    ):
        if number := found.count(outcome):
            yield f"{number:,} {one if number == 1 else many} {says}"


def everybody(found: Figures) -> Part:
    """Say what became of each person of the audience, and why."""
    rows = [
        (
            _OUTCOMES.get(one.outcome, one.outcome),
            shared_reason(one.outcome, one.reason),
            f"{one.people:,}",
        )
        for one in found.outcomes
    ]
    return Part("Everybody in the audience", _table(("outcome", "why", "people"), rows))


# -- the experiment --------------------------------------------------------------------------------


def cause(found: Experiment) -> Part:
    """Say what it changed: the sides beside each other, the differences, and how sure they are."""
    title = "What it changed (cause)"
    if not any(side.people for side in found.sides):
        return Part(title, ())
    says: list[str | Table] = [
        (
            f"Measured by `{found.event}` within {found.within} after each decision; "
            f"{found.design}. Everybody who passed the gate counts on the side where chance put them, "
            "whatever became of their message."
        ),
        *_sides(found),
        *_differences(found),
        *_ratio(found),
    ]
    if found.earlier:
        says.append(
            f"{found.earlier:,} more passed the gate in this run and had come in with an earlier one: "
            "they count there, on the side where they fell then."
        )
    if found.control == CONTROL:
        says.append(f"{CONTROL.capitalize()}: got nothing, on purpose.")
    if found.control != HOUSE and any(side.name == HOUSE for side in found.sides):
        says.append(
            f"The {HOUSE} gets no campaign at all: it is measured over all of them, and stands here "
            "without being compared."
        )
    return Part(title, says)


def _sides(found: Experiment) -> list[Table]:
    rows = [
        (
            side.name,
            f"{side.people:,}",
            f"{side.ripe:,}",
            f"{side.buyers:,}",
            f"{side.buyers / side.counted:.2%}" if side.counted else "–",
            f"{side.orders:,}",
            money(side.revenue),
        )
        for side in found.sides
    ]
    head = ("side", "people", "of these, time over", "converted", "rate", "events", "revenue")
    return _table(head, rows)


def _differences(found: Experiment) -> list[Table]:
    report = found.report
    rows = []
    for one in report.comparisons if report else ():
        if one.rates is None or not (report and report.sample_ratio and not _distrusted(one)):
            continue
        rates, revenue = one.rates, one.revenue
        rows.append(
            (
                one.arm,
                f"{100 * rates.absolute:+.2f}",
                _span(rates.absolute_interval.low, rates.absolute_interval.high, 100),
                _lift(rates),
                f"{rates.p_value:.3g}",
                _per_person(found, revenue.absolute) if revenue else "–",
                _revenue_span(found, one),
            )
        )
    if report is None:
        return []
    sure = f"{100 * report.confidence:.4g}%"
    head = (
        f"against {found.control}", "points", f"{sure} interval", "lift, and its interval", "p-value",
        "revenue a person", "interval",
    )  # fmt: skip
    return _table(head, rows)


def _lift(rates: RateDifference) -> str:
    if rates.relative is None:
        return "–"
    interval = rates.relative_interval
    return f"{rates.relative:+.1%} ({_span(interval.low, interval.high, 100, digits=1)})"


def _distrusted(one: Comparison) -> bool:
    return not one.verdict.trust


def _span(low: float | None, high: float | None, factor: float, *, digits: int = 2) -> str:
    ends = ("…" if end is None else f"{factor * end:+.{digits}f}" for end in (low, high))
    return " to ".join(ends)


def _per_person(found: Experiment, units: float) -> str:
    return f"{units / _units(found.currency):+.4g} {found.currency}" if found.currency else "–"


def _revenue_span(found: Experiment, one: Comparison) -> str:
    if one.revenue is None or not found.currency:
        return "–"
    interval = one.revenue.absolute_interval
    return _span(interval.low, interval.high, 1 / _units(found.currency))


def _ratio(found: Experiment) -> list[str]:
    ratio = found.report.sample_ratio if found.report else None
    if ratio is None or ratio.alarm:
        return []  # the answer says so, at the top
    return [f"People fell on the sides as planned (sample ratio, p = {ratio.p_value:.3g})."]


# -- messages and orders ---------------------------------------------------------------------------


def _channels(found: Figures) -> Part:
    rows = [
        (
            channel_name(one.channel),
            f"{one.handed_over:,}",
            *_statuses(one),
            _both(one, "opened", "read"),
            _both(one, "clicked"),
            f"{one.replied:,}",
            _both(one, "unsubscribed"),
            _both(one, "complained"),
        )
        for one in found.channels
    ]
    head = (
        "channel", "handed over", "delivered", "bounced", "refused", "unknown", "other", "opened",
        "clicked", "replied", "unsubscribed", "complained",
    )  # fmt: skip
    note = "Opened and clicked: by people, and after + by machines (mail scanners, prefetching)."
    says = [*_table(head, rows), note] if rows else []
    return Part("Messages", [*says, *([told] if (told := texts(found)) else [])])


def _statuses(one: ByChannel) -> Iterator[str]:
    named = {"delivered": ["delivered"], "bounced": ["bounced"], "refused": ["rejected", "failed"]}
    named["unknown"] = ["unknown"]
    shown = {"handed_over", *(status for some in named.values() for status in some)}
    for some in named.values():
        yield f"{sum(one.statuses.get(status, 0) for status in some):,}"
    yield ", ".join(
        f"{number:,} {status}" for status, number in one.statuses.items() if status not in shown
    )


def _both(one: ByChannel, *kinds: str) -> str:
    people = sum(one.came_back.get(kind, 0) for kind in kinds)
    machines = sum(one.machines.get(kind, 0) for kind in kinds)
    return f"{people:,} + {machines:,}" if machines else f"{people:,}"


def _owed(found: Figures) -> Part:
    rows = [
        (channel_name(one.channel), f"{one.owed.buyers:,}", f"{one.owed.orders:,}",
         money(one.owed.revenue))
        for one in found.channels
    ]  # fmt: skip
    title = "Orders owed to it (bookkeeping)"
    if not rows:
        return Part(title, ())
    whole = found.owed
    rows.append(("all", f"{whole.buyers:,}", f"{whole.orders:,}", money(whole.revenue)))
    head = ("channel", "people", "orders", "revenue")
    note = (
        "Each order is owed to one message only: the last one before it that arrived, of all "
        f"campaigns, if it came within {found.experiment.within}. That is bookkeeping, not cause: "
        "part of these people would have bought anyway, and only the comparison above says how many."
    )
    return Part(title, [*_table(head, rows), note])


def texts(found: Figures) -> str:
    """Say what the text messages took and cost; nothing when there were none."""
    took = found.texts
    if took is None:
        return ""
    messages = f"{took.messages:,} text message{'' if took.messages == 1 else 's'}"
    if took.segments is None:
        return f"{messages}; their segments were not counted beforehand."
    cost = cost_in_words(took.cost, took.unpriced)
    segments = f"{took.segments:,} segment{'' if took.segments == 1 else 's'}"
    return f"{messages}, about {segments}; {cost}."


def _periods(found: Figures) -> Part:
    rows = [
        (
            one.group,
            one.period,
            f"{one.people:,}",
            f"{one.buyers:,}",
            f"{one.orders:,}",
            money({one.currency: one.revenue} if one.currency else {}),
        )
        for one in found.periods
    ]
    head = ("group", "period", "people", "bought", "orders", "revenue")
    title = f"The {found.experiment.within} before and after"
    return Part(title, _table(head, rows), is_detail=True)


def csv(found: Figures) -> str:
    """Write the periods as comma-separated values; revenue in the currency's own unit."""
    out = io.StringIO()
    writer = comma_separated.writer(out, lineterminator="\n")
    writer.writerow(("group", "period", "people", "bought", "orders", "revenue", "currency"))
    for one in found.periods:
        writer.writerow(_line(one))
    return out.getvalue()


def _line(one: Period) -> Iterable[object]:
    revenue = _amount(one.currency, one.revenue) if one.currency else ""
    group = f"'{one.group}" if one.group[:1] in "=+-@" else one.group  # no formula for a sheet
    return group, one.period, one.people, one.buyers, one.orders, revenue, one.currency


def money(found: Money) -> str:
    """Say sums by currency: ``1,234.50 USD, 900 JPY``; a dash when there is none."""
    return ", ".join(f"{_grouped(code, units)} {code}" for code, units in found.items()) or "–"


def _units(currency: str | None) -> int:
    return 10 ** DIGITS.get(currency or "", 2)


def _grouped(currency: str, units: int) -> str:
    return f"{units / _units(currency):,.{DIGITS.get(currency, 2)}f}"


def _amount(currency: str, units: int) -> str:
    return _grouped(currency, units).replace(",", "")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[Table]:
    """Make a table; none of no rows."""
    return [Table(head, rows)] if rows else []
