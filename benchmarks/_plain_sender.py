"""Sends what is due with nothing around it: no Prefect, no lane; for comparison, in its own process.

It says ``ready``, sends whenever it is told a line, and says ``done``.
"""

import asyncio
import sys

from signalpost import bootstrap, settings
from signalpost.services.campaigns import sending

SIDE_BY_SIDE = 2  #: shards, as in the flow


async def _sender(app: bootstrap.Signalpost) -> None:
    while claims := sending.claim_shards(app.desk, now=app.desk.clock(), limit=1):
        await sending.send_shard(app.desk, claim=claims[0], run_id=None)


async def _serve() -> None:
    app = bootstrap.build(settings.load())
    bootstrap.spare_the_collector()
    _say("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        await asyncio.gather(*(_sender(app) for _ in range(SIDE_BY_SIDE)))
        _say("done")
    await app.aclose()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve())
