"""What a campaign file cannot know by itself: the messages that there are, and what time it is."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from signalpost.content.campaigns import moments, named
from signalpost.content.campaigns.page import Page, Place, line_of
from signalpost.content.campaigns.part import choose
from signalpost.content.campaigns.scaffold import PLACEHOLDER
from signalpost.content.campaigns.schema import CampaignFile
from signalpost.content.catalogue import Catalogue
from signalpost.content.errors import MissingFact, Problem
from signalpost.content.facts import Fact, FactType, read
from signalpost.content.facts import Place as Reading
from signalpost.content.spec import MessageSpec
from signalpost.domain.audience import givens
from signalpost.domain.campaign import PROMOTED, Campaign, Personal
from signalpost.domain.vocabulary import Purpose

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
        *named.names(campaign, catalogue, campaigns),
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
