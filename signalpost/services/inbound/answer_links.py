"""The link in an email that asks something: its question, and the answer that a page gives (R-48).

Only a question on a scale is answered so. A confirmation guards a card or an account; a link to it
would teach people to follow the links of forged messages, so it opens nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.text import fill
from signalpost.record import customers, links, questions
from signalpost.services.inbound import answers
from signalpost.services.inbound.unsubscribe import topic_label

MOST_COMMENT = 1_000  #: characters
_MOST_TITLE = 200


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An open question as its page shows it."""

    question_id: str
    title: str  #: the subject as it was sent: whoever has the link has read it
    low: int
    high: int
    channel: str
    locale: str


def asked(session: Session, *, customer_id: str, message_id: str) -> Asked | None:
    """Give the open question of a message, or None when there is none for this customer."""
    found = _question(session, customer_id, message_id)
    return _asked(*found) if found is not None else None


def take(
    session: Session,
    *,
    customer_id: str,
    message_id: str,
    value: str,
    comment: str,
    now: datetime,
) -> answers.Answered:
    """Write the answer, unless the question had one before or is closed.

    Raises:
        BadInputError: it is no number on the question's scale.
    """
    found = _question(session, customer_id, message_id)
    if found is None:
        return answers.Answered(accepted=False)
    message, question = found
    return answers.answer(
        session,
        question_id=question["id"],
        value=answers.read_value(question, value),
        channel=message["channel"],
        now=now,
        comment=comment.strip()[:MOST_COMMENT] or None,
    )


def _question(
    session: Session, customer_id: str, message_id: str
) -> tuple[RowMapping, RowMapping] | None:
    root = customers.roots(session, [customer_id]).get(customer_id)
    message = links.message_behind(session, message_id=message_id)
    if message is None or message["root_id"] != root or message["enrolment_id"] is None:
        return None
    question = questions.asked_by(
        session, enrolment_id=message["enrolment_id"], by=message["created_at"]
    )
    if question is None or question["kind"] != "scale" or question["closed_at"] is not None:
        return None
    return message, question


def _asked(message: RowMapping, question: RowMapping) -> Asked:
    return Asked(
        question_id=question["id"],
        title=_title(message),
        low=question["low"] or 0,
        high=question["high"] or 0,
        channel=message["channel"],
        locale=message["locale"],
    )


def _title(message: RowMapping) -> str:
    parts = message["parts"] or {}
    headed = {name: parts[name] for name in ("subject", "title") if name in parts}
    try:
        text = fill(headed, message["slots"] or {})
    except KeyError:
        text = {}
    said = next((line.strip() for line in text.values() if line.strip()), "")
    return said[:_MOST_TITLE] or topic_label(message["topic"])
