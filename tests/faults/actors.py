"""What each process of a crash run does: a post office, a web, or a sender. Nobody here is a stand-in.

They are forked from one process that has imported everything (``ready``), so that hundreds of them can
be killed and started again in a minute; what they run is the product, with its adapters and its record.
"""

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.faults import mutants

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
FRESH = 0.02  #: seconds between looks of a sender that has nothing to do


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a process is to play."""

    name: str
    play: str  #: postoffice, web or sender
    environment: Mapping[str, str]
    wishes: str = ""  #: where it dies: the value of SIGNALPOST_CRASH_AT
    mutant: str | None = None
    log: Path = field(default_factory=lambda: Path(os.devnull))
    options: Mapping[str, Any] = field(default_factory=dict)


def act(part: Part) -> None:
    """Become the process that ``part`` describes."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    with part.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(part.environment)
    from tests.faults import ready

    if ready.crash_points.executioner is not None:
        ready.crash_points.executioner.aim(part.wishes)
    ready.logs.set_up(part.environment.get("SIGNALPOST_LOG_LEVEL", "INFO"))
    if part.mutant:
        mutants.become(part.mutant)
    {"postoffice": _postoffice, "web": _web, "sender": _sender}[part.play](part)


def _postoffice(_: Part) -> None:
    from signalpost import settings
    from signalpost.cli import serve

    serve.postoffice(settings.load())


def _product(journeys: Any = None) -> Any:
    from signalpost import bootstrap, settings
    from tests.faults import ready

    return bootstrap.build(
        settings.load(), catalogue=ready.catalogue, campaigns=ready.campaigns, journeys=journeys
    )


def _web(_: Part) -> None:
    import uvicorn

    from signalpost.web.app import create_app

    product = _product()
    uvicorn.run(
        create_app(product),
        host=product.settings.host,
        port=product.settings.web_port,
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )


def _sender(part: Part) -> None:
    product = _product()
    lease = timedelta(seconds=part.options.get("lease", 1.5))
    desk = replace(product.desk, lease=lease)
    told = {"stop": False}
    signal.signal(signal.SIGTERM, lambda *_: told.update(stop=True))
    sending = Sender(desk, lanes=part.options.get("lanes", LANES))
    asyncio.run(sending.work(lambda: told["stop"]))
    product.close()


LANES = ("risk", "service", "marketing")


class Sender:
    """Serves lanes as ``signalpost.worker`` does, without Prefect: claims, runs, lets go, sweeps."""

    def __init__(self, desk: Any, *, lanes: Any = LANES) -> None:
        from signalpost.services.reconciling.rounds import Reconciler

        self._desk, self._lanes = desk, tuple(lanes)
        self._swept = 0.0
        self._reconciler = Reconciler()

    async def work(self, stop: Any) -> None:
        """Do whatever is due, until told to stop."""
        while not stop():
            worked = False
            for turn in (self._journeys, self._campaigns, self._sweep):
                try:
                    worked |= await turn()
                except Exception as error:  # as the worker: the record is away, and comes back
                    print(f"sender: {turn.__name__} failed: {type(error).__name__}", flush=True)
                    await asyncio.sleep(0.1)
            if not worked:
                await asyncio.sleep(FRESH)

    async def _journeys(self) -> bool:
        from signalpost.services.journeys.advance import Direct, advance
        from signalpost.services.journeys.claims import claim_due, release

        worked = False
        for lane in self._lanes:
            for claim in claim_due(self._desk, lane=lane, now=self._desk.clock()):
                worked = True
                units = Direct(self._desk)
                try:
                    await advance(self._desk, claim_id=claim.id, units=units, run_id=None)
                except Exception as error:
                    now = self._desk.clock()
                    release(self._desk, claim_id=claim.id, reason=type(error).__name__, now=now)
        return worked

    async def _campaigns(self) -> bool:
        from signalpost.services.campaigns import sending

        if "marketing" not in self._lanes:
            return False
        claims = sending.claim_shards(self._desk, now=self._desk.clock(), limit=1)
        for claim in claims:
            await sending.send_shard(self._desk, claim=claim, run_id=None)
        return bool(claims)

    async def _sweep(self) -> bool:
        now = time.monotonic()
        if now - self._swept < 0.25 or "service" not in self._lanes:
            return False
        self._swept = now
        await asyncio.to_thread(self._release_parked)
        for step in ("sweep", "note", "ask", "poll"):
            await getattr(self._reconciler, step)(self._desk, now=self._desk.clock())
        return False

    def _release_parked(self) -> None:
        from signalpost.services.intake import signals
        from signalpost.services.journeys.enrolling import Journeys

        with self._desk.database.writing() as session:
            signals.release_parked(
                session,
                now=self._desk.clock(),
                react=Journeys(self._desk.programs).react,
                policy=signals.SignalPolicy(fingerprints=None),
            )
