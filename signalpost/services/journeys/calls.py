"""Calls to other systems: the intent is committed first, and the id stays the same on every attempt."""

import asyncio
from datetime import datetime
from typing import Any

from signalpost.record import cases, enrolments
from signalpost.record.base import new_id
from signalpost.services.desk import Desk
from signalpost.services.journeys import claims
from signalpost.services.journeys.people import Group, Person


async def make(desk: Desk, group: Group, *, now: datetime) -> None:
    """Call the hook once for everybody in the group who was not called for yet."""
    rows = await asyncio.to_thread(_intend, desk, group, now)
    async with claims.held(desk, group.claim_id):
        await asyncio.gather(*(_call(desk, row) for row in rows))


def _intend(desk: Desk, group: Group, now: datetime) -> list[dict[str, Any]]:
    node = group.node
    with desk.database.writing() as session:
        group.keep(enrolments.still_held(session, claim_id=group.claim_id, until=now + desk.lease))
        ids = [person.id for person in group.people]
        known = cases.calls_of(session, enrolment_ids=ids, step=node.id)
        # A call that was begun and never settled is made again: its id tells the receiver, which
        # is what makes this repeat safe where a message to a person's phone would not be.
        again = [
            dict(row) for row in known.values() if row["status"] in ("calling", "retry", "unknown")
        ]
        new = [_row(person, group, now) for person in group.people if person.id not in known]
        cases.begin_call(session, rows=new)
    return again + new


def _row(person: Person, group: Group, now: datetime) -> dict[str, Any]:
    facts = group.node.args["facts"]
    return {
        "id": new_id(),
        "customer_id": person.customer_id,
        "enrolment_id": person.id,
        "step": group.node.id,
        "hook": group.node.args["hook"],
        "body": {
            "customer_id": person.root_id,
            "journey": person.program.journey,
            **{name: person.facts[name] for name in facts if name in person.facts},
        },
        "status": "calling",
        "attempts": 0,
        "started_at": now,
    }


async def _call(desk: Desk, row: dict[str, Any]) -> None:
    outcome = await desk.hooks.call(hook=row["hook"], call_id=row["id"], body=row["body"])

    def settle() -> None:
        with desk.database.writing() as session:
            cases.settle_call(
                session,
                call_id=row["id"],
                status=outcome.status,
                detail=outcome.detail,
                now=desk.clock(),
            )

    await asyncio.to_thread(settle)
