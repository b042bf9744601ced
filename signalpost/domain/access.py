"""Who may do what at the edge: the scopes of a key, and the areas that each of them opens."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key was made for; a key may have several."""

    INGEST = "ingest"
    READ = "read"
    MARKETER = "marketer"
    RISK = "risk"
    OPERATOR = "operator"
    AGENT = "agent"
    INBOX = "inbox"
    ADMIN = "admin"


class Area(StrEnum):
    """A part of the edge; every route that is not public belongs to one."""

    SIGNALS = "signals"
    FRAUD_SIGNALS = "fraud_signals"
    CUSTOMERS = "customers"
    EXPORTS = "exports"
    CASES = "cases"
    JOURNEYS = "journeys"
    CAMPAIGNS = "campaigns"
    PARKED = "parked"
    INBOXES = "inboxes"
    METRICS = "metrics"
    AUDIT = "audit"


#: Which scopes open an area; ``admin`` opens every one.
OPENS: Mapping[Area, frozenset[Scope]] = {
    Area.SIGNALS: frozenset({Scope.INGEST}),
    # A shop's ingest key may sit in a browser. Whoever finds it there must not be able to alarm
    # customers and to have their cards blocked.
    Area.FRAUD_SIGNALS: frozenset({Scope.RISK}),
    Area.CUSTOMERS: frozenset({Scope.READ, Scope.AGENT, Scope.RISK, Scope.OPERATOR}),
    # Everything about a person in one file: for who answers to them, and no other.
    Area.EXPORTS: frozenset(),
    Area.CASES: frozenset({Scope.READ, Scope.AGENT, Scope.RISK, Scope.OPERATOR}),
    Area.JOURNEYS: frozenset({Scope.READ, Scope.MARKETER, Scope.OPERATOR}),
    Area.CAMPAIGNS: frozenset({Scope.READ, Scope.MARKETER, Scope.OPERATOR}),
    Area.PARKED: frozenset({Scope.READ, Scope.OPERATOR}),
    # A token opens somebody's inbox and answers in their name: more than reading.
    Area.INBOXES: frozenset({Scope.INBOX}),
    Area.METRICS: frozenset({Scope.READ, Scope.OPERATOR}),
    Area.AUDIT: frozenset({Scope.OPERATOR}),
}

_FRAUD = "fraud."


def areas_of(scopes: Collection[Scope]) -> frozenset[Area]:
    """Give the areas that a key with these scopes may enter."""
    if Scope.ADMIN in scopes:
        return frozenset(Area)
    return frozenset(area for area, opening in OPENS.items() if not opening.isdisjoint(scopes))


def area_of_signal(name: str) -> Area:
    """Give the area that a signal of this name belongs to."""
    return Area.FRAUD_SIGNALS if name.startswith(_FRAUD) else Area.SIGNALS


@dataclass(frozen=True)
class Grant:
    """Whom a key lets in: which key it was, and where it leads."""

    key_id: str
    areas: frozenset[Area]
    seal: str = ""  #: changes with the secret and does not tell it; sessions are bound to it
