"""Whose turn it is to write to SQLite, which has one writer at a time and no queue.

A process that waits for SQLite's lock looks for it now and then; one that takes it a hundred times a
second, as a campaign does, would nearly always be found holding it. So everybody says by a shared lock
on a file beside the record that they wait or write, and a campaign looks at that file before each of
its transactions: whoever is there goes first.
"""

import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows: there a campaign takes turns with its own threads only
    fcntl: Any = None

#: Seconds that a campaign waits at most: under a steady stream of signals it would never go otherwise.
_PATIENCE = 0.25
_LOOK = 0.002
#: Seconds for which somebody who was seen waiting or writing is expected to come again.
_COMPANY = 2.0


class Turns:
    """Takes turns with the threads of this process, and with other processes by a file."""

    def __init__(self, record: str | None) -> None:
        self._threads = Lock()
        self._ours = self._looking = None
        self._last_seen = -_COMPANY  #: when another one waited or wrote, by the monotonic clock
        if record is not None and fcntl is not None:
            # Two openings, so that who looks also sees the other threads of this process.
            self._ours, self._looking = _opened(self, record), _opened(self, record)

    @contextmanager
    def taken(self, *, courteous: bool) -> Iterator[None]:
        """Take a turn; ``courteous``: only when nobody else waits or writes, for a while."""
        if courteous:
            self._let_others_go()
        with self._threads:
            if courteous or self._ours is None:
                yield
                return
            fcntl.flock(self._ours, fcntl.LOCK_SH)
            try:
                yield
            finally:
                fcntl.flock(self._ours, fcntl.LOCK_UN)

    @property
    def in_company(self) -> bool:
        """Whether somebody else wrote a moment ago, so that one's own turns had better be short."""
        return time.monotonic() - self._last_seen < _COMPANY

    def _let_others_go(self) -> None:
        if self._looking is None:
            return
        until = time.monotonic() + _PATIENCE
        while not self._nobody_there() and time.monotonic() < until:
            self._last_seen = time.monotonic()
            time.sleep(_LOOK)

    def _nobody_there(self) -> bool:
        try:
            fcntl.flock(self._looking, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self._looking, fcntl.LOCK_UN)
        return True


def _opened(owner: Turns, record: str) -> int:
    number = os.open(f"{record}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    weakref.finalize(owner, os.close, number)
    return number
