"""What the record says about one person, in words, for each kind of clause of an audience."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from signalpost.domain import assignment
from signalpost.domain import audience_values as values
from signalpost.domain.audience import (
    Attribute,
    Consent,
    Did,
    InCampaign,
    Reachable,
    Rule,
    Sample,
    Tenure,
)
from signalpost.domain.audience_words import (
    length_in_words,
    number_in_words,
    period_in_words,
    times_in_words,
    unless_in_words,
    value_in_words,
)
from signalpost.record import audience_deeds as deeds
from signalpost.record import audience_sets as sets
from signalpost.record import consents, customers
from signalpost.record.audience_scope import Scope
from signalpost.record.audience_scope import customers as customers_table

_LONGEST = 200


def finding(session: Session, rule: Rule, *, root: str, scope: Scope) -> str:
    """Say what is on record about what a single clause asks for."""
    match rule:
        case Attribute():
            return _attribute(session, rule, root)
        case Tenure():
            return _tenure(session, scope)
        case Consent():
            return _consent(session, rule, root)
        case Reachable():
            return _reachable(session, rule, root)
        case Did():
            return _did(session, rule, scope)
        case InCampaign():
            return _decided(session, rule, scope)
        case Sample(_, seed):
            return f"their place is {assignment.share(seed, root):.2%}"
    return "on record"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _attribute(session: Session, rule: Attribute, root: str) -> str:
    profile = customers.profiles(session, [root])[root]
    whole = profile["attributes"] | {
        name: profile[name] for name in ("locale", "zone") if rule.name == name
    }
    found = values.items(whole, rule.name)
    if not found:
        return f"{rule.name} is not known"
    return f"{rule.name} is {value_in_words(found if len(found) > 1 else found[0])}"[:_LONGEST]


def _tenure(session: Session, scope: Scope) -> str:
    row, since = customers_table, customers.known_since(customers_table)
    ids: Sequence[str] = list(scope.family or ())
    first = session.execute(
        select(since, row.c.learned_at).where(row.c.id.in_(ids)).order_by(since).limit(1)
    ).one()
    known, told = first
    said = f"known since {_day(known)}, for {length_in_words(_whole_days(scope.now - known))}"
    return said if told is None else f"{said}: by their oldest event, told on {_day(told)}"


def _whole_days(length: Any) -> Any:
    day = type(length)(days=1)
    return length // day * day if length >= day else length


def _consent(session: Session, rule: Consent, root: str) -> str:
    said = [
        row
        for row in consents.statements(session, [root]).get(root, ())
        if row.channel in (rule.channel, "*") and row.topic in (rule.topic, "*")
    ]
    if not said:
        return "never said anything about it"
    latest = max(said, key=lambda row: sets.consent_place(row, rule))
    about = f"{_any(latest.channel, 'every channel')}, {_any(latest.topic, 'every topic')}"
    return f"{latest.status} on {_day(latest.at)} ({about})"


def _any(value: str, all_of_them: str) -> str:
    return all_of_them if value == "*" else value


def _reachable(session: Session, rule: Reachable, root: str) -> str:
    points = customers.current_contact_points(session, [root]).get(root, {})
    point = points.get(rule.channel)
    if point is None:
        return "no address"
    if point.verified_at is None:
        return "an address that is not verified"
    rows = consents.suppressions(session, [point.address]).get(point.address, ())
    latest = {row.reason: row for row in rows if row.channel == rule.channel and row.scope == "all"}
    blocks = [row for row in latest.values() if row.active]
    if blocks:
        return f"blocked since {_day(blocks[0].at)}: {blocks[0].reason}"
    return f"a verified address since {_day(point.verified_at)}"


def _did(session: Session, rule: Did, scope: Scope) -> str:
    row = session.execute(deeds.summed(rule, scope).source).mappings().first()
    what, period = f"{rule.event}{unless_in_words(rule)}", period_in_words(rule.within)
    if row is None:
        return f"did {what} 0 times{period}"
    said = f"did {what} {times_in_words(int(row['count']))}{period}"
    if rule.sum_of is not None:
        said += f", {rule.sum_of} adding up to {number_in_words(row['total'])}"
    return f"{said}, last on {_day(row['last'])}"


def _decided(session: Session, rule: InCampaign, scope: Scope) -> str:
    rows = session.execute(sets.decisions(rule, scope)).all()
    if not rows:
        return f"not in the campaign {rule.campaign}"
    latest = rows[0]
    at = "" if latest.decided_at is None else f" on {_day(latest.decided_at)}"
    return f"{(latest.outcome or 'not decided yet').replace('_', ' ')}{at}"
