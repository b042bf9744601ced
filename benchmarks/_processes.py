"""Processes that a benchmark starts and ends by their ids, and the CPU that they and theirs use."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(named: Mapping[int, str]) -> dict[str, float]:
    """Return the seconds of CPU by name, for processes given by their ids.

    A process counts with its nearest named ancestor, and one that has ended with whoever waited for
    it. Reads ``/proc/<pid>/stat`` (proc(5)), so it counts on Linux only; a tick is 10 ms.
    """
    stats = _stats()
    found = dict.fromkeys(named.values(), 0.0)
    for pid, (_, seconds) in stats.items():
        owner = pid
        while owner in stats and owner not in named:
            owner = stats[owner][0]
        if owner in named:
            found[named[owner]] += seconds
    return found


def _stats() -> dict[int, tuple[int, float]]:
    """Each process's parent, and the seconds of itself and of those it has waited for."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                found[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)
    return found


def _descendants(root: int) -> list[int]:
    stats, found = _stats(), [root]
    for one in found:
        found += [pid for pid, (parent, _) in stats.items() if parent == one]
    return found[1:]


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A process with a name; what it writes to standard error is kept in a log file.

    One whose standard output is a pipe is told what to do line by line.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        within: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it. ``folder`` has its log; ``within`` is where it works, else the same folder."""
        self.name = name
        self._log = folder / f"{name.replace(' ', '-')}.log"
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=within or folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self._popen.pid

    @property
    def says(self) -> IO[bytes]:
        """Its standard output."""
        assert self._popen.stdout is not None
        return self._popen.stdout

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(line.encode() + b"\n")
        self._popen.stdin.flush()

    def hear(self, word: str) -> None:
        """Wait until it says a word on its standard output; raises when it says anything else."""
        if (said := self.says.readline().decode().strip()) != word:
            raise RuntimeError(f"{self.name} said {said!r}, not {word!r}: {self.last_words()}")

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._popen.poll() is not None

    def log(self) -> str:
        """Return what it has written to standard error so far."""
        return self._log.read_text("utf-8", "replace")

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log().strip().splitlines()
        return lines[-1].strip()[:200] if lines else "it said nothing"

    def end(self) -> None:
        """End it and what it started, each by its id; waits until they are gone."""
        descendants = _descendants(self.pid)
        for stop in (self._popen.terminate, self._popen.kill):
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(10)
                break
        for pid in descendants:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    folder: Path,
    within: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run a process and end it; see ``Process``."""
    process = Process(name, command, folder=folder, within=within, environment=environment)
    try:
        yield process
    finally:
        process.end()
