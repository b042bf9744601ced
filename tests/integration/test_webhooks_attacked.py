"""Webhooks under attack: captured calls played again, keys replaced, fields altered (F19, F20)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from signalpost import settings
from signalpost.postoffice.config import new_sendgrid_keypair
from signalpost.providers.twilio.callbacks import status_callback
from signalpost.record.consents import Consent, Suppression
from signalpost.record.database import Database, open_engine
from signalpost.record.messages import Message
from signalpost.record.migrate import whole_metadata
from signalpost.record.receipts import ReceiptKey, ReceiptRow, Reply
from signalpost.web import webhooks
from signalpost.web.doorkeeper import Doorkeeper
from tests.integration.what_comes_back import ANN, PUBLIC, Shop, addresses_blocked, event

STATUS, INBOUND = "/webhooks/twilio/status", "/webhooks/twilio/inbound"
TABLES = (ReceiptRow, ReceiptKey, Reply, Suppression, Consent, Message)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """On SQLite alone: what is asked here is asked before anything reaches a database."""
    engine = open_engine(f"sqlite:///{tmp_path / 'signalpost.db'}", durable=False)
    whole_metadata().create_all(engine)
    database = Database(engine)
    yield Shop(database, tmp_path)
    database.close()


def everything(shop: Shop) -> list[str]:
    return [repr(row) for table in TABLES for row in shop.all(table)]


def test_a_captured_call_played_a_thousand_times_is_answered_2xx_and_does_nothing(
    shop: Shop,
) -> None:
    """I7. There is no time in Twilio's signature, so a captured call stays good for ever."""
    message = shop.message(shop.customer(email="ann@shop.example"))
    calls = [
        lambda: shop.sendgrid(event(message, "bounce", type="bounce")),
        lambda: shop.status(message, "failed", ErrorCode="30005"),
        lambda: shop.text("STOP", MessageSid="SM570"),
    ]
    for play in calls:
        assert play().status_code in (200, 204)
    before = everything(shop)
    for number in range(999):
        shop.now += timedelta(minutes=1)
        assert calls[number % 3]().status_code in (200, 204)
    assert everything(shop) == before


def test_an_old_stop_that_is_played_again_does_not_undo_a_later_start(shop: Shop) -> None:
    shop.customer()
    assert "text/xml" in shop.text("STOP", MessageSid="SM1").headers["content-type"]
    shop.now += timedelta(hours=1)
    shop.text("START", MessageSid="SM2")
    assert addresses_blocked(shop.all(Suppression)) == set()
    for _ in range(3):
        shop.now += timedelta(hours=1)
        again = shop.text("STOP", MessageSid="SM1")
        assert again.status_code == 200
        assert "<Message>" not in again.text, "it is not answered again either"
    assert addresses_blocked(shop.all(Suppression)) == set()


def test_an_old_start_that_is_played_again_does_not_undo_a_later_stop(shop: Shop) -> None:
    shop.customer()
    shop.text("STOP", MessageSid="SM1")
    shop.text("START", MessageSid="SM2")
    shop.now += timedelta(hours=1)
    shop.text("STOP", MessageSid="SM3")
    blocked = addresses_blocked(shop.all(Suppression))
    assert blocked
    shop.text("START", MessageSid="SM2")
    assert addresses_blocked(shop.all(Suppression)) == blocked


def form(**more: str) -> dict[str, str]:
    return {"MessageSid": "SM1", "From": ANN, "To": "+15005550006", "Body": "STOP", **more}


@pytest.mark.parametrize(
    "sent",
    [
        form(Body="START"),
        form(From="+12065550199"),
        form(OptOutType=""),
        form(Extra="x"),
        form(MessageSid="SM2"),
        {name: value for name, value in form().items() if name != "MessageSid"},
        [*form().items(), ("Body", "START")],
        [*form().items(), ("From", "+12065550199")],
        [("Body", "START"), *form().items()],
    ],
)
def test_a_field_that_was_changed_added_repeated_or_left_out_is_refused(
    shop: Shop, sent: Any
) -> None:
    answer = shop.twilio(INBOUND, form(), sent=sent)
    assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})
    assert everything(shop) == []


REAL = {
    "MessageSid": "SM" + "0" * 31 + "1",
    "SmsSid": "SM" + "0" * 31 + "1",
    "NumMedia": "0",
    "From": ANN,
    "To": "+15005550006",
    "Body": "STOP",
}


@pytest.mark.parametrize(
    "moved",
    [
        # In a row the signed text is …MessageSidSM0…1NumMedia0SmsSid…; the marks between are ours.
        {"MessageSid": REAL["MessageSid"] + "NumMedia0", "NumMedia": None},
        {"MessageSid": REAL["MessageSid"] + "Num", "NumMedia": None, "Media": "0"},
        {"MessageSid": None, "MessageSidS": REAL["MessageSid"][1:]},
        {"MessageSid": None, "MessageSi": "d" + REAL["MessageSid"]},
        {"MessageSid": "", "MessageSid" + REAL["MessageSid"]: ""},
    ],
)
def test_a_boundary_that_was_moved_inside_a_captured_call_does_not_make_it_new(
    shop: Shop, moved: dict[str, str | None]
) -> None:
    """Twilio signs names and values in a row; some of these keep the signature."""
    shop.customer()
    assert shop.twilio(INBOUND, REAL).status_code == 200
    shop.text("START", MessageSid="SM2")
    before = everything(shop)
    sent = {name: value for name, value in {**REAL, **moved}.items() if value is not None}
    assert shop.twilio(INBOUND, REAL, sent=sent).status_code == 403
    assert everything(shop) == before


def test_blank_and_repeated_fields_that_are_signed_are_good(shop: Shop) -> None:
    """A repeated field with one value is signed once (Twilio sorts, and leaves out the same)."""
    pairs = [*form(Blank="", Label="退訂").items(), ("Label", "退訂")]
    assert shop.twilio(INBOUND, form(Blank="", Label="退訂"), sent=pairs).status_code == 200
    assert len(shop.all(Reply)) == 1


@pytest.mark.parametrize(
    "query", ["?a=1", "?", "?a=", "?a=1&a=2", "?m=x", "#x", "/", "/../inbound", "%20", "?a=1;b=2"]
)
def test_a_query_that_was_not_signed_is_refused(shop: Shop, query: str) -> None:
    shop.client.follow_redirects = False
    answer = shop.twilio(INBOUND + query, form(), signed_url=PUBLIC + INBOUND)
    # A fragment, a bare question mark and dots never reach us: the client has resolved them.
    same = query in ("?", "#x", "/../inbound")
    assert answer.status_code in ((200,) if same else (307, 403, 404))
    assert bool(shop.all(Reply)) == same


def test_a_signed_query_is_not_taken_for_ours(shop: Shop) -> None:
    """Somebody who may sign as Twilio still cannot say which message a status is about."""
    message = shop.message(shop.customer(email="ann@shop.example"))
    fields = {"MessageSid": "SM9", "MessageStatus": "failed", "ErrorCode": "21610", "To": ANN}
    for query in (
        urlencode({"m": message}),
        urlencode({"m": message, "d": "d1"}),
        urlencode({"m": message, "d": "d1", "sig": ""}),
        urlencode({"m": message, "d": "d1", "sig": "0" * 32}),
        urlencode([("m", message), ("d", "d1"), ("sig", "0" * 32), ("sig", "x")]),
        urlencode([("m", ""), ("m", message)]),
    ):
        assert shop.twilio(f"{STATUS}?{query}", fields).status_code == 403
    assert shop.all(ReceiptRow) == []
    assert shop.one(Message).status == "sending"


def test_a_repeated_key_in_our_own_query_does_not_move_the_status_to_another_message(
    shop: Shop,
) -> None:
    customer = shop.customer(email="ann@shop.example")
    mine, other = shop.message(customer), shop.message(customer)
    secret = shop.settings.links_signed_with[-1]
    ours = status_callback(STATUS, message_id=mine, delivery_id="d1", secret=secret)
    path = ours.partition("#")[0] + "&" + urlencode({"m": other})
    fields = {"MessageSid": "SM9", "MessageStatus": "delivered", "To": ANN}
    assert shop.twilio(path, fields).status_code == 403
    assert {row.status for row in shop.all(Message)} == {"sending"}


def rotated(shop: Shop, folder: Path, **settings_: Any) -> Shop:
    """The same record behind other keys."""
    given = settings.load(
        home=folder / "home", templates=folder / "templates", public_url=PUBLIC, **settings_
    )
    api = FastAPI()
    app = replace(shop.app, settings=given)
    api.include_router(webhooks.router(app, doorkeeper=Doorkeeper.of(app)))
    shop.client = TestClient(api, base_url=PUBLIC, raise_server_exceptions=False)
    shop.settings = given
    return shop


def test_while_twilios_token_is_replaced_both_are_good_and_afterwards_the_old_one_is_not(
    shop: Shop, tmp_path: Path
) -> None:
    account = {
        "twilio_account_sid": "AC" + "0" * 32,
        "twilio_auth_token": "new-token",
        "twilio_sender": "+15005550006",
    }
    rotated(shop, tmp_path, **account, twilio_old_auth_tokens="old-token")
    for number, token in enumerate(("old-token", "new-token")):
        fields = form(MessageSid=f"SM{number}")
        assert shop.twilio(INBOUND, fields, token=token).status_code == 200
    rotated(shop, tmp_path, **account)
    assert shop.twilio(INBOUND, form(MessageSid="SM7"), token="old-token").status_code == 403
    assert shop.twilio(INBOUND, form(MessageSid="SM8"), token="new-token").status_code == 200
    assert len(shop.all(Reply)) == 3


def test_while_sendgrids_key_is_replaced_both_are_good_and_afterwards_the_old_one_is_not(
    shop: Shop, tmp_path: Path
) -> None:
    message = shop.message(shop.customer(email="ann@shop.example"))
    old = shop.settings.keys["sendgrid_webhook_public_key"]
    _, new = new_sendgrid_keypair()
    rotated(shop, tmp_path, sendgrid_webhook_public_keys=f"{old},{new}")
    assert shop.sendgrid(event(message, "processed")).status_code == 204
    rotated(shop, tmp_path, sendgrid_webhook_public_keys=new)
    assert shop.sendgrid(event(message, "delivered")).status_code == 403
    assert [row.kind for row in shop.all(ReceiptRow)] == ["queued"]


def test_a_receipt_may_come_before_our_own_call_has_returned_and_a_day_late(shop: Shop) -> None:
    """F20: early it settles what nobody knew; late it is as good as in time."""
    message = shop.message(
        shop.customer(), channel="sms", address=ANN, provider="twilio", status="sending"
    )
    assert shop.status(message, "delivered").status_code == 204
    assert shop.one(Message).status == "delivered"
    shop.now += timedelta(hours=24)
    assert shop.status(message, "sent").status_code == 204
    assert shop.one(Message).status == "delivered"
    assert {row.kind for row in shop.all(ReceiptRow)} == {"delivered", "sent"}
