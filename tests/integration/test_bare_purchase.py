"""A purchase of which we know hardly anything is confirmed all the same (Segment: total is optional)."""

from typing import Any

from sqlmodel import select

from flows import JOURNEYS
from signalpost.record.enrolments import Enrolment
from signalpost.testing import Stage

BO: dict[str, Any] = {"user_id": "bo", "email": "bo@example.com"}


def test_an_order_with_nothing_but_its_number_is_confirmed_and_thanked_for(tmp_path, database_url):
    """Email and in-app at once, thanks after three days, an offer with consent; nobody set aside."""
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as stage:
        traits = {"timezone": "UTC", "tier": "vip", "marketing_consent": True}
        stage.signal("order.placed", **BO, order_id="7", traits=traits)
        stage.run_due()
        assert stage.messages() == [
            ("order_confirmation", "email"),
            ("order_confirmation", "in_app"),
        ]
        assert all("7" in one.text and "Total" not in one.text for one in stage.sent)
        stage.run_for(days=4)
        thanks = stage.sent[2]
        assert (thanks.message, thanks.parts["subject"]) == (
            "purchase_thanks",
            "How do you like your order?",
        )
        early = {one.channel: one for one in stage.sent[3:]}
        assert early["email"].parts["subject"] == "Our new collection, before everyone else"
        assert "our new collection" in early["in_app"].text
        with stage.database.reading() as session:
            [enrolment] = session.exec(select(Enrolment))
            assert enrolment.status != "set_aside"


def test_an_order_with_items_and_no_prices_shows_them_without_a_total(tmp_path):
    with Stage(folder=tmp_path, journeys=JOURNEYS) as stage:
        stage.signal(
            "order.placed", **BO, order_id="7", products=[{"name": "Tea"}, {"name": "Cup"}]
        )
        stage.run_due()
        for one in stage.sent:
            assert "1 x Tea" in one.text
            assert "1 x Cup" in one.text
            assert "Total" not in one.text
