"""The promises of the design where only interference shows whether they are kept.

Two workers at one person, many workers at one cap, a commit that fails, a log that somebody reads:
each test here goes red when the line of code that keeps the promise is taken out.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select
from structlog.testing import capture_logs

from flows import JOURNEYS
from signalpost.domain.delivery import Handover, Receipt
from signalpost.domain.gate import Cap, Policy
from signalpost.domain.journey import SMS, Call, ExitOn, Journey, Send, Wait, first
from signalpost.domain.vocabulary import DeliveryStatus, Lane, ReceiptKind
from signalpost.record import enrolments
from signalpost.record.base import new_id
from signalpost.record.cases import HookCall
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from signalpost.services.inbound import receipts
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due
from signalpost.testing import Stage
from tests.integration.front_harness import open_front

BO: dict[str, Any] = {"user_id": "bo", "phone": "+12065550101", "email": "bo@example.com"}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def work(stage, claim_id, units=None):
    asyncio.run(
        advance(stage.desk, claim_id=claim_id, units=units or Direct(stage.desk), run_id=None)
    )


# -- accepted means kept -----------------------------------------------------------------------


def test_a_signal_whose_commit_fails_is_not_answered_2xx(tmp_path):
    """The disk says no at the very last moment: the sender hears of it and sends again."""
    with open_front(tmp_path) as front:
        with front.stage.database.writing() as session:
            session.execute(text("CREATE TABLE owed (id TEXT PRIMARY KEY)"))
            session.execute(
                text(
                    "CREATE TABLE owes (id TEXT REFERENCES owed (id) DEFERRABLE INITIALLY DEFERRED)"
                )
            )
            session.execute(
                text(
                    "CREATE TRIGGER fails_at_commit AFTER INSERT ON events "
                    "BEGIN INSERT INTO owes VALUES (new.id); END"
                )
            )
        event = {"type": "track", "event": "Order Completed", "userId": "bo", "messageId": "m1"}
        refused = front.batch(event)
        assert refused.status_code >= 500
        with front.stage.database.writing() as session:
            session.execute(text("DROP TRIGGER fails_at_commit"))
        assert front.batch(event).status_code == 200


# -- never twice: the fence --------------------------------------------------------------------


class Paused(Direct):
    """A worker that is stopped just before one of its units, while something else happens."""

    def __init__(self, stage: Stage, unit: str, meanwhile: Callable[[], Any]) -> None:
        super().__init__(stage.desk)
        go_on = getattr(self, unit)

        async def after_a_pause(group):
            setattr(self, unit, go_on)
            await asyncio.to_thread(meanwhile)
            return await go_on(group)

        setattr(self, unit, after_a_pause)


@pytest.mark.parametrize("unit", ["decide", "deliver", "move"])
def test_a_worker_that_slept_through_an_exit_changes_nothing(stage, unit):
    """The order is cancelled while the worker is stopped: it sends nothing more and revives nobody."""
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())

    def cancel():
        stage.signal("order.cancelled", user_id="bo", order_id="1")

    work(stage, claim.id, Paused(stage, unit, cancel))
    assert stage.messages() == (
        [("pickup_ready", "sms"), ("pickup_ready", "in_app")] if unit == "move" else []
    )
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.reason) == ("exited", "order.cancelled")


@pytest.mark.parametrize("unit", ["decide", "deliver", "move"])
def test_a_worker_that_slept_past_its_lease_leaves_everything_to_its_successor(stage, unit):
    """Invariant I2, fault F24: both come to the same message, and the customer gets it once."""
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())

    def overtake():
        stage.clock.now += stage.desk.lease + timedelta(seconds=1)
        [second] = claim_due(stage.desk, lane="service", now=stage.clock())
        work(stage, second.id)
        stage.signal("order.picked_up", user_id="bo", order_id="1")  # they have moved on since

    work(stage, claim.id, Paused(stage, unit, overtake))
    assert sorted(stage.messages()) == [("pickup_ready", "in_app"), ("pickup_ready", "sms")]
    assert {d.attempt for d in rows(stage, Delivery)} == {1}
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.claim_id) == ("active", None)


BLOCKING = Journey(
    name="blocking",
    lane=Lane.RISK,
    starts_on="card.reported",
    key="order_id",
    exits_on=[ExitOn("card.found")],
    steps=[Call("block_card"), Wait(days=1)],
)


def test_no_card_is_blocked_for_somebody_who_left_while_the_worker_was_stopped(
    tmp_path, database_url
):
    with Stage(folder=tmp_path, journeys=[BLOCKING], database_url=database_url) as stage:
        stage.signal("card.reported", **BO, order_id="1")
        [claim] = claim_due(stage.desk, lane="risk", now=stage.clock())

        def find():
            stage.signal("card.found", user_id="bo", order_id="1")

        work(stage, claim.id, Paused(stage, "deliver", find))
        assert stage.hooks.calls == []


def test_a_worker_that_dies_after_a_call_was_made_has_it_made_once(tmp_path, database_url):
    """The call is settled, the move is not: the next worker goes on without calling again."""

    class Dead(BaseException):
        pass

    def die():
        raise Dead

    with Stage(folder=tmp_path, journeys=[BLOCKING], database_url=database_url) as stage:
        stage.signal("card.reported", **BO, order_id="1")
        [claim] = claim_due(stage.desk, lane="risk", now=stage.clock())
        with pytest.raises(Dead):
            work(stage, claim.id, Paused(stage, "move", die))
        stage.run_for(minutes=10)
        assert len(stage.hooks.calls) == 1
        [call] = rows(stage, HookCall)
        assert (call.status, call.attempts) == ("done", 1)
        [enrolment] = rows(stage, Enrolment)
        assert (enrolment.status, enrolment.wait_for) == ("waiting", "time")


def test_a_provider_that_raises_leaves_unknown_and_is_not_asked_again(stage):
    """An adapter's own mistake may come after the bytes left: nobody knows, so nothing is re-sent."""

    def breaks(one):
        raise RuntimeError(f"no route to {one.address}")

    stage.outbox.manner = breaks
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(hours=5)
    assert stage.sent == []
    assert [d.status for d in rows(stage, Delivery)] == ["unknown", "unknown"]
    assert {m.status for m in rows(stage, Message)} == {"unknown"}


def test_a_message_that_a_provider_passes_over_in_silence_is_unknown(stage):
    """It answered for others and not for this one: no answer is no refusal, and nothing is re-sent."""
    hand_over = stage.outbox.hand_over

    async def forgetful(batch):
        return [one for one in await hand_over(batch) if batch[0].channel is not SMS]

    stage.outbox.hand_over = forgetful
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(hours=5)
    assert sorted(stage.messages()) == [("pickup_ready", "in_app"), ("pickup_ready", "sms")]
    statuses = {m.channel: m.status for m in rows(stage, Message)}
    assert statuses == {"sms": "unknown", "in_app": "delivered"}


@pytest.mark.parametrize("answer", [DeliveryStatus.ACCEPTED, DeliveryStatus.UNKNOWN])
def test_a_receipt_that_overtakes_the_providers_answer_stands(stage, answer):
    """Invariant I8: it was delivered before our own call returned, whatever that call then said."""

    def overtaken(one):
        receipt = Receipt(
            provider="outbox",
            kind=ReceiptKind.DELIVERED,
            at=stage.clock(),
            keys=(f"delivered:{one.message_id}",),
            message_id=one.message_id,
            provider_id="early",
        )
        with stage.database.writing() as session:
            receipts.record(session, given=[receipt], now=stage.clock())
        return Handover(delivery_id=one.delivery_id, status=answer, provider="outbox")

    stage.outbox.manner = overtaken
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_due()
    assert {m.status for m in rows(stage, Message)} == {"delivered"}
    assert {(d.status, d.provider_id) for d in rows(stage, Delivery)} == {("accepted", "early")}


# -- fraud goes first --------------------------------------------------------------------------


def test_every_alert_has_a_claim_of_its_own_and_waits_for_no_other(stage):
    for number in range(3):
        stage.signal(
            "fraud.signalled", user_id=f"u{number}", phone=BO["phone"], transaction_id=str(number),
            merchant="M", amount=5, currency="USD", occurred_at="2026-03-02T08:00:00Z",
        )  # fmt: skip
    claims = claim_due(stage.desk, lane="risk", now=stage.clock())
    assert [claim.size for claim in claims] == [1, 1, 1]


# -- caps under concurrency --------------------------------------------------------------------

WORKERS, PEOPLE, CAP = 8, 5, 2


def write_news(folder: Path) -> Path:
    """A message folder with one marketing message, which may come as often as the caps allow."""
    (folder / "news").mkdir(parents=True)
    (folder / "brand.toml").write_text(
        'name = "Larkfield"\nwebsite = "https://larkfield.example"\n'
        'postal_address = "12 Harbour Street, London"\ndomains = ["larkfield.example"]\n'
    )
    (folder / "news" / "message.toml").write_text(
        'description = "News."\npurpose = "marketing"\ntopic = "news"\n'
    )
    (folder / "news" / "sms.txt").write_text("{{ brand.name }}: news. Reply STOP to end\n")
    return folder


NEWS = Journey(
    name="news",
    lane=Lane.MARKETING,
    starts_on="news.published",
    key="issue",
    steps=[Send("news", via=first(SMS))],
)


@contextmanager
def newsroom(folder, **options):
    """A stage with one marketing journey, and five customers who want it."""
    templates = write_news(folder / "templates")
    with Stage(folder=folder, journeys=[NEWS], templates=templates, **options) as stage:
        for number in range(PEOPLE):
            stage.signal(
                "customer.identified",
                user_id=f"u{number}",
                phone=f"+1206555020{number}",
                traits={"marketing_consent": True, "timezone": "UTC"},
            )
        yield stage


def test_workers_that_decide_at_once_never_exceed_a_cap(tmp_path, database_url):
    """C26: eight workers, each with a marketing message for the same five customers, cap two a day.

    Every customer gets exactly two; every other message has its reason on the record.
    """
    policy = Policy(caps=(Cap(CAP, timedelta(days=1)),))
    with newsroom(tmp_path, database_url=database_url, policy=policy) as stage:
        for number in range(PEOPLE):
            for issue in range(WORKERS):
                stage.signal("news.published", user_id=f"u{number}", issue=str(issue))
        claims = one_claim_an_issue(stage)
        together = threading.Barrier(WORKERS)

        def at_once(claim_id):
            together.wait(timeout=30)
            work(stage, claim_id)

        with ThreadPoolExecutor(WORKERS) as workers:
            list(workers.map(at_once, claims))
        assert Counter(one.to for one in stage.sent) == {
            f"+1206555020{number}": CAP for number in range(PEOPLE)
        }
        reasons = Counter(
            (d.outcome, d.reason) for d in rows(stage, DecisionRow) if d.kind == "gate"
        )
        assert reasons == {
            ("send", "allowed"): PEOPLE * CAP,
            ("skip", "frequency_cap"): PEOPLE * (WORKERS - CAP),
        }


def one_claim_an_issue(stage):
    """Give each worker the same five customers, each by another enrolment."""
    by_issue = {}
    for enrolment in rows(stage, Enrolment):
        by_issue.setdefault(enrolment.key, []).append(enrolment.id)
    claims = []
    with stage.database.writing() as session:
        for ids in by_issue.values():
            claims.append(new_id())
            enrolments.lease(
                session, ids=ids, claim_id=claims[-1], until=stage.clock() + stage.desk.lease
            )
    return claims


# -- no personal data in logs ------------------------------------------------------------------


def test_no_log_line_says_whom_we_write_to(stage):
    """A whole alert with an answer, a provider that breaks, words that break: ids only."""
    canaries = ("+12065557777", "canary.person@example.com", "Canary Jewellers", "Canaria")
    phone, email, merchant, name = canaries
    fraud = {
        "merchant": merchant,
        "amount": {"amount": "1000.00", "currency": "USD"},
        "occurred_at": "2026-03-02T08:59:00Z",
    }

    def breaks(one):
        raise RuntimeError(f"no route to {one.address} for {name}")

    with capture_logs() as logs:
        stage.signal(
            "fraud.signalled", user_id="c", phone=phone, email=email, transaction_id="T1",
            traits={"first_name": name}, **fraud,
        )  # fmt: skip
        stage.run_due()
        stage.reply(phone, f"no idea, says {name}")
        stage.outbox.manner = breaks
        stage.signal("fraud.signalled", user_id="c", transaction_id="T2", **fraud)
        stage.run_due()
    assert any(line["event"] == "delivery.provider_raised" for line in logs)
    said = repr(logs)
    assert [canary for canary in canaries if canary in said] == []
