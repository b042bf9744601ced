"""The facts that a launch gives: those that its file asks for and no others, each of its type.

A campaign's file is reviewed; what is typed at the launch is not. So it can add to what the file says,
where the file asks for that, and change nothing of it.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from signalpost.content import Catalogue, MissingFact
from signalpost.content.campaigns import asked, given_facts
from signalpost.content.campaigns.part import nearest
from signalpost.content.facts import Fact, FactType, Place, read
from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Did,
    Given,
    Not,
    Rule,
    Where,
    givens,
)
from signalpost.domain.audience_words import clause_in_words
from signalpost.domain.campaign import Campaign, Personal
from signalpost.record import audiences

_LONGEST = 60  #: signs of a value that a sentence repeats


def wrong_facts(
    catalogue: Catalogue, campaign: Campaign, facts: Mapping[str, Any], *, stage: str | None
) -> Iterator[str]:
    """Say which facts of a launch nothing asks for, and which are not of their type.

    An empty one is a field of a form that nobody filled in.
    """
    known = {fact.name for fact in asked(campaign, catalogue, stage=stage)}
    for name, value in facts.items():
        if value is None or value == "":
            continue
        if name in known:
            yield from _mistyped(catalogue, campaign, name, value, stage)
        else:
            yield _unasked(catalogue, campaign, name, stage, known)


def _mistyped(
    catalogue: Catalogue, campaign: Campaign, name: str, value: Any, stage: str | None
) -> Iterator[str]:
    """Its value is the same for everybody: of the wrong type, it would set everybody aside."""
    said: list[Fact] = [
        catalogue[message].facts[name]
        for message in _messages(campaign, stage)
        if message in catalogue and name in catalogue[message].facts
    ]
    place = Place(catalogue.default_locale, UTC, catalogue.domains)
    for fact in said or [Fact(name, FactType.TEXT, required=True, sample="Riverside")]:
        try:
            read(fact, value, place)
        except MissingFact:
            yield (
                f"The fact {name!r} is {_short(value)}, which is not of the type {fact.kind}; write "
                f"it like {fact.sample!r}."
            )
            return


def _unasked(
    catalogue: Catalogue, campaign: Campaign, name: str, stage: str | None, known: set[str]
) -> str:
    file = campaign.file or campaign.name
    if name in campaign.facts or name in given_facts(campaign) - {*campaign.asks}:
        return (
            f"The fact {name!r} is what {file} says{_as_it_says(campaign, name)}, and a launch does "
            "not change it; leave it out, or change the file."
        )
    if name in campaign.asks:
        return _of_another_stage(catalogue, campaign, name, stage)
    near = nearest(name, known)
    meant = f"did you mean {near}? " if near else ""
    asks = f"it asks for {', '.join(sorted(known))}" if known else "it asks for none"
    return f"Nothing asks for the fact {name!r}: {meant}{file} says what may be given; {asks}."


def _as_it_says(campaign: Campaign, name: str) -> str:
    promoted = campaign.promotion.said() if campaign.promotion else {}
    value = campaign.facts.get(name, promoted.get(name))
    return "" if value is None or isinstance(value, Personal) else f" ({_short(value)})"


def _of_another_stage(
    catalogue: Catalogue, campaign: Campaign, name: str, stage: str | None
) -> str:
    """A fact that this stage does not show would be believed to have been said."""
    others = [
        one.name
        for one in campaign.stages
        if one.message in catalogue and name in catalogue[one.message].facts
    ]
    if not others and name in givens(campaign.audience):
        return (
            f"The fact {name!r} finds the people of a series, and those of the stage {stage!r} are "
            "found already; leave it out."
        )
    shown = f" (it is in: {', '.join(others)})" if others else ""
    return (
        f"The message of the stage {stage!r} does not show the fact {name!r}{shown}, so nobody would "
        "read it; leave it out."
    )


def unmatched(
    session: Session, campaign: Campaign, facts: Mapping[str, Any], *, now: datetime
) -> Iterator[str]:
    """Say which fact that finds the people fits nothing on the record, such as a mistyped store."""
    dialect = session.get_bind().dialect.name
    for name in givens(campaign.audience):
        if (value := facts.get(name)) in (None, ""):
            continue
        looked_for = [*_alone(campaign, name, value)]
        found = (audiences.members(one, now=now, dialect=dialect) for one in looked_for)
        if looked_for and all(session.execute(one.limit(1)).first() is None for one in found):
            said = " or ".join(dict.fromkeys(clause_in_words(one) for one in looked_for))
            yield (
                f"The fact {name!r} is {_short(value)}, and nothing on the record fits it ({said}); "
                "write it as your systems do: capital letters count."
            )


def _alone(campaign: Campaign, name: str, value: Any) -> Iterator[Rule]:
    """Give what an audience says with a fact, at any time and without what else it says.

    Whom it leaves out by the fact need not exist: those who bought what nobody has bought yet.
    """
    for clause in _wanted(campaign.audience):
        if isinstance(clause, Attribute) and _asks_for(clause, name):
            yield Attribute(clause.name, _op(clause), value)
        elif isinstance(clause, Did):
            wheres = [one for one in clause.where if _asks_for(one, name)]
            yield from (Did(clause.event, (Where(one.name, _op(one), value),)) for one in wheres)


def _wanted(rule: Rule) -> Iterator[Rule]:
    if isinstance(rule, All | AnyOf):
        for inner in rule.rules:
            yield from _wanted(inner)
    elif not isinstance(rule, Not):
        yield rule


def _asks_for(one: Attribute | Where, name: str) -> bool:
    values = one.value if isinstance(one.value, tuple) else (one.value,)
    meant = any(isinstance(value, Given) and value.name == name for value in values)
    return meant and one.op not in ("is_not", "not_among")


def _op(one: Attribute | Where) -> str:
    return "is" if one.op == "among" else one.op


def _messages(campaign: Campaign, stage: str | None) -> list[str]:
    named = campaign.stage(stage)
    return [named.message] if named is not None else campaign.messages()


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
