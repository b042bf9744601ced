"""What stands in the way of a launch, and what whoever approves it should think about, in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from signalpost.content import Catalogue, lint_message
from signalpost.content.campaigns import asked, checking, given_facts, grace, moments
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.record.campaign_people import Due
from signalpost.services.campaigns.forecast import Forecast
from signalpost.services.campaigns.runs import Launch

_NOT_BEGUN = ("awaiting_approval", "approved")
_SOON = timedelta(hours=1)  #: a run that goes on now will hardly be over by then

#: Rules of the file that a launch is refused for by its own time.
_BY_ITS_TIME = ("past", "promotion-ended", "promotion-ends")
_NAMED = 5  #: zones that a sentence names

_found: WeakKeyDictionary[Catalogue, dict[str, list[str]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Check:
    """Whether the variants of one message say the same."""

    message: str
    variants: int
    problems: list[str]


def consistency(catalogue: Catalogue, messages: Sequence[str]) -> list[Check]:
    """Check every variant of these messages, as ``signalpost lint`` does."""
    known = _found.setdefault(catalogue, {})
    checks = []
    for name in messages:
        if name not in known:
            known[name] = [str(problem) for problem in lint_message(catalogue, name)]
        variants = sum(len(tags) for tags in catalogue[name].locales.values())
        checks.append(Check(name, variants, known[name]))
    return checks


def messages_of(launch: Launch) -> list[str]:
    """Name the messages that this launch may send."""
    stage = launch.campaign.stage(launch.stage)
    return [stage.message] if stage is not None else launch.campaign.messages()


def hindrances(catalogue: Catalogue, launch: Launch) -> Iterator[str]:
    """Say why this launch cannot even be judged: what it names does not exist."""
    campaign = launch.campaign
    names = ", ".join(one.name for one in campaign.stages)
    if campaign.stages and launch.stage is None:
        yield f"{campaign.name} has stages; say which one to send: {names}."
        return
    if launch.stage is not None and campaign.stage(launch.stage) is None:
        yield f"{campaign.name} has no stage {launch.stage!r}; it has: {names or 'none'}."
        return
    if launch.stage is not None and launch.series is None:
        yield f"Say which series the stage {launch.stage!r} is of, such as an incident's number."
    for name in messages_of(launch):
        if name not in catalogue:
            known = ", ".join(catalogue.names()) or "none"
            yield f"There is no message {name!r}; there are: {known}."


def nobody(narrowing: Sequence[Mapping[str, Any]]) -> str:
    """Say that nobody is meant, and which clause of the audience leaves nobody."""
    everybody = narrowing[0]["remaining"] if narrowing else 0
    if not everybody:
        return "Nobody is in the audience: there are no customers on the record yet."
    # A member of a group (``depth``) that nobody matches leaves nobody out: the others may let them in.
    empty = [one["words"] for one in narrowing if not one["remaining"] and not one.get("depth")]
    by = f" by the clause “{empty[0]}”" if empty else ""
    return (
        f"Nobody is in the audience: of {everybody:,} customers nobody is left{by}; change it, or look "
        "at what your systems send."
    )


def refusals(
    launch: Launch, due: Sequence[datetime], *, now: datetime, is_kept: bool
) -> Iterator[str]:
    """Say why this launch must not go, beyond what it names. ``due``: when people are due.

    ``is_kept``: it is a run already, which begins when it can: its plan says who would still get it.
    """
    campaign = launch.campaign
    yield from (
        f"The pace of {channel} is {pace:g} a second, so nothing would ever go; give it a pace "
        "above 0 or take the channel out."
        for channel, pace in campaign.pace.items()
        if pace <= 0
    )
    if due[-1] < now - grace(campaign) and not is_kept:
        yield f"It was to go at {_say(due[-1])}, which is over; give a time still to come."
    promotion = campaign.promotion
    if promotion is not None and promotion.ends_at <= max(due[0], now):
        yield (
            f"The promotion {promotion.id} ends at {_say(promotion.ends_at)}, before anybody would "
            "be written to; extend it, or send earlier."
        )


def ungiven(catalogue: Catalogue, launch: Launch) -> Iterator[str]:
    """Say which facts nobody brings: each would set everybody aside."""
    needed_now = (
        f.name for f in asked(launch.campaign, catalogue, stage=launch.stage) if f.required
    )
    if missing := [name for name in needed_now if launch.facts.get(name) in (None, "")]:
        yield f"Give these facts with the launch: {', '.join(missing)}."
    given = given_facts(launch.campaign) | launch.facts.keys()
    for name in messages_of(launch):
        needed = {fact.name for fact in catalogue[name].facts.values() if fact.required}
        if lacking := sorted(needed - given):
            yield (
                f"Message {name!r} must show {', '.join(lacking)}, and nothing brings it: add it to "
                f"the facts of {launch.campaign.file or launch.campaign.name}."
            )


def untimely(launch: Launch, *, now: datetime) -> Iterator[str]:
    """Say what the clock makes of the campaign's schedule: an hour that a night skips, a leap day."""
    for _, rule, says, remedy in moments.timely(launch.campaign, now):
        if rule not in _BY_ITS_TIME:
            yield f"The schedule: {says}; {remedy}."


def beside(rows: Sequence[Any], launch: Launch) -> Iterator[str]:
    """Say that another launch of the same has not begun yet: both would go."""
    same = (launch.campaign.name, launch.stage, launch.series)
    for row in rows:
        if (row["campaign"], row["stage"], row["series"]) == same and row["status"] in _NOT_BEGUN:
            waits = row["status"].replace("_", " ")
            begins = _say(row["scheduled_at"])
            yield (
                f"Run {row['id']} of the same is {waits}, for {begins}: both would go. If only one is "
                f"meant, refuse or cancel the other."
            )


def overlapping(
    rows: Sequence[Any], launch: Launch, begins: datetime, *, now: datetime
) -> Iterator[str]:
    """Say that another run of this campaign still goes on; the stages of a series may overlap."""
    if launch.stage is not None or begins > now + _SOON:  # until then it may be done; `start` looks
        return
    for row in rows:
        same = row["campaign"] == launch.campaign.name and row["series"] == launch.series
        if same and row["status"] in ("running", "paused"):
            yield (
                f"Run {row['id']} of {launch.campaign.name} is still {row['status']}; wait until it "
                "is done, or cancel it."
            )


def skipped(launch: Launch, due: Due) -> Iterator[str]:
    """Say where people are whose clocks skip the time of the launch."""
    if launch.local_at is None:
        return
    found = moments.skipping(launch.local_at, due.by_zone)
    if found:
        names = ", ".join(name for name, _ in found[:_NAMED])
        more = f" and {len(found) - _NAMED} other zones" if found[_NAMED:] else ""
        yield (
            f"{launch.local_at:%Y-%m-%d %H:%M} does not exist in {names}{more}: the clocks change that "
            f"night. People there are written to at {found[0][1]:%H:%M}, or choose another hour."
        )


def gone_by(launch: Launch, due: Due, *, now: datetime) -> Iterator[str]:
    """Say where the local time is over already."""
    late = sum(1 for moment in due.by_zone.values() if moment < now)
    if launch.local_at is not None and late:
        yield (
            f"In {late} of {len(due.by_zone)} zones that time is over already; people there are "
            "written to at once."
        )


def warnings(
    launch: Launch, due: Sequence[datetime], forecast: Forecast, *, reached: int, judged: int
) -> Iterator[str]:
    """Say what is allowed and still worth a thought."""
    campaign = launch.campaign
    if judged and not reached:
        yield "Nobody would be sent anything: everybody in the audience is left out."
    last = max(forecast.last_at or due[-1], due[-1])
    promotion = campaign.promotion
    if promotion is not None and due[0] < promotion.ends_at <= last:
        yield (
            f"The promotion {promotion.id} ends at {_say(promotion.ends_at)}, before the last people "
            f"would be written to ({_say(last)}); they are left out."
        )
    for channel, people in forecast.expired.items():
        if round(people):
            yield (
                f"About {round(people):,} on {channel} expire before their turn comes: the pace is too "
                "low for the time that the message is worth sending."
            )
    if Channel.SMS in campaign.channels() and Channel.SMS.value not in campaign.pace:
        yield "No pace is given for sms; a long code carries about one segment a second."
    measured = campaign.holdout > 0 or any(one.message is None for one in campaign.arms)
    if campaign.purpose is Purpose.MARKETING and not measured:
        yield "Nobody is held out, so the report cannot say what the campaign brought."
    for _, _, says, remedy in checking.vain(campaign):
        yield f"The experiment: {says}; {remedy}."


def unknown_places(sources: dict[str, int], launch: Launch) -> Iterator[str]:
    """Say for how many the local time is a guess, where that matters."""
    asked = sum(count for source, count in sources.items() if source != "not asked")
    share = sources.get("default", 0) / asked if asked else 0
    if share >= 0.1:
        why = "the local time" if launch.local_at else "the night"
        yield f"For {share:.0%} of the people {why} is a guess: neither a zone nor a phone says where."


def unwritten(locales: dict[str, int], reached: int) -> Iterator[str]:
    """Say who would read the message in another language than their own."""
    if locales and reached and sum(locales.values()) / reached >= 0.01:
        most = sorted(locales.items(), key=lambda pair: -pair[1])[:5]
        named = ", ".join(f"{tag} {count:,}" for tag, count in most)
        yield f"Not everybody's language is written: {named} would read it in another one."


def _say(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
