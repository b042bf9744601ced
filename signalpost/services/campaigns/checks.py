"""What stands in the way of a launch, and what whoever approves it should think about, in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlmodel import Session

from signalpost.content import Catalogue, Problem, lint
from signalpost.domain.campaign import Campaign, Personal
from signalpost.record import campaign_plans
from signalpost.record.campaign_people import Due
from signalpost.services.campaigns.forecast import Forecast
from signalpost.services.campaigns.runs import Launch

GRACE = timedelta(hours=1)  #: so late a scheduled launch may come, after an outage for instance

_found: WeakKeyDictionary[Catalogue, list[Problem]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Check:
    """Whether the variants of one message say the same."""

    message: str
    variants: int
    problems: tuple[str, ...]


def consistency(catalogue: Catalogue, messages: Sequence[str]) -> list[Check]:
    """Check every variant of these messages, as ``signalpost lint`` does."""
    problems = _found.get(catalogue)
    if problems is None:
        problems = _found[catalogue] = lint(catalogue)
    checks = []
    for name in messages:
        start = f"{catalogue.folder.name}/{name}/"
        mine = tuple(str(problem) for problem in problems if problem.file.startswith(start))
        variants = sum(len(tags) for tags in catalogue[name].locales.values())
        checks.append(Check(name, variants, mine))
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


def opening(session: Session, launch: Launch) -> tuple[str | None, str | None]:
    """Find the run whose people a later stage is for: its id, or a sentence that it is missing.

    Both are None when this launch finds its people itself.
    """
    campaign = launch.campaign
    stage = campaign.stage(launch.stage)
    first = next((one for one in campaign.stages if one.opens), None)
    if stage is None or stage.opens or first is None or launch.series is None:
        return None, None
    found = campaign_plans.opening_run(
        session, campaign=campaign.name, series=launch.series, stage=first.name
    )
    if found is None:
        return None, (
            f"Nobody was sent the stage {first.name!r} of {launch.series!r}, so there is nobody "
            f"to send {stage.name!r} to; launch {first.name!r} first."
        )
    return found, None


def refusals(
    catalogue: Catalogue, launch: Launch, due: Due, *, people: int, now: datetime
) -> Iterator[str]:
    """Say why this launch must not go, beyond what it names."""
    campaign = launch.campaign
    if people == 0:
        yield "Nobody is in the audience; `signalpost campaign preview` shows clause by clause why."
    if missing := [name for name in campaign.asks if name not in launch.facts]:
        yield f"Give these facts with the launch: {', '.join(missing)}."
    yield from _ungiven(catalogue, launch)
    yield from (
        f"The pace of {channel} is {pace:g} a second, so nothing would ever go; give it a pace "
        "above 0 or take the channel out."
        for channel, pace in campaign.pace.items()
        if pace <= 0
    )
    last = max([due.first, *due.by_zone.values()])
    if last < now - GRACE:
        yield f"It was to go at {_say(last)}, which is over; give a time that is still to come."
    promotion = campaign.promotion
    if promotion is not None and promotion.ends_at <= max(due.first, now):
        yield (
            f"The promotion {promotion.id} ends at {_say(promotion.ends_at)}, before anybody would "
            "be written to; extend it, or send earlier."
        )


def _ungiven(catalogue: Catalogue, launch: Launch) -> Iterator[str]:
    """A fact that the message must show and that nothing brings would set everybody aside."""
    given = {"promotion_id", "code", "expires_at"} if launch.campaign.promotion else set()
    if launch.campaign.promotion:
        given |= set(launch.campaign.promotion.facts)
    given |= launch.campaign.facts.keys() | launch.facts.keys() | set(launch.campaign.asks)
    for name in messages_of(launch):
        needed = [fact.name for fact in catalogue[name].facts.values() if fact.required]
        if lacking := sorted(set(needed) - given):
            yield (
                f"Message {name!r} must show {', '.join(lacking)}, and nothing brings it: add it to "
                f"the facts of {launch.campaign.file or launch.campaign.name}."
            )


def overlapping(rows: Sequence[Any], launch: Launch) -> Iterator[str]:
    """Say that another run of this campaign, or of this series of it, still goes on."""
    for row in rows:
        same = row["campaign"] == launch.campaign.name and row["series"] == launch.series
        if same and row["status"] in ("running", "paused"):
            yield (
                f"Run {row['id']} of {launch.campaign.name} is still {row['status']}; wait until it "
                "is done, or cancel it."
            )


def warnings(
    launch: Launch, due: Due, forecast: Forecast, *, reached: int, judged: int, now: datetime
) -> Iterator[str]:
    """Say what is allowed and still worth a thought."""
    campaign = launch.campaign
    if judged and not reached:
        yield "Nobody would be sent anything: everybody in the audience is left out."
    late = sum(1 for moment in due.by_zone.values() if moment < now)
    if late:
        yield (
            f"In {late} of {len(due.by_zone)} zones that time is over already; people there are "
            "written to at once."
        )
    last = max([forecast.last_at or due.first, due.first, *due.by_zone.values()])
    promotion = campaign.promotion
    if promotion is not None and max(due.first, now) < promotion.ends_at <= last:
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
    for channel in campaign.channels():
        if channel.value not in campaign.pace and channel.value == "sms":
            yield "No pace is given for sms; a long code carries about 1 segment a second."
    if campaign.holdout == 0 and not campaign.arms and campaign.purpose == "marketing":
        yield "Nobody is held out, so the report cannot say what the campaign brought."


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


def unfacts(campaign: Campaign) -> list[str]:
    """Name the facts that differ from person to person and have no other value to fall back on."""
    return [
        name
        for name, fact in campaign.facts.items()
        if isinstance(fact, Personal) and fact.otherwise is None
    ]


def _say(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
