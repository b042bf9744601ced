"""Follow-ups: enrolments advanced through decide → render → deliver → settle, every step recorded."""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from flows import JOURNEYS
from signalpost.domain.delivery import Handover, Letter, Outgoing
from signalpost.domain.vocabulary import Channel, DeliveryStatus
from signalpost.record.database import open_engine
from signalpost.services.intake import signals
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due
from signalpost.testing import Stage

PEOPLE = 5_000
BOUND = 1_000.0


class Null:
    """A provider that takes everything and does nothing."""

    name = "null"
    channels = frozenset(Channel)
    max_batch = 1000

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Take a batch."""
        del letter
        return [Handover(status=DeliveryStatus.ACCEPTED, provider=self.name)] * len(batch)

    async def close(self) -> None:
        """Nothing to let go of."""


def _enrol(stage: Stage, count: int) -> None:
    for start in range(0, count, 500):
        batch = [
            signals.Signal(
                message_id=f"bench:{n}",
                source="bench",
                name="order.ready_for_pickup",
                occurred_at=stage.clock(),
                body_hash=str(n),
                identities={
                    "user_id": f"u{n}",
                    "phone": f"+1206555{n:04d}",
                    "email": f"u{n}@example.com",
                    "order_id": str(n),
                },
                traits={"first_name": f"Name{n}"},
                properties={"order_id": str(n), "store": "Harbour"},
            )
            for n in range(start, start + 500)
        ]
        with stage.database.writing() as session:
            signals.accept(
                session, signals=batch, now=stage.clock(), react=stage.react, policy=stage.policy
            )


async def _advance_all(stage: Stage) -> int:
    done = 0
    while claims := claim_due(stage.desk, lane="service", now=stage.clock()):
        for claim in claims:
            units = Direct(stage.desk)
            await advance(stage.desk, claim_id=claim.id, units=units, run_id=None)
            done += claim.size
    return done


def run() -> list[dict[str, object]]:
    """Measure, on SQLite that waits for the disk, with a null provider."""
    import dataclasses

    with (
        tempfile.TemporaryDirectory() as folder,
        Stage(folder=Path(folder), journeys=JOURNEYS) as stage,
    ):
        _enrol(stage, PEOPLE)
        stage.database.close()
        durable = type(stage.database)(open_engine(f"sqlite:///{folder}/stage.db"))
        stage.desk = dataclasses.replace(
            stage.desk, database=durable, providers=dict.fromkeys(Channel, Null())
        )
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        done = asyncio.run(_advance_all(stage))
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        durable.close()
    rate = done / wall
    return [
        {
            "name": "follow-ups advanced (2 messages each)",
            "value": round(rate),
            "unit": "enrolments/s",
            "bound": ">= 1,000",
            "holds": rate >= BOUND,
            "peers": {},
        },
        {
            "name": "CPU for each follow-up (2 messages)",
            "value": round(cpu / done * 1000, 3),
            "unit": "ms",
            "bound": "<= 1",
            "holds": cpu / done < 0.001,
            "peers": {},
        },
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
