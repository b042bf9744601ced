"""The names that a campaign asks for: those that are nearly one we know, or that nobody can have."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from signalpost.content.campaigns.page import Place
from signalpost.content.campaigns.part import nearest
from signalpost.content.campaigns.values import like_zone
from signalpost.content.catalogue import Catalogue
from signalpost.domain.audience import Attribute, Consent, Did, Given, InCampaign, clauses
from signalpost.domain.campaign import Campaign, Personal
from signalpost.domain.events import EVENT_TYPES
from signalpost.domain.local_time import zone
from signalpost.domain.locale_tags import tag

#: Attributes that the product itself reads; a shop may send any others.
ATTRIBUTES = frozenset(
    {
        "tier", "preferred_channel", "assigned_agent", "locale", "zone", "first_name", "last_name",
    }
)  # fmt: skip
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


def names(
    campaign: Campaign, catalogue: Catalogue, campaigns: Collection[str] | None
) -> Iterator[Found]:
    """Give what is odd about the attributes, events, topics and campaigns that it names.

    ``campaigns``: the names of all files; None: do not look for those that the audience asks about.
    """
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
