"""What the tests of the promises share: one customer, one alert, and a worker to send about."""

import asyncio
from typing import Any

from sqlmodel import select

from signalpost.record.decisions import DecisionRow
from signalpost.services.journeys.advance import Direct, advance

BO: dict[str, Any] = {"user_id": "bo", "phone": "+12065550101", "email": "bo@example.com"}
ALERT: dict[str, Any] = {
    "name": "fraud.signalled",
    **BO,
    "transaction_id": "T1",
    "merchant": "XYZ store",
    "amount": {"amount": "1000.00", "currency": "USD"},
    "occurred_at": "2026-03-02T08:59:00Z",
}


def rows(stage, table):
    """Give every row of a table."""
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def work(stage, claim_id, units=None):
    """Let a worker take a claim to its end."""
    asyncio.run(
        advance(stage.desk, claim_id=claim_id, units=units or Direct(stage.desk), run_id=None)
    )


def explained(stage, kind):
    """Give what the record says was decided, and why."""
    return {(d.outcome, d.reason) for d in rows(stage, DecisionRow) if d.kind == kind}
