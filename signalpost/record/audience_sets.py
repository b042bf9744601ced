"""Whom one clause of an audience is true of: selects of root customer ids, over whole families.

Each gives one column, ``root``, and a root may come more than once. A person is a family: what was
written for a customer who was merged away counts for the one who stands for them. Few are merged, so
their rows are joined on from a small index instead of looking every row's root up.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Numeric,
    Select,
    and_,
    case,
    cast,
    column,
    exists,
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

from signalpost.domain.audience import Consent, Did, InCampaign, Reachable
from signalpost.record import audience_values as sql
from signalpost.record import campaigns, consents, events
from signalpost.record.base import UtcDateTime, table_of
from signalpost.record.customers import ContactPoint, Customer

Roots = Select[*tuple[Any, ...]]

customers = table_of(Customer)
_events = table_of(events.Event)
consents_table = table_of(consents.Consent)
_suppressions = table_of(consents.Suppression)
points_table = table_of(ContactPoint)
_people = table_of(campaigns.CampaignPerson)
_runs = table_of(campaigns.CampaignRun)

#: Events that happened to somebody: not those that wait, nor those whose id was used twice. Said in
#: the words of the index ``ix_events_did``, which holds no others.
HAPPENED = _events.c.status.in_([literal_column("'accepted'"), literal_column("'historic'")])
_ONE = literal_column("1")


@dataclass(frozen=True)
class Scope:
    """What a select is made for.

    ``roots`` and ``family``: look at these people only, and at whose rows count for them.
    """

    now: datetime
    sql: sql.Postgres | sql.Sqlite
    roots: Collection[str] | None = None
    family: Collection[str] | None = None

    @property
    def is_postgres(self) -> bool:
        """Whether it is for PostgreSQL."""
        return isinstance(self.sql, sql.Postgres)

    def only(self, root: Any) -> ColumnElement[bool]:
        """The person is one of those to look at."""
        return true() if self.roots is None else root.in_(list(self.roots))

    def ago(self, length: timedelta) -> datetime:
        """Give the moment so long ago; the first there is when it would be before all of them."""
        try:
            return self.now - length
        except OverflowError:
            return datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Rooted:
    """Rows of a table with the root customer of each."""

    source: FromClause
    root: ColumnElement[Any]
    only: ColumnElement[bool]


def was_merged(customer: Any) -> ColumnElement[bool]:
    """The customer was merged into another one.

    In the words of the index ``ix_customers_merged``: PostgreSQL takes "id <> root_id" to be true of
    nearly everybody, and this to be rare, as it is.
    """
    return cast(customer.c.id == customer.c.root_id, Integer) == literal_column("0")


def _rooted(table: Any, scope: Scope, *, name: str = "merged") -> Rooted:
    merged = customers.alias(name)
    joined = table.outerjoin(merged, and_(merged.c.id == table.c.customer_id, was_merged(merged)))
    root = func.coalesce(merged.c.root_id, table.c.customer_id)
    only = true() if scope.family is None else table.c.customer_id.in_(list(scope.family))
    return Rooted(joined, root, and_(only, table.c.customer_id.is_not(None)))


def merged(condition: Callable[[Any], ColumnElement[bool]], scope: Scope) -> Roots:
    """Those into whom a customer was merged of whose row the condition is true."""
    other = customers.alias("other")
    found = select(other.c.root_id.label("root")).where(was_merged(other), condition(other))
    return found if scope.family is None else found.where(other.c.id.in_(list(scope.family)))


# --- what they did -------------------------------------------------------------------------------


def deeds(rule: Did, scope: Scope) -> Rooted:
    """The events that a ``Did`` looks at."""
    rooted = _rooted(_events, scope)
    tests = [
        rooted.only,
        _events.c.name == rule.event,
        HAPPENED,
        _events.c.occurred_at <= scope.now,
        *(scope.sql.holds(_events.c.facts, one.name, one.op, one.value) for one in rule.where),
    ]
    if rule.within is not None:
        tests.append(_events.c.occurred_at > scope.ago(rule.within))
    return Rooted(rooted.source, rooted.root, and_(*tests))


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


# --- what they agreed to, and where they are reached ------------------------------------------------


def agreed(rule: Consent, scope: Scope) -> Roots:
    """Those whose latest word about the channel and topic is yes, as the gate reads it.

    Of two statements at the same moment the more particular one counts (channel before topic), then
    the one that was recorded later. A yes counts unless something else was said after it: so few say
    no that this is far less work than to put everybody's statements in order.
    """
    yes, no = consents_table.alias("yes"), consents_table.alias("no")
    agreeing, refusing = _rooted(yes, scope), _rooted(no, scope, name="merged_no")
    later = or_(no.c.at > yes.c.at, and_(no.c.at == yes.c.at, _outranks(no, yes, rule)))
    taken_back = (
        select(_ONE)
        .select_from(refusing.source)
        .where(
            refusing.root == agreeing.root,
            refusing.only,
            about(no, rule),
            no.c.status != "granted",
            later,
        )
    )
    return (
        select(agreeing.root.label("root"))
        .select_from(agreeing.source)
        .where(agreeing.only, about(yes, rule), yes.c.status == "granted", ~exists(taken_back))
    )


def about(said: Any, rule: Consent) -> ColumnElement[bool]:
    """The statement is about the channel and topic, be it among others."""
    return and_(
        said.c.channel.in_({rule.channel, "*"}),
        said.c.topic.in_({rule.topic, "*"}),
    )


def _outranks(one: Any, other: Any, rule: Consent) -> ColumnElement[bool]:
    def rank(said: Any) -> ColumnElement[Any]:
        return case((said.c.channel == rule.channel, 0), else_=2) + case(
            (said.c.topic == rule.topic, 0), else_=1
        )

    return or_(
        rank(one) < rank(other),
        and_(rank(one) == rank(other), one.c.id > other.c.id),
    )


def consent_place(said: Any, rule: Consent) -> tuple[Any, ...]:
    """Give the place of a statement: the one with the highest counts (the gate's order)."""
    return said.at, said.channel == rule.channel, said.topic == rule.topic, said.id


def reachable(rule: Reachable, scope: Scope) -> Roots:
    """Those whose address in use on the channel is verified and not blocked for everything.

    In use is the root's own before a merged one's, then the newest. A good address counts unless a bad
    one is used before it: bad ones are few.
    """
    good, bad = points_table.alias("good"), points_table.alias("bad")
    of_good, of_bad = _rooted(good, scope), _rooted(bad, scope, name="merged_bad")
    barred = blocked(rule.channel)

    def own(point: Any, rooted: Rooted) -> ColumnElement[Any]:
        return case((point.c.customer_id == rooted.root, 1), else_=0)

    def place(point: Any, rooted: Rooted) -> Any:
        return tuple_(own(point, rooted), point.c.created_at, point.c.id)

    used_before = (
        select(_ONE)
        .select_from(of_bad.source)
        .where(
            of_bad.root == of_good.root,
            of_bad.only,
            bad.c.channel == rule.channel,
            bad.c.replaced_at.is_(None),
            or_(bad.c.verified_at.is_(None), bad.c.address.in_(barred)),
            place(bad, of_bad) > place(good, of_good),
        )
    )
    unblocked = _is_not_in(good.c.address, barred, scope)
    return (
        select(of_good.root.label("root"))
        .select_from(of_good.source)
        .where(
            of_good.only,
            good.c.channel == rule.channel,
            good.c.replaced_at.is_(None),
            good.c.verified_at.is_not(None),
            unblocked,
            ~exists(used_before),
        )
    )


def _is_not_in(value: Any, found: Roots, scope: Scope) -> ColumnElement[bool]:
    """Say "not in" so that each database makes one table of it and looks there."""
    if not scope.is_postgres:
        return value.not_in(found)
    listed = found.subquery()
    return ~exists(select(_ONE).select_from(listed).where(listed.c[0] == value))


def blocked(channel: str) -> Roots:
    """Addresses with a block for everything that nobody lifted; each reason is lifted by itself."""
    block, lifting = _suppressions.alias("block"), _suppressions.alias("lifting")
    lifted = select(_ONE).where(
        lifting.c.address == block.c.address,
        lifting.c.channel == channel,
        lifting.c.scope == "all",
        lifting.c.reason == block.c.reason,
        lifting.c.active.is_(False),
        tuple_(lifting.c.at, lifting.c.id) > tuple_(block.c.at, block.c.id),
    )
    return select(block.c.address).where(
        block.c.channel == channel,
        block.c.scope == "all",
        block.c.active.is_(True),
        ~exists(lifted),
    )


# --- the rest ------------------------------------------------------------------------------------


def decided(rule: InCampaign, scope: Scope) -> Roots:
    """Those on whom a campaign decided so."""
    rooted = _rooted(_people, scope)
    tests = [
        _people.c.outcome.is_not(None)
        if rule.outcome == "any"
        else _people.c.outcome == rule.outcome,
        _runs.c.campaign == rule.campaign,
    ]
    if rule.within is not None:
        tests += [
            _people.c.decided_at > scope.ago(rule.within),
            _people.c.decided_at <= scope.now,
        ]
    if rule.series is not None:
        tests.append(_runs.c.series == rule.series)
    runs = rooted.source.join(_runs, _runs.c.id == _people.c.campaign_run_id)
    return select(rooted.root.label("root")).select_from(runs).where(rooted.only, *tests)


def decisions(rule: InCampaign, scope: Scope) -> Roots:
    """What a campaign decided on the people in scope, the latest first."""
    rooted = _rooted(_people, scope)
    runs = rooted.source.join(_runs, _runs.c.id == _people.c.campaign_run_id)
    tests = [rooted.only, _runs.c.campaign == rule.campaign]
    if rule.series is not None:
        tests.append(_runs.c.series == rule.series)
    return (
        select(_people.c.outcome, _people.c.decided_at)
        .select_from(runs)
        .where(*tests)
        .order_by(_people.c.decided_at.is_(None), _people.c.decided_at.desc())
    )
