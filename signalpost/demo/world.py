"""The world around the product, over HTTP as in real life: the shop's Segment client, the customers at
the post office, and the shop's app with its inbox.
"""

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from signalpost.demo.people import Person
from signalpost.errors import TransientError

_TIMEOUT = 20  #: seconds
_MOST = 40  #: events in one batch; Segment's clients stay below 500 kB
_LINK = re.compile(r"https?://[^\s<>\"]+")
_SHOWN = re.compile(r'name="shown" value="([^"]*)"')
_CODE = re.compile(r"\b(?:OK|NO) (\d{4})\b")

Event = dict[str, Any]


class UnansweredError(TransientError):
    """A part of the product does not answer as it should."""


def call(
    method: str, url: str, *, body: object = None, headers: Mapping[str, str] | None = None
) -> Any:
    """Send a request with a body of JSON; gives the JSON of the answer, or its text.

    Raises:
        UnansweredError: nobody is there, or the answer is an error.
    """
    data = None if body is None else json.dumps(body).encode()
    return _answer(method, url, data, {"Content-Type": "application/json", **(headers or {})})


def _answer(method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - our own loopback
    for name, value in headers.items():
        request.add_header(name, value)
    path = url.partition("?")[0].partition("/links/")[0]
    try:
        with _opener.open(request, timeout=_TIMEOUT) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace")[:300]
        raise UnansweredError(f"{method} {path} answered {error.code}: {said}") from error
    except OSError as error:
        raise UnansweredError(
            f"{method} {path} is not answered ({type(error).__name__})"
        ) from error
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


#: Never by way of a proxy: everything is on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def identify(person: Person, *, at: datetime) -> Event:
    """Tell who somebody is, in Segment's words."""
    return {
        "type": "identify",
        "messageId": f"identify-{person.user_id}",
        "userId": person.user_id,
        "traits": person.traits(),
        **_context(at),
    }


def track(
    event: str,
    properties: Mapping[str, Any],
    *,
    message_id: str,
    at: datetime,
    person: Person | None,
) -> Event:
    """Tell that something happened, in Segment's words; without a person it is a guest's."""
    who = {"userId": person.user_id} if person else {}
    return {
        "type": "track",
        "messageId": message_id,
        "event": event,
        "properties": dict(properties),
        **who,
        **_context(at),
    }


def _context(at: datetime) -> Event:
    library = {"name": "signalpost-demo", "version": "1"}
    return {"timestamp": at.isoformat(), "context": {"library": library}}


class Shop:
    """The shop's client of ``/v1/batch``."""

    def __init__(self, base_url: str, write_key: str) -> None:
        self._url = f"{base_url}/v1/batch"
        token = base64.b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}
        self.last: list[Event] = []  #: what the last batch held

    def tell(self, events: Sequence[Event], *, now: datetime) -> None:
        """Post events; accepted means kept."""
        for start in range(0, len(events), _MOST):
            self.last = list(events[start : start + _MOST])
            self._post(now)

    def tell_again(self, *, now: datetime) -> None:
        """Post the last batch once more, as a client does that heard no answer."""
        self._post(now)

    def _post(self, now: datetime) -> None:
        body = {"batch": self.last, "sentAt": now.isoformat()}
        call("POST", self._url, body=body, headers=self._headers)


class PostOffice:
    """What customers do with their phone and their mail, and the post office's own log."""

    def __init__(self, base_url: str) -> None:
        self._url = base_url
        self._read_up_to = 0
        self.entries: list[dict[str, Any]] = []  #: all that the log says, as far as it was read
        self._owed: set[object] = set()

    def reply(self, person: Person, body: str) -> None:
        """Let somebody write from their phone."""
        call("POST", f"{self._url}/postoffice/reply", body={"from": person.phone, "body": body})

    def open_mail(self, person: Person) -> None:
        """Let somebody open their newest mail."""
        call("POST", f"{self._url}/postoffice/open", body={"to": person.email})

    def texts_to(self, person: Person) -> list[str]:
        """Give what was sent to somebody's phone, oldest first."""
        return [one["text"] for one in self._messages(person.phone or "", "sms")]

    def mails_to(self, person: Person) -> list[dict[str, Any]]:
        """Give somebody's mail as it arrived, oldest first: subject, text, status."""
        return self._messages(person.email, "email")

    def _messages(self, to: str, channel: str) -> list[dict[str, Any]]:
        query = urlencode({"to": to, "channel": channel})
        found = call("GET", f"{self._url}/postoffice/messages?{query}")["messages"]
        return [one for one in found if one["direction"] != "inbound"]

    def read_on(self) -> None:
        """Read what is new in the log; ``owes`` keeps count of it."""
        while True:
            query = f"after={self._read_up_to}&limit=5000"
            found = call("GET", f"{self._url}/postoffice/log?{query}")
            self.entries += found["entries"]
            if not found["entries"]:
                return
            self._read_up_to = found["entries"][-1]["seq"]

    def owes(self) -> int:
        """Count the webhooks that it has yet to deliver: mail events and replies."""
        seen = len(self.entries)
        self.read_on()
        for entry in self.entries[seen:]:
            if entry["kind"] == "mail.events" and entry["post"]:
                self._owed.add(entry["seq"])
            elif entry["kind"] == "sms.inbound":
                self._owed.add(entry["sid"])
            elif entry["kind"] == "webhook.answer" and entry["done"]:
                self._owed.difference_update([*entry.get("entries", ()), entry.get("sid")])
        return len(self._owed)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Give the entries of one kind, as far as the log was read."""
        return [entry for entry in self.entries if entry["kind"] == kind]


class App:
    """The shop's app: it gets a token for its signed-in customer, and shows their inbox."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._url = base_url
        self._key = {"Authorization": f"Bearer {api_key}"}

    def items(self, person: Person) -> list[dict[str, Any]]:
        """Give somebody's inbox, newest first."""
        return call("GET", f"{self._url}/v1/inbox?limit=50", headers=self._token(person))["items"]

    def answer(self, person: Person, message: str, answer: str) -> None:
        """Let somebody answer the question of their newest item of that message."""
        item = next(one for one in self.items(person) if one["message"] == message)
        url = f"{self._url}/v1/inbox/{item['id']}/answer"
        call("POST", url, body={"answer": answer}, headers=self._token(person))

    def _token(self, person: Person) -> dict[str, str]:
        url = f"{self._url}/v1/inbox/tokens"
        made = call("POST", url, body={"user_id": person.user_id}, headers=self._key)
        return {"Authorization": f"Bearer {made['token']}"}


def follow(link: str) -> None:
    """Follow a personal link as a browser does: look at the page, then press its button."""
    call("GET", link)
    call("POST", link, body={})


def hear_nothing_more(link: str) -> None:
    """Take every tick off the page of what one hears about, and save it, as a browser does."""
    found = _SHOWN.search(call("GET", link))
    form = urlencode({"shown": found[1] if found else ""}).encode()
    _answer("POST", link, form, {"Content-Type": "application/x-www-form-urlencoded"})


def links_in(text: str) -> list[str]:
    """Give the web addresses in a text."""
    return _LINK.findall(text)


def answer_code(texts: Iterable[str]) -> str:
    """Give the answer code of the newest text that asks for one.

    Raises:
        UnansweredError: none of them does.
    """
    for text in reversed([*texts]):
        if found := _CODE.search(text):
            return found[1]
    raise UnansweredError("no text message asks for an answer code")
