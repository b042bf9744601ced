"""A person with something in every table, whose every word can be looked for."""

import asyncio
from datetime import timedelta

from sqlalchemy import select

from signalpost.domain.erasure import Erased, NotErasedError
from signalpost.record import receipts as receipt_record
from signalpost.record.base import metadata, new_id
from signalpost.record.campaigns import CampaignPerson, MarketingHold
from signalpost.record.cases import CaseEntry
from signalpost.record.customers import IdentityConflict
from signalpost.record.receipts import ReceiptRow
from signalpost.services.intake import identity
from signalpost.services.privacy import erasing

PHONE, OTHER_PHONE, EMAIL = "+12065557777", "+12065558888", "canary.person@example.com"
NAME, MERCHANT, SAID = "Canaria", "Canary Jewellers", "no, says canary-bird"
CANARIES = (PHONE[2:], OTHER_PHONE[2:], EMAIL, NAME, MERCHANT, "canary-bird", "canary-agent",
            "canary-user", "canary-order", "canary-wording", "canary-raw")  # fmt: skip
FRAUD = {"amount": {"amount": "1000.00", "currency": "USD"}, "merchant": MERCHANT,
         "occurred_at": "2026-03-02T08:59:00Z"}  # fmt: skip


class Vendor:
    """A provider that forgets, or is down."""

    def __init__(self, name):
        self.name, self.down, self.asked = name, False, []

    async def erase(self, *, addresses, provider_ids):
        if self.down:
            raise NotErasedError(f"{self.name} is down")
        emails = [one for one in addresses if "@" in one]
        self.asked.append((tuple(emails), tuple(provider_ids)))
        jobs = ("job-1",) if emails else ()
        return Erased(addresses=len(emails), messages=len(provider_ids), job_ids=jobs)


def live(stage):
    """Let a person live through everything; gives the root customer's id."""
    first = stage.signal(
        "customer.identified", user_id="canary-user", email=EMAIL, phone=PHONE,
        message_id=f"crm:{EMAIL}:1",
        traits={"first_name": NAME, "assigned_agent": "canary-agent",
                "consent": {"email": {"offers": True}}},
    )  # fmt: skip
    root = first.customer_id
    stage.signal("consent.granted", user_id="canary-user", channel="email", topic="offers",
                 wording="canary-wording")  # fmt: skip
    stage.signal("fraud.signalled", user_id="canary-user", transaction_id="T-canary-1", **FRAUD)
    stage.run_due()
    stage.reply(PHONE, SAID)
    stage.signal("order.ready_for_pickup", user_id="canary-user", order_id="canary-order-1")
    stage.run_due()
    stage.signal("fraud.signalled", user_id="canary-user", transaction_id="T-canary-2", **FRAUD)
    other = stage.signal("customer.identified", phone=OTHER_PHONE).customer_id
    soon = stage.clock() + timedelta(hours=1)  # parked until its time comes
    parked = stage.signal(
        "order.placed", at=soon, phone="(206) 555-7777", order_id="canary-order-7"
    )
    assert parked.status == "parked"
    with stage.database.writing() as session:
        identity.merge(
            session, kept=root, merged=other, reason=f"the same {NAME}", now=stage.clock()
        )
        _what_no_signal_writes(session, stage, root, other)
    return root


def _what_no_signal_writes(session, stage, root, other):
    now = stage.clock()
    messages = metadata.tables["messages"]
    [sent, *_] = session.execute(select(messages.c.id).where(messages.c.customer_id == root))
    cases = metadata.tables["cases"]
    [case, *_] = session.execute(select(cases.c.id).where(cases.c.customer_id == root))
    for row in (
        ReceiptRow(provider="sendgrid", kind="opened", message_id=sent.id,
                   raw={"email": EMAIL, "ip": "canary-raw"}, at=now, received_at=now),
        ReceiptRow(provider="sendgrid", kind="opened", raw={"email": EMAIL.upper()}, at=now,
                   received_at=now),
        CampaignPerson(campaign_run_id="run-1", customer_id=root, shard=0, due_at=now,
                       verdicts=[{"reason": NAME}], outcome="sent", reason="allowed"),
        MarketingHold(customer_id=root, series="s", campaign_run_id="run-1", since=now),
        IdentityConflict(customer_id=new_id(), other_id=other, kind="email", value=EMAIL, at=now),
        CaseEntry(case_id=case.id, what="note", detail={"reply": SAID}, at=now),
    ):  # fmt: skip
        session.add(row)
        session.flush()
    receipt_record.claim_keys(session, keys={"outbox:1": new_id()})


def erase(stage, root, forgetting):
    """Erase somebody, and go on until it has to wait; gives the receipt, if all is done."""
    with stage.database.writing() as session:
        erasure_id = erasing.begin(
            session, customer_id=root, reason="they asked", who="cli:test",
            forgetting=forgetting, now=stage.clock(),
        )  # fmt: skip
    return erasure_id, proceed(stage, erasure_id, forgetting)


def proceed(stage, erasure_id, forgetting):
    """Go on with an erasure."""
    return asyncio.run(
        erasing.proceed(
            stage.database, erasure_id=erasure_id, forgetting=forgetting, now=stage.clock()
        )
    )


def found_in(database, words):
    """Give table, column and word wherever one of the words is."""
    found = set()
    with database.reading() as session:
        for table in metadata.sorted_tables:
            for row in session.execute(select(table)).mappings():
                for name, value in row.items():
                    said = str(value).lower()
                    found |= {(table.name, name, word) for word in words if word.lower() in said}
    return found


def later(stage, **length):
    """Let time pass on the clock alone."""
    stage.clock.now += timedelta(**length)
