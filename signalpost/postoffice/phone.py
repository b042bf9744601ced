"""A person's answer on the phone: keywords as Twilio handles them, webhook, TwiML, reply."""

import secrets
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

from signalpost.errors import BadInputError
from signalpost.postoffice.book import Sms
from signalpost.postoffice.office import Office
from signalpost.postoffice.segments import count_segments
from signalpost.postoffice.sms_rules import channel_of, is_address, is_phone
from signalpost.postoffice.twilio_api import keep_sms

STOP_WORDS = frozenset(
    {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
)
START_WORDS = frozenset({"START", "UNSTOP"})
HELP_WORDS = frozenset({"HELP", "INFO"})
_AUTO_REPLIES = {
    "STOP": "You have successfully been unsubscribed. You will not receive any more messages from "
    "this number. Reply START to resubscribe.",
    "START": "You have successfully been re-subscribed to messages from this number. Reply HELP "
    "for help. Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
    "HELP": "Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
}


def opt_out_type(body: str, *, opted_out: bool) -> str | None:
    """Return STOP, START or HELP when the text is just such a word.

    ``YES`` opts in again only after a STOP; otherwise it is an answer like any other.
    """
    word = body.strip().upper()
    if word in STOP_WORDS:
        return "STOP"
    if word in START_WORDS or (word == "YES" and opted_out):
        return "START"
    return "HELP" if word in HELP_WORDS else None


async def reply(*, office: Office, sender: str, to: str | None, body: str) -> Sms:
    """Let a person write from their phone; raises BadInputError when there is nobody to write to."""
    if not is_address(sender):
        raise BadInputError("A reply comes from a number like +14155550100 or a channel address.")
    ours = to or _last_correspondent(office, sender)
    if not body.strip():
        raise BadInputError("A reply needs a body.")
    keyword = None
    if is_phone(sender):  # WhatsApp and Messenger pass keywords on like any other text
        keyword = opt_out_type(body, opted_out=(ours, sender) in office.book.opted_out)
    sid = "SM" + secrets.token_hex(16)
    thread = office.book.threads.get(sender, [])
    service = next((sms.service_sid for sms in reversed(thread) if sms.ours == ours), None)
    await office.record(
        "sms.inbound",
        **{"sid": sid, "from": sender, "to": ours, "service_sid": service},
        body=body,
        opt_out_type=keyword,
    )
    sms = office.book.texts[sid]
    if keyword:
        await _say(office, sms, _AUTO_REPLIES[keyword])
    office.courier.spawn(_carry(office, sms, keyword))
    return sms


def _last_correspondent(office: Office, sender: str) -> str:
    thread = office.book.threads.get(sender)
    if not thread:
        raise BadInputError(f"Nobody has written to {sender} yet: say to whom the reply goes.")
    return thread[-1].ours


async def _carry(office: Office, sms: Sms, keyword: str | None) -> None:
    url = office.config.twilio_inbound_url
    if url is None:
        return
    answer = await office.courier.post_form(
        url=url, fields=_inbound_fields(office, sms, keyword), sid=sms.sid
    )
    for text in twiml_messages(answer.body) if answer.taken else ():
        if (sms.to, sms.sender) not in office.book.opted_out:
            await _say(office, sms, text)


def _inbound_fields(office: Office, sms: Sms, keyword: str | None) -> dict[str, str]:
    fields = {
        "AccountSid": office.config.twilio_account_sid,
        "ApiVersion": "2010-04-01",
        "Body": sms.body,
        "From": sms.sender,
        "MessageSid": sms.sid,
        "NumMedia": "0",
        "NumSegments": str(count_segments(sms.body)),
        "SmsMessageSid": sms.sid,
        "SmsSid": sms.sid,
        "SmsStatus": "received",
        "To": sms.to,
    }
    if channel_of(sms.sender) == "sms":
        places = ("City", "State", "Zip", "Country")
        fields |= {f"{side}{place}": "" for side in ("From", "To") for place in places}
    if sms.service_sid:
        fields["MessagingServiceSid"] = sms.service_sid
    if keyword:
        fields["OptOutType"] = keyword
    return fields


def twiml_messages(answer: str) -> list[str]:
    """Return the texts of the ``<Message>`` verbs; anything that is not TwiML says nothing."""
    if "<!" in answer.replace("<!--", ""):  # no DTD: no entity can grow or reach out
        return []
    try:
        root = ET.fromstring(answer)  # noqa: S314 (no DTD, at most 64 KB)
    except ET.ParseError:
        return []
    if root.tag != "Response":
        return []
    texts = [message.findtext("Body") or message.text or "" for message in root.iter("Message")]
    return [text.strip() for text in texts if text.strip()]


async def _say(office: Office, inbound: Sms, text: str) -> None:
    now = datetime.now(UTC)
    answer: dict[str, Any] = {"to": inbound.sender, "sender": inbound.to, "body": text[:1600]}
    sms = Sms(
        sid="SM" + secrets.token_hex(16),
        seq=0,
        service_sid=inbound.service_sid,
        media=[],
        direction="outbound-reply",
        status="queued",
        created=now,
        updated=now,
        **answer,
    )
    await keep_sms(office, sms)
