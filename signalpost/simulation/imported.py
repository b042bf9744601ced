"""What was told long after it happened, as when a history is imported: when it counts from."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select

from signalpost.record.base import table_of
from signalpost.record.copying import History
from signalpost.record.customers import Customer
from signalpost.record.database import Database

_c = table_of(Customer)

#: When a customer's address came: of each channel the first one with the history that was imported.
_FIRST_ADDRESS = """coalesce(
    (SELECT c.known_since FROM of_record.customers AS c WHERE c.id = contact_points.customer_id
     AND NOT EXISTS (
        SELECT 1 FROM of_record.contact_points AS other
        WHERE other.customer_id = contact_points.customer_id
        AND other.channel = contact_points.channel
        AND (other.created_at, other.id) < (contact_points.created_at, contact_points.id))),
    created_at)"""
#: By table, the moments that count instead of when something was told: when it happened. A person is on
#: record since the first of the customers who were merged into one.
_AS_IT_HAPPENED: Mapping[str, Mapping[str, str]] = {
    "customers": {
        "created_at": (
            "(SELECT min(coalesce(c.known_since, c.created_at)) FROM of_record.customers AS c "
            "WHERE c.root_id = customers.root_id)"
        ),
        "learned_at": "known_since",
    },
    "contact_points": {
        "created_at": _FIRST_ADDRESS,
        "verified_at": (
            f"CASE WHEN verified_at = created_at THEN {_FIRST_ADDRESS} ELSE verified_at END"
        ),
    },
    "consents": {"recorded_at": "at"},
    "events": {
        "received_at": "CASE WHEN status = 'historic' THEN occurred_at ELSE received_at END"
    },
}


def as_it_happened(histories: Iterable[History]) -> list[History]:
    """Have what was told too late to act on count from when it happened."""
    return [replace(one, dated=_AS_IT_HAPPENED.get(one.table, {})) for one in histories]


def told_later(database: Database, *, since: datetime, until: datetime) -> int:
    """Count the customers with a past before ``until`` that nobody had told us by ``since``."""
    query = select(func.count()).where(_c.c.known_since < until, _c.c.learned_at >= since)
    with database.reading() as session:
        return session.execute(query).scalar_one()
