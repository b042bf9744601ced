"""The sweeper: claims that are over are taken away, and what was on its way becomes unknown.

Workers do the same for whoever they claim next. The sweeper does it for those whom nobody claims: their
lane is paused, their journey was left, their run was cancelled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping

from signalpost.domain.program import Program
from signalpost.domain.vocabulary import MessageStatus, Purpose
from signalpost.record import enrolments, in_flight, messages, reconciling
from signalpost.services.desk import Desk
from signalpost.services.journeys import planning
from signalpost.services.protocol import transaction

_TOGETHER = 500
_BATCHES = 10  #: of campaigns, up to a thousand messages each
#: A sender whose person left may still be at its provider, which answers or is given up by then.
_STRAY_AFTER = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What the sweeper found."""

    claims: int = 0  #: enrolments and shards whose lease was over
    unknown: int = 0  #: messages of which nobody knows now whether they went
    taken_back: int = 0  #: people who stand again where something was surely not sent
    closed: int = 0  #: messages that were surely not sent, and are not needed any more

    def __bool__(self) -> bool:
        return bool(self.claims or self.unknown or self.taken_back or self.closed)


def sweep(desk: Desk, *, now: datetime) -> Swept:
    """Sweep once, some hundreds at a time: call it again and again."""
    claims, unknown = _take_claims(desk, now)
    more = _runs(desk, now)
    taken_back, closed = _queued(desk, now)
    return Swept(
        claims=claims + more[0],
        unknown=unknown + more[1],
        taken_back=taken_back,
        closed=closed,
    )


def stray_after(desk: Desk) -> timedelta:
    """Give after how long a message on its way that nobody holds is given up."""
    return max(2 * desk.lease, _STRAY_AFTER)


def latest_end(desk: Desk, now: datetime) -> datetime:
    """Give when a lease ends at the latest, with room for clocks that differ a little.

    One that ends later was given by a clock that was set ahead, and back since. Its holder's fence
    goes by the monotonic clock, too, so it may be taken away like any other.
    """
    return now + 2 * desk.lease


def _take_claims(desk: Desk, now: datetime) -> tuple[int, int]:
    with transaction(desk, writing="reconcile.losing", written="reconcile.lost") as session:
        latest = latest_end(desk, now)
        freed = reconciling.free_enrolments(session, now=now, latest=latest, limit=_TOGETHER)
        lost = reconciling.sending_of(session, enrolment_ids=freed) if freed else []
        stray = reconciling.strays(session, before=now - stray_after(desk), limit=_TOGETHER)
        unknown = messages.give_up_lost(session, message_ids=sorted({*lost, *stray}), now=now)
    return len(freed), unknown


def _runs(desk: Desk, now: datetime) -> tuple[int, int]:
    """Take shards whose lease is over, as the next sender would, and those of cancelled runs.

    The shard before its messages.
    """
    with transaction(
        desk, writing="reconcile.losing", written="reconcile.lost", courteous=True
    ) as session:
        latest = latest_end(desk, now)
        left = in_flight.abandoned(
            session, before=now - stray_after(desk), limit=_BATCHES, lock=True
        )
        freed = reconciling.free_shards(session, now=now, latest=latest, limit=_TOGETHER)
        lost = [
            message_id
            for run, number in [*left, *freed]
            for message_id in in_flight.take(session, campaign_run_id=run, number=number)
        ]
        unknown = messages.give_up_lost(session, message_ids=lost, now=now)
    return len(freed), unknown


def _queued(desk: Desk, now: datetime) -> tuple[int, int]:
    """See to queued messages of steps that their people have left.

    A sender that was stopped past its lease and came back knows that these did not go. Meanwhile the
    next one had called them unknown, and moved on.
    """
    with desk.database.writing() as session:
        rows = reconciling.left_behind(session, before=now - desk.lease, limit=_TOGETHER)
        if not rows:
            return 0, 0
        programs = {
            version: Program.from_json(kept)
            for version, kept in enrolments.programs(
                session, versions={row["version"] for row in rows}
            ).items()
        }
        chains = planning.by_chain(
            messages.of_enrolments(session, enrolment_ids={row["enrolment_id"] for row in rows})
        )
        back = [row for row in rows if _can_go_back(row, programs[row["version"]], chains, now)]
        for row in back:
            reconciling.step_back(
                session, enrolment_id=row["enrolment_id"], step=_step_of(row), now=now
            )
        gone = [(row["id"], "went_on") for row in rows if row not in back]
        messages.close_unsent(session, rows=gone, now=now)
        if back:
            enrolments.announce(session)
        return len(back), len(gone)


def _step_of(row: RowMapping) -> str:
    return row["idempotency_key"].split(":")[1]


def _can_go_back(
    row: RowMapping,
    program: Program,
    chains: Mapping[tuple[str, str, int], Sequence[RowMapping]],
    now: datetime,
) -> bool:
    """Whether somebody rests right after the step, and its chain has reached them on no channel.

    Then the step can be taken again without doing anything else twice: what it has sent stays sent.
    """
    if row["status"] in ("exited", "set_aside") or (row["expires_at"] or now) < now:
        return False
    enrolment, step, number, _ = row["idempotency_key"].split(":")
    node = program.nodes.get(step)
    others = [one for one in chains[enrolment, step, int(number)] if one["id"] != row["id"]]
    undone = all(
        planning.went_wrong(MessageStatus(one["status"]), Purpose(one["purpose"])) for one in others
    )
    return node is not None and node.next == row["step"] and undone
