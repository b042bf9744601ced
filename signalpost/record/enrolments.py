"""Enrolments: one customer's passage through one journey; and the versions they are pinned to."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Index,
    RowMapping,
    UniqueConstraint,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Field, Session

from signalpost.record.base import Id, Table, document, insert_new, moment, pk, table_of
from signalpost.record.customers import Customer


class JourneyVersion(Table, table=True):
    """A journey as it was when somebody entered it; kept as long as anybody is in it."""

    __tablename__ = "journey_versions"

    version: str = Field(primary_key=True)  #: hash of the program
    journey: str = Field(index=True)
    program: dict = document()
    first_seen_at: datetime = moment()


class Enrolment(Table, table=True):
    """One customer in one journey.

    ``status``: active (``due_at`` says when it moves), waiting (for ``wait_for``, at the latest until
    ``due_at``), done, exited, set_aside (a fault of ours stopped it; ``reason`` says which).
    ``claim_id`` says which claim holds it until ``lease_until``, and is the fencing token: whoever
    writes must still hold the claim, so a worker that comes back too late changes nothing.
    """

    __tablename__ = "enrolments"
    __table_args__ = (
        UniqueConstraint("journey", "entry_key"),
        Index("ix_enrolments_due", "lane", "due_at"),
        Index("ix_enrolments_waiting", "customer_id", "status"),
        Index("ix_enrolments_claim", "claim_id"),
    )

    id: str = pk()
    customer_id: str = Field(sa_type=Id, foreign_key="customers.id")
    journey: str
    version: str = Field(foreign_key="journey_versions.version")
    lane: str
    entry_key: str  #: what makes this entry one and not two: "transaction_id:T1"
    key: str | None = None  #: the value that events are matched by
    step: str | None = None  #: id of the node in the program; None when it has ended
    status: str
    reason: str | None = None
    wait_for: str | None = None  #: "event:order.picked_up" or "answer:csat"
    due_at: datetime | None = moment(default=None)  #: None: nothing to do until something happens
    attempts: int = 0  #: failed tries of the present step
    context: dict = document()  #: facts, answers, arms, the cause
    claim_id: str | None = Field(default=None, sa_type=Id)
    lease_until: datetime | None = moment(default=None)
    started_at: datetime = moment()
    moved_at: datetime = moment()
    ended_at: datetime | None = moment(default=None)


_e = table_of(Enrolment)
_v = table_of(JourneyVersion)
_c = table_of(Customer)

#: Where PostgreSQL's workers listen.
WAKE_CHANNEL = "signalpost_wake"

#: Enrolments that can still move; somebody set aside does when an operator resumes them.
OPEN = ("active", "waiting", "set_aside")


def due(
    session: Session,
    *,
    lane: str,
    now: datetime,
    limit: int,
    except_journeys: Collection[str] = (),
    lock: bool = True,
) -> list[RowMapping]:
    """Find enrolments that are due and held by nobody, the longest due first.

    ``lock``: nobody else may claim them until the transaction ends; a mere look must not.
    """
    query = (
        select(_e.c.id, _e.c.journey, _e.c.attempts)
        .where(
            _e.c.lane == lane,
            _e.c.due_at <= now,
            or_(_e.c.lease_until.is_(None), _e.c.lease_until <= now),
        )
        .order_by(_e.c.due_at)
        .limit(limit)
    )
    if except_journeys:
        query = query.where(_e.c.journey.not_in(except_journeys))
    if lock:
        query = query.with_for_update(skip_locked=True)
    return list(session.execute(query).mappings())


def next_due(session: Session, *, lane: str) -> datetime | None:
    """Give when there is next something to claim in the lane: somebody due, or a lease over."""
    free = session.execute(
        select(_e.c.due_at)
        .where(_e.c.lane == lane, _e.c.due_at.is_not(None), _e.c.claim_id.is_(None))
        .order_by(_e.c.due_at)
        .limit(1)
    ).scalar()
    held = session.execute(
        select(func.min(_e.c.lease_until)).where(_e.c.claim_id.is_not(None), _e.c.lane == lane)
    ).scalar()
    return min((moment for moment in (free, held) if moment is not None), default=None)


def lease(session: Session, *, ids: Sequence[str], claim_id: str, until: datetime) -> None:
    """Give the enrolments to a claim."""
    session.execute(update(_e).where(_e.c.id.in_(ids)).values(claim_id=claim_id, lease_until=until))


def of_claim(session: Session, *, claim_id: str) -> list[RowMapping]:
    """Give the enrolments of a claim, each with its customer's root id."""
    return list(
        session.execute(
            select(_e, _c.c.root_id)
            .join(_c, _c.c.id == _e.c.customer_id)
            .where(_e.c.claim_id == claim_id)
            .order_by(_e.c.due_at)
        ).mappings()
    )


def still_held(session: Session, *, claim_id: str, until: datetime) -> set[str]:
    """Lock what the claim still holds, extend its lease, and give the ids.

    What is missing was taken away (its customer left the journey, or the lease ran out and another
    worker has it) and must not be touched any more.
    """
    ids = session.execute(
        select(_e.c.id).where(_e.c.claim_id == claim_id).order_by(_e.c.id).with_for_update()
    ).scalars()
    held = set(ids)
    session.execute(update(_e).where(_e.c.claim_id == claim_id).values(lease_until=until))
    return held


def held(session: Session, *, claim_id: str, now: datetime) -> set[str]:
    """Give the ids of those whom the claim holds at this moment; locks and changes nothing."""
    query = select(_e.c.id).where(_e.c.claim_id == claim_id, _e.c.lease_until > now)
    return set(session.execute(query).scalars())


def save(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write back where each enrolment stands; ``rows`` carry every key named here."""
    if not rows:
        return
    names = (
        "step", "status", "reason", "wait_for", "due_at", "attempts", "context",
        "claim_id", "lease_until", "moved_at", "ended_at",
    )  # fmt: skip
    session.connection().execute(
        update(_e)
        .where(_e.c.id == bindparam("row_id"))
        .values({name: bindparam(f"new_{name}") for name in names}),
        [{"row_id": row["id"], **{f"new_{name}": row[name] for name in names}} for row in rows],
    )


def enter(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Enter people into journeys; gives the ids of those who were not in already."""
    entered = insert_new(session, _e, rows, conflict=("journey", "entry_key"), returning="id")
    if entered:
        announce(session)
    return entered


def announce(session: Session) -> None:
    """Tell the workers, once this is committed, that somebody is due (PostgreSQL; others look)."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_notify('{WAKE_CHANNEL}', '')"))


def by_entry(session: Session, *, keys: Sequence[tuple[str, str]]) -> list[RowMapping]:
    """Find enrolments by journey and entry key."""
    wanted = set(keys)
    rows = session.execute(
        select(_e.c.id, _e.c.journey, _e.c.entry_key, _e.c.status, _e.c.customer_id).where(
            _e.c.journey.in_({journey for journey, _ in wanted}),
            _e.c.entry_key.in_({key for _, key in wanted}),
        )
    ).mappings()
    return [row for row in rows if (row["journey"], row["entry_key"]) in wanted]


def open_of(session: Session, *, roots: Collection[str]) -> list[RowMapping]:
    """Give the open enrolments of these people (root ids)."""
    return list(
        session.execute(
            select(_e, _c.c.root_id)
            .join(_c, _c.c.id == _e.c.customer_id)
            .where(_c.c.root_id.in_(roots), _e.c.status.in_(OPEN))
        ).mappings()
    )


def wake(session: Session, *, enrolment_ids: Sequence[str], wait_for: str, now: datetime) -> int:
    """Wake those of the enrolments that wait for this; gives how many did."""
    result = session.execute(
        update(_e)
        .where(
            and_(_e.c.id.in_(enrolment_ids), _e.c.status == "waiting", _e.c.wait_for == wait_for)
        )
        .values(status="active", due_at=now)
    )
    woke: int = result.rowcount  # type: ignore[attr-defined]
    if woke:
        announce(session)
    return woke


def leave(session: Session, *, enrolment_ids: Sequence[str], reason: str, now: datetime) -> None:
    """End enrolments now, whoever holds them: taking the claim away fences the holder off."""
    session.execute(
        update(_e)
        .where(_e.c.id.in_(enrolment_ids))
        .values(
            status="exited",
            reason=reason,
            ended_at=now,
            due_at=None,
            wait_for=None,
            claim_id=None,
            lease_until=None,
        )
    )


def give_back(session: Session, *, claim_id: str, due_at: datetime, set_aside: str | None) -> None:
    """Let go of a claim: due again at ``due_at``, or set aside with that reason."""
    values: dict[str, Any] = {
        "claim_id": None, "lease_until": None, "attempts": _e.c.attempts + 1, "due_at": due_at,
    }  # fmt: skip
    if set_aside:
        values |= {"status": "set_aside", "reason": set_aside, "due_at": None}
    session.execute(update(_e).where(_e.c.claim_id == claim_id).values(values))


def let_go(session: Session, *, claim_id: str) -> None:
    """Let go of a claim with which nothing was begun: due as before, at nobody's cost."""
    values = {"claim_id": None, "lease_until": None}
    session.execute(update(_e).where(_e.c.claim_id == claim_id).values(values))
    announce(session)


def status_of(session: Session, *, enrolment_id: str) -> str | None:
    """Give the status of an enrolment, or None when there is none by that id."""
    return session.execute(select(_e.c.status).where(_e.c.id == enrolment_id)).scalar()


def set_aside(
    session: Session, *, journey: str | None = None, limit: int | None = None
) -> list[RowMapping]:
    """Give who is set aside, the longest first; in one journey, or in all of them."""
    query = (
        select(_e.c.id, _e.c.customer_id, _e.c.journey, _e.c.step, _e.c.reason, _e.c.moved_at)
        .where(_e.c.status == "set_aside")
        .order_by(_e.c.moved_at, _e.c.id)
        .limit(limit)
    )
    if journey is not None:
        query = query.where(_e.c.journey == journey)
    return list(session.execute(query).mappings())


def journey_known(session: Session, *, journey: str) -> bool:
    """Say whether anybody ever entered a journey of this name."""
    return session.execute(select(_v.c.version).where(_v.c.journey == journey)).first() is not None


def lock_set_aside(session: Session, *, ids: Collection[str]) -> list[RowMapping]:
    """Lock those of the enrolments that are set aside, and give them."""
    return list(
        session.execute(
            select(_e.c.id, _e.c.customer_id, _e.c.journey, _e.c.step, _e.c.reason, _e.c.context)
            .where(_e.c.id.in_(ids), _e.c.status == "set_aside")
            .order_by(_e.c.id)
            .with_for_update()
        ).mappings()
    )


def resume(session: Session, *, ids: Collection[str], now: datetime) -> None:
    """Make enrolments that are set aside due again, with no failed tries behind them."""
    session.execute(
        update(_e)
        .where(_e.c.id.in_(ids), _e.c.status == "set_aside")
        .values(status="active", reason=None, due_at=now, attempts=0, moved_at=now)
    )
    announce(session)


def set_context(session: Session, *, enrolment_id: str, context: Mapping[str, Any]) -> None:
    """Write what an enrolment knows; whoever calls has it locked."""
    session.execute(update(_e).where(_e.c.id == enrolment_id).values(context=context))


def keep_versions(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep journey versions that are not kept yet."""
    insert_new(session, _v, rows, conflict=("version",))


def kept_versions(session: Session, *, versions: Collection[str]) -> set[str]:
    """Give those of the versions that are kept."""
    return set(session.execute(select(_v.c.version).where(_v.c.version.in_(versions))).scalars())


def programs(session: Session, *, versions: Collection[str]) -> dict[str, dict[str, Any]]:
    """Give the programs of these versions, as JSON."""
    rows = session.execute(select(_v.c.version, _v.c.program).where(_v.c.version.in_(versions)))
    return {version: program for version, program in rows}  # noqa: C416 - Row is not a tuple pair


def open_versions(session: Session) -> dict[str, dict[str, Any]]:
    """Give every version that somebody is in, as JSON."""
    held = select(_e.c.version).where(_e.c.status.in_(OPEN)).distinct()
    rows = session.execute(select(_v.c.version, _v.c.program).where(_v.c.version.in_(held)))
    return {version: program for version, program in rows}  # noqa: C416


def step_counts(session: Session, *, journey: str) -> list[RowMapping]:
    """Count the people of a journey by version, status and step."""
    return list(
        session.execute(
            select(_e.c.version, _e.c.status, _e.c.step, func.count().label("people"))
            .where(_e.c.journey == journey)
            .group_by(_e.c.version, _e.c.status, _e.c.step)
        ).mappings()
    )
