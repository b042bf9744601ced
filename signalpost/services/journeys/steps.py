"""What each kind of step does to the people who stand at it, once any message of it is settled.

Each function moves one person on: to the next step, into a wait, or out. All of a group's moves are
committed together, with a decision for each turn that somebody might ask about.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain import assignment
from signalpost.domain.conditions import Condition
from signalpost.domain.journey import CALL_AGAIN, Call
from signalpost.domain.local_time import add_working_days, wait_until, zone
from signalpost.domain.program import Node
from signalpost.domain.recall import MEMORIES
from signalpost.domain.vocabulary import Channel
from signalpost.errors import ConfigurationError
from signalpost.record import cases, customers, decisions, enrolments, events, messages, questions
from signalpost.record.base import new_id
from signalpost.services.desk import Desk
from signalpost.services.journeys import handoff
from signalpost.services.journeys.gate import home_zone
from signalpost.services.journeys.people import Group, Person
from signalpost.services.protocol import transaction


@dataclass
class Turn:
    """One transaction in which a group moves on: what was read for it, and what it will write."""

    desk: Desk
    session: Session
    group: Group
    now: datetime
    answers: Mapping[str, Mapping[str, RowMapping]] = field(default_factory=dict)
    happened: Mapping[str, list[RowMapping]] = field(default_factory=dict)
    calls: Mapping[str, RowMapping] = field(default_factory=dict)
    phones: Mapping[str, str] = field(default_factory=dict)  #: by root, to tell a zone by
    desk_cases: handoff.CaseBook | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    def note(self, person: Person, node: Node, outcome: str, reason: str, **detail: Any) -> None:
        """Keep a decision for the record and count it for the operator."""
        self.group.count(f"{node.kind} {node.id}", None, outcome, reason)
        self.rows.append(
            decisions.decision(
                customer_id=person.customer_id,
                enrolment_id=person.id,
                kind="step",
                subject=f"{person.program.journey}:{node.id}",
                outcome=outcome,
                reason=reason,
                detail=detail,
                run_id=self.group.run_id,
                at=self.now,
            )
        )


#: Steps that look for what an event may be writing just now, or write on the customer: they hold the
#: customers first, and enrolments after them, as everybody does; so nobody waits in a circle.
_HOLDS_CUSTOMERS = ("wait_for", "recall", "set")


def move(desk: Desk, group: Group, *, now: datetime) -> None:
    """Move a group on from its step, in one transaction.

    Whoever the claim no longer holds is left alone; whoever comes to rest is let go of.
    """
    with transaction(desk, writing="journey.moving", written="journey.moved") as session:
        if group.node.kind in _HOLDS_CUSTOMERS:
            customers.lock_customers(session, {person.root_id for person in group.people})
        group.keep(enrolments.still_held(session, claim_id=group.claim_id, until=now + desk.lease))
        if not group.people:
            return
        turn = _gather(desk, session, group, now)
        for person in group.people:
            _move_one(turn, person)
        if turn.desk_cases:
            turn.desk_cases.write(session, now=now)
        decisions.write(session, rows=turn.rows)
        _tidy_ended(session, group.people, now)
        enrolments.save(
            session, rows=[_row(person, group.claim_id, now, desk.lease) for person in group.people]
        )


def _gather(desk: Desk, session: Session, group: Group, now: datetime) -> Turn:
    """Read what this kind of step needs, once for the group."""
    turn = Turn(desk, session, group, now)
    node, ids = group.node, [person.id for person in group.people]
    roots = {person.root_id for person in group.people}
    if node.kind == "wait":
        turn.phones = _phones(session, group)
    elif node.kind == "wait_for":
        what, _, name = node.args["wait_for"].partition(":")
        if what == "answer":
            turn.answers = questions.answers(session, enrolment_ids=ids)
        else:
            turn.happened = events.of_people(session, roots=roots, names=[name])
    elif node.kind == "recall":
        since = now - timedelta(seconds=node.args["seconds"])
        names = MEMORIES[node.args["what"]].events
        turn.happened = events.of_people(session, roots=roots, names=names, since=since)
    elif node.kind == "call":
        turn.calls = cases.calls_of(session, enrolment_ids=ids, step=node.id)
    elif node.kind in ("open_case", "hand_off", "close_case"):
        turn.desk_cases = handoff.CaseBook(session, enrolment_ids=ids)
    return turn


def _move_one(turn: Turn, person: Person) -> None:
    node = turn.group.node
    if person.set_aside:
        person.status, person.reason, person.due_at = "set_aside", person.set_aside, None
        turn.note(person, node, "set_aside", person.set_aside)
    elif person.hold_until is not None:
        person.due_at, person.hold_until = person.hold_until, None
        person.attempts += person.retrying
    else:
        KINDS[node.kind](turn, person, node)


def _row(person: Person, claim_id: str, now: datetime, lease: timedelta) -> dict[str, Any]:
    """Make the row to write back; who can go on at once stays in the claim."""
    on = person.status == "active" and person.due_at is not None and person.due_at <= now
    return {
        "id": person.id,
        "step": person.step,
        "status": person.status,
        "reason": person.reason,
        "wait_for": person.wait_for,
        "due_at": person.due_at,
        "attempts": person.attempts,
        "context": person.context,
        "claim_id": claim_id if on else None,
        "lease_until": now + lease if on else None,
        "moved_at": now,
        "ended_at": person.ended_at,
    }


def _tidy_ended(session: Session, people: list[Person], now: datetime) -> None:
    ended = [person.id for person in people if person.ended_at is not None]
    questions.close_of(session, enrolment_ids=ended, outcome="expired", now=now)
    left = [person.id for person in people if person.status == "exited"]
    if left:
        messages.withdraw(session, enrolment_ids=left, now=now)


# -- the kinds ---------------------------------------------------------------------------------


def send(turn: Turn, person: Person, node: Node) -> None:
    """Sent, or decided against: on to the next step."""
    person.go(node.next, turn.now)


def wait(turn: Turn, person: Person, node: Node) -> None:
    """Wait from what happened last, a while or until a local time."""
    if person.status == "waiting":  # it is due: the wait is over
        person.context["since"] = turn.now.isoformat()
        person.go(node.next, turn.now)
        return
    clock = time.fromisoformat(node.args["at"]) if node.args["at"] else None
    tz = _zone_of_wait(turn, person, node)
    due = wait_until(person.since, timedelta(seconds=node.args["seconds"]), clock, tz)
    where = {"zone": tz.key} if clock else {}  # a length of time is as long everywhere
    turn.note(person, node, "wait", "waits", until=due.isoformat(), **where)
    person.wait("time", due)


def _zone_of_wait(turn: Turn, person: Person, node: Node) -> ZoneInfo:
    named = zone(node.args["zone"]) if node.args["zone"] != "customer" else None
    return named or home_zone(person, turn.desk.default_zone, turn.phones.get(person.root_id))


def _phones(session: Session, group: Group) -> dict[str, str]:
    """Read, once for the group, the numbers that say in whose zone somebody is to be waited for.

    Only a wait until a local time needs them, and only for people whose own zone nobody told.
    """
    args = group.node.args
    if args["at"] is None or args["zone"] != "customer":
        return {}
    unknown = {
        person.root_id
        for person in group.people
        if person.status != "waiting" and not (person.zone and zone(person.zone))
    }
    points = customers.current_contact_points(session, unknown) if unknown else {}
    return {root: held[Channel.SMS].address for root, held in points.items() if Channel.SMS in held}


def wait_for(turn: Turn, person: Person, node: Node) -> None:
    """Wait for an event or an answer; it may be on the record already."""
    what, _, name = node.args["wait_for"].partition(":")
    came = _answer(turn, person, name) if what == "answer" else _event(turn, person)
    if came is not None:
        at, outcome = came
        person.context["since"] = at.isoformat()
        turn.note(person, node, outcome, f"{what}_came", name=name)
        person.go(node.next, turn.now)
        return
    until = person.since + timedelta(seconds=node.args["seconds"])
    if turn.now >= until:
        person.context["since"] = turn.now.isoformat()
        turn.note(person, node, "otherwise", "timeout", waited_for=node.args["wait_for"])
        person.go(node.ways["otherwise"], turn.now)
        return
    person.wait(node.args["wait_for"], until)


def _answer(turn: Turn, person: Person, name: str) -> tuple[datetime, str] | None:
    row = turn.answers.get(person.id, {}).get(name)
    if row is None:
        return None
    person.context.setdefault("answers", {})[name] = row["value"]
    return row["at"], row["value"]


def _event(turn: Turn, person: Person) -> tuple[datetime, str] | None:
    for row in turn.happened.get(person.root_id, ()):
        if person.concerned_by(row):
            person.facts.update({k: v for k, v in row["facts"].items() if k not in person.facts})
            return row["occurred_at"], "came"
    return None


def branch(turn: Turn, person: Person, node: Node) -> None:
    """Go the way the condition says."""
    condition = Condition(node.args["subject"], node.args["op"], node.args["value"])
    way = "then" if condition.holds(person.known()) else "otherwise"
    turn.note(person, node, way, "branch", condition=str(condition))
    person.go(node.ways[way], turn.now)


def split(turn: Turn, person: Person, node: Node) -> None:
    """Go the way that the person's hash says: always the same one."""
    salt = f"{person.program.journey}:{node.args['name']}"
    arm = assignment.arm(salt, person.root_id, node.args["weights"])
    person.context.setdefault("arms", {})[node.args["name"]] = arm
    turn.note(person, node, arm, "split", name=node.args["name"])
    person.go(node.ways[arm], turn.now)


def issue(turn: Turn, person: Person, node: Node) -> None:
    """Issue a promotion: the same id, code and expiry on every channel."""
    number = new_id().replace("-", "")[-10:].upper()
    expires = turn.now + timedelta(seconds=node.args["seconds"])
    person.facts.update(
        promotion_id=f"{node.args['promotion']}-{number}",
        code=f"{node.args['promotion'][:6].upper()}-{number[-6:]}",
        percent=node.args["percent"],
        expires_at=expires.isoformat(),
    )
    turn.note(person, node, "issued", "issue", promotion_id=person.facts["promotion_id"])
    person.go(node.next, turn.now)


def set_attribute(turn: Turn, person: Person, node: Node) -> None:
    """Set an attribute on the customer's record."""
    value = node.args["value"]
    if isinstance(value, str) and value.startswith("answer:"):
        value = person.context.get("answers", {}).get(value.removeprefix("answer:"))
    person.attributes = {**person.attributes, node.args["name"]: value}
    customers.set_attribute(
        turn.session, customer_id=person.root_id, name=node.args["name"], value=value, now=turn.now
    )
    turn.note(person, node, "set", "set", name=node.args["name"])
    person.go(node.next, turn.now)


def recall(turn: Turn, person: Person, node: Node) -> None:
    """Put in place of its facts what past events add up to now."""
    what = node.args["what"]
    person.facts.update(MEMORIES[what].read(turn.happened.get(person.root_id, ())))
    turn.note(person, node, "recalled", "recall", what=what)
    person.go(node.next, turn.now)


def open_case(turn: Turn, person: Person, node: Node) -> None:
    """Open a case that waits for the customer."""
    _book(turn).open(turn.desk, person, node.args, status="awaiting_customer")
    person.go(node.next, turn.now)


def hand_off(turn: Turn, person: Person, node: Node) -> None:
    """Give the case to a person, with a promised date when there is one."""
    promised = None
    if (in_days := node.args["promise_in"]) is not None:
        tz = home_zone(person, turn.desk.default_zone)
        today = turn.now.astimezone(tz).date()
        promised = add_working_days(today, in_days, turn.desk.holidays)
        person.facts["promised_by"] = promised.isoformat()
    assignee = _book(turn).hand_off(turn.desk, person, node.args, promised=promised)
    turn.note(person, node, assignee, "handed_off", team=node.args["team"])
    person.go(node.next, turn.now)


def close_case(turn: Turn, person: Person, node: Node) -> None:
    """Close the case."""
    _book(turn).close(person, node.args)
    turn.note(person, node, node.args["outcome"], "case_closed")
    person.go(node.next, turn.now)


def _book(turn: Turn) -> "handoff.CaseBook":
    if turn.desk_cases is None:
        raise ConfigurationError("a case step was reached without its cases being read")
    return turn.desk_cases


def call(turn: Turn, person: Person, node: Node) -> None:
    """Go on when the other system was told, or said no; call it again while nobody knows.

    Calling again is safe: the id stays the same, and tells the receiver (Standard Webhooks).
    """
    row = turn.calls.get(person.id)
    status = row["status"] if row else "failed"
    if row is not None and status in ("retry", "unknown"):
        again = _call_again(person, row["started_at"], node, turn.now)
        if again is not None:
            person.attempts += 1
            person.due_at = again
            return
    person.facts[node.args["hook"]] = status  # a later branch may ask whether it was done
    turn.note(person, node, status, "called", hook=node.args["hook"])
    person.go(node.next, turn.now)


def _call_again(person: Person, began: datetime, node: Node, now: datetime) -> datetime | None:
    """Say when a webhook out is called again; None when that would be too late, or often enough.

    Up to a tenth later than the schedule, each their own: a receiver that comes back is not met by all
    at once.
    """
    if person.attempts >= len(CALL_AGAIN):
        return None
    wait = CALL_AGAIN[person.attempts]
    again = now + wait * (1 + zlib.crc32(person.id.encode()) % 100 / 1000)
    within = timedelta(seconds=node.args.get("within", Call.within.total_seconds()))
    return again if again <= began + within else None


def leave(turn: Turn, person: Person, node: Node) -> None:
    """Leave the journey here."""
    turn.note(person, node, "exited", node.args["reason"])
    person.leave(node.args["reason"], turn.now)


KINDS: Mapping[str, Callable[[Turn, Person, Node], None]] = {
    "send": send,
    "ask": send,
    "wait": wait,
    "wait_for": wait_for,
    "branch": branch,
    "split": split,
    "recall": recall,
    "issue": issue,
    "set": set_attribute,
    "open_case": open_case,
    "hand_off": hand_off,
    "close_case": close_case,
    "call": call,
    "exit": leave,
}
