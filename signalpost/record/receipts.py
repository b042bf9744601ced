"""What came back: receipts, replies, and the questions that replies answer."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from signalpost.record.base import Id, Table, document, moment, pk


class ReceiptRow(Table, table=True):
    """What a provider said about a delivery, normalised, with the raw beside it; append-only."""

    __tablename__ = "receipts"

    id: str = pk()
    provider: str
    kind: str
    message_id: str | None = Field(default=None, index=True, sa_type=Id)
    provider_id: str | None = Field(default=None, index=True)
    code: str | None = None
    machine: bool = False
    raw: dict = document()
    at: datetime = moment()
    received_at: datetime = moment()


class ReceiptKey(Table, table=True):
    """A key under which a receipt was seen; any of its keys seen again means a repeat."""

    __tablename__ = "receipt_keys"

    key: str = Field(primary_key=True)
    receipt_id: str = Field(sa_type=Id)


class Question(Table, table=True):
    """Something we asked, open until it is answered, superseded or too late."""

    __tablename__ = "questions"
    __table_args__ = (Index("ix_questions_customer_open", "customer_id", "closed_at"),)

    id: str = pk()
    customer_id: str = Field(sa_type=Id)
    enrolment_id: str = Field(index=True, sa_type=Id)
    name: str
    kind: str  #: confirm | scale
    low: int | None = None
    high: int | None = None
    code: str | None = Field(default=None, index=True)
    asked_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
    outcome: str | None = None  #: answered | expired | superseded


class Reply(Table, table=True):
    """A message that a customer sent to us, with what we took it to mean; append-only."""

    __tablename__ = "replies"

    id: str = pk()
    provider: str
    provider_id: str = Field(unique=True)
    customer_id: str | None = Field(default=None, index=True, sa_type=Id)
    question_id: str | None = Field(default=None, sa_type=Id)
    channel: str
    sender: str
    recipient: str
    body: str
    meaning: str
    value: str | None = None
    raw: dict = document()
    at: datetime = moment()
    received_at: datetime = moment()


class Answer(Table, table=True):
    """The first valid answer to a question, whichever channel it came by."""

    __tablename__ = "answers"

    question_id: str = Field(primary_key=True, sa_type=Id, foreign_key="questions.id")
    customer_id: str = Field(index=True, sa_type=Id)
    enrolment_id: str = Field(sa_type=Id)
    name: str
    value: str  #: yes | no | a number
    comment: str | None = None
    channel: str
    at: datetime = moment()
