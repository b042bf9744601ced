"""A process that dies in the middle of its work, as a test may have it die."""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """What kill -9 is to a process: nothing of ours catches it."""


def dies(act: Callable[[], Any]) -> bool:
    """Do something in which the process dies; true when it did."""
    try:
        act()
    except BaseException as end:
        while end is not None:  # what cleans up in the dying process may fail in its turn
            if isinstance(end, Killed):
                return True
            end = end.__context__
        raise
    return False
