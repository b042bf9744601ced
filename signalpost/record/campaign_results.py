"""What came of a campaign: who got it, who was in its experiment, and what came back.

Everything is counted by the database, in one statement a question. A *person* is a root customer, with
whoever was merged into them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    RowMapping,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import Session

from signalpost.domain.vocabulary import ReceiptKind
from signalpost.record import audience_values
from signalpost.record.base import UtcDateTime, table_of
from signalpost.record.campaign_people import left_place
from signalpost.record.campaigns import CampaignPerson, CampaignRun, CampaignVersion
from signalpost.record.customers import Customer
from signalpost.record.messages import Message
from signalpost.record.receipts import ReceiptRow, Reply

_p = table_of(CampaignPerson)
_r = table_of(CampaignRun)
_v = table_of(CampaignVersion)
_c = table_of(Customer)
_m = table_of(Message)
_receipts = table_of(ReceiptRow)
_replies = table_of(Reply)
_ONE = literal_column("1")

#: The sides that are no arm of a campaign's own.
CONTROL, EVERYBODY, HOUSE = "held out", "treated", "house holdout"


class _Later(FunctionElement[datetime]):
    inherit_cache = True
    name = "later"
    type = UtcDateTime()


@compiles(_Later)
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    at, seconds = (compiler.process(one, **options) for one in element.clauses)
    whole = f"strftime('%Y-%m-%d %H:%M:%S', substr({at}, 1, 19), ({seconds}) || ' seconds')"
    return f"({whole} || substr({at}, 20))"  # the fraction as it is: SQLite would round it


@compiles(_Later, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    at, seconds = (compiler.process(one, **options) for one in element.clauses)
    return f"({at} + ({seconds}) * INTERVAL '1 second')"


class _Scanned(FunctionElement[Any]):
    inherit_cache = True
    name = "scanned"


@compiles(_Scanned)
def _no_index(element: Any, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(next(iter(element.clauses)), **options)}"


@compiles(_Scanned, "postgresql")
def _as_it_is(element: Any, compiler: Any, **options: Any) -> str:
    return compiler.process(next(iter(element.clauses)), **options)


def scanned(column: Any) -> Any:
    """Keep SQLite from looking up rows by their run, or event: it knows not that they are a million.

    They are found by the person, who has a few. PostgreSQL has statistics and needs no help.
    """
    return _Scanned(column)


def later(at: Any, seconds: Any) -> Any:
    """Add seconds to a moment, to the microsecond on both databases."""
    return _Later(at, seconds if hasattr(seconds, "compile") else literal(seconds, Integer))


def seconds(length: timedelta) -> int:
    """Give a length in whole seconds."""
    return int(length.total_seconds())


@dataclass(frozen=True, kw_only=True)
class Entrants:
    """Who came into the experiment with these runs: everybody whose first decision was one of theirs.

    ``among``: the runs whose decisions are compared for it, these and whatever of the campaign, or of
    all marketing, may have decided before them. Runs may be launched ahead, overlap and stand still, so
    the moment of each decision says which was first, and no later run ever changes it. ``controls``:
    arms that get nothing. ``holdouts``: run → the share it held out, ``salt`` by which. ``doubles``:
    customers who were merged with somebody who came in before them.
    """

    runs: tuple[str, ...]
    among: tuple[str, ...]
    controls: tuple[str, ...]
    holdouts: Mapping[str, float]
    salt: str
    doubles: tuple[str, ...] = ()


def runs_of(session: Session, *, campaign: str) -> list[RowMapping]:
    """Give every run of a campaign that has begun, in that order, with the definition it ran by."""
    query = (
        select(_r, _v.c.definition)
        .join(_v, _v.c.version == _r.c.version)
        .where(_r.c.campaign == campaign, _r.c.people.is_not(None))
        .order_by(_r.c.started_at, _r.c.id)
    )
    return list(session.execute(query).mappings())


def marketing_runs(session: Session) -> tuple[str, ...]:
    """Name every run of a marketing campaign that has begun."""
    query = (
        select(_r.c.id, _v.c.definition)
        .join(_v, _v.c.version == _r.c.version)
        .where(_r.c.people.is_not(None))
        .order_by(_r.c.id)
    )
    said = session.execute(query).mappings()
    return tuple(
        row["id"] for row in said if row["definition"].get("purpose", "marketing") == "marketing"
    )


#: Of several outcomes of one person, over several runs, the first of these says what came of it: who
#: was written to once was written to. None: not decided yet.
_SAYS_MOST = ("sent", "held_out", "set_aside", None, "skipped", "cancelled")


def outcomes(session: Session, *, runs: Collection[str]) -> list[RowMapping]:
    """Count the people of runs by outcome and reason; ``outcome`` is None while they are open.

    Over several runs each person counts once, by the outcome that says most and its latest reason.
    """
    source = _p if len(runs) == 1 else _once_each(runs)
    people = func.count().label("people")
    query = select(source.c.outcome, source.c.reason, people)
    if len(runs) == 1:
        query = query.where(_p.c.campaign_run_id.in_(runs))
    else:
        query = query.where(source.c.place == 1)
    query = query.group_by(source.c.outcome, source.c.reason)
    return list(session.execute(query.order_by(people.desc(), source.c.reason)).mappings())


def _once_each(runs: Collection[str]) -> Any:
    rank = case(
        *(
            (_p.c.outcome.is_(None) if one is None else _p.c.outcome == one, place)
            for place, one in enumerate(_SAYS_MOST)
        ),
        else_=len(_SAYS_MOST),
    )
    latest = _p.c.decided_at.desc(), _p.c.campaign_run_id.desc(), _p.c.customer_id
    place = func.row_number().over(partition_by=_c.c.root_id, order_by=(rank, *latest))
    return (
        select(_p.c.outcome, _p.c.reason, place.label("place"))
        .join(_c, _c.c.id == _p.c.customer_id)
        .where(_p.c.campaign_run_id.in_(runs))
        .subquery("once_each")
    )


def messages(session: Session, *, runs: Collection[str]) -> list[RowMapping]:
    """Count the messages of runs by channel and status."""
    query = (
        select(_m.c.channel, _m.c.status, func.count().label("messages"))
        .where(_m.c.campaign_run_id.in_(runs))
        .group_by(_m.c.channel, _m.c.status)
    )
    return list(session.execute(query).mappings())


_BACK = (
    ReceiptKind.OPENED, ReceiptKind.READ, ReceiptKind.CLICKED, ReceiptKind.UNSUBSCRIBED,
    ReceiptKind.COMPLAINED,
)  # fmt: skip


def came_back(session: Session, *, runs: Collection[str]) -> list[RowMapping]:
    """Count the messages of runs that were opened, clicked …, by channel, kind and who did it."""
    query = (
        select(
            _m.c.channel,
            _receipts.c.kind,
            _receipts.c.machine,
            func.count(_m.c.id.distinct()).label("messages"),
        )
        .join(_receipts, _receipts.c.message_id == _m.c.id)
        .where(_m.c.campaign_run_id.in_(runs), _receipts.c.kind.in_(_BACK))
        .group_by(_m.c.channel, _receipts.c.kind, _receipts.c.machine)
    )
    return list(session.execute(query).mappings())


def replied(
    session: Session, *, runs: Collection[str], since: datetime, within: timedelta
) -> dict[str, int]:
    """Count the people who wrote back by the channel they were written to, within a time."""
    theirs = _c.alias("theirs")
    said = (
        select(_c.c.root_id, _replies.c.channel, _replies.c.at)
        .join(_c, _c.c.id == _replies.c.customer_id)
        .where(_replies.c.at > since)
        .cte("said")
        .prefix_with("MATERIALIZED")
    )
    query = (
        select(_m.c.channel, func.count(said.c.root_id.distinct()))
        .select_from(said)
        .join(theirs, theirs.c.root_id == said.c.root_id)
        .join(_m, and_(_m.c.customer_id == theirs.c.id, _m.c.channel == said.c.channel))
        .where(
            scanned(_m.c.campaign_run_id).in_(runs),
            _m.c.created_at < said.c.at,
            said.c.at <= later(_m.c.created_at, seconds(within)),
        )
        .group_by(_m.c.channel)
    )
    return {channel: people for channel, people in session.execute(query)}  # noqa: C416


# -- who is in the experiment ----------------------------------------------------------------------


def _passed(people: Any) -> Any:
    """Whoever passed the gates: only then did a side decide what they get.

    ``tries``: a message of theirs was made in an earlier round, however the last one ended.
    """
    return or_(people.c.outcome.in_(("sent", "held_out", "set_aside")), people.c.tries > 0)


def _assigned_at(people: Any) -> Any:
    """When somebody's side was acted on: of who needed several rounds, the first message's moment."""
    gone = _c.alias("gone")
    of_run = scanned(_m.c.campaign_run_id) == people.c.campaign_run_id
    first = select(func.min(_m.c.created_at)).where(of_run)
    own = first.where(_m.c.customer_id == people.c.customer_id)
    # Of a place that was left to somebody else, who had none until then: theirs came before.
    taken = first.join(gone, gone.c.id == _m.c.customer_id).where(left_place(gone, to=people))
    moments = [one.correlate(people).scalar_subquery() for one in (taken, own)]
    decided = people.c.decided_at
    return case((people.c.tries > 0, func.coalesce(*moments, decided)), else_=decided)


def _place(people: Any) -> Any:
    """What puts decisions in order: of two at one moment, the run's id says which was first."""
    return tuple_(_assigned_at(people), people.c.campaign_run_id)


def _side(who: Entrants, *, postgres: bool) -> Any:
    """On which side a person fell.

    Of somebody whose deciding broke no side was written: the same hash as then says which.
    """
    compare = audience_values.Postgres() if postgres else audience_values.Sqlite()
    broke = and_(_p.c.outcome == "set_aside", _p.c.reason.like("decide_failed:%"))
    unwritten = and_(broke, _p.c.arm.is_(None))
    drawn = [
        and_(
            _p.c.campaign_run_id == run,
            unwritten,
            compare.drawn(_p.c.customer_id, seed=who.salt, share=share),
        )
        for run, share in who.holdouts.items()
        if share
    ]
    return case(
        (and_(_p.c.outcome == "held_out", _p.c.reason == "global"), HOUSE),
        (_p.c.outcome == "held_out", CONTROL),
        (_p.c.arm.in_(who.controls), CONTROL),
        *((test, CONTROL) for test in drawn),
        else_=func.coalesce(_p.c.arm, EVERYBODY),
    )


def entrants(session: Session, who: Entrants, *, by_person: bool = True) -> Any:
    """Give run, customer, side and moment of everybody who came in, as a subquery.

    ``by_person``: it is joined to people; else all of it is read.
    """
    run = scanned(_p.c.campaign_run_id) if by_person else _p.c.campaign_run_id
    postgres = session.get_bind().dialect.name == "postgresql"
    earlier = _p.alias("earlier")
    tests = [run.in_(who.runs), _passed(_p)]
    if len(who.among) > 1:
        tests.append(
            ~exists(
                select(_ONE).where(
                    earlier.c.customer_id == _p.c.customer_id,
                    scanned(earlier.c.campaign_run_id).in_(who.among),
                    _passed(earlier),
                    _place(earlier) < _place(_p),
                )
            )
        )
    if who.doubles:
        tests.append(_p.c.customer_id.not_in(who.doubles))
    return (
        select(
            _p.c.campaign_run_id.label("run"),
            _p.c.customer_id.label("customer"),
            _side(who, postgres=postgres).label("side"),
            _assigned_at(_p).label("at"),
        )
        .where(*tests)
        .subquery("entered")
    )


def passed(session: Session, *, runs: Collection[str]) -> int:
    """Count who passed the gates in these runs, whether or not they had come in before."""
    query = select(func.count()).select_from(_p)
    query = query.where(_p.c.campaign_run_id.in_(runs), _passed(_p))
    return session.execute(query).scalar_one()


def doubles(session: Session, *, runs: Collection[str]) -> tuple[str, ...]:
    """Name the customers of runs who turned out to be somebody who came in before them.

    Only those who were merged since are looked at: an audience holds every person once.
    """
    gone = (
        select(_c.c.id, _c.c.root_id)
        .where(_c.c.id != _c.c.root_id)
        .cte("gone")
        .prefix_with("MATERIALIZED")
    )
    merged = (
        select(gone.c.root_id)
        .join(_p, _p.c.customer_id == gone.c.id)
        .where(scanned(_p.c.campaign_run_id).in_(runs), _passed(_p))
    )
    query = (
        select(_c.c.root_id, _p.c.customer_id)
        .join(_p, _p.c.customer_id == _c.c.id)
        .where(_c.c.root_id.in_(merged), scanned(_p.c.campaign_run_id).in_(runs), _passed(_p))
        .order_by(_assigned_at(_p), _p.c.campaign_run_id, _p.c.customer_id)
    )
    first: dict[str, str] = {}
    found = set()
    for root, customer in session.execute(query):
        if first.setdefault(root, customer) != customer:
            found.add(customer)
    return tuple(sorted(found))


def entered(session: Session, *, who: Entrants, until: datetime) -> list[RowMapping]:
    """Count who came in, by run and side; ``ripe``: of these, until that moment."""
    found = entrants(session, who, by_person=False)
    ripe = func.sum(case((found.c.at <= until, 1), else_=0))
    query = select(
        found.c.run,
        found.c.side,
        func.count().label("people"),
        cast(ripe, BigInteger).label("ripe"),
        func.min(found.c.at, type_=UtcDateTime()).label("first_at"),
        func.max(found.c.at, type_=UtcDateTime()).label("last_at"),
    ).group_by(found.c.run, found.c.side)
    return list(session.execute(query).mappings())
