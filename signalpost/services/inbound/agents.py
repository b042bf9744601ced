"""The personal link to an agent: the customer's own, else whoever is on call (R-38, R-58)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.record import cases, customers, links
from signalpost.record.base import new_id
from signalpost.services.inbound.unsubscribe import topic_label

KIND = "conversation"
EVENT = "agent.contacted"


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """Who talks to whom about what. Of the customer only the first name is shown."""

    agent: str
    about: str  #: the subject when it is the same for everybody, else the topic
    sent_at: datetime
    first_name: str | None


def meeting(session: Session, *, customer_id: str, message_id: str, on_call: str) -> Meeting | None:
    """Give what the link's page shows, or None when there is no such message of this customer."""
    message = _message(session, customer_id, message_id)
    return _meeting(session, message, on_call) if message is not None else None


def contact(
    session: Session, *, customer_id: str, message_id: str, on_call: str, now: datetime
) -> Meeting | None:
    """Record that the customer asks for their agent, once a message, and hand the agent a case."""
    message = _message(session, customer_id, message_id)
    if message is None:
        return None
    customers.lock_customers(session, [message["root_id"]])
    found = _meeting(session, message, on_call)
    if links.add_event(session, row=_event(message, found.agent, now)):
        _hand_over(session, message, found, now)
    return found


def _message(session: Session, customer_id: str, message_id: str) -> RowMapping | None:
    root = customers.roots(session, [customer_id]).get(customer_id)
    message = links.message_behind(session, message_id=message_id)
    return message if message is not None and message["root_id"] == root else None


def _meeting(session: Session, message: RowMapping, on_call: str) -> Meeting:
    who = customers.profiles(session, [message["root_id"]])
    attributes: dict[str, Any] = who.get(message["root_id"], {}).get("attributes", {})
    own = attributes.get("assigned_agent")
    name = attributes.get("first_name")
    return Meeting(
        agent=str(own) if own else on_call,
        about=_subject(message) or topic_label(message["topic"]),
        sent_at=message["created_at"],
        first_name=name if isinstance(name, str) and len(name) <= 40 else None,
    )


def _subject(message: RowMapping) -> str | None:
    """Give the subject or title, unless it holds a place filled in for this person."""
    parts = message["parts"] or {}
    pieces = parts.get("subject") or parts.get("title") or []
    if not pieces or not all(isinstance(piece, str) for piece in pieces):
        return None
    return "".join(pieces).strip() or None


def _event(message: RowMapping, agent: str, now: datetime) -> dict[str, Any]:
    facts = {"message_id": message["id"], "agent": agent}
    return {
        "id": new_id(),
        "message_id": f"link:agent:{message['id']}",
        "body_hash": hashlib.sha256(message["id"].encode()).hexdigest(),
        "name": EVENT,
        "customer_id": message["customer_id"],
        "source": "link",
        "status": "accepted",
        "reason": None,
        "parked_key": None,
        "facts": facts,
        "payload": facts,
        "held": None,
        "occurred_at": now,
        "received_at": now,
    }


def _hand_over(session: Session, message: RowMapping, found: Meeting, now: datetime) -> None:
    """Open a conversation for the agent, or add to the one that is there."""
    if message["enrolment_id"] is None:
        return
    row = {
        "id": new_id(),
        "kind": KIND,
        "customer_id": message["customer_id"],
        "enrolment_id": message["enrolment_id"],
        "status": "open",
        "outcome": None,
        "reason": "the customer asked for their agent",
        "priority": "normal",
        "team": "agents",
        "assignee": found.agent,
        "context": {"message_id": message["id"], "message": message["message"]},
        "promised_by": None,
        "opened_at": now,
        "closed_at": None,
    }
    new = bool(cases.open_new(session, rows=[row]))
    held = cases.of_enrolments(session, enrolment_ids=[message["enrolment_id"]])
    case_id = next(case["id"] for case in held if case["kind"] == KIND)
    if not new:
        cases.change(session, case_id=case_id, status="open", closed_at=None, assignee=found.agent)
    detail = {"message_id": message["id"], "assignee": found.agent}
    cases.note(session, rows=[(case_id, "opened" if new else "joined", detail)], at=now)
