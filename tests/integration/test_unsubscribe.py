"""Unsubscribing and preferences: a button does it, a scanner does not, and the latest word counts."""

from datetime import timedelta
from pathlib import Path

import pytest

from signalpost.record.consents import Consent, Suppression
from signalpost.record.database import Database
from tests.integration.what_comes_back import ANN, NOW, Shop, addresses_blocked

ANN_MAIL = "ann@shop.example"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


@pytest.fixture
def ann(shop: Shop) -> str:
    return shop.customer(email=ANN_MAIL, first_name="Ann")


def link(shop: Shop, customer: str, purpose: str = "unsubscribe") -> str:
    message = shop.message(customer)
    claims = {"c": customer, "m": message}
    if purpose == "unsubscribe":
        claims["t"] = "offers"
    return f"/links/{purpose}/{shop.token(purpose, **claims)}"


def grant(shop: Shop, customer: str, channel: str, topic: str) -> None:
    at = NOW - timedelta(days=2)
    shop.add(
        Consent(
            customer_id=customer,
            channel=channel,
            topic=topic,
            status="granted",
            source="form",
            at=at,
            recorded_at=at,
        )
    )


# --- unsubscribe ---


def test_one_click_unsubscribes_before_it_is_answered(shop: Shop, ann: str) -> None:
    """RFC 8058: no cookie, no login, no redirect."""
    answer = shop.client.post(link(shop, ann), data=ONE_CLICK, follow_redirects=False)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    said = shop.one(Consent)
    assert (said.customer_id, said.channel, said.topic) == (ann, "email", "offers")
    assert (said.status, said.source) == ("denied", "list-unsubscribe")
    blocked = {("email", ANN_MAIL, "offers", "unsubscribe")}
    assert addresses_blocked(shop.all(Suppression)) == blocked


def test_one_click_may_come_in_parts(shop: Shop, ann: str) -> None:
    answer = shop.client.post(link(shop, ann), files={"List-Unsubscribe": (None, "One-Click")})
    assert answer.status_code == 200
    assert shop.one(Consent).source == "list-unsubscribe"


def test_the_button_on_the_page_does_the_same(shop: Shop, ann: str) -> None:
    page = shop.client.get(link(shop, ann))
    assert '<form method="post">' in page.text
    shop.client.post(link(shop, ann), data={"unsubscribe": "yes"})
    assert shop.one(Consent).source == "unsubscribe page"


def test_a_scanner_that_opens_the_link_changes_nothing(shop: Shop, ann: str) -> None:
    """C2."""
    address = link(shop, ann)
    for _ in range(50):
        assert shop.client.get(address).status_code == 200
        assert shop.client.head(address).status_code == 200
    assert shop.all(Consent) == []
    assert shop.all(Suppression) == []


def test_unsubscribing_twice_is_written_once(shop: Shop, ann: str) -> None:
    address = link(shop, ann)
    answers = [shop.client.post(address, data=ONE_CLICK) for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert len(shop.all(Consent)) == 1
    assert len(shop.all(Suppression)) == 1


def test_an_altered_link_looks_the_same_and_does_nothing(shop: Shop, ann: str) -> None:
    address = link(shop, ann)
    wrong = link(shop, ann, "preferences").replace("preferences", "unsubscribe")
    for spoilt in (address[:-1], address + "x", wrong, "/links/unsubscribe/x"):
        assert shop.client.get(spoilt).text == shop.client.get(address).text
        answer = shop.client.post(spoilt, data=ONE_CLICK)
        assert answer.status_code == 200
    assert shop.all(Consent) == []
    assert answer.text == shop.client.post(address, data=ONE_CLICK).text


def test_the_link_works_for_more_than_thirty_days(shop: Shop, ann: str) -> None:
    """C5: CAN-SPAM asks for 30 days."""
    address = link(shop, ann)
    shop.now += timedelta(days=365)
    shop.client.post(address, data=ONE_CLICK)
    assert shop.one(Consent).status == "denied"


def test_the_link_of_a_merged_customer_speaks_for_the_whole_person(shop: Shop, ann: str) -> None:
    kept = shop.customer(phone="+12065550102")
    address = link(shop, ann)
    shop.merge(kept, ann)
    shop.client.post(address, data=ONE_CLICK)
    assert shop.one(Consent).customer_id == kept


def test_a_token_never_blocks_the_address_of_somebody_else(shop: Shop, ann: str) -> None:
    ben = shop.customer(phone="+12065550102", email="ben@shop.example")
    his = shop.message(ben, address="ben@shop.example")
    token = shop.token("unsubscribe", c=ann, m=his, t="offers")
    shop.client.post(f"/links/unsubscribe/{token}", data=ONE_CLICK)
    assert shop.one(Consent).customer_id == ann
    assert shop.all(Suppression) == []


def test_pages_are_cautious(shop: Shop, ann: str) -> None:
    for purpose in ("unsubscribe", "preferences", "agent"):
        answer = shop.client.get(link(shop, ann, purpose))
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert ANN_MAIL not in answer.text
        assert ANN not in answer.text
    style = shop.client.get("/links/style.css")
    assert style.headers["content-type"].startswith("text/css")


# --- preferences ---


def shown(page: str) -> dict[str, bool]:
    """The boxes on the page, and whether each is ticked."""
    boxes = [part.partition(">")[0] for part in page.split('<input type="checkbox" ')[1:]]
    return {box.split('"')[1]: " checked" in box for box in boxes}


def save(shop: Shop, address: str, *ticked: str) -> dict[str, bool]:
    boxes = shown(shop.client.get(address).text)
    form = {"shown": ",".join(boxes)} | dict.fromkeys(ticked, "on")
    return shown(shop.client.post(address, data=form).text)


def test_the_page_shows_what_may_be_chosen_and_what_stands(shop: Shop, ann: str) -> None:
    grant(shop, ann, "email", "offers")
    boxes = shown(shop.client.get(link(shop, ann, "preferences")).text)
    assert boxes == {
        f"{channel}:{topic}": (channel, topic) == ("email", "offers")
        for channel in ("email", "sms", "in_app")
        for topic in ("offers", "news")
    }


def test_only_what_was_changed_is_written_with_its_wording(shop: Shop, ann: str) -> None:
    grant(shop, ann, "email", "offers")
    address = link(shop, ann, "preferences")
    assert save(shop, address, "email:offers", "sms:news")["sms:news"]
    [said] = shop.all(Consent, source="preference centre")
    assert (said.channel, said.topic, said.status) == ("sms", "news", "granted")
    assert said.wording == "News: Text message"
    save(shop, address, "email:offers", "sms:news")
    assert len(shop.all(Consent)) == 2
    assert not save(shop, address)["email:offers"]


def test_what_the_page_did_not_show_stays_as_it_is(shop: Shop, ann: str) -> None:
    grant(shop, ann, "email", "offers")
    address = link(shop, ann, "preferences")
    shop.client.post(address)
    shop.client.post(address, data={"shown": "sms:news,nonsense:x", "nonsense:x": "on"})
    assert len(shop.all(Consent)) == 1


def test_a_new_yes_lifts_an_unsubscribe(shop: Shop, ann: str) -> None:
    grant(shop, ann, "email", "offers")
    shop.client.post(link(shop, ann), data=ONE_CLICK)
    address = link(shop, ann, "preferences")
    assert not shown(shop.client.get(address).text)["email:offers"]
    shop.now += timedelta(days=1)
    assert save(shop, address, "email:offers")["email:offers"]
    assert addresses_blocked(shop.all(Suppression)) == set()


def test_what_was_stopped_by_text_is_opened_by_start_alone(shop: Shop, ann: str) -> None:
    shop.text("STOP")
    address = link(shop, ann, "preferences")
    assert "START" in shop.client.get(address).text
    assert not save(shop, address, "sms:offers")["sms:offers"]
    assert addresses_blocked(shop.all(Suppression)) == {("sms", ANN, "all", "stop")}


@pytest.mark.parametrize("purpose", ["preferences", "agent"])
def test_an_altered_link_shows_nothing_of_anybody(shop: Shop, ann: str, purpose: str) -> None:
    address = link(shop, ann, purpose)
    for spoilt in (address[:-1], f"/links/{purpose}/x", f"/links/{purpose}/{'x' * 5000}"):
        for answer in (shop.client.get(spoilt), shop.client.post(spoilt)):
            assert answer.status_code == 400
            assert "does not work" in answer.text
            assert "Ann" not in answer.text
