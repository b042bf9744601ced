"""Never twice, never lost: the send protocol under refusals, silence and death."""

import asyncio
import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import select

from flows import JOURNEYS
from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due, release
from signalpost.testing import Stage
from tests.killed import Killed

BO = {"user_id": "bo", "phone": "+12065550101", "email": "bo@example.com"}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def answers(status, *, channel=Channel.SMS, times=10**6, **more):
    left = [times]

    def manner(one):
        if one.channel is not channel or left[0] <= 0:
            return None
        left[0] -= 1
        return Handover(status=status, provider="outbox", **more)

    return manner


def by_channel(stage):
    return {m.channel: m for m in rows(stage, Message)}


async def dies(_group):
    raise Killed


def units_that_die_before(stage, unit):
    units = Direct(stage.desk)
    setattr(units, unit, dies)
    return units


def die_before(stage, unit):
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
    with pytest.raises(Killed):
        asyncio.run(
            advance(
                stage.desk, claim_id=claim.id, units=units_that_die_before(stage, unit), run_id=None
            )
        )


@pytest.mark.parametrize("unit", ["decide", "render", "deliver", "settle", "move"])
def test_a_worker_that_dies_at_any_point_sends_nothing_twice_and_loses_nothing(stage, unit):
    """When the lease is over another one takes up; each channel's message went out once.

    Dying between handing over and settling leaves `unknown`: it may have gone, so it is not sent
    again, and the record says that nobody knows.
    """
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    die_before(stage, unit)
    assert claim_due(stage.desk, lane="service", now=stage.clock()) == []  # still leased
    stage.run_for(minutes=3)
    assert sorted(stage.messages()) == [("pickup_ready", "in_app"), ("pickup_ready", "sms")]
    statuses = {m.status for m in rows(stage, Message)}
    assert statuses == ({"unknown"} if unit == "settle" else {"handed_over", "delivered"})
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.wait_for) == ("waiting", "event:order.picked_up")


def test_the_intent_is_on_record_before_the_provider_is_called(stage):
    seen = []

    def look(one):
        seen.extend((d.id, d.status) for d in rows(stage, Delivery) if d.id == one.delivery_id)
        return

    stage.outbox.manner = look
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_due()
    assert [status for _, status in seen] == ["sending", "sending"]


def test_a_silent_provider_leaves_unknown_and_is_not_asked_again(stage):
    stage.outbox.manner = answers(DeliveryStatus.UNKNOWN)
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(hours=5)
    assert by_channel(stage)["sms"].status == "unknown"
    assert len(rows(stage, Delivery)) == 2
    assert "email" not in by_channel(stage)


def test_an_alert_that_nobody_knows_the_fate_of_is_said_again_on_the_next_channel(stage):
    """providers.md 1.4: for a fraud alert twice is better than not at all."""
    stage.outbox.manner = answers(DeliveryStatus.UNKNOWN)
    stage.signal(
        "fraud.signalled",
        **BO,
        transaction_id="T",
        merchant="M",
        amount=5,
        currency="USD",
        occurred_at="2026-03-02T08:00:00Z",
    )
    stage.run_due()
    assert stage.messages() == [("fraud_alert", "in_app"), ("fraud_alert", "email")]


def test_a_refusal_that_was_surely_not_processed_is_tried_again_as_the_same_message(stage):
    stage.outbox.manner = answers(
        DeliveryStatus.RETRY, times=2, fault=FaultClass.TRANSIENT, code="429",
        retry_after=timedelta(seconds=30),
    )  # fmt: skip
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(minutes=3)
    assert sorted(stage.messages()) == [("pickup_ready", "in_app"), ("pickup_ready", "sms")]
    sms = by_channel(stage)["sms"]
    attempts = sorted(
        (d.attempt, d.status) for d in rows(stage, Delivery) if d.message_id == sms.id
    )
    assert attempts == [(1, "retry"), (2, "retry"), (3, "accepted")]


def test_a_provider_that_always_refuses_sets_the_person_aside_after_bounded_tries(stage):
    stage.outbox.manner = answers(DeliveryStatus.RETRY, fault=FaultClass.TRANSIENT, code="429")
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(hours=6)
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.reason) == ("set_aside", "provider_refuses:429")
    assert len([d for d in rows(stage, Delivery) if d.status == "retry"]) <= 6


def test_our_own_fault_never_burns_the_list(stage):
    """A revoked key: everybody waits, nobody is marked bad, and all go out when it is mended."""
    stage.outbox.manner = answers(
        DeliveryStatus.REJECTED, times=3, fault=FaultClass.OURS, code="401"
    )
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(minutes=1)
    assert by_channel(stage)["sms"].status in ("queued", "handed_over")
    stage.run_for(hours=3)
    assert by_channel(stage)["sms"].status == "handed_over"
    assert "email" not in by_channel(stage)


def test_one_person_whose_facts_are_missing_is_set_aside_and_the_others_get_theirs(stage):
    """Nobody can be reminded of an order in no store; the batch goes on."""
    from signalpost.domain.journey import IN_APP, Journey, Send, first
    from signalpost.domain.vocabulary import Lane

    stage.restart(
        [
            Journey(
                name="fragile",
                lane=Lane.SERVICE,
                starts_on="order.ready_for_pickup",
                key="order_id",
                steps=[Send("pickup_reminder", via=first(IN_APP))],
            )
        ]
    )
    for number in range(20):
        stage.signal("order.ready_for_pickup", user_id=f"u{number}", order_id=str(number))
    with stage.database.writing() as session:
        [victim] = session.exec(select(Enrolment).where(Enrolment.key == "7"))
        facts = {k: v for k, v in victim.context["facts"].items() if k != "store"}
        victim.context = {**victim.context, "facts": facts}
    stage.run_due()
    assert len(stage.sent) == 19
    aside = [e for e in rows(stage, Enrolment) if e.status == "set_aside"]
    assert [(e.key, e.reason) for e in aside] == [("7", "missing_fact:store")]


def test_a_batch_that_fails_comes_back_later_in_smaller_parts_until_everybody_is_alone(stage):
    for number in range(7):
        stage.signal("order.ready_for_pickup", user_id=f"u{number}", order_id=str(number))
    sizes = []
    for _ in range(5):
        claims = claim_due(stage.desk, lane="service", now=stage.clock())
        sizes.append(sorted(claim.size for claim in claims))
        for claim in claims:
            release(stage.desk, claim_id=claim.id, reason="boom", now=stage.clock())
        stage.clock.now += timedelta(minutes=5)
    assert sizes == [[7], [7], [7], [2, 5], [1, 1, 1, 1, 1, 1, 1]]


def test_somebody_who_spoils_every_batch_is_set_aside_alone(stage):
    """Six failures: an operator must look; the reason is on the record."""
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    for _ in range(6):
        [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
        release(stage.desk, claim_id=claim.id, reason="boom", now=stage.clock())
        stage.clock.now += timedelta(hours=1)
    assert claim_due(stage.desk, lane="service", now=stage.clock()) == []
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.reason) == ("set_aside", "boom")


def test_somebody_who_left_while_a_worker_held_them_gets_nothing(stage):
    """The exit takes the claim away: the worker that comes back changes nothing and sends nothing."""
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
    stage.signal("order.cancelled", user_id="bo", order_id="1")
    asyncio.run(advance(stage.desk, claim_id=claim.id, units=Direct(stage.desk), run_id=None))
    assert stage.sent == []
    [enrolment] = rows(stage, Enrolment)
    assert enrolment.status == "exited"


def test_a_slow_provider_does_not_cost_the_lease(stage):
    """The lease is short, so that a killed worker is soon replaced; waiting renews it."""
    stage.desk = dataclasses.replace(stage.desk, lease=timedelta(seconds=0.3))
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
    hand_over = stage.outbox.hand_over

    async def slowly(letter, batch):
        async with asyncio.timeout(20):
            for _ in range(3):
                stage.clock.now += timedelta(seconds=0.2)
                while rows(stage, Enrolment)[0].lease_until < stage.clock.now + timedelta(
                    seconds=0.3
                ):
                    await asyncio.sleep(0.02)  # until it was renewed
        return await hand_over(letter, batch)

    stage.outbox.hand_over = slowly
    asyncio.run(advance(stage.desk, claim_id=claim.id, units=Direct(stage.desk), run_id=None))
    assert {m.status for m in rows(stage, Message)} == {"handed_over", "delivered"}


def work(stage):
    for _ in range(6):
        for claim in claim_due(stage.desk, lane="service", now=stage.clock(), limit=3):
            units = Direct(stage.desk)
            asyncio.run(advance(stage.desk, claim_id=claim.id, units=units, run_id=None))


def tell(stage, name, users):
    for number, user in enumerate(users):
        stage.signal(name, message_id=f"{name}:{user}", user_id=user, order_id=str(number))


def test_signals_and_workers_at_once_never_wait_for_each_other_in_a_circle(stage):
    """Events that wake and end people come in while two workers move the same people on."""
    users = [f"u{number}" for number in range(8)]
    tell(stage, "order.ready_for_pickup", users)
    with ThreadPoolExecutor(4) as pool:
        tasks = [
            pool.submit(work, stage),
            pool.submit(work, stage),
            pool.submit(tell, stage, "order.picked_up", users),
            pool.submit(tell, stage, "order.cancelled", users),
        ]
    assert [error for task in tasks if (error := task.exception())] == []
    stage.run_for(minutes=5)
    assert {(e.status, e.reason) for e in rows(stage, Enrolment)} == {("exited", "order.cancelled")}
    per_message = Counter((one.message, one.channel, one.to) for one in stage.sent)
    assert max(per_message.values(), default=1) == 1
