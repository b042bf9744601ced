"""What holds marketing back: an incident that lasts, an offer redeemed, the pace of a provider."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from signalpost.domain.pace import Pace
from signalpost.record.base import UtcDateTime, insert_new, table_of
from signalpost.record.bulk import among, given
from signalpost.record.campaigns import (
    CampaignPerson,
    CampaignRun,
    CampaignVersion,
    ChannelPace,
    MarketingHold,
)
from signalpost.record.events import Event
from signalpost.record.messages import InAppItem, Message

_p = table_of(CampaignPerson)
_h = table_of(MarketingHold)
_pace = table_of(ChannelPace)
_r = table_of(CampaignRun)

#: They were left out of the run that holds marketing back from them: they know of no incident.
_untold = exists(
    select(_p.c.customer_id).where(
        _p.c.campaign_run_id == _h.c.campaign_run_id,
        _p.c.customer_id == _h.c.customer_id,
        _p.c.outcome != "sent",
    )
)
_HELD = select(_h.c.customer_id, _h.c.series).where(
    among(_h.c.customer_id), _h.c.lifted_at.is_(None), ~_untold
)


def held_back(session: Session, *, roots: Collection[str]) -> dict[str, str]:
    """Give for whom marketing is held back meanwhile, and because of what.

    Only from whom the run has told of it, or is yet to decide on.
    """
    rows = session.execute(_HELD, given(roots))
    return {customer: series for customer, series in rows}  # noqa: C416


def hold_back(session: Session, *, campaign_run_id: str, series: str, now: datetime) -> None:
    """Hold marketing back from everybody in a run's audience until the series is over.

    Whoever an earlier run has told stays held back by that one.
    """
    dialect = session.get_bind().dialect.name
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    people = select(
        _p.c.customer_id,
        literal(series),
        literal(campaign_run_id),
        literal(now, UtcDateTime),
    ).where(_p.c.campaign_run_id == campaign_run_id, ~_stands(series))
    held = make(_h).from_select(["customer_id", "series", "campaign_run_id", "since"], people)
    again = {"lifted_at": None, "since": now, "campaign_run_id": campaign_run_id}
    session.execute(
        held.on_conflict_do_update(index_elements=["customer_id", "series"], set_=again)
    )


def _stands(series: str) -> ColumnElement[bool]:
    """Say that marketing is held back from a person of a run already, by one that told them."""
    held, told = _h.alias(), _p.alias()
    return exists(
        select(held.c.customer_id)
        .join(
            told,
            and_(
                told.c.campaign_run_id == held.c.campaign_run_id,
                told.c.customer_id == held.c.customer_id,
            ),
        )
        .where(
            held.c.customer_id == _p.c.customer_id,
            held.c.series == series,
            held.c.lifted_at.is_(None),
            or_(told.c.outcome.is_(None), told.c.outcome == "sent"),
        )
    )


def let_go(session: Session, *, campaign: str, series: str, now: datetime) -> None:
    """Let marketing go again to the people of a campaign's series."""
    theirs = select(_r.c.id).where(_r.c.campaign == campaign, _r.c.series == series)
    session.execute(
        update(_h)
        .where(_h.c.series == series, _h.c.campaign_run_id.in_(theirs), _h.c.lifted_at.is_(None))
        .values(lifted_at=now)
    )


_e, _m, _i = table_of(Event), table_of(Message), table_of(InAppItem)
_v = table_of(CampaignVersion)
#: What tells that an offer was taken.
REDEEMING = ("promotion.redeemed", "order.placed")
CODES = ("code", "coupon")  #: the facts of such an event that name the offer's code


def _code(text: ColumnElement[str]) -> ColumnElement[str]:
    """Give a code as it is compared: a till minds neither case nor the blanks around it."""
    return func.lower(func.trim(text))


_REDEEMERS = (
    select(_e.c.customer_id)
    .where(
        among(_e.c.customer_id),
        _e.c.name.in_(REDEEMING),
        _e.c.status != "parked",
        or_(
            _e.c.facts["promotion_id"].as_string() == bindparam("promotion"),
            *(
                _code(_e.c.facts[name].as_string()) == _code(bindparam("code", type_=Text))
                for name in CODES
            ),
        ),
    )
    .distinct()
)


def redeemers(
    session: Session, *, customers: Collection[str], promotion_id: str, code: str
) -> set[str]:
    """Give which of these customers have taken an offer, on whatever channel they learnt of it."""
    told = given(customers, promotion=promotion_id, code=code)
    return set(session.execute(_REDEEMERS, told).scalars())


def withdraw_redeemed(
    session: Session, *, root: str, names: Collection[str], now: datetime
) -> None:
    """Take a promotion out of a customer's inbox: they have redeemed it (R-40).

    ``names``: the promotion's id or code, as the event told it.
    """
    offer = _v.c.definition["promotion"]
    codes = [_code(literal(name)) for name in names]
    theirs = (
        select(_m.c.id)
        .join(_r, _r.c.id == _m.c.campaign_run_id)
        .join(_v, _v.c.version == _r.c.version)
        .where(
            _m.c.customer_id == root,
            _m.c.channel == "in_app",
            or_(offer["id"].as_string().in_(names), _code(offer["code"].as_string()).in_(codes)),
        )
    )
    session.execute(
        update(_i)
        .where(_i.c.message_id.in_(theirs), _i.c.withdrawn_at.is_(None))
        .values(withdrawn_at=now)
    )


def free_at(session: Session, *, channel: str, now: datetime) -> datetime:
    """Give when a channel's provider may be given more, and hold it until the transaction ends."""
    insert_new(session, _pace, [{"channel": channel, "next_free_at": now}], conflict=("channel",))
    query = select(_pace.c.next_free_at).where(_pace.c.channel == channel).with_for_update()
    return session.execute(query).scalar_one()


def charge(
    session: Session, *, channel: str, messages: int, per_second: float, now: datetime
) -> None:
    """Say that so many messages go to a channel's provider now; whoever calls asked ``free_at``."""
    free = free_at(session, channel=channel, now=now)
    until = Pace(per_second).free_again(free_at=free, messages=messages, now=now)
    session.execute(update(_pace).where(_pace.c.channel == channel).values(next_free_at=until))
