"""A product that lives for a while on a virtual clock, so that its record can be played again."""

from datetime import UTC, datetime

from signalpost.content.campaigns import from_definition
from signalpost.domain.conditions import answer
from signalpost.domain.journey import (
    EMAIL,
    IN_APP,
    SMS,
    Ask,
    Branch,
    ExitOn,
    Issue,
    Journey,
    Send,
    Wait,
    WaitFor,
    days,
    every,
    first,
)
from signalpost.domain.vocabulary import Lane
from signalpost.services.campaigns import launching, sending
from signalpost.services.campaigns.runs import Launch
from signalpost.services.inbound import optouts
from signalpost.testing import Stage

PICKUP = Journey(
    name="pickup",
    lane=Lane.SERVICE,
    starts_on="order.ready_for_pickup",
    key="order_id",
    exits_on=[ExitOn("order.cancelled")],
    steps=[
        Send("pickup_ready", via=every(first(SMS, EMAIL), IN_APP)),
        WaitFor(
            "order.picked_up",
            within=days(2),
            otherwise=[Send("pickup_reminder", via=first(SMS, EMAIL))],
        ),
        Ask("pickup_csat", via=first(SMS, EMAIL), within=days(2), otherwise=[]),
        Branch(answer("pickup_csat") <= 2, then=[Send("csat_sorry", via=first(SMS, EMAIL))]),
    ],
)
OFFER = Journey(
    name="offer",
    lane=Lane.SERVICE,
    starts_on="order.placed",
    key="order_id",
    exits_on=[ExitOn("promotion.redeemed", match={"code": "code"}, reason="redeemed")],
    steps=[
        Wait(days=1),
        Issue("thanks", percent=10, valid=days(14)),
        Send("purchase_offer", via=every(EMAIL, IN_APP)),
    ],
)
JOURNEYS = (PICKUP, OFFER)


def moment(text):
    """Read a moment of March 2026: ``04 09:00``."""
    day, clock = text.split()
    return datetime.fromisoformat(f"2026-03-{day}T{clock}").replace(tzinfo=UTC)


def campaign(name="spring", **more):
    return from_definition(
        {
            "name": name,
            "message": "spring_promotion",
            "purpose": "marketing",
            "topic": "offers",
            "audience": {"everyone": True},
            "channels": {"every": ["email", "in_app"]},
            "approval": "never",
            "promotion": {
                "id": f"{name.upper()}-26",
                "code": "LARK15",
                "ends": "2027-05-31 23:59",
                "zone": "UTC",
                "facts": {"percent": 15},
            },
            **more,
        }
    )


class Life(Stage):
    """A stage on which campaigns are sent too."""

    def customer(self, number, **traits):
        yes = {} if traits.pop("says_no", False) else {"marketing_consent": True}
        self.signal(
            "profile.updated",
            user_id=f"u{number}",
            email=f"u{number}@example.com",
            phone=f"+1206555{number:04d}",
            traits={"first_name": f"Name{number}", "timezone": "UTC", **yes, **traits},
        )

    def go(self, wanted, **more):
        run = launching.launch(
            self.desk, launch=Launch(campaign=wanted, **more), by="ann", now=self.clock()
        )
        if run.status == "awaiting_approval":
            launching.approve(
                self.desk, campaign_run_id=run.id, by="bob", seen=run.plan["digest"],
                now=self.clock(),
            )  # fmt: skip
        if run.scheduled_at <= self.clock():
            launching.start(self.desk, campaign_run_id=run.id, now=self.clock())
            self.run_due()
        return run.id

    def begin(self, run_id):
        launching.start(self.desk, campaign_run_id=run_id, now=self.clock())
        self.run_due()

    def pause(self, run_id):
        launching.pause(self.desk, campaign_run_id=run_id, by="ann", now=self.clock())

    def resume(self, run_id):
        launching.resume(self.desk, campaign_run_id=run_id, by="ann", now=self.clock())
        self.run_due()

    def stop(self, number):
        """Somebody unsubscribes from everything by email."""
        with self.database.writing() as session:
            block = optouts.Block(
                channel="email", address=f"u{number}@example.com", scope="marketing",
                reason="unsubscribe", source="test",
            )  # fmt: skip
            optouts.block(session, blocks=[block], now=self.clock())

    def to(self, text):
        """Live until a moment of March 2026."""
        self.run_until(moment(text))
        self.run_due()

    async def _run_due(self):
        await super()._run_due()
        while claims := sending.claim_shards(self.desk, now=self.clock(), limit=4):
            for claim in claims:
                await sending.send_shard(self.desk, claim=claim, run_id=None)

    def _next_due(self):
        with self.database.reading() as session:
            shards = sending.next_due(session)
        found = [one for one in (super()._next_due(), shards) if one is not None]
        return min(found, default=None)
