"""A report in words: what is known first, in plain sentences, then the tables it rests on."""

import csv as comma_separated
import io
from collections.abc import Iterable, Iterator

from signalpost.domain.event_facts import DIGITS
from signalpost.domain.reason_words import channel_name, reason_for_many, shared_reason
from signalpost.domain.verdicts import Comparison, Says
from signalpost.record.campaign_results import CONTROL, HOUSE
from signalpost.services.campaigns.plan_words import cell
from signalpost.services.campaigns.reported import ByChannel, Experiment, Figures, Money, Period
from signalpost.services.campaigns.texts import cost_in_words

_OUTCOMES = {
    "sent": "sent", "skipped": "not sent", "held_out": "held out", "set_aside": "set aside",
    "cancelled": "cancelled", "open": "not decided yet",
}  # fmt: skip
_REASONS = 3  #: named in the opening sentences; the table has all


def write(found: Figures, *, base_url: str = "") -> str:
    """Write the whole report as markdown; with ``base_url``, it links to the runs' pages."""
    parts = [
        f"# What {cell(found.title)} brought about",
        *(f"**{cell(one)}**" for one in verdicts(found.experiment)),
        " ".join(sums(found)),
        _experiment(found.experiment),
        _channels(found),
        _owed(found),
        texts(found),
        _outcomes(found),
        _periods(found),
        _foot(found, base_url),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def house(found: Experiment) -> str:
    """Write what all campaigns together bring about as markdown."""
    parts = [
        "# What all marketing campaigns together bring about",
        *(f"**{cell(one)}**" for one in verdicts(found)),
        _experiment(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


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
        yield f"Not sent to {found.count('skipped'):,} ({cell(said)}{more})."
    for outcome, one, many, says in (
        ("held_out", "was", "were", "held out on purpose, to measure by."),
        ("set_aside", "was", "were", "set aside: something went wrong with their message."),
        ("cancelled", "was", "were", "left when it was cancelled."),
        ("open", "is", "are", "not decided yet."),
    ):
        if number := found.count(outcome):
            yield f"{number:,} {one if number == 1 else many} {says}"


def _outcomes(found: Figures) -> str:
    rows = [
        (
            _OUTCOMES.get(one.outcome, one.outcome),
            shared_reason(one.outcome, one.reason),
            f"{one.people:,}",
        )
        for one in found.outcomes
    ]
    return _table("Everybody in the audience", ("outcome", "why", "people"), rows)


# -- the experiment --------------------------------------------------------------------------------


def _experiment(found: Experiment) -> str:
    if not any(side.people for side in found.sides):
        return ""
    lines = [
        "## What it changed (cause)",
        (
            f"Measured by `{cell(found.event)}` within {found.within} after each decision; "
            f"{found.design}. Everybody who passed the gate counts on the side where chance put them, "
            "whatever became of their message."
        ),
        _sides(found),
    ]
    if found.report is not None:
        lines += [_differences(found), _ratio(found)]
    if found.earlier:
        lines.append(
            f"{found.earlier:,} more passed the gate in this run and had come in with an earlier one: "
            "they count there, on the side where they fell then."
        )
    if found.control != HOUSE and any(side.name == HOUSE for side in found.sides):
        lines.append(
            f"The {HOUSE} gets no campaign at all: it is measured over all of them, and stands here "
            "without being compared."
        )
    return "\n\n".join(line for line in lines if line)


def _sides(found: Experiment) -> str:
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
    return _table("", head, rows)


def _differences(found: Experiment) -> str:
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
                f"{rates.relative:+.1%}" if rates.relative is not None else "–",
                f"{rates.p_value:.3g}",
                _per_person(found, revenue.absolute) if revenue else "–",
                _revenue_span(found, one),
            )
        )
    if not rows or report is None:
        return ""
    sure = f"{100 * report.confidence:.4g}%"
    head = (
        f"against {found.control}", "points", f"{sure} interval", "lift", "p",
        "revenue a person", "interval",
    )  # fmt: skip
    return _table("", head, rows)


def _distrusted(one: Comparison) -> bool:
    return not one.verdict.trust


def _span(low: float | None, high: float | None, factor: float) -> str:
    ends = ("…" if end is None else f"{factor * end:+.2f}" for end in (low, high))
    return " to ".join(ends)


def _per_person(found: Experiment, units: float) -> str:
    return f"{units / _units(found.currency):+.4g} {found.currency}" if found.currency else "–"


def _revenue_span(found: Experiment, one: Comparison) -> str:
    if one.revenue is None or not found.currency:
        return "–"
    interval = one.revenue.absolute_interval
    return _span(interval.low, interval.high, 1 / _units(found.currency))


def _ratio(found: Experiment) -> str:
    ratio = found.report.sample_ratio if found.report else None
    if ratio is None or ratio.alarm:
        return ""  # the answer says so, at the top
    return f"People fell on the sides as planned (sample ratio, p = {ratio.p_value:.3g})."


# -- messages and orders ---------------------------------------------------------------------------


def _channels(found: Figures) -> str:
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
    table = _table("Messages", head, rows)
    if not table:
        return ""
    note = "Opened and clicked: by people, and after + by machines (mail scanners, prefetching)."
    return f"{table}\n\n{note}"


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


def _owed(found: Figures) -> str:
    rows = [
        (channel_name(one.channel), f"{one.owed.buyers:,}", f"{one.owed.orders:,}",
         money(one.owed.revenue))
        for one in found.channels
    ]  # fmt: skip
    if not rows:
        return ""
    whole = found.owed
    rows.append(("all", f"{whole.buyers:,}", f"{whole.orders:,}", money(whole.revenue)))
    head = ("channel", "people", "orders", "revenue")
    note = (
        "Each order is owed to one message only: the last one before it that arrived, of all "
        f"campaigns, if it came within {found.experiment.within}. That is bookkeeping, not cause: "
        "part of these people would have bought anyway, and only the comparison above says how many."
    )
    return f"{_table('Orders owed to it (bookkeeping)', head, rows)}\n\n{note}"


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


def _periods(found: Figures) -> str:
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
    return _table(title, head, rows)


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


def _foot(found: Figures, base_url: str) -> str:
    links = [f"[{run[:8]}…]({base_url}/campaigns/{run})" for run in found.run_ids[-5:]]
    runs = f"Everybody's decision: {', '.join(links)}. " if base_url else ""
    held_out = f"{CONTROL}: got nothing on purpose. " if found.experiment.control == CONTROL else ""
    return f"{runs}{held_out}As of {found.made_at:%Y-%m-%d %H:%M} UTC."


def money(found: Money) -> str:
    """Say sums by currency: ``1,234.50 USD, 900 JPY``; a dash when there is none."""
    return ", ".join(f"{_grouped(code, units)} {code}" for code, units in found.items()) or "–"


def _units(currency: str | None) -> int:
    return 10 ** DIGITS.get(currency or "", 2)


def _grouped(currency: str, units: int) -> str:
    return f"{units / _units(currency):,.{DIGITS.get(currency, 2)}f}"


def _amount(currency: str, units: int) -> str:
    return _grouped(currency, units).replace(",", "")


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [f"## {title}", ""] if title else []
    lines += [f"| {' | '.join(cell(one) for one in head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(cell(one) for one in row)} |" for row in rows]
    return "\n".join(lines)
