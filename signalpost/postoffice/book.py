"""Everything the post office knows, rebuilt from its log: mails, texts, opt-outs, suppressions."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from signalpost.postoffice import forgetting, mail_text
from signalpost.postoffice.log import Entry
from signalpost.postoffice.segments import count_segments

_MAIL_STATUSES = {
    "processed": "processed",
    "dropped": "dropped",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounced",
}
#: Events after which SendGrid drops the next mail, with the reason it then gives.
_SUPPRESSING = {
    "bounce": "Bounced Address",
    "spamreport": "Spam Reporting Address",
    "unsubscribe": "Unsubscribed Address",
}
FINAL_SMS = frozenset({"delivered", "undelivered", "failed", "canceled", "read", "received"})


@dataclass(slots=True)
class MailRequest:
    """One accepted mail/send request; its recipients share the static part."""

    message_id: str  #: as answered in X-Message-Id
    payload: dict[str, Any]
    at: datetime


@dataclass(slots=True)
class Mail:
    """One mail to one recipient."""

    id: str  #: sg_message_id
    seq: int
    request: MailRequest
    index: int  #: of its personalization
    email: str
    name: str
    role: str  #: to, cc or bcc
    status: str = "accepted"
    history: list[dict[str, Any]] = field(default_factory=list)

    def rendered(self) -> dict[str, Any]:
        """Return subject, text, html and headers as this recipient gets them."""
        return mail_text.render_mail(request=self.request.payload, index=self.index)

    @property
    def subject(self) -> str:
        """The subject as this recipient gets it."""
        return mail_text.subject_of(request=self.request.payload, index=self.index)

    def custom_args(self) -> dict[str, str]:
        """Return the custom arguments that travel with each event."""
        return mail_text.custom_args(request=self.request.payload, index=self.index)

    def send_at(self) -> float:
        """Return the epoch second from which it may be sent; 0 is at once."""
        person = self.request.payload["personalizations"][self.index]
        return person.get("send_at") or self.request.payload.get("send_at") or 0


@dataclass(slots=True)
class Sms:
    """One text, WhatsApp or Messenger message, either way."""

    sid: str
    seq: int
    to: str
    sender: str  #: the From as it is known now; a Messaging Service has one number here
    service_sid: str | None
    body: str
    media: list[str]
    direction: str
    status: str
    created: datetime
    updated: datetime
    callback: str | None = None
    sent: datetime | None = None
    send_at: str | None = None
    error_code: int | None = None
    assigned: bool = True  #: False until a Messaging Service has chosen its sender
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def segments(self) -> int:
        """How many segments its text takes."""
        return count_segments(self.body)

    @property
    def party(self) -> str:
        """The customer's address, whichever way the message went."""
        return self.sender if self.direction == "inbound" else self.to

    @property
    def ours(self) -> str:
        """Our side's address, whichever way the message went."""
        return self.to if self.direction == "inbound" else self.sender


class Book:
    """State derived from log entries, and from nothing else."""

    def __init__(self) -> None:
        self.mails: dict[str, Mail] = {}
        self.requests: dict[str, list[Mail]] = {}
        self.by_email: defaultdict[str, list[Mail]] = defaultdict(list)
        self.suppressed: dict[str, str] = {}
        self.unposted: dict[int, list[dict[str, Any]]] = {}  # log number → events not yet taken
        self.texts: dict[str, Sms] = {}
        self.by_address: defaultdict[str, list[Sms]] = defaultdict(list)
        self.threads: dict[str, list[Sms]] = {}  # customer's address → messages, oldest first
        self.opted_out: set[tuple[str, str]] = set()  # (our sender, customer)
        self.hooks: dict[str, dict[str, Any]] = {}  # webhook-id → body
        self.mail_version = 0
        self.text_version = 0
        self._apply: dict[str, Callable[[Entry], None]] = {
            "mail.accepted": self._mail_accepted,
            "mail.events": self._mail_events,
            "mail.suppression_lifted": self._suppression_lifted,
            "sms.accepted": self._sms_added,
            "sms.inbound": self._sms_inbound,
            "sms.status": self._sms_status,
            "sms.redacted": self._sms_redacted,
            "sms.deleted": self._sms_deleted,
            "webhook.answer": self._webhook_answer,
            "hook.received": self._hook_received,
        }

    def apply(self, entry: Entry) -> None:
        """Take one log entry into account; kinds that change nothing here pass."""
        change = self._apply.get(entry["kind"])
        if change:
            change(entry)

    def latest_mail(self, email: str) -> Mail | None:
        """Return the newest mail to this address."""
        found = self.by_email.get(email.lower())
        return found[-1] if found else None

    def mails_newest_first(self) -> Iterator[Mail]:
        """Go through the mailbox from the newest mail on."""
        return reversed(self.mails.values())

    def opened_hook(self, webhook_id: str) -> bool:
        """Say whether this outgoing webhook of the product came before."""
        return webhook_id in self.hooks

    def forget(self, emails: Collection[str]) -> int:
        """Forget whom mails went to, and what they said to them; gives how many mails it were."""
        count = 0
        for email in {one.lower() for one in emails}:
            self.suppressed.pop(email, None)
            for mail in self.by_email.pop(email, ()):
                mail.request.payload = forgetting.request_without(mail.request.payload, {email})
                mail.email, mail.name = forgetting.ERASED, ""
                mail.history = [{"event": f["event"], "at": f["at"]} for f in mail.history]
                self.by_email[forgetting.ERASED].append(mail)
                count += 1
        self.mail_version += 1
        return count

    # -- mail ---------------------------------------------------------------------------------

    def _mail_accepted(self, entry: Entry) -> None:
        request = MailRequest(entry["message_id"], entry["request"], _time(entry["at"]))
        mails: list[Mail] = []
        for index, person in enumerate(request.payload["personalizations"]):
            for role in ("to", "cc", "bcc"):
                for party in person.get(role) or ():
                    mail_id = f"{request.message_id}.recvd-0-{len(mails)}"
                    name = party.get("name") or ""
                    mails.append(
                        Mail(mail_id, entry["seq"], request, index, party["email"], name, role)
                    )
        for mail in mails:
            self.mails[mail.id] = mail
            self.by_email[mail.email.lower()].append(mail)
        self.requests[request.message_id] = mails
        self.mail_version += 1

    def _mail_events(self, entry: Entry) -> None:
        for event in entry["events"]:
            mail = self.mails.get(event["sg_message_id"])
            if mail is None:
                continue
            kind = event["event"]
            mail.history.append({"event": kind, "at": entry["at"], **_details(event)})
            mail.status = _mail_status(mail.status, event)
            if kind in _SUPPRESSING and event.get("type") != "blocked":
                self.suppressed[mail.email.lower()] = _SUPPRESSING[kind]
        if entry["post"]:
            self.unposted[entry["seq"]] = entry["events"]
        self.mail_version += 1

    def _suppression_lifted(self, entry: Entry) -> None:
        self.suppressed.pop(entry["email"], None)

    def _webhook_answer(self, entry: Entry) -> None:
        if entry.get("done"):
            for seq in entry.get("entries", ()):
                self.unposted.pop(seq, None)

    # -- texts --------------------------------------------------------------------------------

    def _sms_added(self, entry: Entry) -> None:
        at = _time(entry["at"])
        self._keep(
            Sms(
                sid=entry["sid"],
                seq=entry["seq"],
                to=entry["to"],
                sender=entry["from"],
                service_sid=entry.get("service_sid"),
                body=entry["body"],
                media=entry.get("media") or [],
                direction=entry["direction"],
                status=entry["status"],
                created=at,
                updated=at,
                callback=entry.get("callback"),
                send_at=entry.get("send_at"),
                assigned=entry.get("assigned", True),
                history=[{"status": entry["status"], "at": entry["at"]}],
            )
        )

    def _sms_inbound(self, entry: Entry) -> None:
        self._sms_added({**entry, "direction": "inbound", "status": "received"})
        self.texts[entry["sid"]].sent = _time(entry["at"])  # of a text to us Twilio shows a date
        pair = (entry["to"], entry["from"])
        if entry.get("opt_out_type") == "STOP":
            self.opted_out.add(pair)
        elif entry.get("opt_out_type") == "START":
            self.opted_out.discard(pair)

    def _keep(self, sms: Sms) -> None:
        self.texts[sms.sid] = sms
        self.by_address[sms.to].append(sms)
        self.by_address[sms.sender].append(sms)
        # Re-inserting moves the thread to the end: threads stay sorted by their last message.
        thread = self.threads.pop(sms.party, [])
        thread.append(sms)
        self.threads[sms.party] = thread
        self.text_version += 1

    def _sms_status(self, entry: Entry) -> None:
        sms = self.texts.get(entry["sid"])
        if sms is None:
            return
        sms.status, sms.updated = entry["status"], _time(entry["at"])
        sms.error_code = entry.get("error_code")
        sms.assigned = True
        if sms.status == "sent":
            sms.sent = sms.updated
        sms.history.append({"status": sms.status, "at": entry["at"]})
        self.text_version += 1

    def _sms_redacted(self, entry: Entry) -> None:
        if sms := self.texts.get(entry["sid"]):
            sms.body, sms.updated = "", _time(entry["at"])
        self.text_version += 1

    def _sms_deleted(self, entry: Entry) -> None:
        sms = self.texts.pop(entry["sid"], None)
        if sms is None:
            return
        for row in (self.by_address[sms.to], self.by_address[sms.sender], self.threads[sms.party]):
            if sms in row:
                row.remove(sms)
        if not self.threads[sms.party]:
            del self.threads[sms.party]
        self.text_version += 1

    def _hook_received(self, entry: Entry) -> None:
        self.hooks.setdefault(entry["webhook_id"], entry["body"])
        self.text_version += 1


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _details(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("reason", "type", "url", "response") if name in event}


def _mail_status(status: str, event: dict[str, Any]) -> str:
    if event["event"] == "bounce" and event.get("type") == "blocked":
        return "blocked"
    return _MAIL_STATUSES.get(event["event"], status)
