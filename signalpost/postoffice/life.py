"""What happens to a message after it was accepted: the steps of its life, one by one."""

import asyncio
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from signalpost.postoffice import magic
from signalpost.postoffice.book import FINAL_SMS, Book, Mail, Sms
from signalpost.postoffice.config import PostOfficeConfig
from signalpost.postoffice.courier import Courier
from signalpost.postoffice.mail_rules import switched_on
from signalpost.postoffice.sms_rules import channel_of, parse_time

_ENGAGEMENT = frozenset({"open", "click"})


class Lives:
    """Moves messages along, and tells the product by webhook."""

    def __init__(self, config: PostOfficeConfig, book: Book, courier: Courier) -> None:
        self._config, self._book, self._courier = config, book, courier

    def resume(self) -> None:
        """Take up the lives that a former process left unfinished."""
        for mails in self._book.requests.values():
            if any(mail.status in {"accepted", "processed", "deferred"} for mail in mails):
                self.begin_mails(mails)
        for sms in self._book.texts.values():
            if sms.status not in FINAL_SMS and sms.direction != "inbound":
                self.begin_sms(sms)

    # -- mail ---------------------------------------------------------------------------------

    def begin_mails(self, mails: Iterable[Mail]) -> None:
        """Start the lives of all mails of one request; those sent at the same time go together."""
        by_time: dict[float, list[Mail]] = {}
        for mail in mails:
            by_time.setdefault(mail.send_at(), []).append(mail)
        for send_at, together in by_time.items():
            self._courier.spawn(self._live_mails(together, send_at))

    async def _live_mails(self, mails: list[Mail], send_at: float) -> None:
        await asyncio.sleep(max(send_at - time.time(), 0))
        ahead = [(mail, self._mail_steps(mail)) for mail in mails]
        while any(steps for _, steps in ahead):
            await asyncio.sleep(self._config.delay)
            events = [self._event_of(mail, *steps.pop(0)) for mail, steps in ahead if steps]
            await self._tell_mail(events)

    def _mail_steps(self, mail: Mail) -> list[magic.Step]:
        reason = self._book.suppressed.get(mail.email.lower())
        bypass = switched_on(mail.request.payload, "mail_settings", "bypass_list_management")
        if reason and not bypass and not mail.history:
            return [("dropped", {"reason": reason})]
        lived = sum(fact["event"] not in _ENGAGEMENT for fact in mail.history)
        return magic.mail_life(mail.email)[lived:]

    async def mail_event(self, mail: Mail, event: str, **details: Any) -> dict[str, Any]:
        """Let something happen to a mail now, and return the event that goes out."""
        asm = mail.request.payload.get("asm")
        if event == "unsubscribe" and asm:
            event, details = "group_unsubscribe", {"asm_group_id": asm["group_id"], **details}
        fact = self._event_of(mail, event, details)
        await self._tell_mail([fact])
        return fact

    def _event_of(self, mail: Mail, event: str, details: dict[str, Any]) -> dict[str, Any]:
        """Return one event as SendGrid posts it: custom arguments flattened, reserved names winning."""
        payload = mail.request.payload
        fact: dict[str, Any] = {
            **mail.custom_args(),
            "email": mail.email,
            "timestamp": int(self._config.clock().timestamp()),
            "smtp-id": f"<{mail.request.message_id}@geopod-ismtpd-0>",
            "event": event,
            "sg_event_id": secrets.token_urlsafe(16),
            "sg_message_id": mail.id,
            **details,
        }
        categories = payload.get("categories")
        if categories:
            fact["category"] = categories if len(categories) > 1 else categories[0]
        return fact

    async def _tell_mail(self, events: list[dict[str, Any]]) -> None:
        post = self._config.sendgrid_events_url is not None
        entry = await self._courier.record("mail.events", {"events": events, "post": post})
        if post:
            self._courier.hand_over(entry["seq"], events)

    # -- texts --------------------------------------------------------------------------------

    def begin_sms(self, sms: Sms) -> None:
        """Start the life of one outgoing message."""
        self._courier.spawn(self._live_sms(sms))

    async def _live_sms(self, sms: Sms) -> None:
        if sms.send_at and sms.status == "scheduled":
            at = parse_time(sms.send_at) or datetime.now(UTC)
            await asyncio.sleep(max((at - datetime.now(UTC)).total_seconds(), 0))
        steps = magic.sms_life(sms.to)
        if sms.status in {"accepted", "scheduled"}:
            steps = [("queued", {}), *steps]
        elif sms.status == "sent":
            steps = steps[1:]
        for status, details in steps:
            await asyncio.sleep(self._config.delay)
            if sms.status == "canceled" or sms.sid not in self._book.texts:
                return
            await self.sms_status(sms, status, **details)

    async def sms_status(self, sms: Sms, status: str, **details: Any) -> None:
        """Move a message to a status, and call back when the sender asked for it."""
        await self._courier.record("sms.status", {"sid": sms.sid, "status": status, **details})
        if sms.callback:
            fields = self._status_fields(sms, status)
            url = sms.callback
            # Each callback goes its own way: order of arrival is not promised.
            self._courier.spawn(self._courier.post_form(url=url, fields=fields, sid=sms.sid))

    def _status_fields(self, sms: Sms, status: str) -> dict[str, str]:
        fields = {
            "AccountSid": self._config.twilio_account_sid,
            "ApiVersion": "2010-04-01",
            "From": sms.sender,
            "MessageSid": sms.sid,
            "MessageStatus": status,
            "SmsSid": sms.sid,
            "SmsStatus": status,
            "To": sms.to,
        }
        if sms.service_sid:
            fields["MessagingServiceSid"] = sms.service_sid
        if sms.error_code:
            fields["ErrorCode"] = str(sms.error_code)
        if status == "delivered":
            fields["RawDlrDoneDate"] = sms.updated.strftime("%y%m%d%H%M")
        if channel_of(sms.to) != "sms":
            fields["ChannelPrefix"] = channel_of(sms.to)
        return fields
