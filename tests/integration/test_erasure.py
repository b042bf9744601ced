"""Erasing a person reaches every table, stops what runs, and does not let them come back by accident."""

import asyncio
import dataclasses
import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from flows import JOURNEYS
from signalpost.domain.delivery import Receipt
from signalpost.domain.vocabulary import ReceiptKind
from signalpost.errors import ConflictError
from signalpost.record import audit
from signalpost.record.base import metadata
from signalpost.services.inbound import optouts, receipts
from signalpost.services.privacy import erasing
from signalpost.services.privacy.receipts import Signer
from signalpost.services.reading import sheet
from signalpost.services.reading.timeline import timeline
from signalpost.services.reading.why import why
from signalpost.services.redriving import acting
from signalpost.testing import Stage
from tests.integration.erasure_harness import (
    CANARIES,
    EMAIL,
    FRAUD,
    OTHER_PHONE,
    PHONE,
    Vendor,
    erase,
    found_in,
    later,
    live,
    proceed,
)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


@pytest.fixture
def vendors():
    return Vendor("sendgrid"), Vendor("outbox")


@pytest.fixture
def forgetting(stage, vendors):
    return dataclasses.replace(stage.desk.forgetting, erasers=vendors)


def rows(stage, name):
    with stage.database.reading() as session:
        return list(session.execute(select(metadata.tables[name])).mappings())


def test_a_person_with_everything_is_in_no_table_any_more(stage, forgetting):
    root = live(stage)
    before = {table for table, _, _ in found_in(stage.database, CANARIES)}
    assert len(before) >= 14
    _, receipt = erase(stage, root, forgetting)
    assert receipt is not None
    assert found_in(stage.database, CANARIES) == set()


def test_the_file_itself_holds_nothing_of_them(stage, forgetting, tmp_path):
    if not stage.database.is_sqlite:
        pytest.skip("PostgreSQL's files are cleaned by its own vacuum; a dump is looked at instead")
    root = live(stage)
    erase(stage, root, forgetting)
    stage.database.close()
    kept = b"".join(one.read_bytes().lower() for one in tmp_path.rglob("*") if one.is_file())
    assert len(kept) > 100_000
    assert [canary for canary in CANARIES if canary.lower().encode() in kept] == []


def test_the_receipt_says_what_was_done_and_is_signed(stage, forgetting, vendors):
    root = live(stage)
    erasure_id, receipt = erase(stage, root, forgetting)
    assert receipt["customer_id"] == root
    assert len(receipt["customer_ids"]) == 2
    assert receipt["who"] == "cli:test"
    assert receipt["rows"]["identities"] >= 4
    assert receipt["rows"]["messages"] >= 3
    assert receipt["providers"]["sendgrid"]["job_ids"] == ["job-1"]
    assert receipt["providers"]["outbox"]["messages"] >= 3
    assert vendors[0].asked[0][0] == (EMAIL,)
    signer = Signer(forgetting.signing_key)
    assert signer.signed(receipt)
    assert signer.signed(json.loads(json.dumps(receipt)))
    assert not signer.signed({**receipt, "who": "somebody else"})
    assert not signer.signed({**receipt, "signature": ""})
    said = json.dumps(receipt)
    assert [canary for canary in CANARIES if canary in said] == []
    kept = forgetting.folder / f"{erasure_id}.json"
    assert json.loads(kept.read_text()) == receipt
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_audit_log_says_who_erased_whom(stage, forgetting):
    root = live(stage)
    erase(stage, root, forgetting)
    with stage.database.reading() as session:
        [entry] = audit.entries(session, subject=root)
        assert audit.verify(session) is None
    assert (entry.actor, entry.action) == ("cli:test", "customer.erased")


def test_journeys_stop_and_nothing_more_is_sent(stage, forgetting):
    root = live(stage)
    open_before = [one for one in rows(stage, "enrolments") if one["ended_at"] is None]
    assert open_before
    count = len(stage.sent)
    erase(stage, root, forgetting)
    stage.run_for(days=7)
    assert len(stage.sent) == count
    assert all(one["ended_at"] for one in rows(stage, "enrolments"))
    assert {one["reason"] for one in rows(stage, "enrolments")} >= {"erased"}


def test_a_provider_that_is_down_delays_its_step_and_loses_nothing(stage, forgetting, vendors):
    root = live(stage)
    vendors[0].down = True
    erasure_id, receipt = erase(stage, root, forgetting)
    assert receipt is None
    assert {table for table, _, _ in found_in(stage.database, CANARIES)} == {"erasures"}
    steps = {one["step"]: one for one in rows(stage, "erasure_steps")}
    assert steps["outbox"]["done_at"]
    assert steps["sendgrid"]["done_at"] is None
    assert steps["sendgrid"]["detail"] == {"waits": "sendgrid is down"}
    assert steps["sendgrid"]["next_at"] > stage.clock()
    vendors[0].down = False
    later(stage, minutes=5)
    receipt = proceed(stage, erasure_id, forgetting)
    assert vendors[0].asked == [((EMAIL,), vendors[0].asked[0][1])]
    assert receipt["providers"]["sendgrid"]["addresses"] == 1
    assert found_in(stage.database, CANARIES) == set()
    assert proceed(stage, erasure_id, forgetting) == receipt


def test_an_address_that_is_imported_again_stays_blocked_for_marketing(stage, forgetting):
    root = live(stage)
    erase(stage, root, forgetting)
    again = stage.signal("customer.identified", user_id="new-1", email=EMAIL.upper(), phone=PHONE)
    assert again.customer_id not in (None, root)
    stage.signal("customer.identified", user_id="new-2", email="somebody.else@example.com")
    with stage.database.reading() as session:
        held = optouts.in_force(session, [EMAIL, PHONE, "somebody.else@example.com"])
    assert held == {
        ("email", EMAIL, "marketing", "erased"),
        ("sms", PHONE, "marketing", "erased"),
    }


def test_a_stop_outlives_the_erasure(stage, forgetting):
    root = live(stage)
    stage.reply(PHONE, "STOP")
    erase(stage, root, forgetting)
    stage.signal("customer.identified", user_id="new-1", phone=PHONE)
    with stage.database.reading() as session:
        held = optouts.in_force(session, [PHONE])
    assert ("sms", PHONE, "all", "stop") in held


def test_an_event_that_is_redriven_knows_an_erased_address_again(stage, forgetting):
    root = live(stage)
    stage.reply(PHONE, "STOP")
    erase(stage, root, forgetting)
    soon = stage.clock() + timedelta(hours=1)
    parked = stage.signal("customer.identified", at=soon, user_id="new-1", phone=PHONE)
    assert parked.status == "parked"
    stage.clock.now = soon
    done = asyncio.run(
        acting.redrive(stage.desk, ids=[parked.event_id], actor="test", now=stage.clock())
    )
    assert done.events == 1
    with stage.database.reading() as session:
        held = optouts.in_force(session, [PHONE])
    assert ("sms", PHONE, "all", "stop") in held


def test_a_signal_that_is_sent_again_brings_nothing_back(stage, forgetting):
    sent = {"message_id": "shop:77", "email": EMAIL, "order_id": "canary-order-5", "total": "9.99",
            "currency": "USD"}  # fmt: skip
    root = stage.signal("order.placed", **sent).customer_id
    erase(stage, root, forgetting)
    assert stage.signal("order.placed", **sent).status == "duplicate"
    assert stage.signal("order.placed", **sent, coupon="other body").status == "duplicate"
    assert found_in(stage.database, CANARIES) == set()


def test_late_receipts_and_replies_bring_nothing_back(stage, forgetting):
    root = live(stage)
    sent = rows(stage, "messages")[0]["id"]
    erase(stage, root, forgetting)
    late = [
        Receipt(provider="sendgrid", keys=("k1",), kind=ReceiptKind.BOUNCED, at=stage.clock(),
                message_id=sent, address=EMAIL, raw={"email": EMAIL}),
        Receipt(provider="sendgrid", keys=("k2",), kind=ReceiptKind.COMPLAINED, at=stage.clock(),
                address=EMAIL, raw={"email": EMAIL}),
    ]  # fmt: skip
    with stage.database.writing() as session:
        done = receipts.record(
            session, given=late, now=stage.clock(), fingerprints=forgetting.fingerprints
        )
    assert done.new == 2
    stage.reply(PHONE, "hello? this is canary-bird")
    stage.reply(OTHER_PHONE, "STOP")
    assert found_in(stage.database, CANARIES) == set()
    stage.signal("customer.identified", user_id="new-1", phone=OTHER_PHONE)
    with stage.database.reading() as session:
        assert ("sms", OTHER_PHONE, "all", "stop") in optouts.in_force(session, [OTHER_PHONE])


def test_an_address_that_two_people_have_keeps_the_other_ones_blocks(stage, forgetting):
    mother = stage.signal("customer.identified", user_id="mother", phone=PHONE).customer_id
    stage.signal("customer.identified", user_id="child", phone=PHONE)
    stage.reply(PHONE, "STOP")
    erase(stage, mother, forgetting)
    with stage.database.reading() as session:
        assert ("sms", PHONE, "all", "stop") in optouts.in_force(session, [PHONE])


def test_the_pages_of_an_erased_customer_still_open(stage, forgetting):
    root = live(stage)
    erase(stage, root, forgetting)
    with stage.database.reading() as session:
        found = sheet.sheet(session, customer_id=root)
        assert found.name is None
        said = json.dumps(
            [
                found.to_json(),
                [one.to_json() for one in timeline(session, customer_id=root).entries],
                [one.to_json() for one in why(session, customer_id=root)],
            ],
            default=str,
        )
    assert [canary for canary in CANARIES if canary in said] == []


def test_nobody_is_erased_twice(stage, forgetting):
    root = live(stage)
    erase(stage, root, forgetting)
    with stage.database.writing() as session, pytest.raises(ConflictError):
        erasing.begin(session, customer_id=root, reason="again", who="cli:test",
                      forgetting=forgetting, now=stage.clock())  # fmt: skip


def test_a_dry_run_counts_and_changes_nothing(stage, forgetting):
    root = live(stage)
    before = found_in(stage.database, CANARIES)
    with stage.database.reading() as session:
        plan = erasing.plan(session, customer_id=root)
    assert plan.rows["messages"] >= 3
    assert plan.addresses == 3
    assert found_in(stage.database, CANARIES) == before


def test_others_are_left_alone(stage, forgetting):
    stage.signal("fraud.signalled", user_id="bo", phone="+12065550101", email="bo@example.com",
                 transaction_id="T-bo", **{**FRAUD, "merchant": "Bo's shop"})  # fmt: skip
    stage.run_due()
    words = ("bo@example.com", "+12065550101", "Bo's shop")
    before = found_in(stage.database, words)
    root = live(stage)
    erase(stage, root, forgetting)
    assert before <= found_in(stage.database, words)
    assert stage.reply("+12065550101", "help") is not None
