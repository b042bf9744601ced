"""The campaign that everybody sends: ``early_bird`` by email, as our catalogue renders it.

The bare loop renders it as we do. The peers are handed each person's words ready made, signed links
and written dates included, and fill them into the same text: that favours them.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from signalpost.content import Catalogue, Slot, Variant, fill
from signalpost.content.mailing import Mailing
from signalpost.domain.vocabulary import Channel
from signalpost.services.links import Links

TEMPLATES = Path(__file__).parents[2] / "templates"
MESSAGE, LOCALE, ZONE = "early_bird", "en", "Europe/London"
NOW = datetime(2023, 5, 29, 9, 0, tzinfo=UTC)
SENDER = {"email": "news@larkfield.example", "name": "Larkfield"}
FACTS = {
    "promotion_id": "SPRING-24",
    "code": "LARK15",
    "product": "Harbour jacket",
    "expires_at": "2023-05-31T17:00:00Z",
}
FIRST_NAMES = ("Ann", "Bo", "Chidi", "Dolores", "Émile", "Fatima", "Grażyna", "Hiro")

Words = Mapping[str, str]


def _customer(number: int) -> dict[str, str]:
    return {"first_name": FIRST_NAMES[number % len(FIRST_NAMES)]}


class Campaign:
    """The message and its recipients, numbered from 0."""

    def __init__(self) -> None:
        self.catalogue = Catalogue.load(TEMPLATES, broken="collect")
        self.links = Links("https://signalpost.example", ("benchmark",))

    @cached_property
    def variant(self) -> Variant:
        """The message as it is compiled: static text and slots."""
        return self.catalogue.variant(MESSAGE, Channel.EMAIL, LOCALE)

    def address(self, number: int) -> str:
        """Return a recipient's address."""
        return f"reader{number}@example.com"

    def message_id(self, number: int) -> str:
        """Return the id under which a recipient's message is known."""
        return str(UUID(int=number + 2**64))

    @cached_property
    def mailing(self) -> Mailing:
        """The message as it is compiled for many: what all share is rendered once."""
        return Mailing(self.catalogue, MESSAGE, Channel.EMAIL, facts=FACTS)

    def own_words(self, number: int) -> tuple[Variant, Words, str]:
        """Return the text that all share, a recipient's own words, and their unsubscribe link."""
        links = self._links(number)
        variant, slots = self.mailing.slots(
            locale=LOCALE, zone=ZoneInfo(ZONE), customer=_customer(number), links=links, facts={}
        )
        return variant, slots, links["unsubscribe"]

    def words(self, number: int) -> tuple[Words, str]:
        """Return a recipient's words by slot, and the link that unsubscribes them."""
        links = self._links(number)
        context = self.catalogue.context(
            MESSAGE,
            facts=FACTS,
            customer=_customer(number),
            brand={},
            links=links,
            locale=LOCALE,
            zone=ZONE,
        )
        return self.variant.slots(context), links["unsubscribe"]

    def _links(self, number: int) -> dict[str, str]:
        signed = self.links.for_message(
            customer_id=str(UUID(int=number)),
            message_id=self.message_id(number),
            topic="offers",
            website="https://larkfield.example",
            order_id=None,
            now=NOW,
        )
        return {name: signed[name] for name in ("agent", "unsubscribe", "preferences")}

    def headers(self, unsubscribe: str) -> dict[str, str]:
        """Return what RFC 8058 asks of marketing email."""
        return {
            "List-Unsubscribe": f"<{unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    def write(self, path: Path, people: int) -> None:
        """Write the text and the recipients' words for programs that know nothing of us."""
        listed = []
        for number in range(people):
            words, unsubscribe = self.words(number)
            listed.append(
                {
                    "id": self.message_id(number),
                    "address": self.address(number),
                    "headers": self.headers(unsubscribe),
                    "words": words,
                }
            )
        templates = {part: _as_template(pieces) for part, pieces in self.variant.parts.items()}
        path.write_text(json.dumps({"from": SENDER, "templates": templates, "people": listed}))

    def check(self, request: bytes) -> None:
        """See that the last person of a request to SendGrid gets exactly our bytes.

        Raises:
            ValueError: something differs; says what.
        """
        body = json.loads(request)
        person = body["personalizations"][-1]
        address = person["to"][0]["email"]
        words, unsubscribe = self.words(int(address.removeprefix("reader").partition("@")[0]))
        wanted = fill(self.variant.parts, words)
        texts = {one["type"]: one["value"] for one in body["content"]}
        sent = {
            "subject": person.get("subject") or body["subject"],
            "text": texts["text/plain"],
            "html": texts["text/html"],
        }
        for part, text in sent.items():
            for tag, value in person.get("substitutions", {}).items():
                text = text.replace(tag, value)
            if text != wanted[part]:
                raise ValueError(f"the {part} that was sent is not the one that we render")
        headers = {**body.get("headers", {}), **person.get("headers", {})}
        if any(headers.get(name) != value for name, value in self.headers(unsubscribe).items()):
            raise ValueError("the List-Unsubscribe headers are missing or differ")


def _as_template(pieces: Any) -> str:
    """Return static text and slots in the syntax that Jinja2 and Django share."""
    return "".join(f"{{{{ {p.name} }}}}" if isinstance(p, Slot) else p for p in pieces)
