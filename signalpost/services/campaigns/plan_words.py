"""The plan as whoever approves it reads it: in the Prefect UI, in a terminal, on a page."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from signalpost.domain.reason_words import channel_name, held_out, reason
from signalpost.services.campaigns.planned import Figures
from signalpost.services.campaigns.texts import cost_in_words

_ROWS = 12  #: of a table; the rest is added up in one row
_EXAMPLES = 2  #: people named on the page for each reason; the record has more
_WIDE = 92  #: signs of a line of a message
_BAR = 24  #: signs of the longest bar of the curve


def write(plan: Figures) -> str:
    """Write the whole plan as markdown."""
    parts = [
        _head(plan), _refusals(plan), _sums(plan), cell(plan.tells), _warnings(plan), _says(plan),
        _excluded(plan), _reach(plan), _when(plan), _texts(plan), _collisions(plan), _consistency(plan),
        _changes(plan), _audience(plan), f"Plan `{plan.digest}`, made {_say(plan.made_at)}.",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(plan: Figures) -> str:
    title = " · ".join(part for part in (plan.campaign, plan.stage, plan.series) if part)
    lines = [f"# {cell(title)}"]
    if plan.description:
        lines.append(f"\n{cell(plan.description)}")
    return "\n".join(lines)


def _refusals(plan: Figures) -> str:
    if not plan.refusals:
        return ""
    return "\n".join(["**This cannot be launched:**", "", *_list(plan.refusals)])


def _sums(plan: Figures) -> str:
    if plan.judged == 0:
        return f"{plan.people:,} people are in the audience."
    left_out = sum(one["people"] for one in plan.excluded)
    reached = f"{plan.about(plan.reached)} of {plan.people:,} people"
    lines = [f"**{_upper(reached)} would be written to**, {_start(plan)}."]
    if plan.stopped:
        would = f"{_upper(plan.about(plan.stopped))} of them would get nothing after all"
        lines.append(f"**{would}**: other campaigns come first (below).")
    for kind, people in plan.held_out.items():
        are = "is" if people == 1 else "are"
        lines.append(f"{_upper(plan.about(people))} {are} {held_out(kind)}, to measure by.")
    if left_out:
        are = "is" if left_out == 1 else "are"
        lines.append(f"{_upper(plan.about(left_out))} {are} left out.")
    if plan.sample_of is not None:
        lines.append(f"This is a test on at most {plan.sample_of:,} people.")
    if plan.needs_approval:
        lines.append("Somebody has to approve it.")
    if not plan.exact:
        lines.append(
            f"(Judged by a sample of {plan.judged:,}; the margins hold in 95 of 100 such samples.)"
        )
    return " ".join(lines)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _start(plan: Figures) -> str:
    if plan.local_at:
        return f"at {plan.local_at.replace('T', ' ')[:16]} in each person's own zone"
    return f"from {_say(plan.scheduled_at)} on" if plan.scheduled_at else "at once"


def _warnings(plan: Figures) -> str:
    return "\n".join(["**Think about:**", "", *_list(plan.warnings)]) if plan.warnings else ""


def _says(plan: Figures) -> str:
    """Show the facts, and the words as text: nothing of them may become a part of this page."""
    parts = ["### What is said"] if plan.facts or plan.says else []
    if plan.facts:
        rows = [(one["name"], one["value"], one["from"]) for one in plan.facts]
        parts.append(_table("", ("fact", "value", "from"), rows))
    if plan.says:
        shown = [line for one in plan.says for line in _sample(one)]
        parts.append("\n".join(["```text", *shown, "```"]))
    return "\n\n".join(parts)


def _sample(one: Mapping[str, Any]) -> Iterator[str]:
    made_up = f", with samples for {', '.join(one['samples'])}" if one["samples"] else ""
    yield f"{one['message']} · {channel_name(one['channel'])} · {one['locale']}{made_up}"
    for line in one["lines"]:
        told = textwrap.wrap(line.replace("```", "'''"), _WIDE, break_on_hyphens=False)
        yield from (f"    {part}" for part in told)


def _excluded(plan: Figures) -> str:
    if not plan.excluded:
        return ""
    rows = [
        (_why(one["reason"]), plan.about(one["people"]), _ids(one["examples"]))
        for one in plan.excluded
    ]
    return _table("Left out, and why", ("reason", "people", "for example"), rows)


def _why(code: str) -> str:
    """Say a reason for many: without what differs from one to the other."""
    return re.sub(r"\s*\([^()]*…[^()]*\)", "", reason(code, {}))


def _ids(ids: list[str]) -> str:
    return ", ".join(f"`{one}`" for one in ids[:_EXAMPLES])


def _reach(plan: Figures) -> str:
    tables = []
    for title, counts in (
        ("channel", plan.channels), ("arm", plan.arms), ("language", plan.locales),
        ("zone", plan.zones),
    ):  # fmt: skip
        if counts and not (title == "arm" and len(counts) < 2):
            rows = [(channel_name(key), plan.about(number)) for key, number in _most(counts)]
            tables.append(_table(f"By {title}", (title, "people"), rows))
    return "\n\n".join(tables)


def _most(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    items = list(counts.items())
    yield from items[:_ROWS]
    if rest := items[_ROWS:]:
        yield f"{len(rest)} more", sum(number for _, number in rest)


def _when(plan: Figures) -> str:
    if not plan.hours:
        return ""
    lines = ["### When it goes", ""]
    paces = ", ".join(f"{channel} {_rate(rate)}" for channel, rate in plan.pace.items())
    lines.append(f"Pace: {paces}." if paces else "No pace is given: all goes as soon as it is due.")
    if plan.last_at:
        lines.append(f"The last message goes at {_say(plan.last_at)}.")
    for channel, people in plan.delayed.items():
        lines.append(
            f"{people:,} on {channel} have to wait for the next morning because of the pace."
        )
    for channel, people in plan.expired.items():
        lines.append(f"{people:,} on {channel} expire before their turn.")
    if len(plan.waves) > 1:
        rows = [
            (_say(one["at"]), f"{one['messages']:,}", _some(one["zones"]))
            for one in plan.waves[:_ROWS]
        ]
        if len(plan.waves) > _ROWS:
            left = plan.waves[_ROWS:]
            rows.append(("later", f"{sum(one['messages'] for one in left):,}", ""))
        lines += ["", _table("", ("due at", "messages", "in"), rows)]
    by = "day" if len(plan.hours) > _BY_DAY else "hour"
    lines += ["", f"Messages by {by}, in UTC:", "", "```text", *_curve(plan.hours), "```"]
    return "\n".join(lines)


def _rate(per_second: float) -> str:
    for seconds, unit in ((1, "second"), (60, "minute"), (3600, "hour")):
        if per_second * seconds >= 1 or unit == "hour":
            break
    return f"{per_second * seconds:,.4g} a {unit}"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


_BY_DAY = 48  #: hours; more of them are drawn by the day


def _curve(hours: list[dict[str, Any]]) -> Iterator[str]:
    """Draw the hours; more than two days of them are drawn by the day."""
    sums: dict[str, int] = {}
    by_day = len(hours) > _BY_DAY
    for one in hours:
        key = one["hour"][:10] if by_day else f"{one['hour'][:13].replace('T', ' ')}:00"
        sums[key] = sums.get(key, 0) + sum(one["channels"].values())
    most = max(sums.values(), default=0) or 1
    for key, number in sums.items():
        bar = "█" * max(1 if number else 0, round(number / most * _BAR))
        yield f"{key}  {bar:<{_BAR}}  {number:,}"


def _texts(plan: Figures) -> str:
    if not plan.texts:
        return ""
    rows = [
        (
            f"{one['message']} ({one['locale']})", f"{one['people']:,}", one["encoding"],
            f"{one['each']:g}", f"{one['segments']:,}",
        )
        for one in plan.texts
    ]  # fmt: skip
    head = ("text", "people", "encoding", "segments each", "segments")
    return f"{_table('Text messages', head, rows)}\n\n{segments(plan)}"


def segments(plan: Figures) -> str:
    """Say what the text messages would take and cost."""
    cost = cost_in_words(plan.cost, plan.unpriced)
    return f"{plan.segments:,} segment{'' if plan.segments == 1 else 's'} in all; {cost}."


def _collisions(plan: Figures) -> str:
    if not plan.collisions:
        return ""
    lines = ["### Other campaigns that mean the same people", ""]
    if any(one["run"] is None for one in plan.collisions):
        lines = [*lines, "What is only scheduled is counted by whom its rule means now.", ""]
    lines += [
        f"- **{cell(one['campaign'])}** ({one['status'].replace('_', ' ')}, "
        f"{_say(one['scheduled_at'])}): {collision(one)}."
        for one in plan.collisions
    ]
    return "\n".join(lines)


_EFFECTS = {
    "same_here": "{:,} of them will have had the same message",
    "here": "{:,} of them would then be over the cap for this one",
    "same_there": "{:,} would have had the same message before that one",
    "there": "{:,} would be over the cap for that one",
    "held_back": "this one would wait for {:,} until that incident is over",
}


def collision(one: Mapping[str, Any]) -> str:
    """Say how many another campaign shares with this one, and what the two do to each other."""
    people = one["people"]
    both = f"{people:,} {'person' if people == 1 else 'people'} in both"
    effects = [says.format(one[key]) for key, says in _EFFECTS.items() if one.get(key)]
    return "; ".join([both, *(effects or ["no cap is exceeded"])])


def _consistency(plan: Figures) -> str:
    if not plan.consistency:
        return ""
    lines = ["### The words", ""]
    for one in plan.consistency:
        found = "say the same" if not one["problems"] else f"fail {len(one['problems'])} checks:"
        lines.append(f"- {one['message']}: {one['variants']} variants {found}")
        lines += [f"  - {cell(problem)}" for problem in one["problems"][:_ROWS]]
    return "\n".join(lines)


def _changes(plan: Figures) -> str:
    if not plan.changes:
        return ""
    return "\n".join(["### Since its last launch", "", *_list(plan.changes)])


def _audience(plan: Figures) -> str:
    if not plan.audience:
        return ""
    lines = ["### The audience", "", "```text", *plan.audience, "```"]
    if plan.narrowing:
        lines += ["", _narrowing(plan.narrowing)]
    return "\n".join(lines)


def _narrowing(found: list[dict[str, Any]]) -> str:
    rows = []
    for one in found:
        depth, left = one.get("depth", 0), f"{one['remaining']:,}"  # older plans know no depth
        words = f"{'· ' * depth}{one['words']}"
        rows.append((words, f"({left} by itself)" if depth else left))
    return _table("", ("clause by clause", "people left"), rows)


def _list(sentences: list[str]) -> list[str]:
    return [f"- {cell(one)}" for one in sentences]


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"### {title}", ""] if title else []
    lines += [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(cell(one) for one in row)} |" for row in rows]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Make text fit for a line of markdown: what a file says must not become a page of its own."""
    flat = " ".join(str(text).split())
    return flat.replace("|", "\\|").replace("<", "&lt;")


def _say(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC" if moment else "now"
