"""No log line says who somebody is: whole conversations with canaries, and errors that quote them."""

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from flows import JOURNEYS
from signalpost.record.database import Database, open_engine
from signalpost.testing import Stage
from tests.integration.front_harness import open_front
from tests.integration.promises_harness import BO
from tests.integration.what_comes_back import Shop


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


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


def test_no_log_line_of_a_webhook_or_a_page_says_who_it_was(tmp_path, database_url):
    """A text, a bounce, an unsubscription, and one that breaks in the customer's own words."""
    canaries = ("+12065557777", "canary.person@example.com", "Canaria")
    phone, email, name = canaries
    engine = open_engine(database_url)
    shop = Shop(Database(engine), tmp_path)
    customer = shop.customer(phone=phone, email=email, first_name=name)
    message = shop.message(customer)
    link = f"/links/unsubscribe/{shop.token('unsubscribe', c=customer, m=message, t='offers')}"
    with capture_logs() as logs:
        assert shop.text(f"hello, it is {name}", sender=phone).status_code == 200
        event = {"event": "bounce", "email": email, "x_message_id": message, "sg_event_id": "e1"}
        assert shop.sendgrid({**event, "timestamp": 1795300000, "reason": name}).status_code == 204
        assert shop.client.post(link).status_code == 200
    engine.dispose()
    assert {"reply.received", "receipts.recorded", "link.unsubscribed"} <= {
        line["event"] for line in logs
    }
    said = repr(logs)
    assert [canary for canary in canaries if canary in said] == []


def test_a_request_that_breaks_tells_the_log_what_and_where_but_not_whose(tmp_path):
    with open_front(tmp_path) as front:
        stage = front.stage
        bo = stage.signal("customer.identified", **BO).customer_id
        with stage.database.writing() as session:
            session.execute(
                text(
                    "CREATE TRIGGER nosy BEFORE INSERT ON consents "
                    f"BEGIN SELECT RAISE(ABORT, 'not for {BO['email']}'); END"
                )
            )
        token = stage.desk.links.token(
            "unsubscribe", now=stage.clock(), c=bo or "", m="", t="offers"
        )
        with capture_logs() as logs:
            broken = front.client.post(f"/links/unsubscribe/{token}")
    assert broken.status_code == 500
    assert [line["event"] for line in logs] == ["web.failed"]
    assert BO["email"] not in repr(logs) + broken.text
