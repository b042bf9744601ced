"""SC-01 turned round: the cart that was left, the open question, and one reminder that knows both."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from flows import JOURNEYS
from signalpost import bootstrap
from signalpost.domain.vocabulary import Lane
from signalpost.record.cases import Case, CaseEntry
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.services.intake import signals
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due
from signalpost.settings import load
from signalpost.testing import Stage
from signalpost.web.app import create_app
from signalpost.web.segment import read

ANN = {"user_id": "ann", "phone": "+12065550100", "email": "ann@example.com"}
TRAITS = {"first_name": "Ann", "timezone": "UTC"}
TRAINERS = {"name": "Harbour trainers", "quantity": 1, "price": "89.00"}
SOCKS = {"name": "Wool socks", "quantity": 2, "price": "6.50"}
SIZE = "Do the trainers run small?"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(
        folder=tmp_path, journeys=JOURNEYS, start=START, database_url=database_url
    ) as opened:
        opened.signal("customer.identified", **ANN, traits={**TRAITS, "marketing_consent": True})
        yield opened


def cart(stage: Stage, *items, **more):
    """The shop says what the whole cart holds now."""
    return stage.signal("cart.updated", user_id="ann", items=list(items), currency="GBP", **more)


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def reasons(stage, **wanted) -> list[str]:
    found = [d for d in rows(stage, DecisionRow) if d.reason != "allowed"]
    return [d.reason for d in found if all(getattr(d, k) == v for k, v in wanted.items())]


def read_as(one) -> str:
    """What a customer reads of a message, all parts together."""
    return " ".join(one.parts.values())


# -- the reminder ------------------------------------------------------------------------------


def test_an_hour_after_the_cart_was_left_one_reminder_comes_with_what_is_in_it(stage):
    cart(stage, TRAINERS)
    stage.run_for(minutes=59)
    assert stage.messages() == []
    stage.run_for(minutes=2)
    assert stage.messages() == [("cart_reminder", "email"), ("cart_reminder", "in_app")]
    assert {one.at for one in stage.sent} == {START + timedelta(hours=1)}
    stage.run_for(days=5)
    assert len(stage.sent) == 2


def test_every_change_starts_the_hour_anew_and_the_newest_cart_is_told(stage):
    cart(stage, TRAINERS)
    stage.run_for(minutes=40)
    cart(stage, TRAINERS, SOCKS)
    stage.run_for(minutes=40)
    assert stage.messages() == []
    stage.run_for(minutes=30)
    assert {one.at for one in stage.sent} == {START + timedelta(minutes=100)}
    assert all("Wool socks" in read_as(one) for one in stage.sent)
    assert reasons(stage, kind="step", outcome="exited") == ["begun_anew"]


def test_every_channel_tells_the_same_cart_the_same_total_and_the_same_question(tmp_path):
    """R-01; and who has no email address gets a text with it."""
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=START) as stage:
        for person in (ANN, {"user_id": "bo", "phone": "+12065550101"}):
            who = {"user_id": person["user_id"]}
            traits = {**TRAITS, "marketing_consent": True}
            stage.signal("customer.identified", **person, traits=traits)
            stage.signal("chat.ended", **who, question=SIZE, unresolved=True)
            stage.signal("cart.updated", **who, items=[TRAINERS], total="94.50", currency="GBP")
        stage.run_for(hours=2)
        assert {one.channel for one in stage.sent} == {"email", "in_app", "sms"}
        for one in stage.sent:
            for told in ("Harbour trainers", "£89.00", "£94.50", SIZE, "/links/agent/"):
                assert told in read_as(one), (one.channel, told)


# -- what stops it -----------------------------------------------------------------------------


def test_buying_stops_it_at_once(stage):
    cart(stage, TRAINERS)
    stage.run_for(minutes=30)
    stage.signal("order.placed", user_id="ann", order_id="7")
    [enrolment] = [e for e in rows(stage, Enrolment) if e.journey == "abandoned-cart"]
    assert (enrolment.status, enrolment.reason) == ("exited", "order.placed")
    stage.run_for(days=1)
    assert "cart_reminder" not in dict(stage.messages())


def test_who_leaves_at_the_checkout_is_reminded_an_hour_after_that(stage):
    """Most carts are left there: going to the checkout is not buying, it starts the hour anew."""
    cart(stage, TRAINERS)
    stage.run_for(minutes=30)
    stage.signal("checkout.started", user_id="ann", order_id="7")
    stage.run_for(minutes=59)
    assert stage.messages() == []
    stage.run_for(days=1)
    assert stage.messages() == [("cart_reminder", "email"), ("cart_reminder", "in_app")]
    assert {one.at for one in stage.sent} == {START + timedelta(minutes=90)}
    assert all("Harbour trainers" in read_as(one) for one in stage.sent)
    assert reasons(stage, kind="step", outcome="exited") == ["begun_anew"]


def test_who_buys_at_the_checkout_is_not_reminded(stage):
    cart(stage, TRAINERS)
    stage.signal("checkout.started", user_id="ann", order_id="7")
    stage.run_for(minutes=5)
    stage.signal("order.placed", user_id="ann", order_id="7")
    stage.run_for(days=1)
    assert "cart_reminder" not in dict(stage.messages())


def test_a_checkout_without_a_cart_reminds_of_nothing(stage):
    stage.signal("checkout.started", user_id="ann")
    stage.run_for(hours=2)
    assert stage.messages() == []
    assert [e.reason for e in rows(stage, Enrolment)] == ["the cart is empty"]


def test_an_order_that_was_reported_before_its_cart_makes_the_reminder_pointless(stage):
    """The shop's systems report out of turn: the cart of 8:50 comes after the order of 8:55."""
    stage.signal("order.placed", user_id="ann", order_id="7", at=START - timedelta(minutes=5))
    cart(stage, TRAINERS, at=START - timedelta(minutes=10))
    stage.run_for(hours=3)
    assert "cart_reminder" not in dict(stage.messages())

    assert reasons(stage, subject="cart_reminder") == []


def test_a_checkout_that_is_reported_before_its_cart_keeps_the_hour_from_the_checkout(stage):
    stage.signal("checkout.started", user_id="ann", at=START - timedelta(minutes=1))
    cart(stage, TRAINERS, at=START - timedelta(minutes=2))
    stage.run_for(hours=3)
    assert stage.messages() == [("cart_reminder", "email"), ("cart_reminder", "in_app")]
    assert reasons(stage, kind="entry", outcome="not_entered") == ["newer_came"]


def test_a_checkout_that_is_reported_after_its_order_reminds_of_nothing(stage):
    cart(stage, TRAINERS, at=START - timedelta(minutes=9))
    stage.signal("order.placed", user_id="ann", order_id="7", at=START - timedelta(minutes=5))
    stage.signal("checkout.started", user_id="ann", at=START - timedelta(minutes=7))
    stage.run_for(hours=3)
    assert "cart_reminder" not in dict(stage.messages())


def test_an_order_between_the_end_of_the_wait_and_the_send_is_seen(stage):
    """A worker has claimed the customer already: the order takes the claim away from it."""
    cart(stage, TRAINERS)
    stage.run_due()
    stage.clock.now += timedelta(hours=1)
    [claim] = claim_due(stage.desk, lane=Lane.MARKETING, now=stage.clock.now)
    stage.signal("order.placed", user_id="ann", order_id="7")
    asyncio.run(advance(stage.desk, claim_id=claim.id, units=Direct(stage.desk), run_id=None))
    stage.run_for(days=1)
    assert "cart_reminder" not in dict(stage.messages())


def test_last_months_order_stops_nothing(stage):
    stage.signal("order.placed", user_id="ann", order_id="1", at=START - timedelta(days=30))
    cart(stage, TRAINERS)
    stage.run_for(hours=2)
    assert ("cart_reminder", "email") in stage.messages()


def test_an_emptied_cart_is_not_spoken_of(stage):
    cart(stage, TRAINERS)
    stage.run_for(minutes=10)
    cart(stage)
    stage.run_for(days=1)
    assert stage.messages() == []
    assert [e.reason for e in rows(stage, Enrolment)][-1] == "the cart is empty"


def test_without_consent_nothing_goes_out_and_the_reason_is_on_record(tmp_path):
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=START) as stage:
        stage.signal("customer.identified", **ANN, traits=TRAITS)
        cart(stage, TRAINERS)
        stage.run_for(hours=2)
        assert stage.messages() == []
        assert set(reasons(stage, subject="cart_reminder")) == {"no_consent"}


def test_at_night_it_waits_for_the_morning_and_an_order_meanwhile_still_stops_it(tmp_path):
    """Two people leave a cart at 22:30; one buys at midnight, the other has an email at 8:00."""
    late = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=late) as stage:
        for name in ("ann", "bo"):
            traits = {"timezone": "UTC", "marketing_consent": True}
            stage.signal(
                "customer.identified", user_id=name, email=f"{name}@example.com", traits=traits
            )
            stage.signal("cart.updated", user_id=name, items=[TRAINERS])
        stage.run_for(hours=1, minutes=30)
        stage.signal("order.placed", user_id="bo", order_id="7")
        stage.run_for(hours=12)
        reminders = [one for one in stage.sent if one.message == "cart_reminder"]
        [email] = [one for one in reminders if one.channel == "email"]
        assert (email.to, email.at) == ("ann@example.com", datetime(2026, 3, 3, 8, 0, tzinfo=UTC))
        silent = {one.at.hour for one in reminders if one.channel == "in_app"}
        assert silent == {23}, "a line in the app wakes nobody"


def test_a_second_cart_within_three_days_is_not_spoken_of_again(stage):
    cart(stage, TRAINERS)
    stage.run_for(hours=2)
    cart(stage, SOCKS)
    stage.run_for(hours=2)
    assert len(stage.sent) == 2
    assert set(reasons(stage, subject="cart_reminder")) == {"duplicate"}


# -- which cart --------------------------------------------------------------------------------


def test_of_several_carts_the_one_touched_last_that_holds_something_is_told(stage):
    cart(stage, TRAINERS, cart_id="phone")
    stage.run_for(minutes=10)
    cart(stage, SOCKS, cart_id="laptop")
    stage.run_for(minutes=10)
    cart(stage, cart_id="laptop")
    stage.run_for(hours=2)
    assert len(stage.sent) == 2
    assert all("Harbour trainers" in read_as(one) for one in stage.sent)
    assert not any("Wool socks" in read_as(one) for one in stage.sent)


def test_a_poisoned_item_is_left_out_and_the_others_are_told(stage):
    poisoned = [{"name": "\x00\n"}, {"quantity": 3}, {"name": "x" * 900}, 7, {"price": "NaN"}]
    hostile = {"name": "<script>alert(1)</script>", "quantity": 1}
    accepted = cart(stage, *poisoned, hostile, TRAINERS)
    assert accepted.status == "accepted"
    stage.run_for(hours=2)
    [email] = [one for one in stage.sent if one.channel == "email"]
    assert "Harbour trainers" in email.parts["html"]
    assert "<script>" not in email.parts["html"]
    assert [e.status for e in rows(stage, Enrolment)] == ["done"]


def test_a_cart_of_which_nothing_can_be_read_is_no_cart(stage):
    assert cart(stage, {"quantity": 3}).status == "accepted"
    stage.run_for(hours=2)
    assert stage.messages() == []


def test_two_changes_in_one_batch_are_one_entry_with_the_newer_cart(stage):
    """A client that was offline sends both at once, the older one last."""
    given = [("b", [SOCKS], 0), ("a", [TRAINERS], 5)]
    batch = [
        signals.Signal(
            message_id=name,
            source="test",
            name="cart.updated",
            occurred_at=START - timedelta(minutes=ago),
            body_hash=name,
            identities={"user_id": "ann"},
            properties={"items": items},
            payload={},
        )
        for name, items, ago in given
    ]
    with stage.database.writing() as session:
        signals.accept(
            session,
            signals=batch,
            now=START,
            react=stage.react,
            policy=signals.SignalPolicy(fingerprints=None),
        )
    assert len(rows(stage, Enrolment)) == 1
    assert reasons(stage, kind="entry", outcome="not_entered") == ["newer_came"]
    stage.run_for(hours=2)
    assert all("Wool socks" in read_as(one) for one in stage.sent)


def test_a_change_that_is_reported_late_does_not_bring_an_old_cart_back(stage):
    cart(stage, SOCKS)
    stage.run_for(minutes=10)
    cart(stage, TRAINERS, at=START - timedelta(minutes=30))
    stage.run_for(hours=2)
    assert {one.at for one in stage.sent} == {START + timedelta(hours=1)}
    assert all("Wool socks" in read_as(one) for one in stage.sent)


def test_segments_products_added_and_removed_add_up_to_the_cart(stage):
    """Segment tells one change at a time; nobody is reminded of what they took out again."""

    def track(event, **properties):
        item = {"type": "track", "userId": "ann", "event": event, "properties": properties}
        stamped = item | {"messageId": f"{event}-{len(rows(stage, Enrolment))}"}
        signal = read(stamped, kind=None, sent_at=None, now=stage.clock.now)
        with stage.database.writing() as session:
            signals.accept(
                session,
                signals=[signal],
                now=stage.clock.now,
                react=stage.react,
                policy=signals.SignalPolicy(fingerprints=None),
            )
        stage.run_for(minutes=1)

    track("Product Added", cart_id="c", name="Harbour trainers", price=89, currency="GBP")
    track("Product Added", cart_id="c", name="Wool socks", price=6.5, quantity=3, currency="GBP")
    track("Product Removed", cart_id="c", name="Harbour trainers", price=89, currency="GBP")
    track("Product Removed", cart_id="c", name="Wool socks", quantity=1, currency="GBP")
    stage.run_for(hours=2)
    [email] = [one for one in stage.sent if one.channel == "email"]
    assert "- 2 x Wool socks, £6.50\n\n£13.00 in all" in email.text
    assert "trainers" not in email.text


# -- the open question -------------------------------------------------------------------------


def test_an_open_question_is_handed_to_the_agent_with_the_cart(stage):
    cart(stage, TRAINERS)
    stage.signal("chat.ended", user_id="ann", question=SIZE, unresolved=True)
    stage.run_for(hours=2)
    [case] = rows(stage, Case)
    assert (case.kind, case.team, case.status) == ("cart", "sales", "open")
    [assigned] = [entry for entry in rows(stage, CaseEntry) if entry.what == "assigned"]
    assert assigned.detail["question"] == SIZE
    assert [item["name"] for item in assigned.detail["items"]] == ["Harbour trainers"]


@pytest.mark.parametrize(
    "ending",
    [{"unresolved": False}, {"resolved": True}, {}],
    ids=["not open", "resolved", "silent"],
)
def test_a_chat_that_ended_well_leaves_nothing_open(stage, ending):
    cart(stage, TRAINERS)
    stage.signal("chat.ended", user_id="ann", question=SIZE, unresolved=True)
    stage.run_for(minutes=5)
    stage.signal("chat.ended", user_id="ann", question=SIZE, **ending)
    stage.run_for(hours=2)
    assert rows(stage, Case) == []
    assert len(stage.sent) == 2
    assert not any(SIZE in read_as(one) for one in stage.sent)


def test_a_question_with_a_link_in_it_reaches_the_agent_and_no_message(stage):
    """Anybody may type into a chat: we are nobody's way to send links under our name."""
    stage.signal("chat.ended", user_id="ann", question="see https://evil.example", resolved=False)
    cart(stage, TRAINERS)
    stage.run_for(hours=2)
    assert len(rows(stage, Case)) == 1
    assert len(stage.sent) == 2
    assert not any("evil" in read_as(one) for one in stage.sent)


def test_the_agents_page_shows_the_cart_and_the_question(tmp_path):
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=START) as stage:
        stage.signal("customer.identified", **ANN, traits={**TRAITS, "marketing_consent": True})
        ann = cart(stage, TRAINERS).customer_id
        stage.signal("chat.ended", user_id="ann", question=SIZE, unresolved=True)
        stage.run_for(hours=2)
    settings = load(
        home=tmp_path,
        database_url=f"sqlite:///{tmp_path / 'stage.db'}",
        api_key="read-key-of-the-tests",
        templates=Path("templates"),
        hosts="testserver",
    )
    product = bootstrap.build(settings, journeys=JOURNEYS)
    try:
        agent = TestClient(create_app(product), headers={"accept": "text/html"})
        agent.post("/login", data={"key": "read-key-of-the-tests"})
        page = agent.get(f"/customers/{ann}").text
    finally:
        product.close()
    assert "a question about a cart was left open" in page
    assert SIZE in page
    assert "Harbour trainers" in page


def test_it_runs_in_the_lane_of_marketing():
    [journey] = [one for one in JOURNEYS if one.name == "abandoned-cart"]
    assert journey.lane is Lane.MARKETING
