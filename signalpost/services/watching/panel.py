"""A process's instrument panel: its own meters and the record's figures, as Prometheus reads them."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from signalpost.record.database import Database
from signalpost.services.watching.figures import FIGURES, Figure, Looks
from signalpost.telemetry import meters

log = structlog.get_logger(__name__)

#: What the text is, for a browser or a scraper.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Seconds for which a look at the record is good: many scrapers cost it no more than one.
GOOD_FOR = 5.0


class Panel:
    """Gives the text; one look at the record serves everybody who asks within ``GOOD_FOR``."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._looks = Looks()
        self._lock = threading.Lock()
        self._known: list[Figure] = []
        self._good_until = float("-inf")
        self._registry = CollectorRegistry()
        self._registry.register(self)  # type: ignore[arg-type] - it has what a collector needs

    def text(self) -> bytes:
        """Give every figure, in Prometheus's text format. Blocks while it asks the record."""
        return generate_latest(meters.registry) + generate_latest(self._registry)

    def describe(self) -> list[Any]:
        """Nothing beforehand: registering must not look at the record."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the record's figures."""
        by_name: dict[str, GaugeMetricFamily] = {}
        for figure in self._look():
            if figure.name not in by_name:
                says, labels = FIGURES[figure.name]
                by_name[figure.name] = GaugeMetricFamily(figure.name, says, labels=labels)
            by_name[figure.name].add_metric(figure.labels, figure.value)
        yield from by_name.values()

    def _look(self) -> list[Figure]:
        with self._lock:
            if time.monotonic() >= self._good_until:
                self._known = self._ask()
                self._good_until = time.monotonic() + GOOD_FOR
            return self._known

    def _ask(self) -> list[Figure]:
        try:
            with self._database.reading() as session:
                return self._looks.look(session, now=self._clock())
        except Exception:  # an instrument must say that the record is away, not fail
            log.exception("figures.not_read")
            return [Figure("signalpost_record_up", 0)]
