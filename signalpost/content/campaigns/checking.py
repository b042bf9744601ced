"""What a campaign file cannot know by itself: the messages that there are, and what time it is."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from signalpost.content.campaigns import moments
from signalpost.content.campaigns.page import Page, Place, line_of
from signalpost.content.campaigns.part import choose, nearest
from signalpost.content.campaigns.scaffold import PLACEHOLDER
from signalpost.content.campaigns.schema import CampaignFile
from signalpost.content.campaigns.values import like_zone
from signalpost.content.catalogue import Catalogue
from signalpost.content.errors import MissingFact, Problem
from signalpost.content.facts import Fact, FactType, read
from signalpost.content.facts import Place as Reading
from signalpost.content.spec import MessageSpec
from signalpost.domain.audience import (
    Attribute,
    Consent,
    Did,
    Given,
    InCampaign,
    clauses,
    givens,
)
from signalpost.domain.campaign import PROMOTED, Campaign, Personal
from signalpost.domain.events import EVENT_TYPES
from signalpost.domain.local_time import zone
from signalpost.domain.locale_tags import tag
from signalpost.domain.vocabulary import Purpose

#: Attributes that the product itself reads; a shop may send any others.
ATTRIBUTES = frozenset(
    {
        "tier", "preferred_channel", "assigned_agent", "locale", "zone", "first_name", "last_name",
    }
)  # fmt: skip
WARNINGS = frozenset(
    {
        "alpha",
        "campaign-unknown",
        "description",
        "event-unknown",
        "past",
        "promotion-ended",
        "same-arms",
        "skips-months",
        "time-moves",
        "topic-unknown",
    }
)  #: rules that keep nobody from launching
UNAPPROVED = 1_000  #: marketing to more people is approved, unless the file says never
_ALPHAS = (0.01, 0.1)  #: the errors that are usually accepted
_NO_ATTRIBUTES = {
    **dict.fromkeys(("timezone", "time_zone", "tz"), "attribute: zone"),
    "language": "attribute: locale",
    **dict.fromkeys(("email", "email_verified"), "reachable: email"),
    **dict.fromkeys(("phone", "phone_verified"), "reachable: sms"),
    "whatsapp": "reachable: whatsapp",
    "messenger": "reachable: messenger",
    "marketing_consent": "consent: {channel: …, topic: …}",
}  #: what comes in as something else (services.intake.traits) → the rule that asks for it

_NAMING = ("is", "is_not", "among", "not_among")  #: operators that take a whole value

Found = tuple[Place, str, str, str]  #: where, the rule, what is wrong, what to do


def is_warning(problem: Problem) -> bool:
    """Tell whether a problem is only worth knowing: the campaign can be launched all the same."""
    return problem.rule in WARNINGS


def check(
    campaign: Campaign,
    catalogue: Catalogue,
    now: datetime,
    *,
    campaigns: Collection[str] | None = None,
) -> list[Problem]:
    """Return everything that is wrong with a campaign at a moment, and what ``is_warning``.

    ``campaigns``: the names of all files, to find those that an audience asks about; None: do not look.
    """
    timely = _problems(campaign, moments.timely(campaign, now))
    return sorted({*against_words(campaign, catalogue, campaigns), *timely})


def against_words(
    campaign: Campaign, catalogue: Catalogue, campaigns: Collection[str] | None = None
) -> list[Problem]:
    """Return what is wrong with a campaign beside the message folders, whatever the time."""
    found = [
        *_messages(campaign, catalogue),
        *_audience(campaign, catalogue, campaigns),
        *_rules(campaign),
        *vain(campaign),
    ]
    return _problems(campaign, found)


def given_facts(campaign: Campaign) -> frozenset[str]:
    """Name the facts that a run of the campaign has: its own, those asked for, its promotion's."""
    promoted = campaign.promotion.said() if campaign.promotion else {}
    return frozenset({*campaign.facts, *campaign.asks, *promoted})


def asked(campaign: Campaign, catalogue: Catalogue, *, stage: str | None = None) -> list[Fact]:
    """Return the facts that a launch asks for: those that its messages have, or its audience needs."""
    one = campaign.stage(stage)
    names = [one.message] if one else campaign.messages()
    known = {n: f for name in names if name in catalogue for n, f in catalogue[name].facts.items()}
    finds = one is None or one.opens
    known |= {
        name: Fact(name, FactType.TEXT, required=True, sample=name)
        for name in (givens(campaign.audience) if finds else ())
        if name not in known
    }
    return [known[name] for name in campaign.asks if name in known]


def report_unknown_message(file: CampaignFile, catalogue: Catalogue, page: Page) -> None:
    """Note that the message of a file is not there."""
    place = ("message",) if file.message else _opening(file)
    says = f"there is no message {file.words()!r}"
    page.report(page.line(place), "message", says, choose(file.words(), catalogue.names()))


def _opening(file: CampaignFile) -> Place:
    number = next((n for n, stage in enumerate(file.stages) if stage.opens), 0)
    return ("stages", number, "message")


def _problems(campaign: Campaign, found: Collection[Found] | Iterator[Found]) -> list[Problem]:
    lines: Mapping[Any, int] = getattr(campaign.definition, "lines", {})
    file = getattr(campaign.definition, "file", campaign.file)
    return [
        Problem(file, line_of(dict(lines), place), rule, says, remedy)
        for place, rule, says, remedy in found
    ]


# -- messages and facts ----------------------------------------------------------------------------


def _messages(campaign: Campaign, catalogue: Catalogue) -> Iterator[Found]:
    specs: dict[str, Place] = {}
    for place, name in _named(campaign):
        if name in catalogue:
            specs[name] = place
            yield from _message(campaign, place, catalogue[name])
        else:
            remedy = choose(name, catalogue.names())
            yield place, "message", f"there is no message {name!r}", remedy
    yield from _unused(campaign)
    yield from _facts(campaign, specs, catalogue)


def _named(campaign: Campaign) -> Iterator[tuple[Place, str]]:
    """Give each message once, and where it is named."""
    places: dict[str, Place] = {}
    if campaign.stages:
        for number, stage in enumerate(campaign.stages):
            places.setdefault(stage.message, ("stages", number, "message"))
    else:
        places[campaign.message] = ("message",)
        for number, arm in enumerate(campaign.arms):
            if arm.message:
                places.setdefault(arm.message, ("experiment", "arms", number, "message"))
    for name, place in places.items():
        yield place, name


def _message(campaign: Campaign, place: Place, spec: MessageSpec) -> Iterator[Found]:
    for key, own, said in (
        ("purpose", spec.purpose, campaign.purpose),
        ("topic", spec.topic, campaign.topic),
    ):
        if own != said:
            says = (
                f"the message {spec.name!r} has the {key} {str(own)!r}, the campaign {str(said)!r}"
            )
            yield place, key, says, f"use messages of one {key}"
    for channel in campaign.channels():
        if channel not in spec.channels:
            has = ", ".join(sorted(spec.channels))
            says = f"the message {spec.name!r} is not written for {channel}"
            yield ("channels",), "channels", says, f"write it, or use: {has}"
    if spec.question is not None:
        says = f"the message {spec.name!r} asks a question, and a campaign waits for no answer"
        yield place, "message", says, "ask it in a journey (docs/adding-a-journey.md)"


def _unused(campaign: Campaign) -> Iterator[Found]:
    if campaign.arms and all(arm.message != campaign.message for arm in campaign.arms):
        says = f"no arm of the experiment sends {campaign.message!r}"
        yield ("message",), "message", says, "name it in an arm, or name an arm's message here"


def _facts(campaign: Campaign, named: Mapping[str, Place], catalogue: Catalogue) -> Iterator[Found]:
    given = given_facts(campaign)
    declared: dict[str, Fact] = {}
    for message, place in named.items():
        declared |= catalogue[message].facts
        for name, fact in catalogue[message].facts.items():
            if fact.required and name not in given:
                says = f"the message {message!r} has to show {name!r}, and nothing gives it"
                yield place, "facts", says, _giving(name)
    if not named:
        return
    meant = set(givens(campaign.audience))
    for place, name in _giving_places(campaign):
        if name not in declared and name not in meant:
            says = f"no message of this campaign has the fact {name!r}"
            yield place, "facts", says, choose(name, declared)
    reading = Reading(catalogue.default_locale, UTC, catalogue.domains)
    for place, name, value in _constants(campaign):
        if name in declared:
            try:
                read(declared[name], value, reading)
            except MissingFact:
                sample = f"write it like {declared[name].sample!r}"
                yield place, "facts", f"{name!r} is no {declared[name].kind}", sample


def _giving(name: str) -> str:
    if name in PROMOTED:
        return "add a promotion with id, code and ends"
    return f"add it under facts:, or `asks: [{name}]` when whoever launches it knows"


def _giving_places(campaign: Campaign) -> Iterator[tuple[Place, str]]:
    for name in campaign.facts:
        yield ("facts", name), name
    for number, name in enumerate(campaign.asks):
        yield ("asks", number), name
    for name in campaign.promotion.facts if campaign.promotion else ():
        yield ("promotion", "facts", name), name


def _constants(campaign: Campaign) -> Iterator[tuple[Place, str, Any]]:
    for name, value in campaign.facts.items():
        if not isinstance(value, Personal):
            yield ("facts", name), name, value
        elif value.otherwise is not None:
            yield ("facts", name, "otherwise"), name, value.otherwise
    if campaign.promotion:
        yield ("promotion", "code"), "code", campaign.promotion.code
        for name, value in campaign.promotion.facts.items():
            yield ("promotion", "facts", name), name, value


# -- audience --------------------------------------------------------------------------------------


def _audience(
    campaign: Campaign, catalogue: Catalogue, campaigns: Collection[str] | None
) -> Iterator[Found]:
    for clause in clauses(campaign.audience):
        if isinstance(clause, Attribute):
            yield from _attribute(_place(campaign, "attribute", clause.name), clause.name)
            yield from _value(campaign, clause)
        elif isinstance(clause, Did):
            place = _place(campaign, "did", clause.event) or _place(
                campaign, "did_not", clause.event
            )
            for name in clause.names:
                yield from _event(place, name)
            yield from _properties(place, clause)
        elif isinstance(clause, Consent):
            yield from _topic(_place(campaign, "topic", clause.topic), clause.topic, catalogue)
        elif isinstance(clause, InCampaign) and campaigns is not None:
            yield from _other(campaign, clause.campaign, campaigns)
    if campaign.arms or campaign.holdout:
        yield from _event(("experiment", "measure", "event"), campaign.measure.event)
    for name, fact in campaign.facts.items():
        if isinstance(fact, Personal):
            known = _event if fact.source == "event" else _attribute
            yield from known(("facts", name, fact.source), fact.name)


def _place(campaign: Campaign, key: str, value: Any) -> Place:
    """Give where the audience says ``key: value``; empty when it does not."""
    return next(_walk(campaign.definition.get("audience"), ("audience",), key, value), ())


def _walk(told: Any, place: Place, key: str, value: Any) -> Iterator[Place]:
    if isinstance(told, Mapping):
        if told.get(key) == value:
            yield (*place, key)
        for inner, below in told.items():
            yield from _walk(below, (*place, inner), key, value)
    elif isinstance(told, list):
        for number, below in enumerate(told):
            yield from _walk(below, (*place, number), key, value)


def _attribute(place: Place, name: str) -> Iterator[Found]:
    if name in ATTRIBUTES:
        return
    if name in _NO_ATTRIBUTES:
        says = f"{name!r} is not kept as an attribute"
        yield place, "attribute", says, f"write {_NO_ATTRIBUTES[name]}"
        return
    near = nearest(name, ATTRIBUTES, cutoff=0.75)
    if near:
        says = f"the attribute {name!r} looks like {near!r}"
        yield place, "attribute", says, f"write {near}, or send yours under a name less alike"


def _value(campaign: Campaign, clause: Attribute) -> Iterator[Found]:
    """A locale or zone that the record would never keep is nobody's, and its opposite everybody's."""
    if clause.name not in ("locale", "zone") or clause.op not in _NAMING:
        return
    listed = isinstance(clause.value, tuple)
    place = _place(campaign, clause.op, [*clause.value] if listed else clause.value)
    for one in clause.value if listed else (clause.value,):
        if isinstance(one, Given):
            continue
        told = str(one)
        kept = tag(told) if clause.name == "locale" else told if zone(told) else None
        if kept != told:
            near = like_zone(told) if clause.name == "zone" else f"write {kept or 'it like en-GB'}"
            yield place, "attribute", f"no customer can have the {clause.name} {told!r}", near


def _topic(place: Place, topic: str, catalogue: Catalogue) -> Iterator[Found]:
    known = {catalogue[name].topic for name in catalogue.names()}
    if topic in known:
        return
    if near := nearest(topic, known, cutoff=0.75):
        says = f"the topic {topic!r} looks like {near!r}"
        yield place, "topic", says, f"write {near}, or name yours less alike"
        return
    says = f"no message has the topic {topic!r}"
    yield place, "topic-unknown", says, "leave it if your systems send consent to it"


def _event(place: Place, name: str) -> Iterator[Found]:
    if name in EVENT_TYPES:
        return
    slip = nearest(name, EVENT_TYPES, cutoff=0.95)
    if slip:
        says = f"the event {name!r} looks like {slip!r}"
        yield place, "event", says, f"write {slip}, or send yours under a name less alike"
        return
    near = nearest(name, EVENT_TYPES, cutoff=0.7)
    says = f"the event {name!r} is none of those that Signalpost knows"
    known = f"; the nearest that it knows is {near}" if near else ""
    yield place, "event-unknown", says, f"leave it if your systems send it by this name{known}"


def _properties(place: Place, clause: Did) -> Iterator[Found]:
    """A property that is nearly a fact of its event is a slip of the pen."""
    for event, name in clause.properties():
        known, first = EVENT_TYPES.get(event), name.partition(".")[0]
        facts = {*known.required, *known.optional} if known else set()
        near = nearest(first, facts, cutoff=0.8)
        if near and first not in facts:
            says = f"{name!r} of {event} looks like its fact {near!r}"
            at = ("where", name) if event == clause.event else ("unless",)
            yield (*place[:-1], *at), "event", says, f"write {near}"


def _other(campaign: Campaign, name: str, campaigns: Collection[str]) -> Iterator[Found]:
    """A slip of the pen in `not: {in_campaign: …}` means everybody; what has run needs no file."""
    if name in campaigns:
        return
    place = _place(campaign, "in_campaign", name)
    others = [one for one in campaigns if _without_numbers(one) != _without_numbers(name)]
    if near := nearest(name, others, cutoff=0.8):
        remedy = (
            f"did you mean {near}? If not, keep the file of {name}: it may stay when it is over"
        )
        yield place, "audience", f"there is no campaign {name!r}", remedy
        return
    says = f"there is no file of a campaign {name!r}"
    remedy = "leave it if the record has runs of it; without, plan and launch refuse this one"
    yield place, "campaign-unknown", says, remedy


def _without_numbers(name: str) -> str:
    """Give what the campaigns of several years have in common: autumn-25, autumn-26."""
    return re.sub(r"-?\d+", "", name)


# -- experiments -----------------------------------------------------------------------------------


def vain(campaign: Campaign) -> Iterator[Found]:
    """Give what an experiment says by which nothing can be learnt from it."""
    sent: dict[str, str] = {}
    for number, arm in enumerate(campaign.arms):
        if arm.message is None:
            continue
        if first := sent.get(arm.message):
            place = ("experiment", "arms", number, "message")
            says = f"the arms {first!r} and {arm.name!r} both send {arm.message!r}"
            remedy = "nothing differs between them: give one another message, or make them one"
            yield place, "same-arms", says, remedy
        sent.setdefault(arm.message, arm.name)
    low, high = _ALPHAS
    alpha = campaign.measure.alpha
    if (campaign.arms or campaign.holdout) and not low <= alpha <= high:
        says = f"an alpha of {100 * alpha:g}% is unusual: so often is chance alone called an effect"
        yield ("experiment", "measure", "alpha"), "alpha", says, "write 5%, or between 1% and 10%"


# -- rules of the house ----------------------------------------------------------------------------


def _rules(campaign: Campaign) -> Iterator[Found]:
    if campaign.description.strip() == PLACEHOLDER:
        says = "the description is still that of a new file, and it heads every plan"
        yield ("description",), "description", says, "say what the campaign is for"
    marketing = campaign.purpose is Purpose.MARKETING
    above = campaign.approval.above
    if marketing and above is not None and above > UNAPPROVED:
        says = f"marketing to more than {UNAPPROVED:,} people needs approval or a clear never"
        yield ("approval",), "approval", says, f"write above {UNAPPROVED} or less, always, or never"
    if marketing:
        if campaign.holds_back_marketing:
            says = "a marketing campaign cannot hold back marketing"
            yield ("holds_back_marketing",), "holds_back_marketing", says, "remove it"
        return
    if campaign.holdout or any(arm.message is None for arm in campaign.arms):
        place = ("holdout",) if campaign.holdout else ("experiment", "arms")
        says = f"a {campaign.purpose} message is kept from nobody"
        yield place, "holdout", says, "remove the holdout or control; compare two messages instead"
    if campaign.caps is not None:
        says = f"caps count marketing only, and this is {campaign.purpose}"
        yield ("caps",), "caps", says, "remove caps"
