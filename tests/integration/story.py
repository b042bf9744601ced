"""A customer with a history on every table, for the tests of the timeline and of the pages."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import Session

from signalpost.domain.conditions import answer
from signalpost.domain.journey import (
    EMAIL,
    IN_APP,
    SMS,
    Ask,
    Branch,
    CloseCase,
    HandOff,
    Journey,
    OpenCase,
    compile_journey,
    every,
    first,
    minutes,
)
from signalpost.domain.vocabulary import Lane
from signalpost.record.base import metadata, new_id
from signalpost.record.cases import Case, CaseEntry, HookCall
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint, Customer, Identity, IdentityConflict, Merge
from signalpost.record.database import Database, open_engine
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment, JourneyVersion
from signalpost.record.events import Event
from signalpost.record.messages import Delivery, InAppItem, Message, MessageVariant
from signalpost.record.receipts import Answer, Question, ReceiptRow, Reply

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

FRAUD = Journey(
    name="fraud-alert",
    lane=Lane.RISK,
    starts_on="fraud.signalled",
    key="transaction_id",
    steps=[
        OpenCase("fraud", team="risk", reason="suspicious transaction"),
        Ask("fraud_alert", every(first(SMS, EMAIL), IN_APP), within=minutes(5), question="fraud"),
        Branch(
            answer("fraud") == "yes",
            [CloseCase("fraud", outcome="cleared")],
            [HandOff("fraud", team="risk", reason="not recognised", priority="high")],
        ),
    ],
)
PROGRAM = compile_journey(FRAUD)


@dataclass
class Story:
    """Whom the story is about."""

    database: Database
    jane: str
    phone_only: str  #: the customer that was merged into Jane
    stranger: str  #: who has one of her keys
    fraud_message: str


def open_record(folder: Path) -> Database:
    """An empty record with every table."""
    database = Database(open_engine(f"sqlite:///{folder / 'record.db'}"))
    metadata.create_all(database.engine)
    return database


def tell(database: Database) -> Story:
    """Write Jane's story down."""
    with database.writing() as session:
        return _Teller(session, database).tell()


class _Teller:
    def __init__(self, session: Session, database: Database) -> None:
        self.session, self.database = session, database
        self.jane, self.other, self.stranger = new_id(), new_id(), new_id()
        self.event, self.enrolment = new_id(), new_id()
        self.sms, self.in_app, self.question = new_id(), new_id(), new_id()

    def at(self, seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    def add(self, *rows: object) -> None:
        for row in rows:  # one by one: foreign keys want them in the order in which they are told
            self.session.add(row)
            self.session.flush()

    def tell(self) -> Story:
        self.people()
        self.fraud()
        self.answering()
        self.marketing()
        return Story(self.database, self.jane, self.other, self.stranger, self.sms)

    def people(self) -> None:
        long_ago = START - timedelta(days=400)
        names = {"first_name": "Jane", "last_name": "Doe", "tier": "premium"}
        for one, root, attributes in (
            (self.jane, self.jane, names),
            (self.other, self.jane, {}),
            (self.stranger, self.stranger, {}),
        ):
            self.add(
                Customer(
                    id=one,
                    root_id=root,
                    locale="en-GB",
                    zone="Europe/London",
                    attributes=attributes,
                    created_at=long_ago,
                    updated_at=long_ago,
                )
            )
        keys = [
            ("user_id", "jane-17", self.jane),
            ("email", "jane@mail.example", self.jane),
            ("phone", "+14155550123", self.other),
            ("order_id", "O-5004", self.jane),
            ("anonymous_id", "a-9", self.stranger),
        ]
        for kind, value, owner in keys:
            self.add(
                Identity(
                    kind=kind, value=value, customer_id=owner, source="shop", created_at=long_ago
                )
            )
        for channel, address, owner, verified in (
            ("email", "jane@mail.example", self.jane, None),
            ("sms", "+14155550123", self.other, long_ago),
            ("in_app", "jane-17", self.jane, long_ago),
        ):
            self.add(
                ContactPoint(
                    customer_id=owner,
                    channel=channel,
                    address=address,
                    verified_at=verified,
                    created_at=long_ago,
                )
            )
        self.add(
            Merge(
                kept_id=self.jane,
                merged_id=self.other,
                moved=[self.other],
                reason="the same phone in her account",
                at=START - timedelta(days=30),
            ),
            IdentityConflict(
                customer_id=self.jane,
                other_id=self.stranger,
                kind="anonymous_id",
                value="a-9",
                at=START - timedelta(days=20),
            ),
        )

    def fraud(self) -> None:
        facts = {"transaction_id": "T1", "merchant": "XYZ <store>", "amount": "1000.00"}
        self.add(
            JourneyVersion(
                version=PROGRAM.version,
                journey="fraud-alert",
                program=PROGRAM.to_json(),
                first_seen_at=START,
            ),
            Event(
                id=self.event,
                message_id="risk:1",
                body_hash="h",
                name="fraud.signalled",
                customer_id=self.other,
                source="risk",
                status="accepted",
                facts=facts,
                occurred_at=START,
                received_at=self.at(0.1),
            ),
            Enrolment(
                id=self.enrolment,
                customer_id=self.other,
                journey="fraud-alert",
                version=PROGRAM.version,
                lane="risk",
                entry_key="transaction_id:T1",
                key="T1",
                step="1a",
                status="waiting",
                wait_for="answer:fraud",
                due_at=self.at(300),
                started_at=self.at(0.1),
                moved_at=self.at(1),
            ),
        )
        self.decide("entry", "fraud-alert", "entered", "fraud.signalled", 0.1)
        parts = {"text": ["Did you spend ", {"slot": "s0"}, " at ", {"slot": "s1"}, "?"]}
        self.add(
            MessageVariant(
                id="v1",
                message="fraud_alert",
                channel="sms",
                locale="en",
                parts=parts,
                first_used_at=START,
            )
        )
        self.message(self.sms, "sms", "+14155550123", "delivered", facts)
        self.message(self.in_app, "in_app", "jane-17", "delivered", facts)
        self.decide("gate", "fraud_alert", "send", "allowed", 0.5, channel="sms", message=self.sms)
        self.add(
            InAppItem(
                message_id=self.in_app,
                customer_id=self.other,
                created_at=self.at(0.5),
                read_at=self.at(20),
            )
        )

    def message(self, one: str, channel: str, address: str, status: str, facts: dict) -> None:
        self.add(
            Message(
                id=one,
                idempotency_key=one,
                customer_id=self.other,
                enrolment_id=self.enrolment,
                cause_id=self.event,
                message="fraud_alert",
                version="1",
                channel=channel,
                address=address,
                purpose="security",
                topic="security",
                locale="en",
                status=status,
                facts=facts,
                variant_id="v1",
                slots={"s0": "£1,000.00", "s1": "XYZ <store>"},
                run_id="0198-run",
                created_at=self.at(0.5),
                updated_at=self.at(3),
            ),
            Delivery(
                message_id=one,
                attempt=1,
                provider="twilio" if channel == "sms" else "in_app",
                status="accepted",
                provider_id=f"SM-{channel}",
                started_at=self.at(0.6),
                settled_at=self.at(0.7),
            ),
        )
        if channel == "sms":
            self.add(
                ReceiptRow(
                    provider="twilio",
                    kind="delivered",
                    message_id=one,
                    provider_id="SM-sms",
                    raw={"MessageStatus": "delivered"},
                    at=self.at(3),
                    received_at=self.at(3.1),
                )
            )

    def answering(self) -> None:
        self.add(
            Question(
                id=self.question,
                customer_id=self.other,
                enrolment_id=self.enrolment,
                name="fraud",
                kind="confirm",
                code="4821",
                asked_at=self.at(0.55),
                closed_at=self.at(60),
                outcome="answered",
            ),
            Reply(
                provider="twilio",
                provider_id="SMin",
                customer_id=self.other,
                question_id=self.question,
                channel="sms",
                sender="+14155550123",
                recipient="+15005550006",
                body="NO 4821",
                meaning="answer",
                value="no",
                at=self.at(60),
                received_at=self.at(60),
            ),
            Answer(
                question_id=self.question,
                customer_id=self.other,
                enrolment_id=self.enrolment,
                name="fraud",
                value="no",
                channel="sms",
                at=self.at(60),
            ),
        )
        case = Case(
            kind="fraud",
            customer_id=self.other,
            enrolment_id=self.enrolment,
            status="open",
            reason="not recognised",
            priority="high",
            team="risk",
            assignee="anna@bank.example",
            opened_at=self.at(0.2),
        )
        self.add(case)
        self.add(
            CaseEntry(case_id=case.id, what="opened", at=self.at(0.2)),
            CaseEntry(case_id=case.id, what="assigned", at=self.at(61)),
            HookCall(
                customer_id=self.other,
                enrolment_id=self.enrolment,
                step="2.otherwise.0",
                hook="block_card",
                body={"transaction_id": "T1"},
                status="done",
                attempts=1,
                started_at=self.at(60.5),
                settled_at=self.at(60.7),
            ),
        )
        self.decide("step", "fraud-alert:2", "otherwise", "branch", 60.2, condition="fraud is yes")

    def marketing(self) -> None:
        self.add(
            Consent(
                customer_id=self.jane,
                channel="email",
                topic="offers",
                status="denied",
                source="preferences page",
                wording="No offers, please",
                at=START - timedelta(days=10),
                recorded_at=START - timedelta(days=10),
            ),
            Suppression(
                channel="email",
                address="jane@mail.example",
                scope="all",
                reason="hard_bounce",
                source="sendgrid",
                at=self.at(-3600),
            ),
            Event(
                message_id="shop:9",
                body_hash="h",
                name="order.returned",
                customer_id=self.jane,
                source="shop",
                status="parked",
                reason="unknown_order",
                parked_key="order_id:O-9",
                occurred_at=self.at(120),
                received_at=self.at(121),
            ),
        )
        since = (START - timedelta(days=10)).isoformat()
        self.decide(
            "gate", "early_bird", "skip", "consent_denied", 90, channel="email", since=since
        )

    def decide(
        self,
        kind: str,
        subject: str,
        outcome: str,
        reason: str,
        seconds: float,
        *,
        channel: str | None = None,
        message: str | None = None,
        **detail: object,
    ) -> None:
        self.add(
            DecisionRow(
                customer_id=self.other,
                enrolment_id=None if subject == "early_bird" else self.enrolment,
                event_id=self.event,
                message_id=message,
                kind=kind,
                subject=subject,
                channel=channel,
                outcome=outcome,
                reason=reason,
                detail=detail,
                run_id="0198-run",
                at=self.at(seconds),
            )
        )
