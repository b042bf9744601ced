"""One person's consent and address on PostgreSQL, looked up by their own rows.

The same answers as ``record.audience_sets`` gives for everybody at once. For the some who are left
when a rule has asked for events, a look into an index each is far less work than reading all rows.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, select

from signalpost.domain.audience import Consent, Reachable
from signalpost.record import audience_sets as sets
from signalpost.record.audience_scope import Roots, customers
from signalpost.record.customers import was_merged


@dataclass(frozen=True)
class Person:
    """Who is asked about: the root customer, and all whose rows count for them."""

    id: ColumnElement[Any]
    family: ColumnElement[Any]  #: an array of ids, the root's own among them


def families() -> Roots:
    """The customers merged into each root, as arrays: columns root_id and ids."""
    ids = func.array_agg(customers.c.id).label("ids")
    merged = select(customers.c.root_id, ids).where(was_merged(customers))
    return merged.group_by(customers.c.root_id)


def agreed(rule: Consent, person: Person) -> ColumnElement[bool]:
    """Their latest word about the channel and topic is yes."""
    said = sets.consents_table.alias("said")
    latest = (
        select(said.c.status)
        .where(said.c.customer_id == func.any(person.family), sets.about(said, rule))
        .order_by(*(one.desc() for one in sets.consent_place(said.c, rule)))
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(latest == "granted", false())


def reachable(rule: Reachable, person: Person) -> ColumnElement[bool]:
    """Their address in use on the channel is verified and not blocked for everything."""
    used = sets.points_table.alias("used")
    blocked = sets.blocked(rule.channel)
    is_blocked = exists(blocked.where(next(iter(blocked.selected_columns)) == used.c.address))
    good = and_(used.c.verified_at.is_not(None), ~is_blocked)
    in_use = (
        select(good)
        .where(
            used.c.customer_id == func.any(person.family),
            used.c.channel == rule.channel,
            used.c.replaced_at.is_(None),
        )
        .order_by(
            (used.c.customer_id == person.id).desc(), used.c.created_at.desc(), used.c.id.desc()
        )
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(in_use, false())
