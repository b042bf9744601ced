"""The demo: the real system replays some days of real baskets, and a few stories among them.

``theatre`` starts the system, ``baskets`` reads the shipped data, ``people`` makes up who it is about,
``crowd`` and ``story`` say what happens when, ``director`` plays it on a clock of its own, ``telling``
shows it, and ``outcome`` holds it against what the journeys say.
"""

from signalpost.demo.performance import run

__all__ = ["run"]
