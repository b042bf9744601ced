"""A record written by hand: who was decided how and when, what they bought, and what came back."""

from datetime import UTC, datetime, timedelta
from typing import Any

from signalpost.record.base import new_id
from signalpost.record.campaigns import CampaignPerson, CampaignRun, CampaignVersion
from signalpost.record.customers import Customer
from signalpost.record.events import Event
from signalpost.record.messages import Message
from signalpost.record.receipts import ReceiptRow, Reply
from signalpost.services.campaigns import results

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DEFINITION = {
    "name": "spring",
    "message": "purchase_offer",
    "audience": {"everyone": True},
    "channels": {"every": ["email"]},
    "approval": "never",
    "holdout": "10%",
}


class Book:
    """The record; every call writes and commits."""

    def __init__(self, database, desk: Any = None) -> None:
        self.database, self.desk = database, desk
        self.orders = 0

    def add(self, *rows) -> None:
        with self.database.writing() as session:
            for row in rows:
                session.add(row)
                session.flush()

    def run(self, campaign="spring", *, at=NOON, status="done", plan=None, **definition) -> str:
        """Write a run of a campaign that began at that moment."""
        whole = {**DEFINITION, "name": campaign, **definition}
        version = str(hash(repr(sorted(whole.items(), key=str))))
        with self.database.writing() as session:
            if session.get(CampaignVersion, version) is None:
                session.add(
                    CampaignVersion(
                        version=version, campaign=campaign, definition=whole, first_seen_at=at
                    )
                )
                session.flush()
            run = CampaignRun(
                campaign=campaign,
                version=version,
                occurrence=new_id(),
                status=status,
                scheduled_at=at,
                people=0,
                plan=plan or {},
                created_at=at,
                started_at=at,
                ended_at=at + timedelta(hours=1) if status == "done" else None,
            )
            session.add(run)
            session.flush()
            return run.id

    def customer(self) -> str:
        one = new_id()
        self.add(Customer(id=one, root_id=one, created_at=NOON, updated_at=NOON))
        return one

    def merge(self, merged: str, into: str) -> None:
        with self.database.writing() as session:
            session.get(Customer, merged).root_id = into

    def decided(
        self, run, outcome, reason="allowed", *, who=None, at=NOON, mail=True, **more
    ) -> str:
        """Decide on somebody, a new customer unless given; who is sent to gets an email by it."""
        who = who or self.customer()
        person = CampaignPerson(
            campaign_run_id=run, customer_id=who, shard=0, due_at=at, outcome=outcome,
            reason=reason, decided_at=at if outcome else None, **more,
        )  # fmt: skip
        with self.database.writing() as session:
            session.add(person)
            session.get(CampaignRun, run).people += 1
        if outcome == "sent" and mail:
            self.message(run, who, at=at)
        return who

    def message(self, run, who, *, at=NOON, channel="email", status="delivered", **more) -> str:
        one = Message(
            **{
                "idempotency_key": new_id(), "customer_id": who, "campaign_run_id": run,
                "message": "offer", "version": "1", "channel": channel, "address": "somebody",
                "purpose": "marketing", "topic": "offers", "locale": "en", "status": status,
                "created_at": at, "updated_at": at, **more,
            }
        )  # fmt: skip
        self.add(one)
        return one.id

    def receipt(self, message, kind, *, machine=False) -> None:
        self.add(
            ReceiptRow(
                provider="sendgrid", kind=kind, message_id=message, machine=machine, at=NOON,
                received_at=NOON,
            )
        )  # fmt: skip

    def reply(self, who, *, channel="sms", at) -> None:
        self.add(
            Reply(
                provider="twilio", provider_id=new_id(), customer_id=who, channel=channel,
                sender="1", recipient="2", body="hi", meaning="other", at=at, received_at=at,
            )
        )  # fmt: skip

    def order(self, who, amount="10.00", currency="USD", *, at, order_id=None, **more) -> None:
        self.orders += 1
        facts = {"order_id": order_id or f"o{self.orders}"}
        if amount is not None:
            facts["total"] = {"amount": amount, "currency": currency}
        self.add(
            Event(
                **{
                    "message_id": new_id(), "body_hash": "", "name": "order.placed",
                    "customer_id": who, "source": "shop", "status": "accepted", "facts": facts,
                    "occurred_at": at, "received_at": at, **more,
                }
            )
        )  # fmt: skip

    def measured(self, *, at=NOON) -> str:
        """Write a run in which all of 20 who were treated bought, and none of 20 who were held out."""
        measure = {"event": "order.placed", "within": "7d", "revenue": "total", "horizon": 20}
        run = self.run("measured", at=at, holdout="50%", experiment={"measure": measure})
        for _ in range(20):
            treated = self.decided(run, "sent", at=at)
            self.order(treated, "2.50", at=at + timedelta(hours=1))
            self.decided(run, "held_out", "campaign", at=at)
        return run

    def results(self, run, *, days=10.0, prices=None):
        """Read a run's results so many days after noon."""
        now = NOON + timedelta(days=days)
        with self.database.reading() as session:
            return results.results(session, campaign_run_id=run, now=now, prices=prices)

    def whole(self, campaign="spring", *, days=10.0):
        with self.database.reading() as session:
            now = NOON + timedelta(days=days)
            return results.results_of_campaign(session, campaign=campaign, now=now)


def sides(found) -> dict[str, tuple[int, int, int, dict]]:
    """Give people, buyers, orders and revenue of each side."""
    return {
        one.name: (one.people, one.buyers, one.orders, dict(one.revenue))
        for one in found.experiment.sides
    }
