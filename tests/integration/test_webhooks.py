"""The webhooks' doors: forged calls leave nothing, replays change nothing, an outage loses nothing."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from signalpost.record.consents import Suppression
from signalpost.record.database import Database, open_engine
from signalpost.record.receipts import ReceiptKey, ReceiptRow, Reply
from signalpost.telemetry import meters
from signalpost.web.webhooks import MOST_EVENTS_BYTES, MOST_FORM_BYTES
from tests.integration.what_comes_back import PUBLIC, Shop, event

PATHS = ("/webhooks/sendgrid/events", "/webhooks/twilio/status", "/webhooks/twilio/inbound")


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


@pytest.fixture
def message(shop: Shop) -> str:
    return shop.message(shop.customer(email="ann@shop.example"))


def nothing_was_written(shop: Shop) -> bool:
    return not any(shop.all(table) for table in (ReceiptRow, ReceiptKey, Reply, Suppression))


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"X-Twilio-Email-Event-Webhook-Signature": "bm8="}},
        {"headers": {"X-Twilio-Email-Event-Webhook-Signature": ""}},
        {"headers": {"X-Twilio-Email-Event-Webhook-Timestamp": "1795300001"}},
        {"sent": b"[]"},
        {"sent": b'[{"event": "bounce", "email": "ann@shop.example", "type": "bounce"}]'},
    ],
)
def test_a_forged_batch_is_refused_without_a_word_and_leaves_nothing(
    shop: Shop, message: str, change: dict[str, Any]
) -> None:
    """I6."""
    answer = shop.sendgrid(event(message, "bounce", type="bounce"), **change)
    assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})
    assert nothing_was_written(shop)


@pytest.mark.parametrize(
    "change",
    [
        {"token": "not-ours"},
        {"sent": {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "30005"}},
    ],
)
def test_a_forged_status_is_refused_and_leaves_nothing(
    shop: Shop, message: str, change: dict[str, Any]
) -> None:
    assert shop.status(message, "delivered", **change).status_code == 403
    assert nothing_was_written(shop)


def test_a_status_for_a_message_we_did_not_sign_is_refused(shop: Shop, message: str) -> None:
    """Twilio's signature proves Twilio; ours proves that the message id is ours."""
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    for query in (f"m={message}&d=d1&sig=0", f"m={message}&d=d1", f"m={message}&d=d2&sig="):
        assert shop.twilio(f"/webhooks/twilio/status?{query}", form).status_code == 403
    assert nothing_was_written(shop)


def test_a_status_without_our_query_is_kept(shop: Shop) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+12065550101"}
    assert shop.twilio("/webhooks/twilio/status", form).status_code == 204
    assert shop.one(ReceiptRow).provider_id == "SM1"


def test_a_forged_stop_stops_nobody(shop: Shop) -> None:
    form = {"MessageSid": "SM1", "From": "+12065550101", "To": "+15005550006", "Body": "STOP"}
    assert shop.twilio(PATHS[2], form, token="not-ours").status_code == 403
    assert nothing_was_written(shop)


def test_the_signed_address_is_our_setting_and_not_what_a_header_says(shop: Shop) -> None:
    form = {"MessageSid": "SM1", "From": "+12065550101", "To": "+15005550006", "Body": "hi"}
    evil = "https://evil.example"
    headers = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Host": "evil.example",
    }
    answer = shop.twilio(PATHS[2], form, signed_url=evil + PATHS[2], headers=headers)
    assert answer.status_code == 403
    answer = shop.twilio(PATHS[2], form, signed_url=PUBLIC + PATHS[2], headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "provider"), [(PATHS[0], "sendgrid"), (PATHS[1], "twilio"), (PATHS[2], "twilio")]
)
def test_a_refusal_is_counted_and_logged_by_the_vendors_name_and_nothing_else(
    shop: Shop, path: str, provider: str
) -> None:
    """A wrong key looks like a forger: an operator must see that somebody is being refused."""

    def refused() -> float:
        value = meters.registry.get_sample_value(
            "signalpost_refused_webhooks_total", {"provider": provider}
        )
        return value or 0.0

    before = refused()
    with capture_logs() as logs:
        form = {"From": "+12065550101", "Body": "canary", "email": "ann@shop.example"}
        assert shop.client.post(path + "?m=canary", data=form).status_code == 403
    assert refused() == before + 1
    assert logs == [{"event": "webhook.refused", "log_level": "warning", "provider": provider}]


def test_a_status_that_only_our_own_signature_misses_counts_as_refused_too(
    shop: Shop, message: str
) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    with capture_logs() as logs:
        shop.twilio(f"/webhooks/twilio/status?m={message}&d=d1&sig=0", form)
        shop.twilio("/webhooks/twilio/inbound", {"Body": "no sender"})
    assert [one["event"] for one in logs] == ["webhook.refused"] * 2


def test_a_call_that_is_believed_is_not_counted_as_refused(shop: Shop, message: str) -> None:
    with capture_logs() as logs:
        assert shop.status(message, "delivered").status_code == 204
    assert "webhook.refused" not in {one["event"] for one in logs}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_looking_at_a_webhook_does_nothing(shop: Shop, path: str, method: str) -> None:
    assert shop.client.request(method, path).status_code == 405


def test_unsigned_rubbish_is_refused(shop: Shop) -> None:
    for path in PATHS:
        for body in (b"", b"\xff\xfe", b"[" * 100_000, b"a=1&" * 5_000):
            assert shop.client.post(path, content=body).status_code == 403


def test_signed_rubbish_is_told_what_is_wrong_or_kept(shop: Shop) -> None:
    assert shop.sendgrid(body=b"{not json").status_code == 400
    assert shop.sendgrid(body=b"[" * 20_000).status_code == 400
    assert (
        shop.sendgrid(body=b'[1, null, "x", {"event": 7}, {"event": "\\u0000"}]').status_code == 204
    )
    assert {row.kind for row in shop.all(ReceiptRow)} == {"unknown"}


def test_a_body_without_end_is_cut_off(shop: Shop) -> None:
    large = b"x" * (MOST_EVENTS_BYTES + 1)
    assert shop.client.post(PATHS[0], content=large).status_code == 413

    def pieces() -> Any:
        for _ in range(MOST_FORM_BYTES // 1024 + 2):
            yield b"x" * 1024

    assert shop.client.post(PATHS[1], content=pieces()).status_code == 413
    assert nothing_was_written(shop)


def test_unknown_fields_are_kept(shop: Shop, message: str) -> None:
    shop.sendgrid(event(message, "delivered", brand_new={"deep": [1]}))
    shop.status(message, "sent", BrandNew="退訂")
    raws = [row.raw for row in shop.all(ReceiptRow)]
    assert {"deep": [1]} in [raw.get("brand_new") for raw in raws]
    assert "退訂" in [raw.get("BrandNew") for raw in raws]


def test_while_the_database_is_away_the_vendor_is_asked_to_come_again(
    shop: Shop, message: str, tmp_path: Path
) -> None:
    """F21: nothing but a committed row is answered 2xx."""
    nobody_listens = Database(open_engine("postgresql://127.0.0.1:1/away"))
    away = Shop(nobody_listens, tmp_path)
    for answer in (
        away.sendgrid(event(message, "delivered")),
        away.status(message, "sent"),
        away.text("STOP"),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    nobody_listens.close()
    assert shop.sendgrid(event(message, "delivered")).status_code == 204
    assert len(shop.all(ReceiptRow)) == 1


def test_a_reply_is_answered_as_twiml(shop: Shop) -> None:
    shop.customer()
    answer = shop.text("STOP")
    assert answer.headers["content-type"].startswith("text/xml")
    assert answer.text.startswith("<?xml")
