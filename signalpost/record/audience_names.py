"""Which attributes, values and event facts there are on the record: a slip of the pen, or a rule?"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import exists, literal_column, select
from sqlmodel import Session

from signalpost.record import audience_values as sql
from signalpost.record.audience_deeds import happened
from signalpost.record.audience_scope import customers
from signalpost.record.base import table_of
from signalpost.record.events import Event

_events = table_of(Event)

#: Customers, and events of a name, that are looked at for the names that they have: the newest.
LOOKED_AT = 2_000
COLUMNS = frozenset({"locale", "zone"})  #: asked for as attributes, and kept beside them


def absent_attributes(session: Session, names: Collection[str]) -> set[str]:
    """Give those of these attributes that no customer has; stops at the first who has one."""
    wanted = sorted(names)
    if not wanted:
        return set()
    has = _dialect(session).has
    found = session.execute(
        select(
            *(
                exists(select(literal_column("1")).where(has(customers.c.attributes, name)))
                for name in wanted
            )
        )
    ).one()
    return {name for name, is_there in zip(wanted, found, strict=True) if not is_there}


def attribute_names(session: Session) -> set[str]:
    """Name the attributes of the newest customers, for what somebody may have meant."""
    newest = select(customers.c.attributes).order_by(customers.c.id.desc()).limit(LOOKED_AT)
    return {name for kept in session.execute(newest).scalars() for name in kept or {}}


def attribute_values(session: Session, names: Collection[str]) -> dict[str, Counter[str]]:
    """Count the texts that the newest customers have of each of these attributes."""
    columns = (customers.c.attributes, customers.c.locale, customers.c.zone)
    newest = select(*columns).order_by(customers.c.id.desc()).limit(LOOKED_AT)
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for kept, locale, zone in session.execute(newest):
        known = {**(kept or {}), "locale": locale, "zone": zone}
        for name, count in found.items():
            value = known.get(name)
            listed = value if isinstance(value, list) else [value]
            count.update({one for one in listed if isinstance(one, str)})
    return found


def absent_values(session: Session, values: Mapping[str, Collection[str]]) -> set[tuple[str, str]]:
    """Give those of these attributes' texts that no customer has; stops at the first who has one."""
    wanted = [(name, value) for name, listed in sorted(values.items()) for value in sorted(listed)]
    if not wanted:
        return set()
    holds = _dialect(session).holds
    found = session.execute(
        select(
            *(
                exists(
                    select(literal_column("1")).where(
                        customers.c[name] == value
                        if name in COLUMNS
                        else holds(customers.c.attributes, name, "is", value)
                    )
                )
                for name, value in wanted
            )
        )
    ).one()
    return {one for one, is_there in zip(wanted, found, strict=True) if not is_there}


@dataclass(frozen=True)
class EventFacts:
    """The newest events of a name: how many were looked at, and the facts that they have."""

    events: int
    facts: frozenset[str]


def event_facts(session: Session, name: str) -> EventFacts:
    """Name the facts of the newest events of a name: at most ``LOOKED_AT``, found by index."""
    newest = (
        select(_events.c.facts)
        .where(_events.c.name == name, happened(_events))
        .order_by(_events.c.occurred_at.desc())
        .limit(LOOKED_AT)
    )
    found = list(session.execute(newest).scalars())
    return EventFacts(len(found), frozenset(fact for facts in found for fact in facts or {}))


def any_customer(session: Session) -> bool:
    """Say whether there is anybody at all."""
    return session.execute(select(customers.c.id).limit(1)).first() is not None


def _dialect(session: Session) -> sql.Postgres | sql.Sqlite:
    return sql.Postgres() if session.get_bind().dialect.name == "postgresql" else sql.Sqlite()
