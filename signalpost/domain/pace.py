"""A pace: at most so many messages a second, counted at the moment at which they are decided on.

A bucket of tokens, kept as one moment: when the provider may be given more. A batch is a twentieth of a
second's worth or a little more, and who comes late by up to as much goes on from where they should
have been, so that small delays do not add up. In any time of ``t`` seconds, wherever it begins, no
more go than ``per_second * t``, a tenth of a second's worth and one.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

_STEP = timedelta(seconds=0.05)


@dataclass(frozen=True)
class Pace:
    """So many messages a second; above 0."""

    per_second: float

    @property
    def batch(self) -> int:
        """How many may go at one moment."""
        return math.ceil(self.per_second * _STEP.total_seconds())

    def free_again(self, *, free_at: datetime, messages: int, now: datetime) -> datetime:
        """Give when more may go after so many messages, at most a batch, that go ``now``.

        ``free_at`` is what this gave before, for whichever batch was the last, and not after ``now``.
        """
        return max(free_at, now - _STEP) + timedelta(seconds=messages / self.per_second)
