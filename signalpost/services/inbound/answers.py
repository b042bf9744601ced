"""Answers: the first valid one to a question wins, whichever channel it comes by."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.errors import BadInputError
from signalpost.record import customers, enrolments, questions, replies

YES = frozenset({"yes", "ok"})


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What an answer did."""

    accepted: bool  #: False: the question had its answer, or was closed, before
    woke: bool = False  #: an enrolment waited for it and is due now


def read_value(question: RowMapping, text: str) -> str:
    """Read what a button or an API call says: yes or no, or a number on the question's scale.

    Raises:
        BadInputError: it is no answer to this question.
    """
    word = text.strip().lower()
    if question["kind"] == "confirm":
        if word in YES:
            return "yes"
        if word == "no":
            return "no"
        raise BadInputError("The answer must be yes or no.")
    low, high = question["low"] or 0, question["high"] or 0
    if word.isascii() and word.isdecimal() and len(word) < 4 and low <= int(word) <= high:
        return str(int(word))
    raise BadInputError(f"The answer must be a number from {low} to {high}.")


def answer(
    session: Session,
    *,
    question_id: str,
    value: str,
    channel: str,
    now: datetime,
    comment: str | None = None,
) -> Answered:
    """Write an answer, close its question, and wake the enrolment that waits for it.

    Holds the customer first: an enrolment that is about to wait either sees the answer, or waits
    already and is woken.
    """
    asked = replies.question(session, question_id=question_id)
    if asked is None:
        return Answered(accepted=False)
    roots = customers.roots(session, [asked["customer_id"]])
    customers.lock_customers(session, roots.values())
    asked = replies.question(session, question_id=question_id)
    if asked is None or asked["closed_at"] is not None:
        return Answered(accepted=False)
    row = {
        "question_id": question_id,
        "customer_id": asked["customer_id"],
        "enrolment_id": asked["enrolment_id"],
        "name": asked["name"],
        "value": value,
        "comment": comment,
        "channel": channel,
        "at": now,
    }
    if not replies.add_answer(session, row=row):
        return Answered(accepted=False)
    questions.close(session, ids=[question_id], outcome="answered", now=now)
    woken = enrolments.wake(
        session,
        enrolment_ids=[asked["enrolment_id"]],
        wait_for=f"answer:{asked['name']}",
        now=now,
    )
    return Answered(accepted=True, woke=woken > 0)
