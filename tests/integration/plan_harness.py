"""A shop with customers for the tests of plans: message folders of their own, people in bulk."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from signalpost.content import campaigns as files
from signalpost.domain.campaign import Campaign
from signalpost.record.base import insert_rows, new_id, table_of
from signalpost.record.campaigns import CampaignPerson, CampaignRun, CampaignVersion
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint, Customer, Identity
from signalpost.record.messages import Message
from signalpost.services.campaigns import launching, runs, sending
from signalpost.services.campaigns.plan import Plan, make_plan
from signalpost.services.campaigns.runs import Launch
from signalpost.testing import Stage

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  #: a Monday morning
LONG_AGO = NOW - timedelta(days=100)
USED = ("_layout", "purchase_offer", "early_bird", "service_notice", "service_all_clear")
OFFER = {"id": "SPRING-26", "code": "LARK15", "ends": "2026-03-20T20:00:00+00:00"}


@cache
def templates() -> Path:
    """Make a folder of the few messages that these tests use; it lives as long as the tests run."""
    import atexit
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="signalpost-plans-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder = place / "templates"
    for name in USED:
        shutil.copytree(Path("templates") / name, folder / name)
    shutil.copy(Path("templates/brand.toml"), folder)
    return folder


def open_stage(folder: Path, **options: Any) -> Stage:
    """Open a stage with these messages and no journeys."""
    return Stage(folder=folder, journeys=(), templates=templates(), **options)


class Shop:
    """Customers and campaigns on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.desk = stage, stage.desk

    def customer(self, **known: Any) -> str:
        """Write down one customer; see ``rows``."""
        return self.customers([known])[0]

    def customers(self, everybody: Sequence[Mapping[str, Any]]) -> list[str]:
        """Write down customers; each says only what is not as usual."""
        tables: dict[Any, list[dict[str, Any]]] = {}
        ids = []
        for known in everybody:
            given = dict(known)
            ids.append(customer := given.pop("id", None) or new_id())
            for model, row in _rows(customer, **given):
                tables.setdefault(model, []).append(row)
        with self.stage.database.writing() as session:
            for model in (Customer, Identity, ContactPoint, Consent, Suppression, Message):
                insert_rows(session, table_of(model), tables.get(model, []))
        return ids

    def campaign(self, **said: Any) -> Campaign:
        """Make a campaign from what its file would say; see ``definition``."""
        definition = definition_of(**said)
        folder = self.stage._folder / "campaigns" / new_id()
        folder.mkdir(parents=True)
        (folder / f"{definition['name']}.yaml").write_text(yaml.safe_dump(definition))
        return files.load(folder, self.desk.catalogue)[definition["name"]]

    def plan(self, campaign: Campaign, *, now: datetime | None = None, **options: Any) -> Plan:
        """Plan a launch of it."""
        own = ("exact", "judged", "leave_out")
        desk = dataclasses.replace(self.desk, sms_prices=options.pop("prices", {}))
        given = {key: options.pop(key) for key in own if key in options}
        launch = Launch(campaign=campaign, **options)
        return make_plan(desk, launch=launch, now=now or self.stage.clock(), **given)

    def send(self, campaign: Campaign, **options: Any) -> Counter[tuple[str, str, str]]:
        """Launch it, approve it and let time pass until everybody is decided; gives the outcomes."""
        desk, clock = self.desk, self.stage.clock
        launch = Launch(campaign=campaign, **options)
        run = launching.launch(desk, launch=launch, by="ann", now=clock())
        if run.status == "awaiting_approval":
            seen = run.plan["digest"]
            launching.approve(desk, campaign_run_id=run.id, by="bo", seen=seen, now=clock())
        launching.start(desk, campaign_run_id=run.id, now=clock())
        return self.finish(run.id)

    def finish(self, run_id: str) -> Counter[tuple[str, str, str]]:
        """Let time pass until everybody of the runs that have begun is decided; gives one's outcomes."""
        asyncio.run(self._send())
        with self.stage.database.reading() as session:
            now = self.stage.clock()
            return runs.progress(session, campaign_run_id=run_id, now=now).counts

    async def _send(self) -> None:
        desk, clock = self.desk, self.stage.clock
        while True:
            while claims := sending.claim_shards(desk, now=clock(), limit=4):
                for claim in claims:
                    await sending.send_shard(desk, claim=claim, run_id=None)
            with self.stage.database.reading() as session:
                due = sending.next_due(session)
            if due is None:
                return
            clock.now = max(due, clock.now)

    def run(
        self,
        campaign: Campaign,
        *,
        status: str,
        people: Sequence[str] = (),
        outcome: str | None = None,
        **known: Any,
    ) -> str:
        """Write down a run of a campaign, as a launch would; with the people that it froze."""
        run_id = new_id()
        began = status in ("running", "paused", "done")
        with self.stage.database.writing() as session:
            insert_rows(
                session, table_of(CampaignVersion),
                [{"version": campaign.version, "campaign": campaign.name,
                  "definition": dict(campaign.definition), "first_seen_at": LONG_AGO}],
            )  # fmt: skip
            row = {
                "id": run_id, "campaign": campaign.name, "version": campaign.version,
                "occurrence": run_id, "stage": None, "series": None, "facts": {},
                "status": status, "reason": None, "scheduled_at": NOW, "local_at": None,
                "sample_of": None, "people": len(people) or None, "plan": {}, "created_at": NOW,
                "started_at": NOW if began else None, "ended_at": None, "run_id": None,
            }  # fmt: skip
            insert_rows(session, table_of(CampaignRun), [{**row, **known}])
            frozen = [
                {"campaign_run_id": run_id, "customer_id": who, "shard": 0, "due_at": NOW,
                 "tries": 0, "arm": None, "outcome": outcome, "reason": None, "verdicts": [],
                 "decided_at": None}
                for who in people
            ]  # fmt: skip
            insert_rows(session, table_of(CampaignPerson), frozen)
        return run_id


def definition_of(**said: Any) -> dict[str, Any]:
    """Give a campaign file: an offer by email to everyone, unless it says otherwise."""
    usual = {
        "name": "spring",
        "message": "purchase_offer",
        "audience": {"everyone": True},
        "channels": ["email"],
        "promotion": OFFER,
        "facts": {"percent": 15},
    }
    return {key: value for key, value in {**usual, **said}.items() if value is not None}


def _rows(
    customer: str,
    *,
    zone: str | None = "Europe/London",
    locale: str | None = "en-GB",
    attributes: Mapping[str, Any] | None = None,
    email: bool = True,
    phone: str | None = None,
    verified: bool = True,
    consent: Sequence[str] = ("email", "sms", "in_app"),
    said: str = "granted",
    in_app: bool = False,
    blocked: str | None = None,
    had: Sequence[datetime] = (),
):  # type: ignore[no-untyped-def]
    """Give the rows of one customer. ``had``: when they were sent marketing by email."""
    base = {"created_at": LONG_AGO}
    who = {"id": customer, "root_id": customer, "locale": locale, "zone": zone}
    known = {"attributes": dict(attributes or {}), "updated_at": LONG_AGO}
    yield Customer, who | known | base
    addresses = {
        "email": f"{customer}@example.com" if email else None,
        "sms": phone,
        "in_app": customer if in_app else None,
    }
    for channel, address in addresses.items():
        if address is not None:
            yield (
                ContactPoint,
                {
                    "id": new_id(), "customer_id": customer, "channel": channel,
                    "address": address, "verified_at": LONG_AGO if verified else None,
                    "replaced_at": None, **base,
                },
            )  # fmt: skip
    for channel in consent:
        yield (
            Consent,
            {
                "id": new_id(), "customer_id": customer, "channel": channel, "topic": "offers",
                "status": said, "source": "test", "wording": None, "at": LONG_AGO,
                "recorded_at": LONG_AGO,
            },
        )  # fmt: skip
    if blocked is not None:
        yield (
            Suppression,
            {
                "id": new_id(), "channel": "email", "address": addresses["email"], "scope": "all",
                "reason": blocked, "active": True, "source": "test", "at": LONG_AGO,
            },
        )  # fmt: skip
    for at in had:
        message = new_id()
        yield (
            Message,
            {
                "id": message, "idempotency_key": message, "customer_id": customer,
                "enrolment_id": None, "campaign_run_id": None, "cause_id": None,
                "message": "early_bird", "version": "1", "channel": "email",
                "address": addresses["email"], "purpose": "marketing", "topic": "offers",
                "locale": "en", "status": "delivered", "reason": None, "facts": {},
                "variant_id": None, "slots": {}, "run_id": None, "created_at": at,
                "updated_at": at, "expires_at": None,
            },
        )  # fmt: skip
