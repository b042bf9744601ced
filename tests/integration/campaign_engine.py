"""Many customers and a campaign on a virtual clock, and the auditor who looks at both ends."""

import asyncio
from collections import Counter
from datetime import timedelta

from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import select

from signalpost.content.campaigns import from_definition
from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass
from signalpost.record import campaign_people, campaigns
from signalpost.record.base import new_id, table_of
from signalpost.record.bulk import insert_columns
from signalpost.record.campaigns import CampaignPerson, CampaignRun
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint, Customer
from signalpost.record.messages import Delivery, InAppItem, Message
from signalpost.services.campaigns import launching, runs, sending
from signalpost.services.campaigns.runs import Launch
from signalpost.testing import EPOCH

OFFER = {
    "id": "SPRING-26",
    "code": "LARK15",
    "ends": "2027-05-31 23:59",
    "zone": "UTC",
    "facts": {"percent": 15},
}
LOST = timedelta(minutes=10)  #: longer than any lease


def campaign(**more):
    """Make a campaign to everybody by email; ``more`` replaces keys of its file, None drops them."""
    definition = {
        "name": "spring",
        "message": "purchase_offer",
        "topic": "offers",
        "audience": {"everyone": True},
        "channels": {"every": ["email"]},
        "approval": "never",
        "promotion": OFFER,
        **more,
    }
    return from_definition({key: value for key, value in definition.items() if value is not None})


def notice(**more):
    """Make a campaign that needs no consent and keeps no hours: everybody is told of a fault."""
    return campaign(
        **{
            "name": "notice",
            "message": "service_notice",
            "purpose": "transactional",
            "topic": "service",
            "promotion": None,
            "facts": {
                "what": "deliveries in Leeds",
                "since": "2026-03-02T06:00:00Z",
                "reference": "S-1",
            },
            **more,
        }
    )


def people(stage, count, *, zone="UTC", consent=True, first=0, **attributes):
    """Write many customers at once, each with an address on every channel; gives their ids."""
    ids = [new_id() for _ in range(count)]
    numbers = range(first, first + count)
    at = EPOCH - timedelta(days=100)
    with stage.database.writing() as session:
        insert_columns(
            session,
            table_of(Customer),
            rows=count,
            columns={
                "id": ids,
                "root_id": ids,
                "zone": zone,
                "attributes": [{"first_name": f"Name{n}", **attributes} for n in numbers],
                "created_at": at,
                "updated_at": at,
            },
        )
        for channel, address in (
            ("email", "u{}@example.com"),
            ("sms", "+120655{:05d}"),
            ("in_app", "u{}"),
        ):
            insert_columns(
                session,
                table_of(ContactPoint),
                rows=count,
                columns={
                    "id": [new_id() for _ in ids],
                    "customer_id": ids,
                    "channel": channel,
                    "address": [address.format(n) for n in numbers],
                    "verified_at": at,
                    "created_at": at,
                },
            )
    if consent:
        say(stage, ids, "granted", at=at)
    return ids


def say(stage, ids, status, *, channel="*", at=None):
    """Have people say yes or no to offers."""
    at = at or stage.clock.now
    with stage.database.writing() as session:
        insert_columns(
            session,
            table_of(Consent),
            rows=len(ids),
            columns={
                "id": [new_id() for _ in ids],
                "customer_id": ids,
                "channel": channel,
                "topic": "*",
                "status": status,
                "source": "test",
                "at": at,
                "recorded_at": at,
            },
        )


def block(stage, addresses, *, channel="email", scope="all", reason="stop"):
    """Block addresses, as a STOP or an unsubscribe does."""
    with stage.database.writing() as session:
        insert_columns(
            session,
            table_of(Suppression),
            rows=len(addresses),
            columns={
                "id": [new_id() for _ in addresses],
                "channel": channel,
                "address": list(addresses),
                "scope": scope,
                "reason": reason,
                "active": True,
                "source": "test",
                "at": stage.clock.now,
            },
        )


def launched(stage, wanted, /, **more):
    """Launch and start; gives the run's id."""
    now = stage.clock.now
    run = launching.launch(stage.desk, launch=Launch(campaign=wanted, **more), by="ann", now=now)
    if run.status == "approved":
        launching.start(stage.desk, campaign_run_id=run.id, now=now)
    return run.id


def go(stage, wanted, /, **more):
    """Launch, start and send until nobody is due now; gives the run's id."""
    run_id = launched(stage, wanted, **more)
    send(stage)
    return run_id


def send(stage, *, desk=None, **options):
    """Be a sender until nothing is due now; gives what it did."""
    return asyncio.run(sender(desk or stage.desk, **options))


async def sender(desk, **options):
    reports = []
    while claims := sending.claim_shards(desk, now=desk.clock(), limit=1):
        reports.append(await sending.send_shard(desk, claim=claims[0], run_id=None, **options))
    return reports


def pass_until(stage, moment):
    """Let time pass, sending whenever somebody is due."""
    while True:
        send(stage)
        with stage.database.reading() as session:
            due = sending.next_due(session)
        if due is None or due > moment:
            break
        stage.clock.now = max(due, stage.clock.now)
    stage.clock.now = moment


def outcomes(stage, run_id):
    """Give (outcome, channels, reason) → people."""
    with stage.database.reading() as session:
        return runs.progress(session, campaign_run_id=run_id, now=stage.clock.now).counts


def the_run(stage, run_id):
    """Give a run as it stands."""
    with stage.database.reading() as session:
        return runs.find(session, which=run_id)


def acts(stage, run_id):
    """Give what was done to a run, and by whom."""
    with stage.database.reading() as session:
        return [(a["act"], a["who"]) for a in campaigns.acts(session, campaign_run_id=run_id)]


def rows(stage, table, **where):
    """Give rows of a table."""
    query = select(table)
    for name, value in where.items():
        query = query.where(getattr(table, name) == value)
    with stage.database.reading() as session:
        return list(session.exec(query))


def message_states(stage, run_id):
    """Count the run's messages by their state."""
    return Counter(row.status for row in rows(stage, Message, campaign_run_id=run_id))


def adds_up(stage, run_id):
    """Hold the counts of a run against its people: true at every moment, whatever has happened."""
    person = table_of(CampaignPerson).c
    counted = Counter()
    with stage.database.reading() as session:
        counts = session.execute(
            sql_select(person.shard, person.outcome, func.count())
            .where(person.campaign_run_id == run_id)
            .group_by(person.shard, person.outcome)
        ).all()
        for shard in campaign_people.shards(session, campaign_run_id=run_id):
            for key, number in shard["counts"].items():
                assert number >= 0, (key, number)
                counted[shard["number"], key.split(":")[0]] += number
        progress = runs.progress(session, campaign_run_id=run_id, now=stage.clock.now)
    found = {(shard, outcome): number for shard, outcome, number in counts if outcome}
    assert +counted == found
    assert progress.people == sum(number for _, _, number in counts)
    assert 0 <= progress.share <= 1
    assert progress.decided == sum(found.values())


def audit(stage, run_id):
    """Hold the record of a run against what the providers took, person by person."""
    adds_up(stage, run_id)
    mine = {row.id: row for row in rows(stage, Message, campaign_run_id=run_id)}
    taken = Counter(one.message_id for one in stage.sent if one.message_id in mine)
    assert all(times == 1 for times in taken.values())
    to_whom = Counter((mine[i].customer_id, mine[i].channel) for i in taken)
    assert all(times == 1 for times in to_whom.values())
    for message_id, row in mine.items():
        if row.status in ("handed_over", "delivered"):
            assert message_id in taken, row
        elif row.status != "unknown":
            assert message_id not in taken, row
    attempts = {d.message_id for d in rows(stage, Delivery)}
    assert set(taken) <= attempts
    decided = rows(stage, CampaignPerson, campaign_run_id=run_id)
    reached = {row.customer_id for row in mine.values() if row.status != "rejected"}
    for person in decided:
        if person.outcome == "sent":
            assert person.customer_id in reached, person
    if the_run(stage, run_id).status in ("done", "cancelled"):
        assert all(person.outcome for person in decided)
        assert {row.status for row in mine.values()}.isdisjoint({"queued", "sending"})


def inbox(stage, run_id):
    """Give how many in-app items of a run are shown, and how many were withdrawn."""
    mine = {row.id for row in rows(stage, Message, campaign_run_id=run_id)}
    items = [item for item in rows(stage, InAppItem) if item.message_id in mine]
    shown = sum(item.withdrawn_at is None for item in items)
    return shown, len(items) - shown


def refuses(one, *, code="21610", fault=FaultClass.PERMANENT, **more):
    """What a provider says that does not take a message."""
    return Handover(
        status=DeliveryStatus.REJECTED,
        provider="outbox",
        fault=fault,
        code=code,
        **more,
    )


def later(one, **more):
    """What a provider says that is asked too often."""
    return Handover(
        status=DeliveryStatus.RETRY,
        provider="outbox",
        fault=FaultClass.TRANSIENT,
        code="429",
        **more,
    )


def live(stage):
    """Count runs by their status."""
    return Counter(row.status for row in rows(stage, CampaignRun))
