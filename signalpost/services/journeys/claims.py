"""Claims: a worker's hold, for a while, on people who are due."""

from collections import defaultdict
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from signalpost.domain.vocabulary import Lane
from signalpost.record import enrolments
from signalpost.record.base import new_id
from signalpost.services.desk import Desk
from signalpost.services.protocol import Fence, kept_alive, transaction

#: A batch that failed is tried in smaller and smaller parts, until whoever spoils it stands alone:
#: failures so far → most people together; after more failures everybody is alone.
TOGETHER = {0: 500, 1: 500, 2: 50, 3: 5}
#: Somebody who failed this often is set aside, where an operator sees them.
SET_ASIDE_AFTER = 6


@dataclass(frozen=True)
class Claim:
    """People of one journey, held together until the lease runs out."""

    id: str
    journey: str
    lane: str
    size: int


def claim_due(
    desk: Desk,
    *,
    lane: str,
    now: datetime,
    limit: int = 500,
    except_journeys: Collection[str] = (),
) -> list[Claim]:
    """Claim up to ``limit`` people who are due in the lane, the longest due first.

    People of one journey share a claim; in lane ``risk`` everyone has their own, so that nobody waits
    for another, and after failures the parts grow smaller, so that nobody fails with another.
    """
    find = partial(enrolments.due, lane=lane, now=now, except_journeys=except_journeys)
    with desk.database.reading() as session:
        if not find(session, limit=1, lock=False):
            return []  # the common case takes no write lock
    with transaction(desk, writing="journey.claiming", written="journey.claimed") as session:
        rows = find(session, limit=limit)
        alike: dict[tuple[str, int], list[str]] = defaultdict(list)
        for row in rows:
            size = 1 if lane == Lane.RISK else TOGETHER.get(row["attempts"], 1)
            alike[row["journey"], size].append(row["id"])
        claims = []
        for (journey, size), ids in alike.items():
            for start in range(0, len(ids), size):
                part = ids[start : start + size]
                claim = Claim(id=new_id(), journey=journey, lane=lane, size=len(part))
                enrolments.lease(session, ids=part, claim_id=claim.id, until=now + desk.lease)
                claims.append(claim)
        return claims


def held(desk: Desk, claim_id: str) -> AbstractAsyncContextManager[None]:
    """Keep a claim while something slow is awaited."""
    fence = Fence(clock=desk.clock, lease=desk.lease)
    return kept_alive(fence, partial(extend, desk, claim_id))


def extend(desk: Desk, claim_id: str, until: datetime) -> bool:
    """Extend the lease of what a claim still holds; false when it holds nobody any more."""
    with desk.database.writing() as session:
        return bool(enrolments.still_held(session, claim_id=claim_id, until=until))


def backoff(attempts: int) -> timedelta:
    """How long to wait after the given number of failures: 5 s, 10 s, 20 s … at most an hour."""
    return min(timedelta(seconds=5 * 2 ** max(attempts - 1, 0)), timedelta(hours=1))


#: People who failed together come back sooner than one who fails alone: most of them are well.
_TOGETHER_SOONER = 5


def release(desk: Desk, *, claim_id: str, reason: str, now: datetime) -> None:
    """Let go of a batch that failed: due again after a while, or set aside when it keeps failing."""
    with desk.database.writing() as session:
        rows = enrolments.of_claim(session, claim_id=claim_id)
        if not rows:
            return
        attempts = max(row["attempts"] for row in rows) + 1
        enrolments.give_back(
            session,
            claim_id=claim_id,
            due_at=now + backoff(attempts) / (1 if len(rows) == 1 else _TOGETHER_SOONER),
            set_aside=reason if attempts >= SET_ASIDE_AFTER and len(rows) == 1 else None,
        )


def next_due(desk: Desk, *, lane: str) -> datetime | None:
    """Give when the next person of the lane is due, or None."""
    with desk.database.reading() as session:
        return enrolments.next_due(session, lane=lane)
