"""Cases: opened, joined, handed to the right person, closed; every turn is an entry on the case."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from sqlmodel import Session

from signalpost.record import cases
from signalpost.record.base import new_id
from signalpost.services.desk import Desk
from signalpost.services.journeys.people import Person

_Entry = tuple[str, str, dict[str, Any]]


class CaseBook:
    """The cases of a group of enrolments, read once and written back together."""

    def __init__(self, session: Session, *, enrolment_ids: Collection[str]) -> None:
        self._session = session
        rows = cases.of_enrolments(session, enrolment_ids=enrolment_ids)
        self._known: dict[tuple[str, str], dict[str, Any]] = {
            (row["enrolment_id"], row["kind"]): dict(row) for row in rows
        }
        self._new: list[dict[str, Any]] = []
        self._changed: dict[str, dict[str, Any]] = {}
        self._entries: list[_Entry] = []

    def open(
        self, desk: Desk, person: Person, args: Mapping[str, Any], *, status: str
    ) -> dict[str, Any]:
        """Open a case for the person, unless theirs is open already."""
        key = (person.id, args["case"])
        if key in self._known:
            return self._known[key]
        row = {
            "id": new_id(),
            "kind": args["case"],
            "customer_id": person.customer_id,
            "enrolment_id": person.id,
            "status": status,
            "outcome": None,
            "reason": args["reason"],
            "priority": args.get("priority", "normal"),
            "team": args["team"],
            "assignee": assignee(desk, person, to_on_call=args.get("to_on_call", False)),
            "context": {
                "event_id": person.context.get("event_id"),
                "journey": person.program.journey,
            },
            "promised_by": None,
            "opened_at": desk.clock(),
            "closed_at": None,
        }
        self._known[key] = row
        self._new.append(row)
        self._entries.append((row["id"], "opened", {"reason": args["reason"]}))
        return row

    def hand_off(
        self, desk: Desk, person: Person, args: Mapping[str, Any], *, promised: date | None
    ) -> str:
        """Give the case to a person; says to whom."""
        row = self.open(desk, person, args, status="open")
        change = {
            "status": "open",
            "team": args["team"],
            "reason": args["reason"],
            "priority": args["priority"],
            "assignee": assignee(desk, person, to_on_call=args["to_on_call"]),
            "outcome": args["outcome"] or row["outcome"],
        }
        if promised is not None:
            change["promised_by"] = datetime.combine(promised, time(), UTC)
        self._change(row, change)
        detail = {key: change[key] for key in ("team", "assignee", "priority", "reason")}
        detail |= {
            name: known for name in args.get("facts", ()) if (known := person.facts.get(name))
        }
        if promised is not None:
            detail["promised_by"] = promised.isoformat()
        self._entries.append((row["id"], "assigned", detail))
        return change["assignee"]

    def close(self, person: Person, args: Mapping[str, Any]) -> None:
        """Close the person's case, if there is one."""
        row = self._known.get((person.id, args["case"]))
        if row is None:
            return
        self._change(row, {"status": "closed", "outcome": args["outcome"], "closed": True})
        self._entries.append((row["id"], "closed", {"outcome": args["outcome"]}))

    def write(self, session: Session, *, now: datetime) -> None:
        """Write what was opened, changed and noted."""
        cases.open_new(session, rows=self._new)
        for case_id, change in self._changed.items():
            if change.pop("closed", False):
                change["closed_at"] = now
            cases.change(session, case_id=case_id, **change)
        cases.note(session, rows=self._entries, at=now)

    def _change(self, row: dict[str, Any], change: dict[str, Any]) -> None:
        row.update(change)
        self._changed.setdefault(row["id"], {}).update(change)


def assignee(desk: Desk, person: Person, *, to_on_call: bool) -> str:
    """Say who gets the case: the customer's own agent, else whoever is on call (R-58)."""
    own = person.attributes.get("assigned_agent")
    return desk.on_call if to_on_call or not own else str(own)
