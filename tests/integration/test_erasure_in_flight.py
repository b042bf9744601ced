"""Erasing while sends are on their way: they end without bringing anything back (fault F29)."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from flows import JOURNEYS
from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass
from signalpost.record.base import metadata
from signalpost.services.privacy import erasing
from signalpost.testing import Stage
from tests.integration import campaign_engine as engine
from tests.integration.erasure_harness import (
    CANARIES,
    EMAIL,
    FRAUD,
    NAME,
    PHONE,
    Vendor,
    found_in,
    later,
    proceed,
)


@pytest.fixture
def stage(tmp_path, database_url):
    campaigns = {"notice": engine.notice()}
    with Stage(
        folder=tmp_path, journeys=JOURNEYS, campaigns=campaigns, database_url=database_url
    ) as opened:
        yield opened


@pytest.fixture
def forgetting(stage):
    return dataclasses.replace(stage.desk.forgetting, erasers=[Vendor("outbox")])


class EraseMeanwhile:
    """A provider during whose call the person is erased."""

    def __init__(self, stage, root, forgetting, answer):
        self.stage, self.root, self.forgetting, self.answer = stage, root, forgetting, answer
        self.erasure_id = None

    def __call__(self, one):
        if self.erasure_id is None:
            with self.stage.database.writing() as session:
                self.erasure_id = erasing.begin(
                    session, customer_id=self.root, reason="they asked", who="cli:test",
                    forgetting=self.forgetting, now=self.stage.clock(),
                )  # fmt: skip
            with ThreadPoolExecutor(1) as thread:  # we are inside of the sender's event loop
                waits = thread.submit(proceed, self.stage, self.erasure_id, self.forgetting)
            assert waits.result() is None  # a message is on its way
        return self.answer(one)


def takes(one):
    return Handover(status=DeliveryStatus.ACCEPTED, provider="outbox",
                    provider_id="late-1")  # fmt: skip


def refuses(one):
    return Handover(status=DeliveryStatus.REJECTED, provider="outbox",
                    fault=FaultClass.PERMANENT, code="21610", suppress="stop")  # fmt: skip


def rows(stage, name):
    with stage.database.reading() as session:
        return list(session.execute(select(metadata.tables[name])).mappings())


@pytest.mark.parametrize("answer", [takes, refuses])
def test_a_message_on_its_way_ends_and_brings_nothing_back(stage, forgetting, answer):
    root = stage.signal(
        "fraud.signalled", user_id="canary-user", phone=PHONE, email=EMAIL,
        traits={"first_name": NAME}, transaction_id="T1", **FRAUD,
    ).customer_id  # fmt: skip
    manner = stage.outbox.manner = EraseMeanwhile(stage, root, forgetting, answer)
    stage.run_due()
    stage.run_for(hours=2)
    assert len({one["id"] for one in rows(stage, "messages")}) <= 3  # the alert's channels, no more
    receipt = proceed(stage, manner.erasure_id, forgetting)
    assert receipt is not None
    assert found_in(stage.database, CANARIES) == set()
    asked = forgetting.erasers[0].asked[-1][1]
    assert ("late-1" in asked) == (answer is takes)
    if answer is refuses:  # the block that came of it holds when the number comes again
        stage.signal("customer.identified", user_id="new", phone=PHONE)
        assert ("all", "stop") in {
            (one["scope"], one["reason"]) for one in rows(stage, "suppressions")
        }


def test_who_waits_in_a_campaign_is_taken_out_and_its_counts_add_up(stage, forgetting):
    ids = engine.people(stage, 5)
    run_id = engine.launched(stage, stage.desk.campaigns["notice"])
    gone = ids[2]
    with stage.database.writing() as session:
        erasing.begin(session, customer_id=gone, reason="they asked", who="cli:test",
                      forgetting=forgetting, now=stage.clock())  # fmt: skip
    engine.send(stage)
    engine.adds_up(stage, run_id)
    outcomes = {one["customer_id"]: one["outcome"] for one in rows(stage, "campaign_people")}
    assert outcomes[gone] == "cancelled"
    assert sorted(outcomes[one] for one in ids if one != gone) == ["sent"] * 4
    assert len(stage.sent) == 4


def test_somebody_erased_while_their_campaign_mail_is_on_its_way(stage, forgetting):
    ids = engine.people(stage, 3)
    with stage.database.reading() as session:
        points = metadata.tables["contact_points"]
        addresses = list(
            session.execute(
                select(points.c.address).where(points.c.customer_id == ids[1])
            ).scalars()
        )
    run_id = engine.launched(stage, stage.desk.campaigns["notice"])
    manner = stage.outbox.manner = EraseMeanwhile(stage, ids[1], forgetting, takes)
    engine.send(stage)
    later(stage, minutes=1)
    assert proceed(stage, manner.erasure_id, forgetting) is not None
    engine.adds_up(stage, run_id)
    assert found_in(stage.database, [one for one in addresses if len(one) > 8]) == set()
    assert {one["status"] for one in rows(stage, "messages")} == {"handed_over"}
