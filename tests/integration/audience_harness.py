"""A small record for tests of audiences, and the question who is meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session, select

from signalpost.domain.audience import (
    Rule,
)
from signalpost.record import audiences, campaigns, consents, customers, events

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


class Book:
    """A small record, written row by row."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._count = 0

    def _id(self) -> str:
        self._count += 1
        return f"{self._count:04d}"

    def person(self, name: str, *, into: str | None = None, **values: Any) -> str:
        """Add a customer; ``into``: merged into that one."""
        made = {"locale": None, "zone": None, "attributes": {}, "created_at": ago(days=400)}
        made |= {"id": name, "root_id": into or name} | values
        self.session.add(customers.Customer(**made, updated_at=NOW))
        self.session.flush()
        return name

    def event(self, who: str | None, name: str, at: datetime, **values: Any) -> None:
        """Add an event; its facts as ``facts``."""
        made = {"source": "test", "status": "accepted", "facts": {}, "payload": {}} | values
        key = self._id()
        self.session.add(
            events.Event(
                message_id=key,
                body_hash=key,
                name=name,
                customer_id=who,
                occurred_at=at,
                received_at=at,
                **made,
            )
        )
        self.session.flush()

    def order(self, who: str, at: datetime, amount: str = "10.00", money: str = "USD") -> None:
        self.event(who, "order.placed", at, facts={"total": {"amount": amount, "currency": money}})

    def say(self, who: str, status: str, channel: str, topic: str, at: datetime) -> None:
        self.session.add(
            consents.Consent(
                id=self._id(),
                customer_id=who,
                channel=channel,
                topic=topic,
                status=status,
                source="test",
                at=at,
                recorded_at=at,
            )
        )
        self.session.flush()

    def point(self, who: str, channel: str, address: str, **values: Any) -> None:
        made = {"verified_at": ago(days=9), "created_at": ago(days=9), "replaced_at": None} | values
        self.session.add(
            customers.ContactPoint(customer_id=who, channel=channel, address=address, **made)
        )
        self.session.flush()

    def block(self, channel: str, address: str, *, at: datetime, **values: Any) -> None:
        made = {"scope": "all", "reason": "stop", "active": True, "source": "test"} | values
        self.session.add(
            consents.Suppression(id=self._id(), channel=channel, address=address, at=at, **made)
        )
        self.session.flush()

    def decided(self, who: str, campaign: str, outcome: str | None, at: datetime | None) -> None:
        run = campaigns.CampaignRun(
            campaign=campaign,
            version="v",
            occurrence=self._id(),
            status="done",
            series="outage-7",
            scheduled_at=NOW,
            created_at=NOW,
        )
        if self.session.get(campaigns.CampaignVersion, "v") is None:
            self.session.add(
                campaigns.CampaignVersion(version="v", campaign=campaign, first_seen_at=NOW)
            )
            self.session.flush()
        self.session.add(run)
        self.session.flush()
        self.session.add(
            campaigns.CampaignPerson(
                campaign_run_id=run.id,
                customer_id=who,
                shard=0,
                due_at=NOW,
                outcome=outcome,
                decided_at=at,
            )
        )
        self.session.flush()

    def who(self, rule: Rule) -> set[str]:
        """Ask for the members, and see that counting and asking one by one say the same."""
        dialect = self.session.get_bind().dialect.name
        found = list(
            self.session.execute(audiences.members(rule, now=NOW, dialect=dialect)).scalars()
        )
        assert len(found) == len(set(found)), "somebody is in twice"
        assert audiences.count(self.session, rule, now=NOW) == len(found)
        roots = customers.Customer.id == customers.Customer.root_id
        everybody = list(self.session.exec(select(customers.Customer.id).where(roots)))
        assert audiences.among(self.session, rule, ids=everybody, now=NOW) == set(found)
        return set(found)
