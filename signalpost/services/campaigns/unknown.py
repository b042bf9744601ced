"""Names in a campaign that nobody on the record has: most are slips of the pen.

The linter cannot know what a shop's own systems send; the record does. A misspelt name in ``not:``
would otherwise mean everybody.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sqlmodel import Session

from signalpost.content.campaigns import Folder
from signalpost.content.campaigns.part import nearest
from signalpost.domain.audience import Attribute, Did, Given, InCampaign, Rule, clauses
from signalpost.domain.audience_values import parts
from signalpost.domain.campaign import Campaign, Personal
from signalpost.domain.events import EVENT_TYPES
from signalpost.record import audience_names, campaigns

_MEANS = " A rule about it holds for nobody, and its opposite for everybody."
#: Operators that name a whole value.
_NAMING = ("is", "is_not", "among", "not_among")
_LOOKED_FOR = 20  #: values that a plan looks for among everybody
_SHARED = 20  #: what fewer people have may be about a household, and a plan leaves the record
_SHARE = 0.01  #: of those looked at, for the same reason
_CHOICES = 20  #: an attribute of more values is no choice among a few
_NAMED = 5


def unknown_campaigns(
    session: Session, campaign: Campaign, files: Mapping[str, Campaign]
) -> Iterator[str]:
    """Say which campaigns the audience asks about that have neither a file nor a run on the record."""
    asked = {rule.campaign for rule in clauses(campaign.audience) if isinstance(rule, InCampaign)}
    for name in sorted(asked - {campaign.name, *files}):
        if isinstance(files, Folder) and files.has_file(name):  # a wrong one, for the moment
            continue
        if not campaigns.runs(session, campaign=name, limit=1):
            yield (
                f"There is no campaign {name}, no file of it and no run on the record"
                f"{_meant(name, files)}{_MEANS}"
            )


def unknown_names(session: Session, campaign: Campaign, *, finds: bool) -> Iterator[str]:
    """Say which attributes, values of them, events and facts of events are on nobody's record.

    ``finds``: whether the launch asks for its audience; a later stage of a series does not.
    """
    if not audience_names.any_customer(session):
        return
    rules = list(clauses(campaign.audience)) if finds else []
    personal = [fact for fact in campaign.facts.values() if isinstance(fact, Personal)]
    yield from _attributes(
        session,
        asked={rule.name for rule in rules if isinstance(rule, Attribute)},
        shown={fact.name for fact in personal if fact.source == "attribute"},
    )
    yield from _values(session, rules)
    wanted: dict[str, set[str]] = {}
    for rule in rules:
        if isinstance(rule, Did):
            for event in rule.names:
                wanted.setdefault(event, set())
            for event, name in rule.properties():
                wanted[event].add(name)
    for fact in personal:
        if fact.source == "event":
            wanted.setdefault(fact.name, set()).update([fact.property] if fact.property else [])
    missing_is_told = set(wanted)
    if (campaign.arms or campaign.holdout) and campaign.measure.revenue:
        wanted.setdefault(campaign.measure.event, set()).add(campaign.measure.revenue)
    for event, names in sorted(wanted.items()):
        yield from _event(session, event, names, told=event in missing_is_told)


def _attributes(session: Session, *, asked: set[str], shown: set[str]) -> Iterator[str]:
    names = {parts(name)[0] for name in asked | shown} - audience_names.COLUMNS
    absent = audience_names.absent_attributes(session, names)
    if not absent:
        return
    known = audience_names.attribute_names(session) | audience_names.COLUMNS
    for name in sorted(absent):
        means = _MEANS if name in {parts(one)[0] for one in asked} else ""
        yield f"Nobody has the attribute {name}{_meant(name, known)}{means}"


def _values(session: Session, rules: Iterable[Rule]) -> Iterator[str]:
    """Say which texts that the audience names are nobody's value of their attribute."""
    named: dict[str, set[str]] = {}
    for rule in rules:
        if isinstance(rule, Attribute) and rule.op in _NAMING:
            listed = rule.value if isinstance(rule.value, tuple) else (rule.value,)
            texts = {v for v in listed if isinstance(v, str) and not isinstance(v, Given)}
            named.setdefault(rule.name, set()).update(texts)
    if not any(named.values()):
        return
    known = audience_names.attribute_values(session, named)
    doubted = sorted((name, v) for name, texts in named.items() for v in texts - {*known[name]})
    looked_for: dict[str, set[str]] = {}
    for name, value in doubted[:_LOOKED_FOR]:
        looked_for.setdefault(name, set()).add(value)
    nobodys = audience_names.absent_values(session, looked_for)
    lacking = audience_names.absent_attributes(
        session, {name for name, _ in nobodys} - audience_names.COLUMNS
    )
    for name, value in sorted(one for one in nobodys if one[0] not in lacking):
        meant = _instead(value, list(_choices(name, known[name])))
        yield f"Nobody has the {name} {value!r}{meant}{_MEANS}"


def _choices(name: str, known: Counter[str]) -> Iterator[str]:
    """Give the values of an attribute that tell nothing of anybody: many people have them."""
    if name in audience_names.COLUMNS:  # languages and zones
        yield from known
    elif len(known) <= _CHOICES:
        enough = max(_SHARED, _SHARE * known.total())
        yield from (one for one, people in known.items() if people >= enough)


def _instead(value: str, known: Sequence[str]) -> str:
    """Name the values that may be meant, of these."""
    shared = {one.lower(): one for one in known}
    if not shared:
        return "."
    word = value.lower()
    near = get_close_matches(word, shared, n=_NAMED) or sorted(
        one for one in shared if one.startswith(word)
    )
    if near:
        return f"; did you mean {' or '.join(shared[one] for one in near[:_NAMED])}?"
    return f"; there are, for instance, {', '.join(sorted(shared.values())[:_NAMED])}."


def _event(session: Session, event: str, names: Iterable[Any], *, told: bool) -> Iterator[str]:
    found = audience_names.event_facts(session, event)
    if not found.events:
        if told:
            meant = "." if event in EVENT_TYPES else _meant(event, EVENT_TYPES)
            yield f"There is no event {event} on the record{meant}"
        return
    type_ = EVENT_TYPES.get(event)
    known = {*type_.required, *type_.optional} if type_ else set[str]()
    for name in sorted({parts(one)[0] for one in names} - known - found.facts):
        which = (
            "No event" if found.events < audience_names.LOOKED_AT else "None of the newest events"
        )
        yield f"{which} {event} on the record has {name}{_meant(name, known | found.facts)}"


def _meant(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else "."
