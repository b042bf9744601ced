"""How long things are kept: what is older is deleted, a little at a time, while everything goes on."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from signalpost.record import pruning
from signalpost.record.database import Database
from signalpost.record.pruning import DECISIONS, EVENTS, MESSAGES, RECEIPTS, REPLIES, Kind

#: Rows looked at in one transaction: some milliseconds, so that nobody waits for it.
TOGETHER = 500


@dataclass(frozen=True)
class Keep:
    """For how long; None: for ever. Consents, cases, the audit log and counts always stay."""

    events: timedelta | None = None
    messages: timedelta | None = None  #: with deliveries, receipts, replies, decisions, audiences

    def __bool__(self) -> bool:
        return self.events is not None or self.messages is not None

    def kinds(self, now: datetime) -> Iterator[tuple[Kind, datetime]]:
        """Give what is pruned, in an order that leaves no row pointing at nothing, and from when."""
        if self.messages is not None:
            for kind in (MESSAGES, RECEIPTS, DECISIONS, REPLIES):
                yield kind, now - self.messages
        if self.events is not None:
            yield EVENTS, now - self.events


def prune(
    database: Database,
    *,
    keep: Keep,
    now: datetime,
    stop: Callable[[], bool] = lambda: False,
    together: int = TOGETHER,
) -> Counter[str]:
    """Delete what is older than it is kept, step by step; gives how many rows of each table.

    ``stop`` is asked between the steps. Each step is a transaction of its own, so this may be ended
    and begun again at any time.
    """
    deleted: Counter[str] = Counter()
    if keep.messages is not None:
        deleted += _audiences(database, now - keep.messages, stop)
    for kind, before in keep.kinds(now):
        last: str | None = ""
        while last is not None and not stop():
            with database.writing(courteous=True) as session:
                done = pruning.step(session, kind, after=last, before=before, limit=together)
            deleted += done.deleted
            last = done.last
    return deleted


def _audiences(database: Database, before: datetime, stop: Callable[[], bool]) -> Counter[str]:
    deleted: Counter[str] = Counter()
    with database.reading() as session:
        shards = pruning.runs_over(session, before=before)
    for run, number in shards:
        if stop():
            break
        with database.writing(courteous=True) as session:
            gone = pruning.forget_shard(session, campaign_run_id=run, number=number)
        deleted["campaign_people"] += gone
    return deleted


def preview(database: Database, *, keep: Keep, now: datetime) -> Counter[str]:
    """Say what ``prune`` would delete of each kind, and delete nothing."""
    with database.reading() as session:
        return Counter(
            {
                kind.table.name: pruning.counted(session, kind, before=before)
                for kind, before in keep.kinds(now)
            }
        )
