"""The personal link: to one's own agent, with what it is about, and on the record."""

from datetime import timedelta
from pathlib import Path

import pytest

from signalpost.record.cases import Case, CaseEntry
from signalpost.record.database import Database
from signalpost.record.events import Event
from tests.integration.what_comes_back import NOW, Shop


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


def arrive(shop: Shop, customer: str, **message: object) -> tuple[str, str]:
    """Get a message with a link; gives the link and the message's id."""
    enrolment = shop.enrolment(customer)
    message_id = shop.in_app(customer, enrolment_id=enrolment, topic="security", **message)
    return f"/links/agent/{shop.token('agent', c=customer, m=message_id)}", message_id


def test_the_page_names_the_customers_own_agent_and_what_it_is_about(shop: Shop) -> None:
    customer = shop.customer(first_name="Ann", last_name="Archer", assigned_agent="Grace Hopper")
    address, _ = arrive(shop, customer, title="Did you make this payment?")
    page = shop.client.get(address).text
    assert "Ann, you are talking to Grace Hopper" in page
    assert "Did you make this payment?" in page
    assert "Archer" not in page
    assert shop.all(Event) == []


def test_without_an_agent_the_one_on_call_is_met(shop: Shop) -> None:
    address, _ = arrive(shop, shop.customer())
    assert "our agent on call" in shop.client.get(address).text
    shop.client.post(address)
    assert shop.one(Case).assignee == "night-desk"


def test_a_subject_with_anything_personal_in_it_is_not_shown(shop: Shop) -> None:
    customer = shop.customer()
    enrolment = shop.enrolment(customer)
    message = shop.message(
        customer,
        enrolment_id=enrolment,
        topic="account_safety",
        parts={"subject": ["Order ", {"slot": "s0"}]},
        slots={"s0": "5004"},
    )
    page = shop.client.get(f"/links/agent/{shop.token('agent', c=customer, m=message)}").text
    assert "5004" not in page
    assert "Account safety" in page


def test_asking_is_recorded_once_and_hands_the_agent_a_conversation(shop: Shop) -> None:
    customer = shop.customer(assigned_agent="Grace Hopper")
    address, message = arrive(shop, customer)
    pages = [shop.client.post(address) for _ in range(3)]
    assert {page.status_code for page in pages} == {200}
    assert all("We have told Grace Hopper" in page.text for page in pages)
    event = shop.one(Event)
    assert (event.name, event.customer_id, event.status) == (
        "agent.contacted",
        customer,
        "accepted",
    )
    assert event.facts == {"message_id": message, "agent": "Grace Hopper"}
    case = shop.one(Case)
    assert (case.kind, case.assignee, case.status) == ("conversation", "Grace Hopper", "open")
    assert case.context["message_id"] == message
    assert [entry.what for entry in shop.all(CaseEntry)] == ["opened"]


def test_a_second_message_of_the_same_journey_joins_the_conversation(shop: Shop) -> None:
    customer = shop.customer(assigned_agent="Grace Hopper")
    enrolment = shop.enrolment(customer)
    for _ in range(2):
        message = shop.in_app(customer, enrolment_id=enrolment)
        shop.client.post(f"/links/agent/{shop.token('agent', c=customer, m=message)}")
    assert len(shop.all(Case)) == 1
    assert [entry.what for entry in shop.all(CaseEntry)] == ["opened", "joined"]


def test_a_link_to_somebody_elses_message_opens_nothing(shop: Shop) -> None:
    ann, ben = shop.customer(first_name="Ann"), shop.customer(phone="+12065550102")
    _, message = arrive(shop, ben)
    address = f"/links/agent/{shop.token('agent', c=ann, m=message)}"
    for answer in (shop.client.get(address), shop.client.post(address)):
        assert answer.status_code == 400
    assert shop.all(Event) == []


def test_the_link_ends(shop: Shop) -> None:
    address, _ = arrive(shop, shop.customer())
    shop.now = NOW + timedelta(days=15)
    assert shop.client.post(address).status_code == 400


def test_a_hostile_name_is_only_a_name(shop: Shop) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    address, _ = arrive(shop, shop.customer(first_name=hostile, assigned_agent=hostile))
    for page in (shop.client.get(address).text, shop.client.post(address).text):
        assert "<img" not in page
