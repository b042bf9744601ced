"""The plain sender with the safety taken out, piece by piece: for comparison, in its own process.

Told a ``Care``, it sends what is due with no more care than that, and says ``done``. What is taken out
is replaced here, in this process, for that turn: the product has no switch for it.
"""

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import func, select, update
from sqlmodel import Session

from signalpost import bootstrap, settings
from signalpost.domain.vocabulary import MessageStatus
from signalpost.record import campaign_people, campaigns
from signalpost.record.base import metadata, new_id
from signalpost.services import protocol
from signalpost.services.campaigns import sending
from signalpost.services.campaigns.people import Batch, Job, ShardClaim
from signalpost.services.desk import Desk

# The package names a function of the module's name after it.
intending = importlib.import_module("signalpost.services.protocol.intend")

SIDE_BY_SIDE = 2  #: shards, as in the flow


class Care(StrEnum):
    """How carefully to send; each does without what those before it do without."""

    WHOLE = "whole"  #: as shipped
    NO_LEASES = "no-leases"  #: nobody asks whether a shard is still theirs
    NO_LEDGER = "no-ledger"  #: a message is written as sent before it is, and never looked at again
    NO_MESSAGES = "no-messages"  #: only the run's counts are kept


class _NoFence:
    """Stands where the fence does, and lets everything through."""

    def __init__(self, **_: Any) -> None:
        pass

    def renewed(self, **_: Any) -> None:
        """Take note of nothing."""

    def holds(self) -> bool:
        """Let it leave."""
        return True


@asynccontextmanager
async def _not_kept_alive(_fence: Any, _extend: Any) -> AsyncIterator[None]:
    yield


def _without_leases() -> Iterator[tuple[Any, str, Any]]:
    """Each shard goes once to one of our coroutines, by memory; two processes would both send it."""
    taken: set[tuple[str, int]] = set()

    def take(desk: Desk, *, now: Any, limit: int, **_: Any) -> list[ShardClaim]:
        with desk.database.reading() as session:
            found = campaign_people.due_shards(session, now=now, limit=1_000, lock=False)
        free = [row for row in found if (row["campaign_run_id"], row["number"]) not in taken]
        taken.update((row["campaign_run_id"], row["number"]) for row in free[:limit])
        return [
            ShardClaim(new_id(), row["campaign_run_id"], row["campaign"], row["number"])
            for row in free[:limit]
        ]

    def open_(desk: Desk, claim: ShardClaim, _fence: Any) -> Job:
        with desk.database.reading() as session:
            return Job.load(desk, session, campaign_run_id=claim.campaign_run_id)

    yield sending, "claim_shards", take
    yield sending, "_open", open_
    yield sending, "Fence", _NoFence
    yield sending, "_held_now", lambda _desk, _claim, drafts: drafts
    yield protocol, "kept_alive", _not_kept_alive
    yield campaign_people, "still_held", _status
    yield campaign_people, "release", partial(_release, _next_due)


def _status(session: Session, *, campaign_run_id: str, **_: Any) -> str | None:
    """Read whether the run goes on, as a sender that can be paused has to."""
    runs = metadata.tables["campaign_runs"]
    query = select(runs.c.status).where(runs.c.id == campaign_run_id)
    return session.execute(query).scalar()


def _next_due(session: Session, campaign_run_id: str, number: int) -> Any:
    people = metadata.tables["campaign_people"]
    query = select(func.min(people.c.due_at)).where(
        people.c.campaign_run_id == campaign_run_id,
        people.c.shard == number,
        people.c.outcome.is_(None),
    )
    return session.execute(query).scalar()


def _release(
    next_due: Callable[[Session, str, int], Any],
    session: Session,
    *,
    campaign_run_id: str,
    number: int,
    **_: Any,
) -> Any:
    """Say of a shard when it is due next, as the real one does, whoever holds it.

    It locks the run as that one does: of two shards that end together one must see that it is the last.
    """
    campaigns.run(session, campaign_run_id=campaign_run_id, lock=True)
    due = next_due(session, campaign_run_id, number)
    shards = metadata.tables["campaign_shards"]
    session.execute(
        update(shards)
        .where(shards.c.campaign_run_id == campaign_run_id, shards.c.number == number)
        .values(due_at=due)
    )
    return due


def _without_ledger() -> Iterator[tuple[Any, str, Any]]:
    real = protocol.intend_new

    def write_as_sent(*given: Any, columns: Any, **more: Any) -> None:
        sent = {"status": MessageStatus.HANDED_OVER.value}
        real(*given, columns=lambda drafts: columns(drafts) | sent, **more)

    async def is_back(_desk: Desk, **_: Any) -> None:
        """Nothing is kept of the answers: there is nothing to wait for."""

    def settle(_desk: Desk, _job: Job, _claim: ShardClaim, _batch: Batch, **_: Any) -> None:
        pass

    yield intending, "_attempt", lambda *_: None
    yield protocol, "intend_new", write_as_sent
    yield protocol, "record_is_back", is_back
    yield sending, "settle", settle


def _without_messages() -> Iterator[tuple[Any, str, Any]]:
    """Who is due is read once a shard and kept in memory, since nobody's outcome is written."""
    real = campaign_people.due_people
    left: dict[tuple[str, int], Iterator[tuple[str, int]]] = {}

    def due_people(
        session: Session, *, campaign_run_id: str, number: int, now: Any, limit: int
    ) -> dict[str, int]:
        which = (campaign_run_id, number)
        if which not in left:
            found = real(
                session,
                campaign_run_id=campaign_run_id,
                number=number,
                now=now,
                limit=campaign_people.SHARD,
            )
            left[which] = iter(found.items())
        return dict(islice(left[which], limit))

    yield campaign_people, "due_people", due_people
    yield campaign_people, "decide", lambda *_, **__: None
    yield campaign_people, "release", partial(_release, lambda *_: None)
    yield protocol, "intend_new", lambda *_, **__: None
    yield protocol, "keep_variants", lambda *_, **__: set()


_TAKEN_OUT = {
    Care.NO_LEASES: _without_leases,
    Care.NO_LEDGER: _without_ledger,
    Care.NO_MESSAGES: _without_messages,
}


@contextmanager
def sending_with(care: Care) -> Iterator[None]:
    """Do without what this care does without, until the block ends."""
    kinds = list(Care)
    with ExitStack() as stack:
        for kind in kinds[1 : kinds.index(care) + 1]:
            for where, name, instead in _TAKEN_OUT[kind]():
                stack.callback(setattr, where, name, getattr(where, name))
                setattr(where, name, instead)
        yield


async def _sender(app: bootstrap.Signalpost) -> None:
    while claims := sending.claim_shards(app.desk, now=app.desk.clock(), limit=1):
        await sending.send_shard(app.desk, claim=claims[0], run_id=None)


async def _serve() -> None:
    app = bootstrap.build(settings.load())
    bootstrap.spare_the_collector()
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        with sending_with(Care(line.strip())):
            await asyncio.gather(*(_sender(app) for _ in range(SIDE_BY_SIDE)))
        _say("done")
    await app.aclose()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve())
