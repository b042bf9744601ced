"""Links in messages under attack: scanners, forgers, tokens of another purpose, replaced keys."""

import base64
import itertools
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from signalpost.record.cases import Case
from signalpost.record.consents import Consent, Suppression
from signalpost.record.database import Database, open_engine
from signalpost.record.events import Event
from signalpost.record.messages import Message
from signalpost.record.migrate import whole_metadata
from signalpost.record.receipts import Answer, ReceiptRow
from signalpost.services.links import LIFETIME, BadLinkError, Links
from tests.integration.what_comes_back import NOW, Shop

PURPOSES = ("unsubscribe", "preferences", "agent", "answer", "confirm", "go")
TABLES = (Consent, Suppression, Event, Case, Answer, ReceiptRow, Message)
ONE_CLICK = "List-Unsubscribe=One-Click"


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
def tokens(shop: Shop) -> dict[str, str]:
    """One of each purpose, all about one message to one customer."""
    customer = shop.customer(email="ann@shop.example", first_name="Ann")
    message = shop.message(customer, purpose="marketing")
    about = {"c": customer, "m": message, "t": "offers"}
    return {purpose: shop.token(purpose, **about) for purpose in PURPOSES}


def everything(shop: Shop) -> list[str]:
    return [repr(row) for table in TABLES for row in shop.all(table)]


SCANNERS: list[dict[str, Any]] = [
    {"method": "GET"},
    {"method": "HEAD"},
    {"method": "OPTIONS"},
    {"method": "GET", "content": ONE_CLICK},
    {"method": "GET", "headers": {"X-HTTP-Method-Override": "POST"}},
    {"method": "GET", "params": {"_method": "POST", "List-Unsubscribe": "One-Click"}},
    {"method": "GET", "headers": {"Sec-Purpose": "prefetch"}},
    {"method": "GET", "headers": {"User-Agent": "GoogleImageProxy", "Accept": "*/*"}},
    {"method": "PUT", "content": ONE_CLICK},
    {"method": "DELETE"},
    {"method": "PROPFIND"},
]


@pytest.mark.parametrize("purpose", [one for one in PURPOSES if one != "go"])
def test_whatever_a_scanner_does_short_of_a_form_changes_nothing(
    shop: Shop, tokens: dict[str, str], purpose: str
) -> None:
    """C2: links are fetched by mail scanners, previews and prefetchers, many times."""
    before = everything(shop)
    for _ in range(3):
        for way in SCANNERS:
            path = f"/links/{purpose}/{tokens[purpose]}"
            assert shop.client.request(url=path, **way).status_code in (200, 405)
    assert everything(shop) == before


def test_a_token_opens_what_it_was_made_for_and_nothing_else(
    shop: Shop, tokens: dict[str, str]
) -> None:
    before = everything(shop)
    for purpose, other in itertools.permutations(PURPOSES, 2):
        path = f"/links/{purpose}/{tokens[other]}"
        for method in ("GET", "POST"):
            answer = shop.client.request(method, path, content=ONE_CLICK)
            assert "Ann" not in answer.text
            assert "location" not in answer.headers
    assert everything(shop) == before


def hostile(token: str) -> Iterator[str]:
    body, _, signature = token.rpartition(".")
    yield from (body, signature, f"{body}.", f".{signature}", f"{body}..{signature}", token[::-1])
    yield from (token[:-1], token + "A", token.swapcase(), f"{signature}.{body}", token * 5)
    yield f"{body}.{'A' * len(signature)}"
    yield from (token + "=", token + "==", token + "!", token + "%0A", "%20" + token, token + "%20")
    yield from (f"{token[:-5]}!{token[-5:]}", f"{token[:9]}%0A{token[9:]}", f"{body}=.{signature}")
    said = base64.urlsafe_b64decode(body[1:] + "==")
    ids, at, more = said[:32], said[32:36], said[36:]
    for changed in (
        b"someone-else".ljust(32) + at + more,
        ids + b"\xff" * 4 + more,
        ids + at + b'{"c":{"$ne":1}}',
        ids + at + b'{"m":["x"]}',
        ids + at + b"{",
        ids[:3],
        b"",
    ):
        written = base64.urlsafe_b64encode(changed).decode().rstrip("=")
        yield f"~{written}.{signature}"
        yield f"{written}.{signature}"
    bomb = base64.urlsafe_b64encode(zlib.compress(b"[" * 50_000_000)).decode().rstrip("=")
    yield f".{bomb[:1900]}.{signature}"
    yield from ("null", "0", "-1", "..", "%2e%2e%2fetc%2fpasswd", "%00", "%0d%0aSet-Cookie:%20a=b")
    yield from (
        "'%20OR%201=1--",
        "{{7*7}}",
        "%F0%9F%92%A9",
        "%FF%FE",
        "a" * 6_000,
        "eyJhbGciOiJub25lIn0..",
    )


@pytest.mark.parametrize("purpose", PURPOSES)
def test_forged_altered_and_hostile_tokens_open_nothing_and_show_nothing(
    shop: Shop, tokens: dict[str, str], purpose: str
) -> None:
    before = everything(shop)
    for token in hostile(tokens[purpose]):
        for method in ("GET", "POST"):
            answer = shop.client.request(method, f"/links/{purpose}/{token}", content=ONE_CLICK)
            assert answer.status_code in (200, 400, 404, 405), token
            assert not {"location", "set-cookie"} & answer.headers.keys()
            assert "Ann" not in answer.text
            assert "49" not in answer.text.replace("1849", "")
            assert "Traceback" not in answer.text
    assert everything(shop) == before


def test_a_forged_unsubscribe_looks_like_a_good_one(shop: Shop, tokens: dict[str, str]) -> None:
    """C2: nothing can be learnt from the answer, also not whether a customer exists."""
    good = shop.client.post(f"/links/unsubscribe/{tokens['unsubscribe']}", content=ONE_CLICK)
    bad = shop.client.post(f"/links/unsubscribe/{tokens['agent']}", content=ONE_CLICK)
    assert (good.status_code, good.text) == (bad.status_code, bad.text)
    assert good.status_code == 200
    assert not {"location", "set-cookie"} & good.headers.keys()


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (ONE_CLICK, {"Content-Type": "application/x-www-form-urlencoded"}),
        (ONE_CLICK + "\r\n", {"Content-Type": "application/x-www-form-urlencoded"}),
        (ONE_CLICK, {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "a=b"}),
        (ONE_CLICK, {"Origin": "https://mail.example", "Referer": "https://mail.example/"}),
        (
            '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--',
            {"Content-Type": "multipart/form-data; boundary=b"},
        ),
        (ONE_CLICK, {}),
    ],
)
def test_one_click_works_however_a_mail_client_sends_it(
    shop: Shop, tokens: dict[str, str], content: str, headers: dict[str, str]
) -> None:
    """C2, RFC 8058: no cookie, no login, no redirect, whatever the client's form looks like."""
    path = f"/links/unsubscribe/{tokens['unsubscribe']}"
    answer = shop.client.post(path, content=content, headers=headers)
    assert answer.status_code == 200
    [row] = shop.all(Suppression)
    assert (row.reason, row.active) == ("unsubscribe", True)


@pytest.mark.parametrize("purpose", sorted(LIFETIME))
def test_every_purpose_ends_at_its_time_and_outlives_a_change_of_the_secret(purpose: str) -> None:
    """C5: while both secrets are set old links work; a link whose secret was dropped is nothing."""
    old, both, new = (Links(base_url="", secrets=s) for s in (("a",), ("a", "b"), ("b",)))
    token = old.token(purpose, now=NOW, c="1")
    last = NOW + LIFETIME[purpose]
    assert both.read(purpose, token, now=last)["c"] == "1"
    with pytest.raises(BadLinkError):
        both.read(purpose, token, now=last + timedelta(seconds=2))
    with pytest.raises(BadLinkError):
        new.read(purpose, token, now=NOW)
    assert new.read(purpose, both.token(purpose, now=NOW, c="2"), now=NOW)["c"] == "2"
    for other in LIFETIME.keys() - {purpose}:
        with pytest.raises(BadLinkError):
            both.read(other, token, now=NOW)


def test_a_link_that_is_in_the_mail_since_before_tokens_were_short_still_opens() -> None:
    """Made by the version of 2026-11-21 with the secret ``a``, at nine on the 2nd of March."""
    token = (
        "eyJjIjoifkFaeWc4bndlZlRxYlZGb2ZESjB1ZHciLCJtIjoifkFaeWc4bndmZXFxT0lRdHRUendhbVEiLCJ0Ijoi"
        "b2ZmZXJzIiwiYXQiOjE3NzI0NDIwMDB9.NEoxc5HCcr9OtXHiSrdG3zI0vCc"
    )
    said = {
        "c": "019ca0f2-7c1e-7d3a-9b54-5a1f0c9d2e77",
        "m": "019ca0f2-7c1f-7aaa-8e21-0b6d4f3c1a99",
        "t": "offers",
    }
    links = Links(base_url="", secrets=("a", "b"))
    assert links.read("unsubscribe", token, now=NOW) == said
    assert links.read("unsubscribe", links.token("unsubscribe", now=NOW, **said), now=NOW) == said
    for purpose, of in (("agent", token), ("unsubscribe", token[:-2] + "AA")):
        with pytest.raises(BadLinkError):
            links.read(purpose, of, now=NOW)
    with pytest.raises(BadLinkError):
        links.read("unsubscribe", token, now=NOW + LIFETIME["unsubscribe"])
