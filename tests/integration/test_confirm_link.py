"""Double opt-in (C13): no marketing before a yes by link, and the link says it once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from signalpost.domain.journey import EMAIL, Issue, Journey, Send, days, every
from signalpost.domain.vocabulary import Lane
from signalpost.record.consents import Consent, Suppression
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import whole_metadata
from signalpost.testing import Stage
from tests.integration.what_comes_back import NOW, Shop, addresses_blocked

MAIL = "ann@shop.example"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    engine = open_engine(f"sqlite:///{tmp_path / 'signalpost.db'}", durable=False)
    whole_metadata().create_all(engine)
    database = Database(engine)
    yield Shop(database, tmp_path)
    database.close()


@pytest.fixture
def ann(shop: Shop) -> str:
    return shop.customer(email=MAIL)


def say(shop: Shop, customer: str, status: str, *, topic: str = "offers") -> None:
    said = {"customer_id": customer, "channel": "email", "topic": topic, "status": status}
    shop.add(Consent(**said, source="form", at=shop.now, recorded_at=shop.now))
    shop.now += timedelta(minutes=1)


def mail(shop: Shop, customer: str, **values: object) -> str:
    """Ask by mail; gives the link's path."""
    message = shop.message(customer, at=shop.now, **values)
    shop.now += timedelta(minutes=1)
    return "/links/confirm/" + shop.token("confirm", c=customer, m=message, t="offers")


def standing(shop: Shop, customer: str) -> list[str]:
    rows = sorted(shop.all(Consent, customer_id=customer), key=lambda row: (row.at, row.id))
    return [row.status for row in rows]


def test_a_yes_by_link_is_kept_with_its_source_and_wording(shop: Shop, ann: str) -> None:
    say(shop, ann, "pending")
    answer = shop.client.post(mail(shop, ann), content="confirm=yes")
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    assert standing(shop, ann) == ["pending", "granted"]
    [yes] = shop.all(Consent, status="granted")
    assert (yes.channel, yes.topic, yes.source) == ("email", "offers", "double opt-in")
    assert yes.wording == "Offers: Email"


def test_looking_says_nothing(shop: Shop, ann: str) -> None:
    say(shop, ann, "pending")
    link = mail(shop, ann)
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        for _ in range(20):
            shop.client.request(method, link, headers={"Sec-Purpose": "prefetch"})
    assert standing(shop, ann) == ["pending"]


def test_a_link_counts_once_and_never_undoes_a_later_no(shop: Shop, ann: str) -> None:
    say(shop, ann, "pending")
    link = mail(shop, ann)
    for _ in range(3):
        shop.client.post(link)
    assert standing(shop, ann) == ["pending", "granted"]
    say(shop, ann, "denied")
    shop.client.post(link)
    assert standing(shop, ann)[-1] == "denied"


def test_an_older_link_does_not_answer_a_newer_question(shop: Shop, ann: str) -> None:
    """They said no meanwhile; somebody asked for their address again."""
    say(shop, ann, "pending")
    old = mail(shop, ann)
    say(shop, ann, "denied")
    say(shop, ann, "pending")
    shop.client.post(old)
    assert standing(shop, ann)[-1] == "pending"
    shop.client.post(mail(shop, ann))
    assert standing(shop, ann)[-1] == "granted"


def test_nothing_is_granted_that_was_not_asked_or_to_another_address(shop: Shop, ann: str) -> None:
    never_asked = mail(shop, ann)
    say(shop, ann, "pending")
    other = shop.customer(email="ben@shop.example", phone=None)
    message = shop.message(other, at=shop.now, address="ben@shop.example")
    for path in (
        never_asked,
        mail(shop, ann, address="old@shop.example"),
        mail(shop, ann, channel="sms", address="+12065550101"),
        "/links/confirm/" + shop.token("confirm", c=ann, m=message, t="offers"),
        "/links/confirm/" + shop.token("confirm", c=ann, m="nothing", t="offers"),
        "/links/confirm/" + shop.token("confirm", c=ann, m=message),
        mail(shop, ann).replace("/confirm/", "/confirm/x"),
    ):
        shop.now += timedelta(minutes=1)
        assert shop.client.post(path).status_code == 200
    assert standing(shop, ann) == ["pending"]


def test_the_link_ends_after_a_week(shop: Shop, ann: str) -> None:
    say(shop, ann, "pending")
    link = mail(shop, ann)
    shop.now += timedelta(days=7, minutes=2)
    shop.client.post(link)
    assert standing(shop, ann) == ["pending"]


def test_a_new_yes_lifts_an_unsubscribe_and_no_stop(shop: Shop, ann: str) -> None:
    for reason, scope in (("unsubscribe", "offers"), ("hard_bounce", "all")):
        block = {"channel": "email", "address": MAIL, "scope": scope, "reason": reason}
        shop.add(Suppression(**block, source="test", at=NOW))
    say(shop, ann, "pending")
    shop.client.post(mail(shop, ann))
    held = addresses_blocked(shop.all(Suppression))
    assert held == {("email", MAIL, "all", "hard_bounce")}


SIGN_UP = Journey(
    name="sign-up",
    lane=Lane.SERVICE,
    starts_on="order.placed",
    key="order_id",
    steps=[Issue("back", percent=15, valid=days(14)), Send("win_back_plain", via=every(EMAIL))],
)


def test_whoever_was_only_asked_gets_no_marketing_and_who_said_yes_stays_so(tmp_path: Path) -> None:
    with Stage(folder=tmp_path, journeys=[SIGN_UP]) as stage:
        about = {"channel": "email", "topic": "offers"}
        for user, events in (
            ("asked", ["consent.requested"]),
            ("yes", ["consent.granted", "consent.requested"]),
            ("nobody", []),
        ):
            stage.signal("customer.identified", user_id=user, email=f"{user}@example.com")
            for name in events:
                stage.clock.now += timedelta(minutes=1)
                stage.signal(name, user_id=user, **about)
            stage.signal("order.placed", user_id=user, order_id=user, total=9, currency="USD")
        stage.run_due()
        assert [one.to for one in stage.sent] == ["yes@example.com"]
