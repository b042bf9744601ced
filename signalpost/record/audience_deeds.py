"""Whom a ``Did`` is true of: selects of root customer ids, over the events of whole families."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Numeric,
    and_,
    case,
    column,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from signalpost.domain.audience import Did, Unless, Where
from signalpost.record import audience_values as sql
from signalpost.record import events
from signalpost.record.audience_scope import Rooted, Roots, Scope, rooted
from signalpost.record.base import UtcDateTime, table_of

_events = table_of(events.Event)


def happened(table: Any) -> ColumnElement[bool]:
    """Events that happened to somebody: not those that wait, nor those whose id was used twice.

    Said in the words of the index ``ix_events_did``, which holds no others.
    """
    return table.c.status.in_([literal_column("'accepted'"), literal_column("'historic'")])


def deeds(rule: Did, scope: Scope) -> Rooted:
    """The events that a ``Did`` looks at."""
    found = rooted(_events, scope)
    tests = [
        found.only,
        _events.c.name == rule.event,
        happened(_events),
        _events.c.occurred_at <= scope.now,
        *_meeting(rule.where, _events, scope),
    ]
    if rule.within is not None:
        tests.append(_events.c.occurred_at > scope.ago(rule.within))
    if rule.unless is not None:
        tests.append(_not_followed(rule.unless, found.root, scope, within=rule.within))
    return Rooted(found.source, found.root, and_(*tests))


def _meeting(wheres: Iterable[Where], table: Any, scope: Scope) -> Iterator[ColumnElement[bool]]:
    return (scope.sql.holds(table.c.facts, one.name, one.op, one.value) for one in wheres)


def _not_followed(
    unless: Unless, root: ColumnElement[Any], scope: Scope, *, within: timedelta | None
) -> ColumnElement[bool]:
    """The event shares its property with none of those others of the person.

    What follows an event is no older than the event may be, so that older ones need not be read.
    """
    others = _events.alias("others")
    found = rooted(others, scope, name="others_merged")
    mine, theirs = (scope.sql.key(one.c.facts, unless.same) for one in (_events, others))
    tests = [
        found.only,
        others.c.name.in_(unless.events),
        happened(others),
        others.c.occurred_at <= scope.now,
        *_meeting(unless.where, others, scope),
    ]
    if within is not None:
        tests.append(others.c.occurred_at > scope.ago(within))
    followed = select(found.root, theirs).select_from(found.source).where(*tests)
    if scope.is_postgres:  # which plans it as one join with all of them
        return ~followed.where(found.root == root, theirs == mine).exists()
    # SQLite makes one table of all of them, and looks there.
    return or_(mine.is_(None), tuple_(root, mine).not_in(followed.where(theirs.is_not(None))))


@dataclass(frozen=True)
class _Sums:
    """A person's events added up: a select's parts."""

    source: Roots
    count: ColumnElement[Any]
    total: ColumnElement[Any] | None
    last: ColumnElement[Any]


def did(rule: Did, scope: Scope) -> tuple[Roots, bool]:
    """Whom it is true of; or, with False, whom it is not true of, where nothing done is enough."""
    found = deeds(rule, scope)
    if _asks_for_one(rule):
        return select(found.root.label("root")).select_from(found.source).where(found.only), True
    sums = summed(rule, scope)
    enough = and_(true(), *_bounds(rule, sums, scope))
    roots = sums.source.with_only_columns(sums.source.selected_columns.root)
    if nothing_is_enough(rule):
        return roots.having(not_(enough)), False
    return roots.having(enough), True


def _asks_for_one(rule: Did) -> bool:
    more = (rule.at_most, rule.total_at_least, rule.total_at_most, rule.last_before)
    return rule.times == 1 and all(one is None for one in more)


def nothing_is_enough(rule: Did) -> bool:
    """It is true of somebody who never did it."""
    return (
        rule.times <= 0
        and (rule.at_most is None or rule.at_most >= 0)
        and (rule.total_at_least is None or rule.total_at_least <= 0)
        and (rule.total_at_most is None or rule.total_at_most >= 0)
        and rule.last_before is None
    )


def _bounds(rule: Did, sums: _Sums, scope: Scope) -> list[ColumnElement[bool]]:
    bounds: list[ColumnElement[bool]] = []
    if rule.times > 1:
        bounds.append(sums.count >= rule.times)
    if rule.at_most is not None:
        bounds.append(sums.count <= rule.at_most)
    if rule.last_before is not None:
        bounds.append(sums.last <= literal(scope.ago(rule.last_before), UtcDateTime()))
    return [*bounds, *_bounds_of_total(rule, sums.total, scope)]


def _bounds_of_total(rule: Did, total: Any, scope: Scope) -> list[ColumnElement[bool]]:
    bounds: list[ColumnElement[bool]] = []
    if total is not None and rule.total_at_least is not None:
        bounds.append(total >= _amount(rule.total_at_least, scope))
    if total is not None and rule.total_at_most is not None:
        bounds.append(total <= _amount(rule.total_at_most, scope))
    return bounds


def of_whom_did(people: Roots, rule: Did, scope: Scope) -> Roots:
    """On PostgreSQL: those of these people of whom it is true; column ``id``, each once.

    Their events alone are grouped, and once. Whoever paid in more than one currency, as few do, is
    looked for among the totals by currency, which are made when the first of them comes.
    """
    who = people.subquery("who")
    if rule.sum_of not in (None, "total"):
        return select(who.c.id).where(who.c.id.in_(did(rule, scope)[0]))
    found = deeds(rule, scope)
    source = found.source.join(who, who.c.id == found.root)
    theirs = select(who.c.id).select_from(source).where(found.only).group_by(who.c.id)
    if _asks_for_one(rule):
        return theirs
    last = func.max(_events.c.occurred_at, type_=UtcDateTime())
    bounds = _bounds(rule, _Sums(theirs, func.count(), None, last), scope)
    totals = _bounds_of_total(rule, func.coalesce(func.sum(_events.c.total), _ZERO), scope)
    if rule.sum_of is not None and totals:
        money = func.coalesce(_events.c.currency, literal_column("''"))
        mixed = who.c.id.in_(did(rule, scope)[0])
        one_currency = func.min(money) == func.max(money)
        bounds.append(case((one_currency, and_(*totals)), else_=mixed))
    return theirs.having(and_(true(), *bounds))


def _amount(value: float, scope: Scope) -> ColumnElement[Any]:
    return literal(Decimal(str(value)), Numeric) if scope.is_postgres else literal(float(value))


def summed(rule: Did, scope: Scope) -> _Sums:
    """Each person's events counted and added up: columns root, and what it says."""
    found = deeds(rule, scope)
    if rule.sum_of is not None and scope.is_postgres:
        return _sums_by_currency(rule.sum_of, found)
    count, last = func.count(), func.max(_events.c.occurred_at, type_=UtcDateTime())
    total = None if rule.sum_of is None else sql.largest_total(_events.c.facts, rule.sum_of)
    columns = [found.root.label("root"), count.label("count"), last.label("last")]
    if total is not None:
        columns.append(total.label("total"))
    source = select(*columns).select_from(found.source).where(found.only).group_by(found.root)
    return _Sums(source, count, total, last)


def _sums_by_currency(name: str, found: Rooted) -> _Sums:
    """On PostgreSQL: add up by person and currency, then take each person's largest total.

    The total of an event is kept in a column of its own (and in the index, so that no event is
    fetched); other properties are read from its facts.
    """
    source, amount, money, first = found.source, _events.c.total, _events.c.currency, true()
    if name != "total":
        path = sql.path(name, opened=False)
        item = (
            func.jsonb_path_query(_events.c.facts, path, type_=JSONB)
            .table_valued(column("value", JSONB), with_ordinality="place")
            .render_derived()
        )
        source = source.outerjoin(item, true())
        amount, money = sql.number(item.c.value), sql.currency(item.c.value)
        first = or_(item.c.place.is_(None), item.c.place == 1)
    count = func.count() if name == "total" else func.count().filter(first)
    money = func.coalesce(money, literal_column("''"))
    each = (
        select(
            found.root.label("root"),
            count.label("count"),
            func.sum(amount).label("total"),
            func.max(_events.c.occurred_at).label("last"),
        )
        .select_from(source)
        .where(found.only)
        .group_by(found.root, money)
        .subquery("each_currency")
    )
    counted = func.sum(each.c.count)
    total = func.coalesce(func.max(each.c.total), _ZERO)
    last = func.max(each.c.last, type_=UtcDateTime())
    whole = select(
        each.c.root, counted.label("count"), total.label("total"), last.label("last")
    ).group_by(each.c.root)
    return _Sums(whole, counted, total, last)


_ZERO = literal_column("0")
