"""Audiences: a rule counted, and explained for one person.

``record.audience_select`` compiles the rule to one SQL statement.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, true
from sqlmodel import Session

from signalpost.domain.audience import All, AnyOf, Not, Rule
from signalpost.domain.audience_words import clause_in_words
from signalpost.errors import NotFoundError
from signalpost.record import audience_values as sql
from signalpost.record.audience_findings import finding
from signalpost.record.audience_scope import Roots, Scope
from signalpost.record.audience_select import Compiler
from signalpost.record.audience_select import members as compiled
from signalpost.record.customers import family, roots

_AT_ONCE = (
    500  #: people asked about by id: each clause names them, and a statement's values are limited
)


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


def members(rule: Rule, *, now: datetime, dialect: str) -> Roots:
    """Compile a rule to one select of the ``id`` of every root customer it applies to.

    ``dialect``: ``sqlite`` or ``postgresql``.

    Raises:
        BadInputError: an operator, name or value in the rule makes no sense; says which and why.
    """
    return compiled(rule, _scope(now, dialect))


def count(session: Session, rule: Rule, *, now: datetime) -> int:
    """Count the people a rule applies to."""
    found = members(rule, now=now, dialect=_dialect(session))
    with for_many(session):
        return session.execute(select(func.count()).select_from(found.subquery())).scalar_one()


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


def among(session: Session, rule: Rule, *, ids: Collection[str], now: datetime) -> set[str]:
    """Give those of these root customers to whom a rule applies, reading only their rows."""
    found: set[str] = set()
    listed = list(ids)
    for start in range(0, len(listed), _AT_ONCE):
        some = listed[start : start + _AT_ONCE]
        rows_of = tuple(chain(*family(session, some).values()))
        scope = replace(_scope(now, _dialect(session)), roots=tuple(some), family=rows_of)
        with for_many(session):
            found.update(session.execute(compiled(rule, scope)).scalars())
    return found


def holds(session: Session, rule: Rule, *, customer_id: str, now: datetime) -> bool:
    """Tell whether a rule applies to one person.

    Raises:
        NotFoundError: there is no such customer.
    """
    _, scope = _person(session, customer_id, now)
    return _holds(session, rule, scope)


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
        results.append(ClauseResult(clause_in_words(clause), _holds(session, clause, scope), value))
    return results


def narrowing(session: Session, rule: Rule, *, now: datetime) -> list[Narrowing]:
    """Count how many remain after each clause of a top-level ``All``, in one statement.

    It begins with everybody. A clause that nobody is left by is the one to look at.
    """
    compiler = Compiler(_scope(now, _dialect(session)))
    clauses = rule.rules if isinstance(rule, All) else (rule,)
    reached: ColumnElement[bool] = true()
    columns: list[Any] = [func.count()]
    for clause in clauses:
        reached = and_(reached, compiler.condition(clause, joined=False))
        columns.append(func.coalesce(func.sum(case((reached, 1), else_=0)), 0))
    with for_many(session):
        row = session.execute(compiler.everybody([]).with_only_columns(*columns)).one()
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
    members_of = tuple(family(session, [root])[root])
    return root, replace(scope, roots=(root,), family=members_of)


def _holds(session: Session, rule: Rule, scope: Scope) -> bool:
    return session.execute(compiled(rule, scope)).first() is not None


def _literals(rule: Rule, *, negative: bool = False) -> Iterator[Rule]:
    """Give the single clauses in order, each with the sense in which it counts."""
    if isinstance(rule, All | AnyOf) and rule.rules:
        for inner in rule.rules:
            yield from _literals(inner, negative=negative)
    elif isinstance(rule, Not):
        yield from _literals(rule.rule, negative=not negative)
    else:
        yield Not(rule) if negative else rule
