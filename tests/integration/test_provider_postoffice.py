"""Our adapters against the local post office: out on the wire, back as signed webhooks."""

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from signalpost.domain import status
from signalpost.domain.delivery import Letter
from signalpost.domain.text import Slot
from signalpost.domain.vocabulary import Channel, DeliveryStatus, MessageStatus, Purpose
from signalpost.postoffice.mail_text import render_mail
from signalpost.providers.sendgrid import (
    From,
    SendGrid,
    SendGridSettings,
    parse_events,
    verify_events,
)
from signalpost.providers.twilio import (
    Twilio,
    TwilioSettings,
    callback_is_ours,
    parse_status,
    verify,
)
from signalpost.testing import Post
from tests.integration.postoffice_harness import (
    ACCOUNT,
    ANN,
    KEY,
    OURS,
    PUBLIC,
    TOKEN,
    open_office,
    until,
)
from tests.postoffice_log import read_log

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def letter(**changes) -> Letter:
    values = {
        "channel": Channel.EMAIL,
        "message": "order_confirmation",
        "purpose": Purpose.TRANSACTIONAL,
        "parts": {
            "subject": ("Order ", Slot("s0")),
            "text": ("Hello ", Slot("s1")),
            "html": ("<p>Hello ", Slot("s1"), "</p>"),
        },
    }
    return Letter(**(values | changes))


def post(number: int, **changes) -> Post:
    values = {
        "delivery_id": f"d{number}",
        "message_id": f"m{number}",
        "customer_id": f"c{number}",
        "address": f"person{number}@shop.example",
        "slots": {"s0": f"#{number}", "s1": f"Ann{number}"},
    }
    return Post(**(values | changes))


def hand_over(provider, batch, said=None):
    async def run():
        try:
            return await provider.hand_over(said or letter(), batch)
        finally:
            await provider.close()

    return asyncio.run(run())


def settled(receipts) -> MessageStatus:
    reached = MessageStatus.HANDED_OVER
    for receipt in receipts:
        reached = status.apply(reached, receipt.kind)
    return reached


def test_email_goes_out_with_each_persons_words_and_comes_back_signed(tmp_path):
    with open_office(tmp_path) as office:
        settings = SendGridSettings(
            api_key=KEY,
            base_url=office.url,
            senders={"transactional": From(email="orders@shop.example", name="Shop")},
        )
        batch = [post(1), post(2), post(3, address="not an email")]
        results = hand_over(SendGrid(settings), batch)
        assert [r.status for r in results] == [
            DeliveryStatus.ACCEPTED,
            DeliveryStatus.ACCEPTED,
            DeliveryStatus.REJECTED,
        ]

        def both_delivered():
            hooks = office.product.to("/webhooks/sendgrid/events")
            receipts = [r for hook in hooks for r in parse_events(hook.body, now=NOW)]
            delivered = {r.message_id for r in receipts if r.kind == "delivered"}
            return receipts if delivered == {"m1", "m2"} else None

        receipts = until(both_delivered)
        hooks = office.product.to("/webhooks/sendgrid/events")
        assert all(verify_events(hook.body, hook.headers, [PUBLIC]) for hook in hooks)
        assert {r.provider_id for r in receipts} == {results[0].provider_id}
        assert settled(r for r in receipts if r.message_id == "m1") is MessageStatus.DELIVERED
        log = read_log(tmp_path / "postoffice.jsonl")
        sent = next(entry["request"] for entry in log if entry["kind"] == "mail.accepted")
        mail = render_mail(request=sent, index=1)
        assert (mail["subject"], mail["text"]) == ("Order #2", "Hello Ann2")
        assert mail["html"] == "<p>Hello Ann2</p>"


def test_an_sms_goes_out_and_its_callbacks_come_back_signed_with_our_ids(tmp_path):
    with open_office(tmp_path) as office:
        settings = TwilioSettings(
            account_sid=ACCOUNT,
            api_key=ACCOUNT,
            api_secret=TOKEN,
            base_url=office.url,
            sender=OURS,
            status_callback=office.product.url + "/webhooks/twilio/status",
            callback_secret="ours",
        )
        said = letter(
            channel=Channel.SMS,
            parts={"text": ("Ready: ", Slot("s0"))},
            valid_for=timedelta(minutes=10),
        )
        (result,) = hand_over(Twilio(settings), [post(1, address=ANN)], said)
        assert result.status is DeliveryStatus.ACCEPTED

        def delivered():
            hooks = office.product.to("/webhooks/twilio/status")
            return hooks if any(h.fields["MessageStatus"] == "delivered" for h in hooks) else None

        receipts = []
        for hook in until(delivered):
            assert verify(hook.url, hook.body, hook.headers, [TOKEN])
            query = dict(parse_qsl(urlsplit(hook.url).query))
            assert callback_is_ours(query, ["ours"])
            receipts.append(parse_status(hook.fields, query=query, now=NOW))
        assert {(r.message_id, r.provider_id) for r in receipts} == {("m1", result.provider_id)}
        assert settled(receipts) is MessageStatus.DELIVERED
