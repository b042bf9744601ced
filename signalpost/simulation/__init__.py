"""Simulation: a recorded period played again, through the same code, from which nothing can leave."""

from signalpost.simulation.comparing import KINDS, Diff, check_limits, compare
from signalpost.simulation.outcome import Decided, Outcome, Sending
from signalpost.simulation.period import Cast
from signalpost.simulation.report import AGAINST, Simulation, simulate
from signalpost.simulation.simulating import Played, played, went

__all__ = [
    "AGAINST",
    "KINDS",
    "Cast",
    "Decided",
    "Diff",
    "Outcome",
    "Played",
    "Sending",
    "Simulation",
    "check_limits",
    "compare",
    "played",
    "simulate",
    "went",
]
