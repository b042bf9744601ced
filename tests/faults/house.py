"""A house of real processes that can be killed: each with a log of its own, on ports of its own."""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.faults.actors import Part, act

ROOT = Path(__file__).parents[2]
SERVERS = ("web", "postoffice", "prefect")

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.faults.ready", "tests.faults.actors"])

#: One client for all calls: making one costs more than a call.
http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=10)


@dataclass
class Running:
    """A process of the house, forked or begun as a command."""

    name: str
    process: Any
    again: Callable[[], "Running"]
    stopped: bool = False  #: by SIGSTOP

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def code(self) -> int | None:
        """How it ended; None while it goes on."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        return self.process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; that it has ended meanwhile is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            self.stopped = {signal.SIGSTOP: True, signal.SIGCONT: False}.get(number, self.stopped)

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        if isinstance(self.process, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        else:
            self.process.join(seconds)


@dataclass
class House:
    """The processes of one run, and how the world reaches them."""

    home: Path
    database_url: str
    settings: dict[str, str] = field(default_factory=dict)
    mutant: str | None = None
    running: dict[str, Running] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)  #: by the process's name and signal

    def __post_init__(self) -> None:
        self.ports: dict[str, int] = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self.environment = {
            "SIGNALPOST_HOME": str(self.home),
            "SIGNALPOST_DATABASE_URL": self.database_url,
            "SIGNALPOST_POSTOFFICE_DELAY": "0.02",
            **{f"SIGNALPOST_{name.upper()}_PORT": str(p) for name, p in self.ports.items()},
            **self.settings,
        }

    def url(self, name: str = "web") -> str:
        """Give the address of a server."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def log(self, name: str) -> Path:
        """Give the file to which a process writes what it has to say."""
        return self.home / "logs" / f"{name.replace(' ', '-')}.log"

    def fork(self, name: str, play: str, *, wishes: str = "", **options: Any) -> Running:
        """Begin a process that plays a part (``actors``)."""
        environment = self.environment | options.pop("environment", {})
        part = Part(
            name=name,
            play=play,
            environment=environment,
            wishes=wishes,
            mutant=self.mutant,
            log=self.log(name),
            options=options,
        )
        process = _forks.Process(target=act, args=(part,), daemon=True, name=name)
        process.start()
        again = {"environment": environment, **options}
        self.running[name] = Running(name, process, lambda: self.fork(name, play, **again))
        return self.running[name]

    def command(
        self, name: str, words: list[str], environment: dict[str, str] | None = None
    ) -> Running:
        """Begin a process as an operator does: ``python -m …``."""
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "SIGNALPOST"))
        }
        every = inherited | self.environment | {"PYTHONPATH": str(ROOT)} | (environment or {})
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                env=every,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running[name] = Running(name, process, lambda: self.command(name, words, environment))
        return self.running[name]

    def answers(self, name: str = "web", path: str = "/readyz", seconds: float = 30) -> None:
        """Wait until a server answers."""
        started = self.running[name]

        def ready() -> bool:
            if started.code is not None:
                raise RuntimeError(f"{name} ended: {self.log(name).read_text()[-3000:]}")
            with contextlib.suppress(httpx.TransportError):
                return http.get(self.url(name) + path).is_success
            return False

        until(ready, seconds, f"{name} answers")

    def mourn(self, names: Collection[str] = ()) -> list[str]:
        """Count who has died since one last looked, and start them again; gives their names."""
        dead = [
            r for n, r in self.running.items() if r.code is not None and (not names or n in names)
        ]
        for one in dead:
            code = one.code or 0
            self.deaths[f"{one.name}:{signal.Signals(-code).name if code < 0 else code}"] += 1
            one.again()
        return [one.name for one in dead]

    def close(self) -> None:
        """Kill whoever is left."""
        for one in self.running.values():
            one.send(signal.SIGKILL)
        for one in self.running.values():
            one.wait(10)


@contextmanager
def opened(home: Path, database_url: str, **more: Any) -> Iterator[House]:
    """A house that is torn down in the end."""
    house = House(home, database_url, **more)
    try:
        yield house
    finally:
        house.close()


def free_ports(count: int) -> list[int]:
    """Find ports on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(holds: Callable[[], Any], seconds: float, what: str, *, every: float = 0.02) -> Any:
    """Wait until something holds, and give it; fails when it does not come to that in time."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come to this within {seconds:.0f} s: {what}")
        time.sleep(every)
    return found
