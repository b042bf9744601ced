"""What an event does to journeys: people leave, wake and enter, in the event's own transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.program import Program
from signalpost.record import (
    cases,
    customers,
    decisions,
    enrolments,
    messages,
    questions,
    restraint,
)
from signalpost.record.base import new_id
from signalpost.services.intake.signals import Arrival
from signalpost.services.journeys.people import began


@dataclass
class Journeys:
    """The journeys that events act on: those that new people enter, and those people are still in."""

    current: Mapping[str, Program]
    _pinned: dict[str, Program] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)  #: versions seen on the record, so there for good

    def react(self, session: Session, arrivals: Sequence[Arrival], now: datetime) -> None:
        """Let each event end, wake and start what it should; decisions say why, or why not."""
        relevant = [arrival for arrival in arrivals if arrival.customer_id]
        roots = {arrival.customer_id for arrival in relevant}
        if not roots:
            return
        customers.lock_customers(session, roots)
        open_now = enrolments.open_of(session, roots=roots)
        if open_now:
            self._pin(session, {row["version"] for row in open_now})
        notes: list[dict[str, Any]] = []
        left: set[str] = set()
        _withdraw_redeemed(session, relevant, now)
        concerned = self._concerned(open_now)
        for arrival in relevant:
            for row in concerned.get((arrival.customer_id, arrival.name), ()):
                if row["id"] not in left and self._touch(session, arrival, row, now, notes):
                    left.add(row["id"])
        staying = [row for row in open_now if row["id"] not in left]
        self._start(session, relevant, staying, now, notes)
        decisions.write(session, rows=notes)

    def _pin(self, session: Session, versions: set[str]) -> None:
        """Read the programs that people are pinned to and that are not at hand yet."""
        for program in self.current.values():
            self._pinned[program.version] = program
        missing = versions - self._pinned.keys()
        if missing:
            kept = enrolments.programs(session, versions=missing)
            self._pinned.update({v: Program.from_json(p) for v, p in kept.items()})

    def _concerned(
        self, rows: Iterable[RowMapping]
    ) -> dict[tuple[str | None, str], list[RowMapping]]:
        """Put enrolments under their customer and each event that may end or wake them.

        A customer with thousands of events must not have each of them look at all the others.
        """
        found: dict[tuple[str | None, str], list[RowMapping]] = defaultdict(list)
        for row in rows:
            program = self._pinned[row["version"]]
            names = {rule["event"] for rule in program.exits_on}
            if program.reentry == "anew":
                names.update(program.starts_on)
            if row["wait_for"] and row["wait_for"].startswith("event:"):
                names.add(row["wait_for"].removeprefix("event:"))
            for name in names:
                found[row["root_id"], name].append(row)
        return found

    def _touch(
        self,
        session: Session,
        arrival: Arrival,
        row: RowMapping,
        now: datetime,
        notes: list[dict[str, Any]],
    ) -> bool:
        """Let one event act on one open enrolment of its customer; say whether it ended it."""
        program = self._pinned[row["version"]]
        if reason := _ended_by(arrival, row, program):
            enrolments.leave(session, enrolment_ids=[row["id"]], reason=reason, now=now)
            messages.withdraw(session, enrolment_ids=[row["id"]], now=now)
            questions.close_of(session, enrolment_ids=[row["id"]], outcome="expired", now=now)
            notes.append(_note(arrival, row, program, "exited", reason, now))
            return True
        if row["wait_for"] == f"event:{arrival.name}" and _same_key(arrival, row, program):
            woke = enrolments.wake(
                session, enrolment_ids=[row["id"]], wait_for=row["wait_for"], now=now
            )
            if woke:
                notes.append(_note(arrival, row, program, "woken", arrival.name, now))
        return False

    def _start(
        self,
        session: Session,
        arrivals: Sequence[Arrival],
        staying: Iterable[RowMapping],
        now: datetime,
        notes: list[dict[str, Any]],
    ) -> None:
        """Enter people into the journeys that start on these events."""
        rows: list[dict[str, Any]] = []
        causes: list[tuple[Arrival, Program, dict[str, Any]]] = []
        door = _Door(staying, arrivals)
        for arrival in arrivals:
            for program in self.current.values():
                if arrival.name not in program.starts_on:
                    continue
                if reason := door.kept_out(arrival, program):
                    notes.append(_entry(arrival, program, None, "not_entered", reason, now))
                    continue
                row = _enrolment(arrival, program, now)
                rows.append(row)
                causes.append((arrival, program, row))
        if not rows:
            return
        self._keep(session, {program.version: program for _, program, _ in causes}, now)
        entered = enrolments.enter(session, rows=rows)
        refused = []
        for arrival, program, row in causes:
            if row["id"] in entered:
                notes.append(_entry(arrival, program, row["id"], "entered", arrival.name, now))
            else:
                refused.append((arrival, program, row))
        if refused:
            self._join(session, refused, now, notes)

    def _keep(self, session: Session, programs: Mapping[str, Program], now: datetime) -> None:
        new = programs.keys() - self._kept
        if not new:
            return
        there = enrolments.kept_versions(session, versions=new)
        self._kept |= there
        enrolments.keep_versions(
            session,
            rows=[
                {
                    "version": program.version,
                    "journey": program.journey,
                    "program": program.to_json(),
                    "first_seen_at": now,
                }
                for version, program in programs.items()
                if version in new - there
            ],
        )

    def _join(
        self,
        session: Session,
        refused: Sequence[tuple[Arrival, Program, dict[str, Any]]],
        now: datetime,
        notes: list[dict[str, Any]],
    ) -> None:
        """A second event for the same key joins the first: on its case, if it has one."""
        keys = [(program.journey, row["entry_key"]) for _, program, row in refused]
        there = {
            (found["journey"], found["entry_key"]): found
            for found in enrolments.by_entry(session, keys=keys)
        }
        ids = [found["id"] for found in there.values()]
        case_of = {
            row["enrolment_id"]: row for row in cases.of_enrolments(session, enrolment_ids=ids)
        }
        entries: list[tuple[str, str, dict[str, Any]]] = []
        for arrival, program, row in refused:
            found = there[program.journey, row["entry_key"]]
            notes.append(_entry(arrival, program, found["id"], "joined", "already_entered", now))
            if case := case_of.get(found["id"]):
                entries.append((case["id"], "joined", {"event_id": arrival.event_id}))
        cases.note(session, rows=entries, at=now)


def _enrolment(arrival: Arrival, program: Program, now: datetime) -> dict[str, Any]:
    key = _key(arrival, program)
    return {
        "id": new_id(),
        "customer_id": arrival.customer_id,
        "journey": program.journey,
        "version": program.version,
        "lane": str(program.lane),
        "entry_key": _entry_key(arrival, program, key),
        "key": key,
        "step": program.entry,
        "status": "active",
        "due_at": now,
        "attempts": 0,
        "context": {
            "event_id": arrival.event_id,
            "facts": dict(arrival.facts),
            "since": arrival.occurred_at.isoformat(),
            "began": arrival.occurred_at.isoformat(),
        },
        "started_at": now,
        "moved_at": now,
    }


class _Door:
    """Who may enter: knows who is inside and stays, and which event of several is the newest."""

    def __init__(self, staying: Iterable[RowMapping], arrivals: Iterable[Arrival]) -> None:
        rows = list(staying)
        self._inside = {(row["root_id"], row["journey"]) for row in rows}
        self._inside_for = {(row["root_id"], row["journey"], row["key"]) for row in rows}
        self._fresh = [arrival for arrival in arrivals if arrival.fresh]
        self._newest: dict[str, dict[tuple[str, str | None], str]] = {}

    def kept_out(self, arrival: Arrival, program: Program) -> str | None:
        """Say why this event starts nothing, if so."""
        if not arrival.fresh:
            return "stale_event"
        if program.reentry == "after_exit":
            here = (arrival.customer_id, program.journey)
            if here in self._inside:
                return "still_inside"
            self._inside.add(here)
        if program.reentry == "anew" and self._is_overtaken(arrival, program):
            return "newer_came"
        return None

    def _is_overtaken(self, arrival: Arrival, program: Program) -> bool:
        who, key = arrival.customer_id, _key(arrival, program)
        if (who, program.journey, key) in self._inside_for:  # had it been older, it would have left
            return True
        if program.journey not in self._newest:
            self._newest[program.journey] = {
                (one.customer_id, _key(one, program)): one.event_id
                for one in self._fresh  # in order of occurrence: the last one stands
                if one.name in program.starts_on
            }
        return self._newest[program.journey][who, key] != arrival.event_id


def _key(arrival: Arrival, program: Program) -> str | None:
    return str(arrival.facts[program.key]) if program.key else None


def _withdraw_redeemed(session: Session, arrivals: Sequence[Arrival], now: datetime) -> None:
    """Take offers out of the inboxes of those who have taken them."""
    for arrival in arrivals:
        if arrival.name not in restraint.REDEEMING:
            continue
        known = (arrival.facts.get(name) for name in ("promotion_id", *restraint.CODES))
        if names := {str(name) for name in known if name}:
            restraint.withdraw_redeemed(session, root=arrival.customer_id, names=names, now=now)


def _ended_by(arrival: Arrival, row: RowMapping, program: Program) -> str | None:
    """Say why this event ends the enrolment, if so."""
    for rule in program.exits_on:
        if rule["event"] == arrival.name and _matches(rule["match"], arrival, row, program):
            return str(rule["reason"])
    begins = program.reentry == "anew" and arrival.name in program.starts_on and arrival.fresh
    if begins and _same_key(arrival, row, program) and not _is_older(arrival, row):
        return "begun_anew"
    return None


def _is_older(arrival: Arrival, row: RowMapping) -> bool:
    return arrival.occurred_at < datetime.fromisoformat(began(row["context"]))


def _entry_key(arrival: Arrival, program: Program, key: str | None) -> str:
    """Say what makes this entry one and not two.

    The key alone would let one sender's order 1001 shadow another customer's; the customer is in it.
    """
    which = "once" if key is None else f"{program.key}:{key}"
    again = "" if program.reentry == "once" else f":{arrival.event_id}"
    return f"{arrival.customer_id}:{which}{again}"


def _matches(match: Mapping[str, str], arrival: Arrival, row: RowMapping, program: Program) -> bool:
    if not match:
        return _same_key(arrival, row, program)
    facts = row["context"].get("facts", {})
    return all(
        mine in facts and _said(theirs, arrival.facts.get(theirs)) == _said(theirs, facts[mine])
        for theirs, mine in match.items()
    )


def _said(name: str, value: object) -> str:
    """Give the value of a fact as it is compared: the code of an offer as a till reads it."""
    text = str(value)
    return text.strip().lower() if value is not None and name in restraint.CODES else text


def _same_key(arrival: Arrival, row: RowMapping, program: Program) -> bool:
    if program.key is None:
        return not _is_older(arrival, row)
    return str(arrival.facts.get(program.key)) == row["key"]


def _note(
    arrival: Arrival, row: RowMapping, program: Program, outcome: str, reason: str, now: datetime
) -> dict[str, Any]:
    return decisions.decision(
        customer_id=row["customer_id"],
        enrolment_id=row["id"],
        event_id=arrival.event_id,
        kind="step",
        subject=f"{program.journey}:{row['step']}",
        outcome=outcome,
        reason=reason,
        at=now,
    )


def _entry(
    arrival: Arrival,
    program: Program,
    enrolment_id: str | None,
    outcome: str,
    reason: str,
    now: datetime,
) -> dict[str, Any]:
    return decisions.decision(
        customer_id=arrival.customer_id or "",
        enrolment_id=enrolment_id,
        event_id=arrival.event_id,
        kind="entry",
        subject=program.journey,
        outcome=outcome,
        reason=reason,
        at=now,
    )
