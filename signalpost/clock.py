"""The clocks that a process can go by: the wall's, or one that a file sets for several processes."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signalpost.errors import ConfigurationError


def wall_clock() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Reading:
    """What the file said: ``at`` was the time when the wall clock showed ``since``."""

    at: datetime
    since: datetime
    speed: float  #: 0: the clock stands still; 1: it goes on as fast as the wall clock


class FileClock:
    """A clock that stands where a file says, for the demo and for rehearsals.

    Several processes share the file; whoever tells the story moves it on with ``set_file``. It is
    read again only when it has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._reading = _Reading(wall_clock(), wall_clock(), 1)

    def __call__(self) -> datetime:
        """Give the time.

        Raises:
            ConfigurationError: the file is missing, or does not say a time.
        """
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_ino
            if stamp != self._stamp:
                self._reading = _read(json.loads(self._path.read_text()))
                self._stamp = stamp
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConfigurationError(
                f"SIGNALPOST_CLOCK_FILE names {self._path}, which cannot be read as a clock "
                f"({type(error).__name__}). Unset it to go by the time of this machine."
            ) from error
        reading = self._reading
        if not reading.speed:
            return reading.at
        return reading.at + (wall_clock() - reading.since) * reading.speed


def _read(said: Any) -> _Reading:
    at, since = (datetime.fromisoformat(said[name]).astimezone(UTC) for name in ("at", "since"))
    return _Reading(at, since, float(said["speed"]))


def set_file(path: Path, at: datetime, *, speed: float = 0) -> None:
    """Set the clock in a file to ``at``; with ``speed`` 1 it goes on from there."""
    said = {"at": at.isoformat(), "since": wall_clock().isoformat(), "speed": speed}
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(said))
    draft.replace(path)  # readers see the old one or the new one, whole
