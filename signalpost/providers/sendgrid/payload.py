"""Builds the body of ``POST /v3/mail/send``: the static text once, each person's words as tags.

A plain dict: the SDK's ``Mail`` helper lets line breaks through and cuts bad addresses short.
Source of the limits: twilio.com/docs/sendgrid/api-reference/mail-send/limitations.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from signalpost.domain.delivery import Letter, Outgoing
from signalpost.domain.text import Slot, fill
from signalpost.domain.vocabulary import Purpose
from signalpost.providers.sendgrid.settings import SendGridSettings

MOST_SUBSTITUTION_BYTES = 10_000
# Letters of both cases and no way back ("++"): told to ignore case, it takes three times as long.
_ADDRESS = re.compile(
    r"[\w!#$%&'*+/=?^`{|}~-]++(?:\.[\w!#$%&'*+/=?^`{|}~-]++)*+"
    r"@(?:(?!-)[A-Za-z0-9-]{1,63}+(?<!-)\.)++(?=[A-Za-z])[A-Za-z0-9-]{1,63}+(?<!-)",
    re.ASCII,
)
_BREAKS_HEADER = re.compile(r"[\r\n\0]")


class Person(NamedTuple):
    """One person of a request. ``told``: their own part of the body."""

    place: int  #: in the batch
    attempt: str  #: the delivery's id
    address: str  #: in small letters, since SendGrid refuses one that comes twice
    told: dict[str, Any]


class Tags(dict[str, str]):
    """A tag for each slot that is asked for, such as ``[%s0%]``.

    Opening and closing marks differ, so two tags side by side cannot be read as a third one.
    ``mark`` is lengthened until no text of the batch holds it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__()
        self.mark = "[%s"
        listed = list(texts)
        while any(self.mark in text for text in listed):
            self.mark += "s"

    def __missing__(self, slot: str) -> str:
        tag = f"{self.mark}{len(self)}%]"
        self[slot] = tag
        return tag


def address_of(address: str) -> str | None:
    """The address as SendGrid takes it (domain in ASCII), or ``None`` when it is not valid."""
    address = address.strip(" ")
    if not address.isascii():
        local, _, domain = address.rpartition("@")
        try:
            address = f"{local}@{domain.encode('idna').decode()}"
        except UnicodeError:
            return None
    fits = len(address) <= 254 and address.rfind("@") <= 64
    return address if fits and _ADDRESS.fullmatch(address) else None


@dataclass(frozen=True, slots=True)
class Shape:
    """What a wording asks of each person's words: found once for all who share it."""

    needed: frozenset[str]  #: the slots that must have a value
    subject: tuple[Any, ...] | None  #: None: it is the same for all
    wrong: str | None  #: why nobody's can be sent

    @classmethod
    def of(cls, parts: Mapping[str, tuple[Any, ...]]) -> "Shape":
        """Read it from the parts."""
        pieces = [piece for part in parts.values() for piece in part]
        needed = frozenset(p.name for p in pieces if isinstance(p, Slot))
        if any(isinstance(piece, Slot) for piece in parts["subject"]):
            return cls(needed, parts["subject"], None)
        return cls(needed, None, _wrong_in("".join(parts["subject"])))


def refusal(out: Outgoing, shape: Shape) -> str | None:
    """Why this person's message cannot be sent, or ``None``: asked before any request is made."""
    if not shape.needed <= out.slots.keys():
        return "missing_slot"
    wrong = shape.wrong
    if shape.subject is not None:
        wrong = _wrong_in(fill({"subject": shape.subject}, out.slots)["subject"])
    if wrong is not None:
        return wrong
    url = out.unsubscribe_url
    # A pattern looks at each letter on its own, and takes ten times as long for it.
    if url and ("<" in url or ">" in url or url.split() != [url]):
        return "bad_unsubscribe_url"
    return None


def _wrong_in(subject: str) -> str | None:
    if not subject.strip():
        return "empty_subject"
    return "line_break_in_subject" if _BREAKS_HEADER.search(subject) else None


def substitutions(tags: Tags, slots: Mapping[str, str]) -> dict[str, str]:
    """This person's words by tag. Raises ``KeyError`` when one is missing."""
    return {tag: slots[slot] for slot, tag in tags.items()}


def surely_fit(tags: Tags) -> int:
    """How many letters of anybody's words fit in any case: none takes more than four bytes."""
    return (MOST_SUBSTITUTION_BYTES - sum(map(len, tags.values()))) // 4


def too_large(words: Mapping[str, str]) -> bool:
    """Whether a person's words are over SendGrid's limit and need a request of their own."""
    letters = "".join(words) + "".join(words.values())
    return len(letters.encode(errors="replace")) > MOST_SUBSTITUTION_BYTES


def mail(
    letter: Letter, text: Mapping[str, str], people: Iterable[Person], settings: SendGridSettings
) -> dict[str, Any]:
    """One request: ``text`` by part, and each person with their words by tag."""
    sender = settings.senders[letter.purpose]
    kinds = (("text/plain", text.get("text")), ("text/html", text.get("html")))
    body: dict[str, Any] = {
        "from": {"email": sender.email, "name": sender.name}
        if sender.name
        else {"email": sender.email},
        "personalizations": [one.told for one in people],
        "subject": text["subject"],
        "content": [{"type": kind, "value": value} for kind, value in kinds if value],
        "categories": list(dict.fromkeys([letter.message[:255], str(letter.purpose)])),
        "tracking_settings": _tracking(letter.purpose),
    }
    if settings.asm_group is not None and letter.purpose == Purpose.MARKETING:
        body["asm"] = {"group_id": settings.asm_group}
    return body


def person(place: int, out: Outgoing, address: str, words: Mapping[str, str]) -> Person:
    """One person of a request, with their words by tag."""
    told: dict[str, Any] = {
        "to": [{"email": address}],
        # SendGrid keeps these and shows them to its staff: ids only.
        "custom_args": {"x_message_id": out.message_id, "x_delivery_id": out.delivery_id},
    }
    if words:
        told["substitutions"] = words
    if out.unsubscribe_url:
        told["headers"] = {
            "List-Unsubscribe": f"<{out.unsubscribe_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    return Person(place, out.delivery_id, address.lower(), told)


def _tracking(purpose: Purpose) -> dict[str, Any]:
    """Said in full, so that account settings never rewrite the links of a security message."""
    tracked = purpose != Purpose.SECURITY
    return {
        "click_tracking": {"enable": tracked, "enable_text": False},
        "open_tracking": {"enable": tracked},
        "subscription_tracking": {"enable": False},
        "ganalytics": {"enable": False},
    }
