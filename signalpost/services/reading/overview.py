"""What the pages about many people show: recent customers, journeys with counts, cases, events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.diagram import mermaid
from signalpost.domain.program import Program
from signalpost.record import enrolments
from signalpost.record import overview as record
from signalpost.record.cases import Case
from signalpost.record.events import Event
from signalpost.services.reading.why import describe, reason


@dataclass(frozen=True, kw_only=True)
class Known:
    """A customer in a list: the id, one key of each kind, and the latest signal."""

    id: str
    name: str | None
    keys: Mapping[str, str]
    latest: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class StepCount:
    """One step of a journey, in words, with the people who are there now."""

    id: str
    depth: int
    says: str
    way: str | None
    people: int


@dataclass(frozen=True, kw_only=True)
class JourneyCount:
    """A journey with its people."""

    name: str
    lane: str
    starts_on: Sequence[str]
    version: str
    steps: Sequence[StepCount]
    statuses: Mapping[str, int]
    elsewhere: int  #: people who are pinned to an older version
    exits_on: Sequence[str] = ()
    diagram: str = field(default="", repr=False)

    @property
    def inside(self) -> int:
        """How many are in it now."""
        return sum(self.statuses.get(one, 0) for one in ("active", "waiting", "set_aside"))

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "journey": self.name,
            "lane": self.lane,
            "starts_on": list(self.starts_on),
            "version": self.version,
            "inside": self.inside,
            "statuses": dict(self.statuses),
            "on_older_versions": self.elsewhere,
            "steps": [
                {"id": one.id, "says": one.says, "way": one.way, "people": one.people}
                for one in self.steps
            ],
            "diagram": self.diagram,
        }


def customers(session: Session, *, limit: int = 50) -> list[Known]:
    """The people of whom we heard last."""
    found = record.recent_customers(session, limit=limit)
    keys = record.names(session, [customer.id for customer, _ in found])
    return [
        Known(
            id=customer.id,
            name=_name(customer.attributes),
            keys=keys[customer.id],
            latest=event.name,
            at=event.received_at,
        )
        for customer, event in found
    ]


def _name(attributes: Mapping[str, Any]) -> str | None:
    parts = [attributes.get("first_name"), attributes.get("last_name")]
    joined = " ".join(str(part) for part in parts if part)
    return str(attributes.get("name") or joined) or None


def journeys(session: Session, *, programs: Mapping[str, Program]) -> list[JourneyCount]:
    """Every journey with the number of people at each step."""
    rows = record.journey_counts(session)
    found = []
    for name, program in sorted(programs.items()):
        own = [row for row in rows if row[0] == name]
        here: dict[str, int] = {}
        statuses: dict[str, int] = {}
        elsewhere = 0
        for _, version, status, step, people in own:
            statuses[status] = statuses.get(status, 0) + people
            if status not in ("active", "waiting", "set_aside"):
                continue
            if version == program.version and step is not None:
                here[step] = here.get(step, 0) + people
            else:
                elsewhere += people
        found.append(_journey(program, here, statuses, elsewhere))
    return found


def _journey(
    program: Program, here: Mapping[str, int], statuses: Mapping[str, int], elsewhere: int
) -> JourneyCount:
    return JourneyCount(
        name=program.journey,
        lane=program.lane,
        starts_on=program.starts_on,
        version=program.version,
        steps=[
            StepCount(
                id=node.id,
                depth=node.id.count("."),
                says=describe(node),
                way=_way(node.id),
                people=here.get(node.id, 0),
            )
            for node in _as_written(program)
        ],
        statuses=statuses,
        elsewhere=elsewhere,
        exits_on=list(dict.fromkeys(str(rule["event"]) for rule in program.exits_on)),
        diagram=mermaid(program, counts=dict(here)),
    )


def _as_written(program: Program) -> list[Any]:
    """The steps in the order in which the brief has them: what is inside a step comes after it."""

    def place(node_id: str) -> list[tuple[int, str]]:
        return [_number(part) for part in node_id.split(".")]

    return sorted(program.nodes.values(), key=lambda node: place(node.id))


def _number(part: str) -> tuple[int, str]:
    digits = part.rstrip("abcdefghijklmnopqrstuvwxyz_")
    if digits.isdecimal():
        return int(digits), part
    return -1, "" if part == "then" else part


_WAYS = {"then": "if so", "otherwise": "otherwise"}


def _way(node_id: str) -> str | None:
    """How one gets to the first step inside another: the name of the way."""
    path = node_id.split(".")
    if len(path) < 3 or path[-1] != "0":
        return None
    return _WAYS.get(path[-2], path[-2])


def cases(session: Session, *, status: str | None = None, limit: int = 200) -> list[Case]:
    """Cases, the most urgent first: open before waiting before closed, high priority first."""
    order = {"open": 0, "awaiting_customer": 1, "closed": 2}
    found = record.cases(session, status=status, limit=limit)
    return sorted(
        found,
        key=lambda one: (order.get(one.status, 1), one.priority != "high", one.opened_at),
    )


def case_counts(session: Session) -> dict[str, int]:
    """How many cases there are of each status."""
    return record.case_counts(session)


def set_aside(
    session: Session, *, journey: str | None = None, limit: int = 200
) -> list[Mapping[str, Any]]:
    """Who waits for an operator, the longest first, with the reason in words."""
    return [
        {**row, "says": reason(row["reason"] or "something failed", {})}
        for row in enrolments.set_aside(session, journey=journey, limit=limit)
    ]


def events(session: Session, *, status: str, limit: int = 200) -> list[Event]:
    """Events of one status, the newest first."""
    return record.events(session, status=status, limit=limit)


def event_json(event: Event) -> dict[str, Any]:
    """Give an event as JSON values, without its payload."""
    return {
        "id": event.id,
        "message_id": event.message_id,
        "name": event.name,
        "customer_id": event.customer_id,
        "source": event.source,
        "status": event.status,
        "reason": event.reason,
        "waits_for": event.parked_key,
        "facts": event.facts,
        "occurred_at": event.occurred_at.isoformat(),
        "received_at": event.received_at.isoformat(),
    }
