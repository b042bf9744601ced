"""A sender as a process of its own, with the real adapters: sends whatever is due until it is killed.

python -m tests.integration.campaign_sender HOME SECONDS [LEASE]
"""

import asyncio
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from signalpost import bootstrap, settings
from signalpost.services.campaigns import sending


async def main(home: Path, seconds: float, lease: float = 1.5) -> None:
    product = bootstrap.build(settings.load(home=home), journeys=(), campaigns={})
    desk = replace(product.desk, lease=timedelta(seconds=lease))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        claims = sending.claim_shards(desk, now=desk.clock(), limit=1)
        for claim in claims:
            await sending.send_shard(desk, claim=claim, run_id=None)
        if not claims:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *map(float, sys.argv[2:])))
