"""The messages of campaigns that are on their way, as their shard names them.

A thousand go at once, and come to rest at once. So their ids stand on the shard in one text from intent
to settling, where an index of messages on their way would be written to twice for each.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, func, literal_column, select, tuple_, update
from sqlmodel import Session

from signalpost.record.base import table_of
from signalpost.record.bulk import among, given
from signalpost.record.campaigns import THE_SHARD, CampaignPerson, CampaignShard, shard
from signalpost.record.messages import Message

_s = table_of(CampaignShard)
_p = table_of(CampaignPerson)
_m = table_of(Message)

_NONE = ""  #: nothing is on its way; no text at all: nobody who would say so has the shard
_ID = 36  #: letters


def together(message_ids: Sequence[str]) -> str:
    """Write the messages of a batch as one text."""
    return " ".join(message_ids)


_SET_OFF = update(_s).where(THE_SHARD).values(in_flight=bindparam("batch"))


def set_off(session: Session, *, campaign_run_id: str, number: int, batch: str) -> None:
    """Note a batch, in the transaction that writes its intents; the caller has the shard locked."""
    session.execute(_SET_OFF, shard(campaign_run_id, number, batch=batch))


_LANDED = update(_s).where(THE_SHARD, _s.c.in_flight == bindparam("batch")).values(in_flight=_NONE)


def landed(session: Session, *, campaign_run_id: str, number: int, batch: str) -> None:
    """Forget a batch, in the transaction that settles it; what another has sent off since stays."""
    session.execute(_LANDED, shard(campaign_run_id, number, batch=batch))


def take(session: Session, *, campaign_run_id: str, number: int) -> list[str]:
    """Give what is on its way from a shard whose sender let its lease run out, and forget it.

    A sender of a version before this one says nothing of its messages. Those are looked for.
    """
    this = shard(campaign_run_id, number)
    noted = session.execute(select(_s.c.in_flight).where(THE_SHARD), this).scalar()
    if noted is None:
        return _looked_for(session, campaign_run_id=campaign_run_id, number=number)
    session.execute(_SET_OFF, this | {"batch": _NONE})
    return noted.split()


def _looked_for(session: Session, *, campaign_run_id: str, number: int) -> list[str]:
    theirs = and_(
        _p.c.campaign_run_id == _m.c.campaign_run_id, _p.c.customer_id == _m.c.customer_id
    )
    query = (
        select(_m.c.id)
        .join(_p, theirs)
        .where(
            _m.c.campaign_run_id == campaign_run_id, _m.c.status == "sending", _p.c.shard == number
        )
    )
    return list(session.execute(query).scalars())


def abandoned(
    session: Session, *, before: datetime, limit: int, lock: bool = False
) -> list[tuple[str, int]]:
    """Give shards that nobody holds, and of which something is on its way since before then.

    Their run was cancelled meanwhile. Gives run and number of each; ``lock``: nobody else may take them.
    """
    first = func.substr(_s.c.in_flight, 1, _ID)  # all of a batch were intended at one moment
    query = (
        select(_s.c.campaign_run_id, _s.c.number)
        .join(_m, _m.c.id == first)
        # As the index says it: PostgreSQL does not compare a parameter with that.
        .where(_s.c.in_flight > literal_column("''"), _s.c.claim_id.is_(None))
        .where(_m.c.updated_at < before)
        .order_by(_s.c.campaign_run_id, _s.c.number)
        .limit(limit)
    )
    if lock:
        query = query.with_for_update(of=_s, skip_locked=True)
    return [(run, number) for run, number in session.execute(query)]


def still_sending(session: Session, shards: Collection[tuple[str, int]]) -> int:
    """Count the messages that these shards name, and of which nothing was heard yet."""
    wanted = tuple_(_s.c.campaign_run_id, _s.c.number).in_(shards)
    named = session.execute(select(_s.c.in_flight).where(wanted)).scalars()
    ids = [one for batch in named for one in (batch or "").split()]
    query = select(func.count()).where(among(_m.c.id), _m.c.status == "sending")
    return session.execute(query, given(ids)).scalar_one()
