"""Audiences: a rule compiled to one SQL statement, counted, and explained for one person.

A rule becomes a condition on the root customers (``customers``, unaliased, so that whoever freezes
an audience can select more of its columns: ``members(...).add_columns(customers.c.zone)``). It is
first brought to the form in which only single clauses are negated. A clause about the customer's own
row is a plain condition. Every other clause is a set of root customers (``record.audience_sets``),
and the person must be in it, or not:

- SQLite: ``IN`` and ``NOT IN``; it makes a table of the set once and looks there.
- PostgreSQL, where every clause must hold: ``IN`` and ``NOT EXISTS``, which it plans as joins.
- PostgreSQL, below an "any": a join that keeps everybody, asked whether it found something. A set
  that does not fit into ``work_mem`` would otherwise be searched once a person.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case, false, func, or_, select, true
from sqlmodel import Session

from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Consent,
    Did,
    Everyone,
    InCampaign,
    Not,
    Reachable,
    Rule,
    Sample,
    Tenure,
)
from signalpost.domain.audience_words import clause_in_words
from signalpost.errors import NotFoundError
from signalpost.record import audience_sets as sets
from signalpost.record import audience_values as sql
from signalpost.record.audience_findings import finding
from signalpost.record.audience_sets import Scope, customers
from signalpost.record.customers import family, roots

Truth = ColumnElement[bool]
_COLUMNS = ("locale", "zone")  #: attributes that are columns


@dataclass(frozen=True)
class ClauseResult:
    """What one clause says about one person."""

    words: str  #: the clause, in the sense in which it has to hold
    holds: bool
    value: str  #: what the record says, in words; no address


@dataclass(frozen=True)
class Narrowing:
    """How many people remain when this clause and those before it hold."""

    words: str
    remaining: int


def members(rule: Rule, *, now: datetime, dialect: str) -> sets.Roots:
    """Compile a rule to one select of the ``id`` of every root customer it applies to.

    ``dialect``: ``sqlite`` or ``postgresql``.

    Raises:
        BadInputError: an operator, name or value in the rule makes no sense; says which and why.
    """
    return _members(rule, _scope(now, dialect))


def count(session: Session, rule: Rule, *, now: datetime) -> int:
    """Count the people a rule applies to."""
    found = members(rule, now=now, dialect=_dialect(session))
    with for_many(session):
        return session.execute(found.with_only_columns(func.count())).scalar_one()


#: For statements about a million people on PostgreSQL: memory to join and group in, no compiling of
#: what runs once, no loop over a guess that few are left after a clause, and both hands for the work.
_FOR_MANY = {
    "work_mem": "128MB",
    "jit": "off",
    "enable_nestloop": "off",
    "parallel_tuple_cost": "0.001",
    "parallel_setup_cost": "0",
}


@contextmanager
def for_many(session: Session) -> Iterator[None]:
    """Let PostgreSQL plan for very many people meanwhile; whoever freezes an audience uses it too."""
    if _dialect(session) != "postgresql":
        yield
        return
    names = [func.current_setting(name).label(name) for name in _FOR_MANY]
    before = dict(session.execute(select(*names)).mappings().one())
    _set(session, _FOR_MANY)
    yield  # after an error there is nothing to set back: the transaction is over
    _set(session, before)


def _set(session: Session, settings: Mapping[str, str]) -> None:
    session.execute(select(*(func.set_config(name, to, True) for name, to in settings.items())))


def holds(session: Session, rule: Rule, *, customer_id: str, now: datetime) -> bool:
    """Tell whether a rule applies to one person.

    Raises:
        NotFoundError: there is no such customer.
    """
    root, scope = _person(session, customer_id, now)
    return _holds(session, rule, root, scope)


def explain(session: Session, rule: Rule, *, customer_id: str, now: datetime) -> list[ClauseResult]:
    """Say of each clause, in order, whether it holds for a person, and what the record says.

    A clause within a ``not`` is given as its opposite, so that ``holds`` is what helps them in.

    Raises:
        NotFoundError: there is no such customer.
    """
    root, scope = _person(session, customer_id, now)
    results = []
    for clause in _literals(rule):
        bare = clause.rule if isinstance(clause, Not) else clause
        value = finding(session, bare, root=root, scope=scope)
        results.append(
            ClauseResult(clause_in_words(clause), _holds(session, clause, root, scope), value)
        )
    return results


def narrowing(session: Session, rule: Rule, *, now: datetime) -> list[Narrowing]:
    """Count how many remain after each clause of a top-level ``All``, in one statement.

    It begins with everybody. A clause that nobody is left by is the one to look at.
    """
    compiler = _Compiler(_scope(now, _dialect(session)))
    clauses = rule.rules if isinstance(rule, All) else (rule,)
    reached: Truth = true()
    columns: list[Any] = [func.count()]
    for clause in clauses:
        reached = and_(reached, compiler.condition(clause, joined=False))
        columns.append(func.coalesce(func.sum(case((reached, 1), else_=0)), 0))
    with for_many(session):
        row = session.execute(compiler.select(true()).with_only_columns(*columns)).one()
    words = ["everybody on record", *map(_short, clauses)]
    return [Narrowing(said, int(left)) for said, left in zip(words, row, strict=True)]


def _short(rule: Rule) -> str:
    bare = rule.rule if isinstance(rule, Not) else rule
    if not isinstance(bare, All | AnyOf):
        return clause_in_words(rule)
    joiner = " and " if isinstance(bare, All) else " or "
    said = joiner.join(map(_short, bare.rules)) or clause_in_words(bare)
    return f"not: ({said})" if isinstance(rule, Not) else f"({said})"


def _dialect(session: Session) -> str:
    return session.get_bind().dialect.name


def _scope(now: datetime, dialect: str) -> Scope:
    return Scope(now, sql.Postgres() if dialect == "postgresql" else sql.Sqlite())


def _person(session: Session, customer_id: str, now: datetime) -> tuple[str, Scope]:
    root = roots(session, [customer_id]).get(customer_id)
    if root is None:
        raise NotFoundError(f"There is no customer {customer_id}.")
    scope = _scope(now, _dialect(session))
    return root, replace(scope, family=tuple(family(session, [root])[root]))


def _holds(session: Session, rule: Rule, root: str, scope: Scope) -> bool:
    found = _members(rule, scope).where(customers.c.id == root)
    return session.execute(found).first() is not None


def _members(rule: Rule, scope: Scope) -> sets.Roots:
    compiler = _Compiler(scope)
    return compiler.select(compiler.condition(rule, joined=True))


def _literals(rule: Rule, *, negative: bool = False) -> Iterator[Rule]:
    """Give the single clauses in order, each with the sense in which it counts."""
    if isinstance(rule, All | AnyOf) and rule.rules:
        for inner in rule.rules:
            yield from _literals(inner, negative=negative)
    elif isinstance(rule, Not):
        yield from _literals(rule.rule, negative=not negative)
    else:
        yield Not(rule) if negative else rule


class _Compiler:
    """Turns a rule into a condition, and gathers the joins that it needs."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._source: FromClause = customers

    def select(self, condition: Truth) -> sets.Roots:
        """Give the root customers of whom the condition is true."""
        # As a CASE: PostgreSQL takes "id = root_id" to be true of hardly anybody.
        is_root = case((customers.c.id == customers.c.root_id, true()), else_=false())
        if not self._scope.is_postgres:
            is_root = customers.c.id == customers.c.root_id
        return select(customers.c.id).select_from(self._source).where(is_root, condition)

    def condition(self, rule: Rule, *, joined: bool, negative: bool = False) -> Truth:
        """Compile a rule, or its opposite. ``joined``: it must hold, whatever else does."""
        if isinstance(rule, Not):
            return self.condition(rule.rule, joined=joined, negative=not negative)
        if isinstance(rule, All | AnyOf):
            if isinstance(rule, All) != negative or len(rule.rules) == 1:
                return and_(
                    true(),
                    *(self.condition(r, joined=joined, negative=negative) for r in rule.rules),
                )
            return or_(
                false(), *(self.condition(r, joined=False, negative=negative) for r in rule.rules)
            )
        return self._clause(rule, joined=joined, negative=negative)

    def _clause(self, rule: Rule, *, joined: bool, negative: bool) -> Truth:
        scope = self._scope
        if isinstance(rule, Did):
            found, inside = sets.did(rule, scope)
            return self._member(found, joined=joined, negative=negative == inside)
        if isinstance(rule, Consent):
            found = sets.agreed(rule, scope)
        elif isinstance(rule, Reachable):
            found = sets.reachable(rule, scope)
        elif isinstance(rule, InCampaign):
            found = sets.decided(rule, scope)
        else:
            condition = self._own(rule)
            return ~condition if negative else condition
        return self._member(found, joined=joined, negative=negative)

    def _member(self, found: sets.Roots, *, joined: bool, negative: bool = False) -> Truth:
        """Say that the person is in a set, or is not."""
        person = customers.c.id
        if not self._scope.is_postgres or (joined and not negative):
            return person.not_in(found) if negative else person.in_(found)
        listed = (found if joined else found.distinct()).subquery()
        if joined:
            return ~select(listed.c.root).where(listed.c.root == person).exists()
        self._source = self._source.outerjoin(listed, listed.c.root == person)
        return listed.c.root.is_(None) if negative else listed.c.root.is_not(None)

    def _own(self, rule: Rule) -> Truth:
        """Compile a clause about the customer's own row, and of those merged into it."""
        match rule:
            case Everyone():
                return true()
            case Sample(share, seed):
                return self._scope.sql.drawn(customers.c.id, seed=seed, share=share)
            case Tenure():
                return self._tenure(rule)
            case Attribute():
                return self._attribute(rule)
        raise TypeError(f"{rule!r} is no rule of an audience")

    def _tenure(self, rule: Tenure) -> Truth:
        bounds: list[Truth] = [true()]
        if rule.at_least is not None:
            bounds.append(self._known_since(self._scope.ago(rule.at_least)))
        if rule.less_than is not None:
            bounds.append(~self._known_since(self._scope.ago(rule.less_than)))
        return and_(*bounds)

    def _known_since(self, moment: datetime) -> Truth:
        earlier = sets.merged(lambda other: other.c.created_at <= moment, self._scope)
        return or_(customers.c.created_at <= moment, self._member(earlier, joined=False))

    def _attribute(self, rule: Attribute) -> Truth:
        """The root's own attribute counts; without one, that of the first customer merged into it."""
        own = self._has(customers, rule)
        lent = sets.merged(
            lambda other: and_(self._is_first(other, rule), self._applies(other, rule)), self._scope
        )
        return case((own, self._applies(customers, rule)), else_=self._member(lent, joined=False))

    def _is_first(self, other: Any, rule: Attribute) -> Truth:
        before = customers.alias("before")
        earlier = select(before.c.id).where(
            before.c.root_id == other.c.root_id,
            sets.was_merged(before),
            before.c.id < other.c.id,
            self._has(before, rule),
        )
        return and_(self._has(other, rule), ~earlier.exists())

    def _has(self, customer: Any, rule: Attribute) -> Truth:
        if rule.name in _COLUMNS:
            held = customer.c[rule.name]
            return and_(held.is_not(None), held != "")
        return self._scope.sql.has(customer.c.attributes, rule.name.partition(".")[0])

    def _applies(self, customer: Any, rule: Attribute) -> Truth:
        document = customer.c.attributes
        if rule.name in _COLUMNS:
            document = self._scope.sql.one_of(rule.name, customer.c[rule.name])
        return self._scope.sql.holds(document, rule.name, rule.op, rule.value)
