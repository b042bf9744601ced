"""How often somebody may come: a token bucket each, in this process.

A bucket fills at ``rate`` a second and holds ten seconds' worth. Whoever has anything left is let in
and pays afterwards, if need be on credit: so a batch may be larger than what is left, and a client
that sends large batches is held to the same rate as one that sends small ones.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from signalpost.web.errors import Problem

_SECONDS_HELD = 10.0
_MOST = 10_000  #: buckets; beyond that the longest untouched are forgotten, that is, full again


@dataclass(frozen=True)
class Rates:
    """How many a second: signals and requests of one key, attempts from one address."""

    signals: float = 20_000
    requests: float = 200
    attempts: float = 50


class Buckets:
    """A bucket for each of many; kept as the moment at which it will be full again."""

    def __init__(self, rate: float, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._ticks = ticks
        self._full_at: dict[str, float] = {}

    def check(self, who: str) -> None:
        """Refuse whoever has nothing left.

        Raises:
            Problem: 429, with the seconds to wait.
        """
        wait = self._full_at.get(who, 0.0) - self._ticks() - _SECONDS_HELD
        if wait >= 0:
            seconds = max(1, math.ceil(wait))
            raise Problem(
                429,
                f"too many at once; come again in {seconds} s",
                headers={"retry-after": str(seconds)},
            )

    def pay(self, who: str, cost: float = 1.0) -> None:
        """Take ``cost`` out, on credit if need be."""
        now = self._ticks()
        full_at = self._full_at.pop(who, now)
        self._full_at[who] = max(full_at, now) + cost / self._rate
        if len(self._full_at) > _MOST:
            del self._full_at[next(iter(self._full_at))]

    def take(self, who: str) -> None:
        """Check, and pay for one.

        Raises:
            Problem: 429, with the seconds to wait.
        """
        self.check(who)
        self.pay(who)
