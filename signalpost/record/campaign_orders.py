"""What the people of campaigns did: orders, by side of an experiment and by whom they are owed to.

A window is half-open: an order counts after the moment of deciding and up to ``within`` after it. Each
order counts once, when it was told of first.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Float,
    Integer,
    Numeric,
    RowMapping,
    String,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Session

from signalpost.domain.event_facts import DIGITS
from signalpost.domain.vocabulary import MessageStatus
from signalpost.record.base import table_of
from signalpost.record.bulk import among, given
from signalpost.record.campaign_results import Entrants, entrants, later, scanned, seconds
from signalpost.record.campaigns import CampaignRun, CampaignVersion
from signalpost.record.customers import Customer
from signalpost.record.events import Event
from signalpost.record.messages import Message

_r = table_of(CampaignRun)
_v = table_of(CampaignVersion)
_c = table_of(Customer)
_e = table_of(Event)
_m = table_of(Message)
_ONE = literal_column("1")
#: Messages that reached somebody as far as anybody knows: to these an order can be owed.
ARRIVED = (MessageStatus.HANDED_OVER, MessageStatus.DEFERRED, MessageStatus.DELIVERED)
#: Events that count; a guest's is nobody's, a parked one waits, a conflict is another's.
_COUNTED = [literal_column("'accepted'"), literal_column("'historic'")]  # as the index has them
_MOST = 10**12  #: minor units; what says it is worth more is a slip, and counts without its money
_BASE = 10**5  #: squares are added up in parts, of which no sum leaves 64 bits


@dataclass(frozen=True, kw_only=True)
class Success:
    """What counts, from what was on the record at ``now``.

    ``revenue``: the event's fact that is money; None: nothing is.
    """

    event: str
    within: timedelta
    revenue: str | None
    now: datetime


def _bought(session: Session, what: Success, *, since: datetime, until: datetime) -> Any:
    """Give the events that count, each order once: the first time it was told."""
    postgres = session.get_bind().dialect.name == "postgresql"
    told = _e.alias("told")
    order = _text(_e.c.facts, "order_id", postgres=postgres)
    again = exists(
        select(_ONE).where(
            told.c.customer_id == _e.c.customer_id,
            told.c.name == what.event,
            told.c.status.in_(_COUNTED),
            tuple_(told.c.occurred_at, told.c.id) < tuple_(_e.c.occurred_at, _e.c.id),
            _text(told.c.facts, "order_id", postgres=postgres) == order,
        )
    )
    currency, amount = _money(what.revenue, postgres=postgres)
    return (
        select(
            _e.c.id.label("id"),
            _c.c.root_id.label("root"),
            _e.c.occurred_at.label("at"),
            currency.label("currency"),
            amount.label("amount"),
        )
        .join(_c, _c.c.id == _e.c.customer_id)
        .where(
            _e.c.name == what.event,
            _e.c.status.in_(_COUNTED),
            _e.c.occurred_at > since,
            _e.c.occurred_at <= min(until, what.now),
            ~again,
        )
        .cte("bought")
        .prefix_with("MATERIALIZED")
    )


def _text(document: Any, *steps: str, postgres: bool) -> Any:
    if postgres:
        return document.op("#>>", return_type=String())(bindparam(None, steps, ARRAY(Text)))
    return func.json_extract(document, "$" + "".join(f'."{step}"' for step in steps))


def _of_digits(digits: int) -> list[str]:
    return [code for code, number in DIGITS.items() if number == digits]


def _money(name: str | None, *, postgres: bool) -> tuple[Any, Any]:
    """Give an event's currency and its amount in minor units; nothing for what is no money."""
    if name is None:
        return literal("", String), literal(0, BigInteger)
    steps = name.split(".")
    currency = func.coalesce(_text(_e.c.facts, *steps, "currency", postgres=postgres), "")
    said = _text(_e.c.facts, *steps, "amount", postgres=postgres)
    number = (
        case((said.bool_op("~")("^-?[0-9]{1,13}([.][0-9]{1,10})?$"), said))
        if postgres
        else cast(said, Float)
    )
    units = case((currency.in_(_of_digits(0)), 1), (currency.in_(_of_digits(3)), 1_000), else_=100)
    minor = func.round(cast(number, Numeric) * units if postgres else number * units)
    sane = case((minor.between(-_MOST, _MOST), minor), else_=0)
    return currency, cast(func.coalesce(sane, 0), BigInteger)


def spent(
    session: Session,
    *,
    who: Entrants,
    what: Success,
    since: datetime,
    ripe: datetime,
    until: datetime,
) -> list[dict[str, Any]]:
    """Count by side who did it, and by side and currency what they spent.

    Rows without a currency (None) count people and orders over all currencies. Only who came in until
    ``ripe`` counts. ``squares``: of what each spent, added up.
    """
    in_ = entrants(session, who)
    bought, family = _bought(session, what, since=since, until=until), _c.alias("family")
    person = (
        select(
            in_.c.side,
            bought.c.root,
            bought.c.currency,
            func.count().label("orders"),
            cast(func.sum(bought.c.amount), BigInteger).label("amount"),
        )
        .join(family, family.c.root_id == bought.c.root)
        .join(in_, in_.c.customer == family.c.id)
        .where(
            in_.c.at <= ripe,
            bought.c.at > in_.c.at,
            bought.c.at <= later(in_.c.at, seconds(what.within)),
        )
        .group_by(in_.c.side, bought.c.root, bought.c.currency)
        .cte("person")
    )
    return [_whole(row) for row in session.execute(_sums(person)).mappings()]


def _sums(person: Any) -> Any:
    size = func.abs(person.c.amount, type_=BigInteger())
    high, low = size // _BASE, size % _BASE
    nothing = literal(0, BigInteger)
    everybody = select(
        person.c.side,
        literal(None, String).label("currency"),
        func.count(person.c.root.distinct()).label("people"),
        func.sum(person.c.orders).label("orders"),
        nothing.label("revenue"),
        nothing.label("high"),
        nothing.label("mixed"),
        nothing.label("low"),
    ).group_by(person.c.side)
    by_currency = select(
        person.c.side,
        person.c.currency,
        func.count(),
        func.sum(person.c.orders),
        func.sum(person.c.amount),
        func.sum(high * high),
        func.sum(high * low),
        func.sum(low * low),
    ).group_by(person.c.side, person.c.currency)
    return union_all(everybody, by_currency)


def _whole(row: RowMapping) -> dict[str, Any]:
    parts = [int(row[name]) for name in ("high", "mixed", "low")]
    return {
        "side": row["side"],
        "currency": row["currency"],
        "people": int(row["people"]),
        "orders": int(row["orders"]),
        "revenue": int(row["revenue"]),
        "squares": parts[0] * _BASE**2 + 2 * parts[1] * _BASE + parts[2],
    }


def before_and_after(
    session: Session,
    *,
    who: Entrants,
    what: Success,
    since: datetime,
    ripe: datetime,
    until: datetime,
) -> list[RowMapping]:
    """Count orders and revenue by side, currency and period, in equal periods around each decision.

    Only who came in until ``ripe``, so that both periods are over.
    """
    in_ = entrants(session, who)
    length = seconds(what.within)
    bought = _bought(session, what, since=since - what.within, until=until)
    family = _c.alias("family")
    after, before = literal_column("'after'"), literal_column("'before'")
    period = case((bought.c.at > in_.c.at, after), else_=before)
    query = (
        select(
            in_.c.side,
            period.label("period"),
            bought.c.currency,
            func.count(bought.c.root.distinct()).label("buyers"),
            func.count().label("orders"),
            cast(func.sum(bought.c.amount), BigInteger).label("revenue"),
        )
        .join(family, family.c.root_id == bought.c.root)
        .join(in_, in_.c.customer == family.c.id)
        .where(
            in_.c.at <= ripe,
            bought.c.at > later(in_.c.at, -length),
            bought.c.at <= later(in_.c.at, length),
        )
        .group_by(in_.c.side, period, bought.c.currency)
    )
    return list(session.execute(query).mappings())


def did(
    session: Session, *, ids: Collection[str], event: str, since: datetime, until: datetime
) -> int:
    """Count those of these people who did something in a time, themselves or as somebody merged."""
    query = (
        select(func.count(_c.c.root_id.distinct()))
        .join(_e, _e.c.customer_id == _c.c.id)
        .where(
            among(_c.c.root_id),
            scanned(_e.c.name) == event,  # by the person: what everybody did lately may be millions
            _e.c.status.in_(_COUNTED),
            _e.c.occurred_at > since,
            _e.c.occurred_at <= until,
        )
    )
    return session.execute(query, given(ids)).scalar_one()


# -- to whom an order is owed ----------------------------------------------------------------------


def overlapping(session: Session, *, since: datetime, until: datetime) -> list[RowMapping]:
    """Give the runs, with their definitions, that may have sent anything in a time."""
    query = (
        select(_r.c.id, _r.c.version, _v.c.definition)
        .join(_v, _v.c.version == _r.c.version)
        .where(
            _r.c.people.is_not(None),
            _r.c.started_at <= until,
            or_(_r.c.ended_at.is_(None), _r.c.ended_at >= since),
        )
    )
    return list(session.execute(query).mappings())


def attributed(
    session: Session,
    *,
    runs: Collection[str],
    rivals: Mapping[str, timedelta],
    what: Success,
    since: datetime,
    until: datetime,
) -> list[dict[str, Any]]:
    """Count the orders owed to these runs, by channel and currency; None: over all of them.

    An order is owed to the last message before it that arrived, of all campaigns that measure this
    event (``rivals``: each run and how long it may take; these runs among them).
    """
    bought = _bought(session, what, since=since, until=until)
    listed = values(column("run", String), column("seconds", Integer), name="listed")
    rows = [(run, seconds(within)) for run, within in rivals.items()]
    windows = listed.data(rows).cte("windows")
    mine, rival = _m.alias("mine"), _m.alias("rival")
    family, theirs = _c.alias("family"), _c.alias("theirs")
    own, other = windows.alias("own"), windows.alias("other")

    def earns(message: Any, window: Any) -> Any:
        return and_(
            scanned(message.c.campaign_run_id) == window.c.run,
            message.c.status.in_(ARRIVED),
            message.c.created_at < bought.c.at,
            bought.c.at <= later(message.c.created_at, window.c.seconds),
        )

    beaten = (
        select(_ONE)
        .select_from(theirs)
        .join(rival, rival.c.customer_id == theirs.c.id)
        .join(other, other.c.run == scanned(rival.c.campaign_run_id))
        .where(
            theirs.c.root_id == bought.c.root,
            earns(rival, other),
            tuple_(rival.c.created_at, rival.c.id) > tuple_(mine.c.created_at, mine.c.id),
        )
    )
    owed = (
        select(
            mine.c.channel,
            bought.c.root,
            bought.c.currency,
            func.count().label("orders"),
            cast(func.sum(bought.c.amount), BigInteger).label("amount"),
        )
        .select_from(bought)
        .join(family, family.c.root_id == bought.c.root)
        .join(mine, mine.c.customer_id == family.c.id)
        .join(own, own.c.run == scanned(mine.c.campaign_run_id))
        .where(scanned(mine.c.campaign_run_id).in_(runs), earns(mine, own), ~exists(beaten))
        .group_by(mine.c.channel, bought.c.root, bought.c.currency)
        .cte("owed")
    )
    rows = session.execute(_owed_sums(owed)).mappings()
    return [{**row, "orders": int(row["orders"]), "revenue": int(row["revenue"])} for row in rows]


def _owed_sums(owed: Any) -> Any:
    people = func.count(owed.c.root.distinct()).label("people")
    orders, revenue = func.sum(owed.c.orders).label("orders"), func.sum(owed.c.amount)
    none, nothing = literal(None, String), literal(0, BigInteger).label("revenue")
    if_any = func.count() > 0  # a sum over nobody is a row of its own, and no number
    return union_all(
        select(none.label("channel"), none.label("currency"), people, orders, nothing).having(
            if_any
        ),
        select(owed.c.channel, none, people, orders, nothing).group_by(owed.c.channel),
        select(none, owed.c.currency, people, orders, revenue).group_by(owed.c.currency),
        select(owed.c.channel, owed.c.currency, people, orders, revenue).group_by(
            owed.c.channel, owed.c.currency
        ),
    )
