"""Runs of campaigns with people on every side, for the tests of what is read of them."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.record.base import new_id
from signalpost.record.campaigns import (
    CampaignAct,
    CampaignPerson,
    CampaignRun,
    CampaignShard,
    CampaignVersion,
)
from signalpost.record.customers import Customer
from signalpost.record.database import Database
from signalpost.record.messages import Message
from tests.integration.story import START

DEFINITION = {
    "name": "spring-sale",
    "message": "early_bird",
    "purpose": "marketing",
    "topic": "offers",
    "audience": {"all": [{"did": "order.placed", "within": "1y"}]},
    "channels": {"first": ["sms", "email"]},
}
PLAN = {
    "campaign": "spring-sale",
    "version": "v-1",
    "made_at": START.isoformat(),
    "description": "The offers of spring",
    "people": 6,
    "judged": 6,
    "reached": 4,
    "held_out": {"control": 1},
    "channels": {"email": 3, "sms": 1},
    "zones": {"Europe/London": 4, "America/New_York": 2},
    "excluded": [{"reason": "frequency_cap", "people": 1, "examples": []}],
    "hours": [
        {"hour": "2026-03-02T09:00:00+00:00", "channels": {"email": 3}},
        {"hour": "2026-03-02T17:00:00+00:00", "channels": {"sms": 1}},
    ],
    "stopped": 3,
    "collisions": [
        {
            "run": "r-2",
            "campaign": "clash",
            "status": "running",
            "scheduled_at": "2026-03-02T09:00:00+00:00",
            "people": 4,
            "same_here": 3,
        }
    ],
    "warnings": ["2 of its people are known in no zone."],
    "changes": ["This is its first launch."],
    "facts": [{"name": "code", "value": "LARK<15>", "from": "the promotion"}],
    "says": [
        {
            "message": "early_bird",
            "channel": "email",
            "locale": "en",
            "samples": ["product"],
            "lines": ["The Harbour jacket, before everyone else", "Hello Ann, your code: LARK<15>"],
        }
    ],
    "messages": {"early_bird": "0123456789"},
    "digest": "d1g3st",
}
LAUNCHED = START + timedelta(minutes=2)


@dataclass
class Runs:
    """The runs, by what is going on in them."""

    running: str
    waiting: str  #: for approval
    done: str


def verdict(channel: str, outcome: str, reason: str, **detail: Any) -> dict[str, Any]:
    """What the gate said about one channel, as a run writes it down."""
    return {"channel": channel, "outcome": outcome, "reason": reason, "detail": detail}


def write(database: Database, *, customer_id: str) -> Runs:
    """Write three runs down; ``customer_id`` got the message of the one that runs."""
    with database.writing() as session:
        return _Writer(session, customer_id).write()


class _Writer:
    def __init__(self, session: Session, customer_id: str) -> None:
        self.session, self.customer_id = session, customer_id

    def add(self, *rows: object) -> None:
        for row in rows:
            self.session.add(row)
            self.session.flush()

    def write(self) -> Runs:
        self.add(
            CampaignVersion(
                version="v-1", campaign="spring-sale", definition=DEFINITION, first_seen_at=START
            )
        )
        running = self.run("spring-sale", "running", started_at=LAUNCHED, people=6)
        self.acts(running, "launched", "approved", "froze")
        self.people(running)
        self.message(running)
        waiting = self.run(
            "spring-sale", "awaiting_approval", created_at=START + timedelta(hours=1)
        )
        self.acts(waiting, "launched")
        notice = {"stage": "all-clear", "series": "INC-7", "started_at": LAUNCHED, "people": 1}
        done = self.run(
            "service-notice", "done", ended_at=LAUNCHED + timedelta(minutes=1), **notice
        )
        self.decide(done, self.customer_id, "sent", "allowed")
        counts = {"sent:email:allowed": 1}
        self.add(CampaignShard(campaign_run_id=done, number=0, due_at=None, counts=counts))
        return Runs(running, waiting, done)

    def run(self, campaign: str, status: str, **more: Any) -> str:
        run = CampaignRun(
            **{
                "campaign": campaign,
                "version": "v-1",
                "occurrence": new_id(),
                "status": status,
                "scheduled_at": LAUNCHED,
                "plan": PLAN,
                "created_at": START,
                **more,
            }
        )
        self.add(run)
        return run.id

    def acts(self, run: str, *acts: str) -> None:
        for number, act in enumerate(acts):
            who = "maria" if act == "approved" else "omar"
            detail = {"digest": "d1g3st"} if act == "approved" else {}
            at = START + timedelta(seconds=number)
            self.add(CampaignAct(campaign_run_id=run, act=act, who=who, detail=detail, at=at))

    def people(self, run: str) -> None:
        stop = verdict("sms", "skip", "suppressed_stop", scope="all")
        none = verdict("email", "skip", "no_consent")
        ghost = verdict("email", "held_out", "control")
        night = {
            "channel": "email",
            "reason": "quiet_hours",
            "detail": {"until": "2026-03-03T08:00:00+00:00"},
        }
        self.decide(run, self.customer_id, "sent", "allowed", verdicts=[stop])
        for outcome, reason, verdicts in (
            ("skipped", "no_consent", [none]),
            ("held_out", "control", [ghost]),
            ("set_aside", "missing_fact:code", []),
            (None, None, [night]),
            (None, None, []),
        ):
            self.decide(run, self.somebody(), outcome, reason, verdicts=verdicts)
        counts = Counter(
            {
                "sent:email:allowed": 1,
                "skipped::no_consent": 1,
                "held_out::control": 1,
                "set_aside::missing_fact:code": 1,
            }
        )
        self.add(
            CampaignShard(
                campaign_run_id=run, number=0, due_at=LAUNCHED + timedelta(hours=8), counts=counts
            )
        )

    def somebody(self) -> str:
        one = new_id()
        self.add(Customer(id=one, root_id=one, created_at=START, updated_at=START))
        return one

    def decide(
        self, run: str, customer: str, outcome: str | None, reason: str | None, **more: Any
    ) -> None:
        decided: datetime | None = LAUNCHED + timedelta(seconds=5) if outcome else None
        self.add(
            CampaignPerson(
                campaign_run_id=run,
                customer_id=customer,
                shard=0,
                due_at=LAUNCHED if outcome else LAUNCHED + timedelta(hours=8),
                outcome=outcome,
                reason=reason,
                decided_at=decided,
                **more,
            )
        )

    def message(self, run: str) -> None:
        at = LAUNCHED + timedelta(seconds=5)
        self.add(
            Message(
                idempotency_key=f"{run}:{self.customer_id}",
                customer_id=self.customer_id,
                campaign_run_id=run,
                message="early_bird",
                version="1",
                channel="email",
                address="jane@mail.example",
                purpose="marketing",
                topic="offers",
                locale="en",
                status="delivered",
                created_at=at,
                updated_at=at,
            )
        )
