"""The people of a campaign's run: frozen, claimed by shards, decided in batches."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    update,
)
from sqlmodel import Session

from signalpost.domain.status import UNSENT
from signalpost.domain.vocabulary import Channel
from signalpost.record.base import UtcDateTime, table_of, to_json
from signalpost.record.bulk import among, each, given, moment_text
from signalpost.record.campaigns import (
    THE_SHARD,
    CampaignPerson,
    CampaignRun,
    CampaignShard,
    run,
    shard,
)
from signalpost.record.customers import Customer, was_merged
from signalpost.record.messages import Message

_r = table_of(CampaignRun)
_p = table_of(CampaignPerson)
_s = table_of(CampaignShard)
_c = table_of(Customer)
_m = table_of(Message)

SHARD = 25_000  #: people of a shard: one task of Prefect, some seconds of work


@dataclass(frozen=True)
class Due:
    """When the people of a run are due: all at ``first``, or by their zone.

    Whoever's zone is not known comes at ``first``, which is then the first moment anywhere; the gate
    finds out where they are.
    """

    first: datetime
    by_zone: Mapping[str, datetime] = field(default_factory=dict)


def shards(session: Session, *, campaign_run_id: str) -> list[RowMapping]:
    """Give a run's shards, in order."""
    query = select(_s).where(_s.c.campaign_run_id == campaign_run_id).order_by(_s.c.number)
    return list(session.execute(query).mappings())


def zones_of(session: Session, *, members: Select[Any]) -> list[str]:
    """Name the zones that these people are known to be in."""
    who = members.subquery("who")
    query = select(_c.c.zone).join(who, next(iter(who.c)) == _c.c.id).where(_c.c.zone.is_not(None))
    return list(session.execute(query.distinct()).scalars())


def due_shards(
    session: Session,
    *,
    now: datetime,
    limit: int,
    except_campaigns: Collection[str] = (),
    campaign_run_id: str | None = None,
    number: int | None = None,
    lock: bool = True,
) -> list[RowMapping]:
    """Find shards in which somebody is due and that nobody works on, the longest due first.

    ``claim_id``: of a sender whose lease is over.

    ``lock``: nobody else may claim them until the transaction ends; a mere look must not.
    """
    query = (
        select(_s.c.campaign_run_id, _s.c.number, _s.c.claim_id, _r.c.campaign)
        .join(_r, _r.c.id == _s.c.campaign_run_id)
        .where(
            _r.c.status == "running",
            _s.c.due_at <= now,
            or_(_s.c.lease_until.is_(None), _s.c.lease_until <= now),
        )
        .order_by(_s.c.due_at, _s.c.campaign_run_id, _s.c.number)
        .limit(limit)
    )
    if except_campaigns:
        query = query.where(_r.c.campaign.not_in(except_campaigns))
    if campaign_run_id is not None:
        query = query.where(_s.c.campaign_run_id == campaign_run_id)
    if number is not None:
        query = query.where(_s.c.number == number)
    if lock:
        query = query.with_for_update(skip_locked=True, of=_s)
    return list(session.execute(query).mappings())


def next_due(session: Session) -> datetime | None:
    """Give when there is next a shard to claim: somebody due, or a lease over."""
    query = (
        select(func.min(case((_s.c.claim_id.is_(None), _s.c.due_at), else_=_s.c.lease_until)))
        .join(_r, _r.c.id == _s.c.campaign_run_id)
        .where(_r.c.status == "running", _s.c.due_at.is_not(None))
    )
    return session.execute(query).scalar()


def lease(
    session: Session, *, campaign_run_id: str, number: int, claim_id: str, until: datetime
) -> None:
    """Give a shard to a claim."""
    session.execute(
        update(_s).where(THE_SHARD).values(claim_id=claim_id, lease_until=until, in_flight=""),
        shard(campaign_run_id, number),
    )


_HELD = and_(THE_SHARD, _s.c.claim_id == bindparam("claim"))
_EXTEND = update(_s).where(_HELD).values(lease_until=bindparam("new_until", type_=UtcDateTime))
_STATUS = select(_r.c.status).where(_r.c.id == bindparam("of_run"))


def still_held(
    session: Session, *, campaign_run_id: str, number: int, claim_id: str, until: datetime
) -> str | None:
    """Extend the lease of a shard that the claim still holds, and give the run's status.

    None: the lease ran out and another sender has it; nothing of it may be touched any more.
    """
    this = shard(campaign_run_id, number, claim=claim_id, new_until=until)
    if not session.execute(_EXTEND, this).rowcount:  # type: ignore[attr-defined]
        return None
    return session.execute(_STATUS, {"of_run": campaign_run_id}).scalar()


_STILL = select(_s.c.number).where(_HELD, _s.c.lease_until > bindparam("now", type_=UtcDateTime))


def held(
    session: Session, *, campaign_run_id: str, number: int, claim_id: str, now: datetime
) -> bool:
    """Say whether the claim holds the shard at this moment; locks and changes nothing."""
    this = shard(campaign_run_id, number, claim=claim_id, now=now)
    return session.execute(_STILL, this).first() is not None


def lock_shards(session: Session, *, campaign_run_id: str, number: int | None = None) -> None:
    """Hold a run's shards, or one of them, until the transaction ends."""
    query = select(_s.c.number).where(_s.c.campaign_run_id == campaign_run_id)
    if number is not None:
        query = query.where(_s.c.number == number)
    session.execute(query.order_by(_s.c.number).with_for_update())


def due_again(session: Session, *, campaign_run_id: str, number: int, at: datetime) -> None:
    """Say that somebody in a shard is due again; whoever calls has it locked."""
    later = or_(_s.c.due_at.is_(None), _s.c.due_at > at)
    session.execute(
        update(_s).where(THE_SHARD, later).values(due_at=at), shard(campaign_run_id, number)
    )


_COUNTS = select(_s.c.counts).where(THE_SHARD)
_COUNT = update(_s).where(THE_SHARD).values(counts=bindparam("new_counts"))


def add_counts(
    session: Session, *, campaign_run_id: str, number: int, counts: Mapping[str, int]
) -> None:
    """Add to a shard's counts; whoever calls holds it."""
    if not counts:
        return
    this = shard(campaign_run_id, number)
    known = session.execute(_COUNTS, this).scalar_one()
    added = {key: known.get(key, 0) + people for key, people in counts.items()}
    session.execute(_COUNT, this | {"new_counts": known | added})


def release(
    session: Session,
    *,
    campaign_run_id: str,
    number: int,
    claim_id: str,
    not_before: datetime | None = None,
) -> datetime | None:
    """Let go of a shard; gives when it is due next, None when all in it are decided.

    ``not_before``: nothing can be sent until then, whoever is due.
    The run is locked first, so that of two shards that end together one sees that it was the last.
    """
    run(session, campaign_run_id=campaign_run_id, lock=True)
    due = session.execute(
        select(func.min(_p.c.due_at)).where(
            _p.c.campaign_run_id == campaign_run_id, _p.c.shard == number, _p.c.outcome.is_(None)
        )
    ).scalar()
    if due is not None and not_before is not None:
        due = max(due, not_before)
    session.execute(
        update(_s).where(_HELD).values(claim_id=None, lease_until=None, due_at=due, in_flight=None),
        shard(campaign_run_id, number, claim=claim_id),
    )
    return due


def is_over(session: Session, *, campaign_run_id: str) -> bool:
    """Say whether everybody in a run is decided."""
    open_ = select(_s.c.number).where(
        _s.c.campaign_run_id == campaign_run_id, _s.c.due_at.is_not(None)
    )
    return session.execute(open_.limit(1)).first() is None


_DUE = (
    select(_p.c.customer_id, _p.c.tries)
    .where(
        _p.c.campaign_run_id == bindparam("run"),
        _p.c.shard == bindparam("number"),
        _p.c.outcome.is_(None),
        _p.c.due_at <= bindparam("now", type_=UtcDateTime),
    )
    .order_by(_p.c.due_at, _p.c.customer_id)
    .limit(bindparam("most"))
)


def due_people(
    session: Session, *, campaign_run_id: str, number: int, now: datetime, limit: int
) -> dict[str, int]:
    """Give who in a shard is due, the longest first, with the rounds they have behind them."""
    rows = session.execute(
        _DUE, {"run": campaign_run_id, "number": number, "now": now, "most": limit}
    )
    return {customer: tries for customer, tries in rows.all()}  # noqa: C416 - Row is no pair


def due_until(
    session: Session, *, campaign_run_id: str, people: Collection[str], until: datetime
) -> set[str]:
    """Give those of these people of a run who were due by then."""
    query = select(_p.c.customer_id).where(
        _p.c.campaign_run_id == campaign_run_id, among(_p.c.customer_id), _p.c.due_at <= until
    )
    return set(session.execute(query, given(people)).scalars())


def give_place(session: Session, *, campaign_run_id: str, of: str, to: str) -> bool:
    """Give a person's place in a run to another; false when that one has a place of their own."""
    taken = select(_p.c.customer_id).where(
        _p.c.campaign_run_id == campaign_run_id, _p.c.customer_id == to
    )
    if session.execute(taken).first() is not None:
        return False
    session.execute(
        update(_p)
        .where(_p.c.campaign_run_id == campaign_run_id, _p.c.customer_id == of)
        .values(customer_id=to)
    )
    return True


_DECIDE = (
    update(_p)
    .where(_p.c.campaign_run_id == bindparam("run"), among(_p.c.customer_id))
    .values(
        outcome=bindparam("new_outcome"),
        reason=bindparam("new_reason"),
        arm=bindparam("new_arm"),
        verdicts=bindparam("new_verdicts"),
        decided_at=bindparam("new_at"),
    )
)


def decide(
    session: Session,
    *,
    campaign_run_id: str,
    people: Collection[str],
    outcome: str,
    reason: str | None,
    arm: str | None,
    verdicts: Sequence[Mapping[str, Any]],
    now: datetime,
) -> None:
    """Write the same decision for many people."""
    session.execute(
        _DECIDE,
        given(
            people,
            run=campaign_run_id,
            new_outcome=outcome,
            new_reason=reason,
            new_arm=arm,
            new_verdicts=list(verdicts),
            new_at=now,
        ),
    )


@dataclass(frozen=True, slots=True)
class Later:
    """Somebody who is asked again. ``tried``: a message of theirs is on the record by now."""

    customer_id: str
    due_at: datetime
    verdicts: Sequence[Mapping[str, Any]]
    arm: str | None
    tried: bool


_THEN = each("due")
#: The run, said as if it followed from the list: else SQLite reads the list anew for each of its people.
_RUN = case((_THEN.c.key.is_not(None), bindparam("run")))
_COME_BACK = (
    update(_p)
    .where(_p.c.campaign_run_id == _RUN, _p.c.customer_id == _THEN.c.key)
    .values(
        due_at=cast(_THEN.c.value, UtcDateTime),
        verdicts=bindparam("new_verdicts"),
        arm=bindparam("new_arm"),
        outcome=None,
        reason=None,
        decided_at=None,
        tries=_p.c.tries + bindparam("tried"),
    )
)


def come_back(session: Session, *, campaign_run_id: str, people: Sequence[Later]) -> None:
    """Have people asked again later, those of whom the same is said in one statement."""
    alike: dict[tuple[str, str | None, bool], list[Later]] = defaultdict(list)
    for one in people:
        alike[to_json(list(one.verdicts)), one.arm, one.tried].append(one)
    for (_, arm, tried), same in alike.items():
        session.execute(
            _COME_BACK,
            {
                "run": campaign_run_id,
                "due": to_json({one.customer_id: moment_text(one.due_at) for one in same}),
                "new_verdicts": list(same[0].verdicts),
                "new_arm": arm,
                "tried": int(tried),
            },
        )


def close_people(
    session: Session, *, campaign_run_id: str, outcome: str, reason: str, now: datetime
) -> None:
    """Decide everybody in a run who is still open, as when it is cancelled; counts them too.

    Of whom one chain has reached while another waited, it was sent: they know of it.
    """
    # As its sender does, the shards before their people: else each could wait for the other, and who
    # is decided meanwhile would be counted twice.
    lock_shards(session, campaign_run_id=campaign_run_id)
    open_ = and_(_p.c.campaign_run_id == campaign_run_id, _p.c.outcome.is_(None))
    reached = _reached(open_)
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for number, *channels, people in session.execute(_by_channels(reached)):
        sent_by = "+".join(sorted(one for one in channels if one))
        counts[number][f"sent:{sent_by}:allowed"] += people
    session.execute(
        update(_p)
        .where(open_, _p.c.customer_id.in_(select(reached.c.customer_id)))
        .values(outcome="sent", reason="allowed", decided_at=now)
    )
    left = select(_p.c.shard, func.count()).where(open_).group_by(_p.c.shard)
    for number, people in session.execute(left):
        counts[number][f"{outcome}::{reason}"] += people
    session.execute(update(_p).where(open_).values(outcome=outcome, reason=reason, decided_at=now))
    for number, some in sorted(counts.items()):
        add_counts(session, campaign_run_id=campaign_run_id, number=number, counts=some)
    session.execute(
        update(_s)
        .where(_s.c.campaign_run_id == campaign_run_id)
        .values(due_at=None, claim_id=None, lease_until=None)
    )


def _reached(people: ColumnElement[bool]) -> Subquery:
    """Give shard, customer and channels of those of these people of a run who have a message of it."""
    gone = _c.alias("gone")
    of_run = _m.c.campaign_run_id == _p.c.campaign_run_id
    them = select(_p.c.shard, _p.c.customer_id, _m.c.channel).where(
        people, _p.c.tries > 0, _m.c.status.not_in(UNSENT)
    )
    own = them.select_from(_p.join(_m, and_(of_run, _m.c.customer_id == _p.c.customer_id)))
    places = _p.join(gone, left_place(gone, to=_p))
    taken = them.select_from(places.join(_m, and_(of_run, _m.c.customer_id == gone.c.id)))
    each_ = own.union_all(taken).subquery("theirs")
    by = (func.max(case((each_.c.channel == one, one.value))).label(one) for one in Channel)
    query = select(each_.c.shard, each_.c.customer_id, *by)
    return query.group_by(each_.c.shard, each_.c.customer_id).subquery("reached")


def left_place(gone: Any, *, to: Any) -> ColumnElement[bool]:
    """Say of a merged customer that they have left their place in a run ``to`` whom they are now.

    What they were sent before is that one's; of who has a place of their own it is not.
    """
    own = _p.alias("own")
    kept = select(own.c.shard).where(
        own.c.campaign_run_id == to.c.campaign_run_id, own.c.customer_id == gone.c.id
    )
    return and_(gone.c.root_id == to.c.customer_id, was_merged(gone), ~kept.exists())


def _by_channels(reached: Subquery) -> Select[Any]:
    same = [reached.c.shard, *(reached.c[one] for one in Channel)]
    return select(*same, func.count()).group_by(*same)


def messages_of(
    session: Session, *, campaign_run_id: str, people: Collection[str]
) -> list[RowMapping]:
    """Give id, key, customer, channel, status and its reason of these people's messages in a run."""
    query = select(
        _m.c.id, _m.c.idempotency_key, _m.c.customer_id, _m.c.channel, _m.c.status, _m.c.reason
    ).where(_m.c.campaign_run_id == campaign_run_id, among(_m.c.customer_id))
    return list(session.execute(query, given(people)).mappings())


def arms(
    session: Session, *, campaign_run_id: str, people: Collection[str]
) -> dict[str, str | None]:
    """Give the arm that was written down for each of these people of a run."""
    query = select(_p.c.customer_id, _p.c.arm).where(
        _p.c.campaign_run_id == campaign_run_id, among(_p.c.customer_id)
    )
    return {customer: arm for customer, arm in session.execute(query, given(people))}  # noqa: C416


def runs_of(session: Session, *, customer_ids: Sequence[str]) -> set[str]:
    """Name the runs that these customers are among the people of."""
    query = select(_p.c.campaign_run_id).where(_p.c.customer_id.in_(customer_ids))
    return set(session.execute(query).scalars())
