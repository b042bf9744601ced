"""Keeps child processes going: starts them, waits until each is ready, restarts, stops them all.

Each child is a process group of its own. It gets SIGTERM when we end, however we end (Linux sees to
that by itself), and SIGKILL when it does not listen; no orphan is left.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_RESTARTS = 4  #: within ``WITHIN`` seconds; then a child is given up
WITHIN = 60.0
FIRST_PAUSE = 0.5  #: seconds before the first restart; then twice as long each time
LISTENS = 12.0  #: seconds that a child has to end by itself
_TAIL = 12  #: lines of a log that are shown
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, see prctl(2)


@dataclass(frozen=True)
class Child:
    """A process to keep going.

    ``ready`` is asked until it says yes; it gets what the child has written to its log so far.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[bytes], Awaitable[bool]]
    patience: float = 60.0  #: seconds until it must be ready
    essential: bool = True  #: when it is given up, so is everything
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: str = ""  #: what to print beside its name


@dataclass(frozen=True)
class News:
    """Something to tell: ``ready``, ``died``, ``given_up``, ``slow``."""

    what: str
    child: Child
    seconds: float = 0.0
    detail: str = ""


class GivenUpError(Exception):
    """An essential child cannot be kept going."""

    def __init__(self, child: Child) -> None:
        super().__init__(child.name)
        self.child = child


class Supervisor:
    """Starts children and keeps them going until it is told to stop."""

    def __init__(
        self, *, logs: Path, tell: Callable[[News], None], pause: float = FIRST_PAUSE
    ) -> None:
        self._pause = pause
        self._logs = logs
        self._tell = tell
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._said_before: dict[str, int] = {}  #: bytes in the log before the present process
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self, child: Child) -> None:
        """Start a child and keep it going."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._ready[child.name] = asyncio.Event()
        self._keepers.append(asyncio.create_task(self._keep(child), name=child.name))

    async def ready(self, *names: str) -> None:
        """Wait until these are ready.

        Raises:
            GivenUpError: an essential child was given up meanwhile.
        """
        waits = [asyncio.create_task(self._ready[name].wait()) for name in names]
        try:
            await self._or_given_up(asyncio.gather(*waits))
        finally:
            for one in waits:
                one.cancel()

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until told to stop.

        Raises:
            GivenUpError: an essential child was given up.
        """
        await self._or_given_up(asyncio.ensure_future(stop.wait()))

    async def _or_given_up(self, wanted: "asyncio.Future[Any]") -> None:
        pending = {wanted, *self._keepers}
        while not wanted.done():
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for one in done - {wanted}:
                pending.discard(one)
                if not one.cancelled() and (error := one.exception()) is not None:
                    wanted.cancel()
                    raise error

    async def stop(self) -> None:
        """Stop every child, the last started first; none is left when this returns."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        going = list(reversed(self._processes.values()))
        for process in going:
            _signal(process, signal.SIGTERM)
        waits = [asyncio.create_task(process.wait()) for process in going]
        if waits:
            await asyncio.wait(waits, timeout=LISTENS)
        for process in going:
            _signal(process, signal.SIGKILL)  # also what a child of ours has left behind
        await asyncio.gather(*waits)

    def _log(self, child: Child) -> Path:
        return self._logs / f"{child.name.replace(' ', '-')}.log"

    async def _keep(self, child: Child) -> None:
        """Start a child again whenever it ends, until it ends too often."""
        deaths: list[float] = []
        while not self._stopping:
            process = await self._spawn(child)
            watching = asyncio.create_task(self._watch(child))
            try:
                code = await process.wait()
            finally:
                watching.cancel()
            _signal(process, signal.SIGKILL)  # what it may have left behind
            self._ready[child.name].clear()
            now = time.monotonic()
            deaths = [at for at in deaths if now - at < WITHIN] + [now]
            if len(deaths) > MOST_RESTARTS:
                self._tell(News("given_up", child, detail=self._tail(child)))
                if child.essential:
                    raise GivenUpError(child)
                return
            self._tell(News("died", child, detail=_how(code)))
            await asyncio.sleep(self._pause * 2 ** (len(deaths) - 1))

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        path = self._log(child)
        again = child.name in self._processes
        self._said_before[child.name] = path.stat().st_size if again else 0
        with path.open("ab" if again else "wb") as log:
            process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **child.environment},
                start_new_session=True,  # Ctrl-C in the terminal is for us to pass on, in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self._processes[child.name] = process
        return process

    async def _watch(self, child: Child) -> None:
        """Ask a child whether it is ready, until it is."""
        began = time.monotonic()
        slow = False
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                said = self._log(child).read_bytes()[self._said_before[child.name] :]
                if await asyncio.wait_for(child.ready(said), 5):
                    break
            if not slow and time.monotonic() - began > child.patience:
                slow = True
                self._tell(News("slow", child, child.patience, self._tail(child)))
            await asyncio.sleep(0.1)
        self._ready[child.name].set()
        self._tell(News("ready", child, time.monotonic() - began))

    def _tail(self, child: Child) -> str:
        try:
            lines = self._log(child).read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join([line for line in lines if line.strip()][-_TAIL:])


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the group of a child; it leads the group, so the group's id is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the child: ask the kernel for SIGTERM when our process ends, even by SIGKILL."""
    if _libc is not None:
        _libc.prctl(_DIE_WITH_PARENT, signal.SIGTERM)
