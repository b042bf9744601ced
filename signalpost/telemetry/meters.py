"""What only this process knows: how its providers took what it sent, and whom it did not believe.

Written once a call, never once a message. Everything else is read from the record when
somebody asks (``services.watching.figures``), since a counter dies with its process.
"""

from collections import Counter as Tally
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from signalpost.domain.delivery import Handover

disable_created_metrics()
registry = CollectorRegistry()

PROVIDER_SECONDS = Histogram(
    "signalpost_provider_call_seconds",
    "How long a provider took to answer one call; a call may carry a whole batch.",
    ("account", "channel"),
    registry=registry,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
HANDOVERS = Counter(
    "signalpost_handovers",
    "Messages handed to a provider, by how the attempt ended; code is the provider's own.",
    ("account", "channel", "status", "fault", "code"),
    registry=registry,
)
REFUSED_WEBHOOKS = Counter(
    "signalpost_refused_webhooks",
    "Calls in a provider's name that its signature, or ours, did not prove.",
    ("provider",),
    registry=registry,
)


def tally(handovers: Collection[Handover]) -> Tally[tuple[str, str, str]]:
    """Count how hand-overs ended: (status, whose fault, code) → how many."""
    shared = {id(one): one for one in handovers}  # by many that ended alike
    found: Tally[tuple[str, str, str]] = Tally()
    for which, number in Tally(map(id, handovers)).items():
        one = shared[which]
        found[one.status.value, one.fault or "", one.code or ""] += number
    return found


def called(
    *, account: str, channel: str, seconds: float, ended: Tally[tuple[str, str, str]]
) -> None:
    """Note one call of an account and how what it carried ended."""
    PROVIDER_SECONDS.labels(account, channel).observe(seconds)
    for labels, number in ended.items():
        HANDOVERS.labels(account, channel, *labels).inc(number)
