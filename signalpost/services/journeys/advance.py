"""Moving the people of a claim through their journey, those at the same step together.

A sending step is four units of work: decide → render → deliver → settle; every step ends with a move.
``Units`` is the seam at which Prefect comes in: ``tasks`` wraps each unit as a task, ``Direct`` calls
it. Either way the same services run, so a journey behaves alike under Prefect and in a plain test.
"""

import asyncio
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from structlog.contextvars import bound_contextvars

from signalpost.domain.program import Program
from signalpost.record import enrolments
from signalpost.services.desk import Desk
from signalpost.services.journeys import calls, planning, sending, steps
from signalpost.services.journeys.people import Group, Person, load
from signalpost.telemetry import traces

#: A chain has at most this many channels to fall back on.
_MOST_ROUNDS = 5


class Units(Protocol):
    """The units of work of a step, each retryable on its own."""

    async def decide(self, group: Group) -> None:
        """Put each message through the gate; write decisions and what they allow."""

    async def render(self, group: Group) -> None:
        """Render each person's words."""

    async def deliver(self, group: Group) -> None:
        """Commit the intent, then call the provider (or another system)."""

    async def settle(self, group: Group) -> bool:
        """Commit how it ended; true when somebody needs another channel now."""
        ...

    async def move(self, group: Group) -> None:
        """Move everybody on."""


class Direct:
    """The units, called as they are."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def decide(self, group: Group) -> None:
        """Put each message through the gate; write decisions and what they allow."""
        await asyncio.to_thread(planning.decide, self._desk, group, now=self._desk.clock())

    async def render(self, group: Group) -> None:
        """Render each person's words."""
        await asyncio.to_thread(sending.render, self._desk, group, now=self._desk.clock())

    async def deliver(self, group: Group) -> None:
        """Commit the intent, then call the provider (or another system)."""
        deliver = calls.make if group.node.kind == "call" else sending.deliver
        await deliver(self._desk, group, now=self._desk.clock())

    async def settle(self, group: Group) -> bool:
        """Commit how it ended; true when somebody needs another channel now."""
        return await asyncio.to_thread(sending.settle, self._desk, group, now=self._desk.clock())

    async def move(self, group: Group) -> None:
        """Move everybody on."""
        await asyncio.to_thread(steps.move, self._desk, group, now=self._desk.clock())


@dataclass
class Report:
    """What became of a claim: the operator's table."""

    journey: str
    people: int
    outcomes: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """(message or step, channel, outcome, reason) → how many."""
    enrolment_ids: list[str] = field(default_factory=list)
    customer_ids: list[str] = field(default_factory=list)
    set_aside: int = 0


async def advance(desk: Desk, *, claim_id: str, units: Units, run_id: str | None) -> Report:
    """Move the people of a claim on until each of them waits, is done, or is set aside."""
    people = await asyncio.to_thread(_people, desk, claim_id)
    report = Report(
        journey=people[0].program.journey if people else "",
        people=len(people),
        enrolment_ids=[person.id for person in people],
        customer_ids=[person.root_id for person in people],
    )
    ready = [person for person in people if person.step is not None]
    with bound_contextvars(claim=claim_id, run=run_id, journey=report.journey):  # in every log line
        while ready:
            group, ready = _next_group(claim_id, ready, run_id)
            with _traced(group):
                await _step(units, group)
            report.outcomes.update(group.outcomes)
            now = desk.clock()
            ready += [p for p in group.people if _goes_on(p, now)]
    report.set_aside = sum(person.set_aside is not None for person in people)
    return report


def _people(desk: Desk, claim_id: str) -> list[Person]:
    with desk.database.reading() as session:
        rows = enrolments.of_claim(session, claim_id=claim_id)
        versions = {row["version"] for row in rows}
        kept = enrolments.programs(session, versions=versions)
        pinned = {version: Program.from_json(program) for version, program in kept.items()}
        return load(session, rows, pinned)


def _next_group(
    claim_id: str, ready: list[Person], run_id: str | None
) -> tuple[Group, list[Person]]:
    """Take those who stand where the first one stands."""
    head = ready[0]
    node = head.node
    if node is None:
        raise RuntimeError("somebody who has ended was taken for ready")
    at_head = (head.program.version, head.step)
    together = [p for p in ready if (p.program.version, p.step) == at_head]
    others = [p for p in ready if (p.program.version, p.step) != at_head]
    return Group(claim_id=claim_id, node=node, people=together, run_id=run_id), others


def _goes_on(person: Person, now: datetime) -> bool:
    return person.status == "active" and person.due_at is not None and person.due_at <= now


def _traced(group: Group) -> AbstractContextManager[None]:
    """Put a step into the trace of the event that its people are there for."""
    if not traces.is_on():
        return nullcontext()
    causes = [event for one in group.people if (event := one.context.get("event_id"))]
    return traces.span(
        f"journey.{group.node.kind}",
        causes=causes,
        claim=group.claim_id,
        run=group.run_id,
        step=group.node.id,
        people=len(group),
    )


async def _step(units: Units, group: Group) -> None:
    if group.node.kind in ("send", "ask"):
        for _ in range(_MOST_ROUNDS):
            with traces.span("decision", people=len(group)):
                await units.decide(group)
            if not group.drafts:
                break
            await units.render(group)
            await units.deliver(group)
            if not await units.settle(group):
                break
    elif group.node.kind == "call":
        await units.deliver(group)
    await units.move(group)
