"""Every decision is explained, and holds: caps under concurrency, local time, pinned versions."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows import JOURNEYS
from signalpost.domain.delivery import Handover
from signalpost.domain.gate import Cap, Policy
from signalpost.domain.journey import EMAIL, SMS, ExitOn, Journey, Send, Wait, first
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass, Lane
from signalpost.record import enrolments
from signalpost.record.base import new_id
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from signalpost.record.messages import Message
from signalpost.record.receipts import Question
from signalpost.services.intake import identity
from signalpost.services.journeys.claims import claim_due
from signalpost.testing import Stage
from tests.integration.promises_harness import ALERT, BO, explained, rows, work


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


# -- every decision is explained ---------------------------------------------------------------


def test_each_turn_of_an_alert_is_on_the_record_with_its_reason(stage):
    """Entered, joined, sent, answered, branched, closed: an auditor reads it without the code."""
    stage.signal(**ALERT)
    stage.run_due()
    stage.signal(**ALERT)
    [code] = {question.code for question in rows(stage, Question)}
    stage.reply(BO["phone"], f"OK {code}")
    stage.run_due()
    assert explained(stage, "entry") == {
        ("entered", "fraud.signalled"),
        ("joined", "already_entered"),
    }
    assert explained(stage, "gate") == {("send", "allowed")}
    assert explained(stage, "step") >= {
        ("yes", "answer_came"),
        ("then", "branch"),
        ("cleared", "case_closed"),
        ("exited", "cleared"),
    }
    by_message = {d.message_id for d in rows(stage, DecisionRow) if d.kind == "gate"}
    assert by_message == {message.id for message in rows(stage, Message)}


def test_who_left_and_who_was_woken_is_on_the_record_with_the_event_that_did_it(stage):
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.signal("order.ready_for_pickup", **BO, order_id="2")
    stage.run_due()
    stage.signal("order.cancelled", user_id="bo", order_id="1")
    stage.signal("order.picked_up", user_id="bo", order_id="2")
    events = {event.id: event.name for event in rows(stage, Event)}
    turns = {
        (events.get(d.event_id), d.outcome, d.reason)
        for d in rows(stage, DecisionRow)
        if d.kind == "step" and d.event_id
    }
    assert turns == {
        ("order.cancelled", "exited", "order.cancelled"),
        ("order.picked_up", "woken", "order.picked_up"),
    }


def busy_texts(one):
    """A provider that takes no texts just now."""
    if one.channel is not SMS:
        return None
    return Handover(
        status=DeliveryStatus.RETRY,
        provider="outbox",
        fault=FaultClass.TRANSIENT,
    )


def put_off(stage):
    """Let a text be decided on that its provider does not take."""
    stage.outbox.manner = busy_texts
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_due()


def test_a_message_that_waited_for_a_retry_is_not_sent_after_a_stop_and_says_why(stage):
    """Invariant I4: it was allowed when it was decided on, and is judged again when it is taken up.

    Then the chain goes on as if they had said it before: by the next channel.
    """
    put_off(stage)
    stage.outbox.manner = lambda _one: None
    stage.reply(BO["phone"], "STOP")
    stage.run_for(hours=1)
    assert stage.messages() == [("pickup_ready", "in_app"), ("pickup_ready", "email")]
    [text_message] = [m for m in rows(stage, Message) if m.channel == "sms"]
    assert (text_message.status, text_message.reason) == ("expired", "suppressed_stop")
    assert ("skip", "suppressed_stop") in explained(stage, "gate")


def test_what_is_too_late_by_one_channel_is_too_late_by_the_next(stage):
    """It expires by when it was to go first, not by when its channel was given up."""
    put_off(stage)
    stage.clock.now += timedelta(days=3)
    stage.run_due()
    stage.outbox.manner = lambda _one: None
    stage.clock.now += timedelta(days=2, hours=1)
    stage.run_due()
    assert ("pickup_ready", "email") not in stage.messages()
    assert ("pickup_ready", "sms") not in stage.messages()
    assert ("skip", "expired") in explained(stage, "gate")


NIGHTLY = Journey(
    name="nightly",
    lane=Lane.SERVICE,
    starts_on="order.ready_for_pickup",
    key="order_id",
    steps=[Send("pickup_reminder", via=first(SMS, EMAIL))],
)


def test_the_next_channel_may_have_to_wait_for_the_morning_and_then_still_says_it(
    tmp_path, database_url
):
    with Stage(folder=tmp_path, journeys=(NIGHTLY,), database_url=database_url) as stage:
        # The last second of the day in Seattle, where the number is.
        stage.clock.now = datetime(2026, 3, 3, 4, 59, 59, tzinfo=UTC)
        put_off(stage)
        stage.outbox.manner = lambda _one: None
        stage.reply(BO["phone"], "STOP")
        stage.run_for(hours=1)
        assert stage.messages() == []
        stage.run_for(hours=14)
        assert stage.messages() == [("pickup_reminder", "email")]


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


def test_a_cap_holds_within_one_batch_too(tmp_path):
    """Four issues for one customer are decided on together; two of them go."""
    policy = Policy(caps=(Cap(CAP, timedelta(days=1)),))
    with newsroom(tmp_path, policy=policy) as stage:
        for issue in range(4):
            stage.signal("news.published", user_id="u0", issue=str(issue))
        [claim] = claim_due(stage.desk, lane="marketing", now=stage.clock())
        assert claim.size == 4
        work(stage, claim.id)
        assert len(stage.sent) == CAP


def test_the_person_decides_what_time_it_is_and_not_the_server(tmp_path):
    """Invariant I5: 09:00 in London is one in the morning in Seattle, and 18:00 in Tokyo."""
    with newsroom(tmp_path) as stage:
        for user, zone in (("u0", "America/Los_Angeles"), ("u1", "Asia/Tokyo")):
            stage.signal("customer.identified", user_id=user, traits={"timezone": zone})
            stage.signal("news.published", user_id=user, issue="1")
        stage.run_due()
        assert [one.to for one in stage.sent] == ["+12065550201"]
        stage.run_for(hours=8)
        seattle = stage.sent[1]
        assert (seattle.to, seattle.at.hour) == ("+12065550200", 16)  # 8:00 there
        [held] = [d for d in rows(stage, DecisionRow) if d.outcome == "hold"]
        assert held.reason == "quiet_hours"


def test_somebody_held_out_gets_no_marketing_and_the_record_says_so(tmp_path):
    with newsroom(tmp_path, policy=Policy(holdout=1.0)) as stage:
        stage.signal("news.published", user_id="u0", issue="1")
        stage.run_due()
        assert stage.sent == []
        assert explained(stage, "gate") == {("skip", "holdout")}


def test_of_two_words_on_one_topic_the_later_one_counts(tmp_path):
    """Yes, then no: no. Then yes again: yes."""
    with newsroom(tmp_path) as stage:
        for issue, name in enumerate(("consent.withdrawn", "consent.granted")):
            stage.clock.now += timedelta(minutes=1)
            stage.signal(name, user_id="u0")
            stage.signal("news.published", user_id="u0", issue=str(issue))
            stage.run_due()
            assert len(stage.sent) == issue


# -- people in flight keep their version -------------------------------------------------------


def reminding(*, leaves: bool) -> Journey:
    return Journey(
        name="pickup",
        lane=Lane.SERVICE,
        starts_on="order.ready_for_pickup",
        key="order_id",
        exits_on=[ExitOn("order.cancelled")] if leaves else [],
        steps=[Wait(hours=2), Send("pickup_ready", via=first(SMS))],
    )


@pytest.mark.parametrize("leaves", [True, False])
def test_the_rules_by_which_people_leave_are_those_of_their_own_version(
    tmp_path, database_url, leaves
):
    """The journey changes while Bo is in it; his cancellation means what it meant when he entered."""
    first_version = [reminding(leaves=leaves)]
    with Stage(folder=tmp_path, journeys=first_version, database_url=database_url) as stage:
        stage.signal("order.ready_for_pickup", **BO, order_id="1")
        stage.run_due()
        stage.restart([reminding(leaves=not leaves)])
        cancelled = stage.signal("order.cancelled", user_id="bo", order_id="1")
        assert cancelled.status == "accepted"
        stage.run_for(hours=3)
        assert len(stage.sent) == (0 if leaves else 1)


def test_a_merge_neither_ends_nor_loses_the_journey_somebody_is_in(stage):
    """The order was a guest's by phone; its owner is found out while it waits in the store."""
    guest = stage.signal("order.ready_for_pickup", phone=BO["phone"], order_id="1").customer_id
    bo = stage.signal("customer.identified", user_id="bo", email=BO["email"]).customer_id
    stage.run_due()
    with stage.database.writing() as session:
        identity.merge(session, kept=bo, merged=guest, reason="one person", now=stage.clock())
    stage.signal("order.picked_up", user_id="bo", order_id="1")
    stage.run_for(days=2)  # before the wait for the pickup would have ended by itself
    assert [message for message, _ in stage.messages()] == ["pickup_ready", "pickup_csat"]


def test_a_message_that_went_an_hour_ago_for_another_cause_is_not_sent_again(stage):
    """Two orders an hour apart are thanked for once, and the record says why."""
    for order in ("1", "2"):
        stage.signal(
            "order.placed", **BO, order_id=order, total=5, currency="USD",
            products=[{"name": "Cup"}], traits={"timezone": "UTC"},
        )  # fmt: skip
        stage.run_for(hours=1)
    stage.run_for(days=5)
    assert [message for message, _ in stage.messages()].count("purchase_thanks") == 1
    assert ("skip", "duplicate") in explained(stage, "gate")
