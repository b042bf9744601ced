"""What a run came to, ours or a peer's, measured alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks._processes import cpu_seconds


class NotRunError(Exception):
    """The peer cannot be run here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A run, start-up and warm-up left out. ``cpu``: seconds by process, all that took part."""

    messages: int = 0
    seconds: float = 0.0
    cpu: Mapping[str, float] = field(default_factory=dict)
    not_run: str | None = None  #: why there are no figures

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU a message, of every process."""
        return sum(self.cpu.values()) / self.messages * 1000


def measured(send: Callable[[], object], *, messages: int, processes: Mapping[int, str]) -> Figures:
    """Call ``send``, which sends ``messages``; gives its time, and the CPU of ``processes`` by name.

    ``processes`` are ids; what one of them starts counts with it, unless it is named itself.
    """
    before, began = cpu_seconds(processes), time.perf_counter()
    send()
    seconds = time.perf_counter() - began
    after = cpu_seconds(processes)
    cpu = {name: round(used - before[name], 2) for name, used in after.items()}
    return Figures(messages=messages, seconds=seconds, cpu=cpu)


def rows(found: Mapping[str, Figures]) -> dict[str, Any]:
    """Return figures as the ``peers`` of a benchmark's result."""
    told: dict[str, Any] = {}
    for name, figures in found.items():
        if figures.not_run:
            told[name] = f"not run: {figures.not_run}"
            continue
        told[f"{name}: CPU a message, ms"] = round(figures.cpu_ms, 3)
        told[f"{name}: messages/s"] = round(figures.rate)
    return told
