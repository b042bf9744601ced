"""Our own code with one promise broken: each must be found out by the check of its invariant."""

from collections.abc import Callable

BREAKS: dict[str, Callable[[], None]] = {}


def become(name: str) -> None:
    """Break this process."""
    BREAKS[name]()
