"""Audiences: a rule counted, and explained for one person.

``record.audience_select`` compiles the rule to one SQL statement.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, case, func, select, true
from sqlmodel import Session

from signalpost.domain.audience import Not, Rule, givens
from signalpost.domain.audience_words import Node, outline
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
    """What one clause, or one group of them, says about one person."""

    words: str  #: the clause, in the sense in which it has to hold
    holds: bool | None  #: None: nobody can say before a launch gives what it asks for
    value: str  #: what the record says, in words; no address
    depth: int = 0  #: how many groups it stands in
    joins: Literal["all", "any"] | None = None  #: of a group; what it holds comes next, one deeper


@dataclass(frozen=True)
class Narrowing:
    """How many people remain when this clause and those before it hold.

    Of what stands in a group (``depth`` above 0): how many would remain by this member alone, of those
    who were left before the group.
    """

    words: str
    remaining: int
    depth: int = 0


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

    A group comes before what it holds; the outermost ``all`` is left out. A clause within a ``not`` is
    given as its opposite, so that ``holds`` is what helps them in.

    Raises:
        NotFoundError: there is no such customer.
    """
    root, scope = _person(session, customer_id, now)
    found = list(_explained(session, outline(rule), root, scope, 0))
    if found[0].joins != "all":
        return found
    return [replace(one, depth=one.depth - 1) for one in found[1:]]


def _explained(
    session: Session, node: Node, root: str, scope: Scope, depth: int
) -> Iterator[ClauseResult]:
    if node.joins is None:
        yield replace(_clause(session, node, root, scope), depth=depth)
        return
    inner = [list(_explained(session, one, root, scope, depth + 1)) for one in node.members]
    holds = together(node.joins, [some[0].holds for some in inner])
    yield ClauseResult(node.words, holds, "", depth, node.joins)
    yield from chain(*inner)


def _clause(session: Session, node: Node, root: str, scope: Scope) -> ClauseResult:
    if asked := givens(node.rule):
        return ClauseResult(node.words, None, f"asked at the launch: {', '.join(asked)}")
    bare = node.rule.rule if isinstance(node.rule, Not) else node.rule
    value = finding(session, bare, root=root, scope=scope)
    return ClauseResult(node.words, _holds(session, node.rule, scope), value)


def together(joins: Literal["all", "any"], found: Sequence[bool | None]) -> bool | None:
    """Say whether a group holds whose members hold, do not, or wait for a launch (None)."""
    decides = joins == "any"  # one that holds decides an ``any``, one that does not an ``all``
    if decides in found:
        return decides
    return None if None in found else not decides


def narrowing(session: Session, rule: Rule, *, now: datetime) -> list[Narrowing]:
    """Count how many remain after each clause of a top-level ``All``, in one statement.

    It begins with everybody. A clause that nobody is left by is the one to look at; beneath a group is
    how many each of its members alone would leave.
    """
    compiler = Compiler(_scope(now, _dialect(session)))
    whole = outline(rule)
    reached: ColumnElement[bool] = true()
    columns: list[Any] = [func.count()]
    rows = [("everybody on record", 0)]
    for clause in whole.members if whole.joins == "all" else (whole,):
        before = reached
        reached = and_(reached, compiler.condition(clause.rule, joined=False))
        columns.append(_number(reached))
        rows.append((clause.words, 0))
        for member, depth in _beneath(clause, 1):
            columns.append(_number(and_(before, compiler.condition(member.rule, joined=False))))
            rows.append((member.words, depth))
    with for_many(session):
        left = session.execute(compiler.everybody([]).with_only_columns(*columns)).one()
    return [
        Narrowing(words, int(number), depth)
        for (words, depth), number in zip(rows, left, strict=True)
    ]


def _number(condition: ColumnElement[bool]) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _beneath(node: Node, depth: int) -> Iterator[tuple[Node, int]]:
    for member in node.members:
        yield member, depth
        yield from _beneath(member, depth + 1)


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
