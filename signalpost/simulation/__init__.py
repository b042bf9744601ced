"""Simulation: a recorded period played again, through the same code, from which nothing can leave."""

from signalpost.simulation.outcome import Decided, Outcome, Sending
from signalpost.simulation.period import Cast
from signalpost.simulation.simulating import Played, played, went

__all__ = ["Cast", "Decided", "Outcome", "Played", "Sending", "played", "went"]
