"""Links to the brand's own pages: the click is written first, and none leads away (C19)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from signalpost.domain.journey import EMAIL, SMS, Issue, Journey, Send, days, every
from signalpost.domain.vocabulary import Channel, Lane
from signalpost.record import figures
from signalpost.record.database import Database, open_engine
from signalpost.record.messages import Message
from signalpost.record.migrate import whole_metadata
from signalpost.record.receipts import ReceiptRow
from signalpost.services import tokens
from signalpost.services.inbound.clicks import destination
from signalpost.services.links import BadLinkError, Links
from signalpost.testing import Stage
from tests.integration.what_comes_back import NOW, Shop

WEBSITE = "https://larkfield.example"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    engine = open_engine(f"sqlite:///{tmp_path / 'signalpost.db'}", durable=False)
    whole_metadata().create_all(engine)
    database = Database(engine)
    opened = Shop(database, tmp_path)
    opened.client.follow_redirects = False
    yield opened
    database.close()


@pytest.fixture
def message(shop: Shop) -> str:
    customer = shop.customer(email="ann@shop.example")
    return shop.message(customer, purpose="marketing", status="handed_over")


def links(shop: Shop, message: str, *, order_id: str | None = None) -> dict:
    return dict(
        shop.app.desk.links.for_message(
            customer_id=shop.one(Message).customer_id,
            message_id=message,
            topic="offers",
            website=WEBSITE,
            order_id=order_id,
            now=shop.now,
            counted=True,
        )
    )


def path(link: str) -> str:
    return "/links/" + link.partition("/links/")[2]


def test_a_click_is_on_the_record_before_the_person_is_led_on(shop: Shop, message: str) -> None:
    answer = shop.client.get(path(links(shop, message)["home"]), headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (302, WEBSITE)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    click = shop.one(ReceiptRow)
    assert (click.kind, click.message_id, click.machine) == ("clicked", message, False)
    assert "ann@" not in str(click.raw)


@pytest.mark.parametrize(
    ("name", "order", "where"),
    [
        ("home", None, WEBSITE),
        ("inbox", None, f"{WEBSITE}/inbox"),
        ("order", "A-1", f"{WEBSITE}/orders/A-1"),
        ("order", "../../@evil.example", f"{WEBSITE}/orders/..%2F..%2F%40evil.example"),
        ("order", "x\r\nSet-Cookie: a=b", f"{WEBSITE}/orders/x%0D%0ASet-Cookie%3A%20a%3Db"),
        ("order", "//evil.example", f"{WEBSITE}/orders/%2F%2Fevil.example"),
        ("order", "019a0000-0000-7000-8000-000000000001",
         f"{WEBSITE}/orders/019a0000-0000-7000-8000-000000000001"),
    ],
)  # fmt: skip
def test_each_link_leads_to_its_own_page(
    shop: Shop, message: str, name: str, order: str | None, where: str
) -> None:
    answer = shop.client.get(path(links(shop, message, order_id=order)[name]), headers=BROWSER)
    assert answer.headers["location"] == where
    assert "set-cookie" not in answer.headers


def test_the_same_click_is_kept_once_and_a_scanners_is_told_from_a_persons(
    shop: Shop, message: str
) -> None:
    where = path(links(shop, message)["home"])
    for headers in (
        {"User-Agent": "python-requests/2"},
        {**BROWSER, "Sec-Purpose": "prefetch;prerender"},
        {**BROWSER, "Purpose": "preview"},
        BROWSER,
        BROWSER,
    ):
        assert shop.client.get(where, headers=headers).status_code == 302
    assert sorted(row.machine for row in shop.all(ReceiptRow)) == [False, True]


def test_looking_without_following_is_no_click(shop: Shop, message: str) -> None:
    where = path(links(shop, message)["home"])
    assert shop.client.head(where, headers=BROWSER).status_code == 302
    assert shop.client.post(where, headers=BROWSER).status_code == 405
    assert shop.all(ReceiptRow) == []


#: Where an attacker would like to be led to.
EVIL = [
    "https://evil.example", "//evil.example", "/\\evil.example", "https:evil.example",
    "http://larkfield.example.evil.example", "https://larkfield.example@evil.example",
    "https://larkfield.example.evil.example", "javascript:alert(1)", "data:text/html,x",
    "https://evil.example#larkfield.example", "https://evil.example?larkfield.example",
    "%2f%2fevil.example", "\t//evil.example", "https://larkfield.example%2eevil.example",
    "https://evil。example", "ftp://larkfield.example", "http://larkfield.example",
]  # fmt: skip


def test_no_query_path_or_altered_token_leads_elsewhere(shop: Shop, message: str) -> None:
    good = path(links(shop, message)["home"])
    for evil in EVIL:
        leads_nowhere(shop, message, good, evil)


def leads_nowhere(shop: Shop, message: str, good: str, evil: str) -> None:
    coded = quote(evil, safe="")
    for name in ("to", "url", "next", "redirect", "destination", "u"):
        answer = shop.client.get(f"{good}?{name}={coded}", headers=BROWSER)
        assert answer.headers["location"] == WEBSITE
    forged = tokens.body({"c": "x", "m": message, "to": evil}, shop.now).decode()
    for token in (
        coded,
        forged + "." + good.rpartition(".")[2],
        forged + ".",
        good.rpartition("/")[2] + coded,
        good.rpartition("/")[2][:-1],
    ):
        answer = shop.client.get(f"/links/go/{token}", headers=BROWSER)
        assert answer.status_code in (400, 404)
        assert "location" not in answer.headers
        assert "evil" not in answer.text


@pytest.mark.parametrize("evil", EVIL)
def test_even_a_token_of_our_own_names_a_page_and_no_address(evil: str) -> None:
    """Whoever could have us sign something still could not lead anybody away."""
    for claims in (
        {"to": evil},
        {"to": "home", "url": evil},
        {"to": "order"},
        {},
        {"to": ["home"]},
    ):
        where = destination(claims, website=WEBSITE, domains=frozenset({"larkfield.example"}))
        assert where in (None, WEBSITE)
    order = destination({"to": "order", "o": evil}, website=WEBSITE, domains=frozenset())
    assert order is not None
    assert order.startswith(f"{WEBSITE}/orders/")
    assert (
        destination({"to": "home"}, website="http://larkfield.example", domains=frozenset()) is None
    )


def test_a_token_of_another_purpose_opens_nothing(shop: Shop, message: str) -> None:
    customer = shop.one(Message).customer_id
    for purpose in ("unsubscribe", "preferences", "agent", "answer", "inbox"):
        token = shop.token(purpose, c=customer, m=message, to="home")
        assert shop.client.get(f"/links/go/{token}", headers=BROWSER).status_code == 400
    assert shop.all(ReceiptRow) == []


def test_links_end_and_outlive_a_change_of_the_secret(shop: Shop, message: str) -> None:
    old = Links(base_url="https://hooks.shop.example", secrets=("old",))
    both = Links(base_url="https://hooks.shop.example", secrets=("old", "new"))
    token = old.token("go", now=NOW, c="c", m=message, to="home")
    assert both.read("go", token, now=NOW + timedelta(days=399))["to"] == "home"
    with pytest.raises(BadLinkError):
        both.read("go", token, now=NOW + timedelta(days=401))
    with pytest.raises(BadLinkError):
        Links(base_url="", secrets=("new",)).read("go", token, now=NOW)


def test_while_the_record_is_away_people_are_led_on_all_the_same(
    shop: Shop, message: str, tmp_path: Path
) -> None:
    where = path(links(shop, message)["home"])
    nobody_listens = Database(open_engine("postgresql://127.0.0.1:1/away"))
    away = Shop(nobody_listens, tmp_path)
    away.client.follow_redirects = False
    answer = away.client.get(where, headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (302, WEBSITE)
    nobody_listens.close()


BACK = Journey(
    name="back",
    lane=Lane.SERVICE,
    starts_on="order.placed",
    key="order_id",
    steps=[
        Issue("win_back", percent=15, valid=days(14)),
        Send("win_back_plain", via=every(EMAIL, SMS)),
        Send("order_confirmation", via=every(EMAIL)),
    ],
)


def test_only_marketing_mail_counts_clicks_and_short_texts_stay_short(tmp_path: Path) -> None:
    """An order's confirmation is not followed, and in a text message every letter is paid for."""
    with Stage(folder=tmp_path, journeys=[BACK]) as stage:
        stage.signal(
            "order.placed",
            user_id="ann",
            email="ann@example.com",
            phone="+12065550100",
            order_id="A-1",
            total={"amount": "12.00", "currency": "USD"},
            items=[{"name": "Board", "quantity": 1}],
            traits={"marketing_consent": True, "first_name": "Ann", "timezone": "UTC"},
        )
        stage.run_due()
        texts = {(one.message, one.channel): one.text for one in stage.sent}
    assert "/links/go/" in texts["win_back_plain", Channel.EMAIL]
    assert f" {WEBSITE}" in texts["win_back_plain", Channel.SMS]
    assert f"{WEBSITE}/orders/A-1" in texts["order_confirmation", Channel.EMAIL]


def test_clicks_are_no_sign_of_life_of_a_provider(shop: Shop, message: str) -> None:
    """Else an alert that webhooks are silent would ring because nobody clicks."""
    shop.client.get(path(links(shop, message)["home"]), headers=BROWSER)
    with shop.database.reading() as session:
        assert figures.last_receipts(session) == {}
