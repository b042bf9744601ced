"""All message folders of a project, loaded and compiled once."""

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from signalpost.content.errors import ContentError, MissingFact, RenderFailed
from signalpost.content.facts import Fact, FactType, Place, read, text
from signalpost.content.formats import Row
from signalpost.content.loader import CUSTOMER, LINKS, Loaded, Loader
from signalpost.content.locales import fallbacks, normalise
from signalpost.content.spec import MessageSpec
from signalpost.content.variant import Variant
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.errors import NotFoundError

#: Without any letter that HTML writes otherwise (http: the embedded default runs on loopback).
_LINK = re.compile(r"https?://[^\s<>\"'&]+")
_UNSIGNED = {"home", "order"}  #: these lead to the brand's own pages
_TOKEN = "sample".ljust(74, "-")  #: as long as one of ours for two ids and a time
_LINKED = re.compile(r"(?:https?://|www\.)\S*", re.IGNORECASE)


class Catalogue:
    """Every message that can be sent, by name; ``problems`` holds what was wrong at loading."""

    def __init__(self, folder: Path, loaded: Loaded) -> None:
        self.folder = folder
        self.brand = loaded.brand
        self.domains = loaded.domains
        self.own_brand = Row(dict(loaded.brand))
        self.default_locale = loaded.default_locale
        self.problems = loaded.problems
        self._specs = loaded.specs
        self._variants = loaded.variants
        self.files = loaded.files
        self._written: dict[tuple[str, str | None], str] = {}

    @classmethod
    def load(cls, folder: Path, broken: Literal["raise", "collect"] = "raise") -> "Catalogue":
        """Return the messages below a templates folder.

        Raises ``ContentError`` with every problem; with ``broken="collect"`` the good messages are
        returned and ``problems`` says what is wrong with the others.
        """
        catalogue = cls(Path(folder), Loader(Path(folder)).load())
        if catalogue.problems and broken == "raise":
            raise ContentError(catalogue.problems)
        return catalogue

    def __getitem__(self, name: str) -> MessageSpec:
        try:
            return self._specs[name]
        except KeyError:
            known = ", ".join(self.names()) or "none"
            raise NotFoundError(
                f"There is no message {name!r} in {self.folder.name}/; there are: {known}."
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def names(self) -> list[str]:
        """Return the names of all messages, sorted."""
        return sorted(self._specs)

    def variant(self, name: str, channel: Channel, locale: str | None) -> Variant:
        """Return a message on a channel in the nearest locale that it is written in.

        Raises ``NotFoundError`` for a message, or a channel of it, that does not exist.
        """
        default = self[name].default_locale
        for tag in fallbacks(locale, default):
            found = self._variants.get((name, channel, tag))
            if found is not None:
                return found
        has = ", ".join(sorted(self[name].channels))
        raise NotFoundError(f"Message {name!r} is not written for {channel}; it is for: {has}.")

    def shown_instead(self, name: str, channel: Channel, locale: str | None) -> str | None:
        """Say which locale stands in for one that is none, or not written; None: none has to."""
        used = self.variant(name, channel, locale).locale
        if locale is None or used in fallbacks(locale, "")[:-1]:
            return None
        if normalise(locale) is None:
            return f"There is no locale {locale!r}; {used} is shown instead."
        return f"{name} is not written in {locale} for {channel}; {used} is shown instead."

    def context(
        self,
        name: str,
        *,
        facts: Mapping[str, Any],
        customer: Mapping[str, Any],
        brand: Mapping[str, Any],
        links: Mapping[str, Any],
        locale: str | None,
        zone: str | tzinfo | None,
    ) -> dict[str, Any]:
        """Return what templates read for one person, the same on every channel (R-04).

        Raises ``MissingFact`` when a required fact is missing or any fact is not of its type.
        """
        spec = self[name]
        place = self.place(name, locale, zone)
        values = {n: read_fact(spec, fact, facts.get(n), place) for n, fact in spec.facts.items()}
        known = {n: value for n, value in values.items() if value is not None}
        known["customer"] = Row(person_values(customer))
        known["brand"] = Row({**self.brand, **_texts(brand)}) if brand else self.own_brand
        known["links"] = link_values(links)
        known["locale"] = place.locale
        return known

    def place(self, name: str, locale: str | None, zone: str | tzinfo | None) -> Place:
        """Return in whose locale and zone a message writes its values for a person."""
        return Place(self._written_in(self[name], locale), _zone(zone), self.domains)

    def preview(
        self,
        name: str,
        channel: Channel,
        locale: str | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        customer: Mapping[str, Any] | None = None,
        brand: Mapping[str, Any] | None = None,
        links: Mapping[str, Any] | None = None,
        zone: str | tzinfo | None = None,
    ) -> dict[str, str]:
        """Return the full text of each part, as it would be sent; samples for what is not given."""
        variant = self.variant(name, channel, locale)
        sample = {n: f.sample for n, f in self[name].facts.items()}
        context = self.context(
            name,
            facts=sample if facts is None else {**sample, **facts},
            customer={"first_name": "Ann"} if customer is None else customer,
            brand=brand or {},
            links=self.sample_links() if links is None else links,
            locale=locale or variant.locale,
            zone=zone,
        )
        return variant.render(context)

    def warm(self) -> None:
        """Render everything once, so that the first fraud alert does not pay for loading locales.

        A long-lived process calls it at its start; it takes about a second.
        """
        for name, channel, locale in self._variants:
            with contextlib.suppress(MissingFact, RenderFailed):  # `lint` is who complains
                self.preview(name, channel, locale)

    def sample_links(self) -> dict[str, str]:
        """Return made-up links to the brand's own host, for previews and checks.

        Those that are personal are as long as real ones: a text message is paid for by its length.
        """
        base = self.brand.get("website", "https://brand.example").rstrip("/")
        signed = {name: f"{base}/links/{name}/{_TOKEN}" for name in sorted(LINKS - _UNSIGNED)}
        return signed | {"home": base, "order": f"{base}/orders/A-10428"}

    def _written_in(self, spec: MessageSpec, locale: str | None) -> str:
        """Return the person's locale if the message is written in it, else the default."""
        found = self._written.get((spec.name, locale))
        if found is None:
            written = frozenset().union(*spec.locales.values())
            close = any(tag in written for tag in fallbacks(locale, "")[:-1])
            found = (normalise(locale) if close else None) or spec.default_locale
            if len(self._written) < 10_000:
                self._written[spec.name, locale] = found
        return found


def read_fact(spec: MessageSpec, fact: Fact, value: Any, place: Place) -> Any:
    """Return a fact as templates see it, None for an optional one that is not there."""
    if value is None or value == "" or (value == [] and fact.type is FactType.LIST):
        if fact.required:
            raise MissingFact(fact.name)
        return None
    found = read(fact, value, place)
    if spec.purpose is Purpose.SECURITY and isinstance(found, str):
        return _LINKED.sub(lambda m: _defused(m[0]), found)
    return found


def _defused(link: str) -> str:
    """Return a link that no phone turns into one: a security message holds none (C23)."""
    bare = re.sub(r"^https?:/*", "", link, flags=re.IGNORECASE)
    return bare.replace(".", " dot ")


def person_values(customer: Mapping[str, Any]) -> dict[str, str]:
    """Return what templates may read of a customer's attributes."""
    known = _texts({k: v for k, v in customer.items() if k in CUSTOMER})
    name = known.get("first_name", "")
    if len(name) > 40 or "://" in name or "www." in name.lower():
        known.pop("first_name")  # a sign-up form used to send somebody else's advertisement
    return known


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    known = {}
    for key, value in values.items():
        try:
            known[key] = text(value)
        except (ValueError, TypeError):
            continue  # absent, empty or no text: templates have a fallback for it
    return known


class WebLinks(Row, Mapping[str, str]):
    """Links that are surely web addresses (``is_web_address``): whoever makes them sees to that."""

    __slots__ = ()


def link_values(links: Mapping[str, Any]) -> Row:
    """Return links as templates read them: made when they are asked for."""
    return links if isinstance(links, WebLinks) else _Links(links)


class _Links(Row):
    """Links from anywhere; what is no web address is undefined."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if not is_web_address(found):
            raise KeyError(name)
        return found


def is_web_address(value: Any) -> bool:
    """Whether a value can stand as a link in a text and in HTML."""
    return isinstance(value, str) and value.isprintable() and _LINK.fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _zone(zone: str | tzinfo | None) -> tzinfo:
    if isinstance(zone, tzinfo):
        return zone
    try:
        return ZoneInfo(zone) if zone else UTC
    except (KeyError, ValueError, OSError):
        return UTC
