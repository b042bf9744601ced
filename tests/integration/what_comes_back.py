"""A small shop with customers and messages on the record, and the doors that the world comes in by."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import FastAPI
from sqlmodel import Session, col, select
from starlette.testclient import TestClient
from twilio.request_validator import RequestValidator

from signalpost import bootstrap, settings
from signalpost.bootstrap import Signalpost
from signalpost.providers.twilio.callbacks import status_callback
from signalpost.record.base import new_id
from signalpost.record.cases import Case
from signalpost.record.customers import ContactPoint, Customer, Identity
from signalpost.record.database import Database
from signalpost.record.enrolments import Enrolment, JourneyVersion
from signalpost.record.messages import Delivery, InAppItem, Message, MessageVariant
from signalpost.record.receipts import Question
from signalpost.web import inbox, links, webhooks
from signalpost.web.doorkeeper import Doorkeeper

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
PUBLIC = "https://hooks.shop.example"
ANN = "+12065550101"


class Shop:
    """Signalpost's doors, mounted alone, on a record that the test fills by hand."""

    def __init__(self, database: Database, folder: Path) -> None:
        templates = folder / "templates"
        write_templates(templates)
        self.settings = settings.load(
            home=folder / "home", templates=templates, public_url=PUBLIC, on_call="night-desk"
        )
        self.now = NOW
        built = bootstrap.build(self.settings, clock=lambda: self.now, journeys=())
        built.database.close()
        self.database = database
        self.app: Signalpost = replace(
            built, database=database, desk=replace(built.desk, database=database)
        )
        self.commits = 0
        api = FastAPI()
        door = {"doorkeeper": Doorkeeper.of(self.app), "on_commit": self._committed}
        api.include_router(webhooks.router(self.app, **door))
        api.include_router(inbox.router(self.app, **door))
        api.include_router(links.router(self.app, **door))
        self.api = api
        self.client = TestClient(api, base_url=PUBLIC, raise_server_exceptions=False)

    def _committed(self) -> None:
        self.commits += 1

    # -- the record ----------------------------------------------------------------------------

    def add(self, *rows: Any) -> None:
        with self.database.writing() as session:
            for row in rows:
                session.add(row)
                session.flush()

    def all(self, table: Any, **where: Any) -> list[Any]:
        with self.database.reading() as session:
            return rows_of(session, table, **where)

    def one(self, table: Any, **where: Any) -> Any:
        [row] = self.all(table, **where)
        return row

    def customer(
        self, *, phone: str | None = ANN, email: str | None = None, locale: str = "en", **known: Any
    ) -> str:
        customer_id = new_id()
        at = NOW - timedelta(days=30)
        rows: list[Any] = [
            Customer(
                id=customer_id,
                root_id=customer_id,
                locale=locale,
                attributes=known,
                created_at=at,
                updated_at=at,
            )
        ]
        for channel, address in (("sms", phone), ("email", email)):
            if address:
                rows.append(
                    ContactPoint(
                        customer_id=customer_id,
                        channel=channel,
                        address=address,
                        verified_at=at,
                        created_at=at,
                    )
                )
        if "user_id" in known:
            rows.append(
                Identity(
                    kind="user_id",
                    value=known["user_id"],
                    customer_id=customer_id,
                    source="test",
                    created_at=at,
                )
            )
        self.add(*rows)
        return customer_id

    def merge(self, kept: str, merged: str) -> None:
        with self.database.writing() as session:
            row = session.get(Customer, merged)
            assert row is not None
            row.root_id = kept
            session.add(row)

    def enrolment(self, customer_id: str, *, wait_for: str | None = None) -> str:
        if not self.all(JourneyVersion):
            self.add(JourneyVersion(version="v1", journey="test", first_seen_at=NOW))
        enrolment_id = new_id()
        self.add(
            Enrolment(
                id=enrolment_id,
                customer_id=customer_id,
                journey="test",
                version="v1",
                lane="risk",
                entry_key=enrolment_id,
                step="ask",
                status="waiting" if wait_for else "active",
                wait_for=wait_for,
                due_at=NOW + timedelta(minutes=5),
                started_at=NOW,
                moved_at=NOW,
            )
        )
        return enrolment_id

    def question(
        self, customer_id: str, *, code: str | None = "4821", name: str = "fraud", **rest: Any
    ) -> tuple[str, str]:
        """Ask something; gives the ids of the question and of the enrolment that waits for it."""
        enrolment_id = self.enrolment(customer_id, wait_for=f"answer:{name}")
        question_id = new_id()
        self.add(
            Question(
                id=question_id,
                customer_id=customer_id,
                enrolment_id=enrolment_id,
                name=name,
                kind="confirm" if code else "scale",
                low=None if code else 1,
                high=None if code else 5,
                code=code,
                asked_at=rest.pop("asked_at", NOW - timedelta(minutes=1)),
                **rest,
            )
        )
        return question_id, enrolment_id

    def case(self, customer_id: str, enrolment_id: str) -> str:
        case_id = new_id()
        self.add(
            Case(
                id=case_id,
                kind="fraud",
                customer_id=customer_id,
                enrolment_id=enrolment_id,
                status="awaiting_customer",
                reason="suspicious",
                team="fraud",
                assignee="night-desk",
                opened_at=NOW,
            )
        )
        return case_id

    def message(self, customer_id: str, **values: Any) -> str:
        """Write a message and its delivery; gives the message's id."""
        message_id = new_id()
        at = values.pop("at", NOW)
        delivery = {
            "provider": values.pop("provider", "sendgrid"),
            "status": values.pop("delivery_status", "sending"),
            "provider_id": values.pop("provider_id", None),
        }
        parts, in_app = values.pop("parts", {"text": ["hello"]}), values.pop("in_app", False)
        known = {
            "idempotency_key": message_id,
            "customer_id": customer_id,
            "message": "offer",
            "version": "v1",
            "channel": "email",
            "address": "ann@shop.example",
            "purpose": "transactional",
            "topic": "offers",
            "locale": "en",
            "status": "sending",
            "created_at": at,
            "updated_at": at,
        } | values
        variant = MessageVariant(
            id=f"variant-{message_id}",
            message=known["message"],
            channel=known["channel"],
            locale="en",
            parts=parts,
            first_used_at=at,
        )
        rows: list[Any] = [
            variant,
            Message(id=message_id, variant_id=variant.id, **known),
            Delivery(
                id=f"d-{message_id[2:]}",
                message_id=message_id,
                attempt=1,
                started_at=at,
                **delivery,
            ),
        ]
        if in_app:
            rows.append(InAppItem(message_id=message_id, customer_id=customer_id, created_at=at))
        self.add(*rows)
        return message_id

    def in_app(self, customer_id: str, **values: Any) -> str:
        """Put a message into a customer's inbox; gives its id."""
        title, body = values.pop("title", "Hello"), values.pop("body", "A word")
        return self.message(
            customer_id,
            channel="in_app",
            address=customer_id,
            provider="in_app",
            delivery_status="accepted",
            status=values.pop("status", "handed_over"),
            parts={"title": [title], "body": [body], **values.pop("more", {})},
            in_app=True,
            **values,
        )

    # -- the world -----------------------------------------------------------------------------

    def sendgrid(
        self, *events: dict[str, Any], path: str = "/webhooks/sendgrid/events", **change: Any
    ) -> Any:
        """Send a batch of events as SendGrid does; ``change`` spoils it."""
        body = change.get("body", json.dumps(list(events)).encode() + b"\r\n")
        timestamp = "1795300000"
        key = load_pem_private_key(
            self.settings.keys["sendgrid_webhook_private_key"].encode(), password=None
        )
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        signed = key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signed).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
            "Content-Type": "application/json",
        } | change.get("headers", {})
        return self.client.post(path, content=change.get("sent", body), headers=headers)

    def twilio(self, path: str, form: dict[str, str], **change: Any) -> Any:
        """Call a webhook as Twilio does."""
        url = change.get("signed_url", PUBLIC + path)
        token = change.get("token", self.settings.keys["twilio_auth_token"])
        signature = RequestValidator(token).compute_signature(url, form)
        headers = {
            "X-Twilio-Signature": signature,
            "Content-Type": "application/x-www-form-urlencoded",
        } | change.get("headers", {})
        return self.client.post(path, content=urlencode(change.get("sent", form)), headers=headers)

    def status(self, message_id: str, status: str, **form: Any) -> Any:
        """Let Twilio report on a message, at the address that we gave it."""
        url = status_callback(
            "/webhooks/twilio/status",
            message_id=message_id,
            delivery_id="d1",
            secret=self.settings.links_signed_with[-1],
        ).partition("#")[0]
        change = {name: form.pop(name) for name in ("token", "sent") if name in form}
        fields = {"MessageSid": "SM1", "MessageStatus": status, "To": ANN, **form}
        return self.twilio(url, fields, **change)

    def text(self, body: str, *, sender: str = ANN, **form: str) -> Any:
        """Let a customer text us."""
        fields = {
            "MessageSid": form.pop("MessageSid", f"SM{new_id()}"),
            "From": sender,
            "To": "+15005550006",
            "Body": body,
            **form,
        }
        return self.twilio("/webhooks/twilio/inbound", fields)

    def token(self, purpose: str, **claims: str) -> str:
        return self.app.desk.links.token(purpose, now=self.now, **claims)


def event(message_id: str, what: str, **rest: Any) -> dict[str, Any]:
    """Make a SendGrid event about one of our messages."""
    return {
        "email": "ann@shop.example",
        "event": what,
        "timestamp": 1772445600,
        "sg_event_id": f"{what}-{message_id}",
        "sg_message_id": f"XID-{message_id}.filter0001.1.2.3",
        "x_message_id": message_id,
    } | rest


def rows_of(session: Session, table: Any, **where: Any) -> list[Any]:
    query = select(table)
    for name, value in where.items():
        query = query.where(col(getattr(table, name)) == value)
    return list(session.exec(query))


def addresses_blocked(rows: Sequence[Any]) -> set[tuple[str, str, str, str]]:
    """What is blocked: the latest row of each channel, address, scope and reason."""
    ordered = sorted(rows, key=lambda row: (row.at, row.id))
    latest = {(r.channel, r.address, r.scope, r.reason): r.active for r in ordered}
    return {key for key, active in latest.items() if active}


_MESSAGE = """purpose = "{purpose}"
topic = "{topic}"
{more}
"""


def write_templates(folder: Path) -> None:
    """Write the message folders of the shop: two offers, one of them asked about; and two questions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brand.toml").write_text(
        'name = "Larkfield"\nwebsite = "https://larkfield.example"\n'
        'postal_address = "12 Harbour Street, London"\nsupport_phone = "+44 20 7946 0018"\n'
        'domains = ["larkfield.example"]\n'
    )
    for name, purpose, topic, more in (
        ("offer", "marketing", "offers", ""),
        ("news", "marketing", "news", ""),
        ("alert", "security", "security", '[question]\nkind = "confirm"'),
        ("csat", "transactional", "orders", '[question]\nkind = "scale"\nlow = 1\nhigh = 5'),
    ):
        place = folder / name
        (place / "email").mkdir(parents=True, exist_ok=True)
        text = _MESSAGE.format(purpose=purpose, topic=topic, more=more)
        (place / "message.toml").write_text(text)
        (place / "in_app.toml").write_text('title = "Hello"\nbody = "A word"\n')
        (place / "sms.txt").write_text("Hello from {{ brand.name }}")
        unsubscribe = "{{ links.unsubscribe }} {{ brand.postal_address }}"
        (place / "email" / "subject.txt").write_text("Hello")
        (place / "email" / "body.txt").write_text(f"Hello {unsubscribe}")
        (place / "email" / "body.mjml").write_text(
            "<mjml><mj-body><mj-section><mj-column><mj-text>Hello "
            f"{unsubscribe}</mj-text></mj-column></mj-section></mj-body></mjml>"
        )
