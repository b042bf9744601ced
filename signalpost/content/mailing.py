"""One message to many people: what is the same for all is rendered once, and carried once.

The same compiled slots run as for one person (``Variant.slots``), so a mailing and a preview cannot
differ. Slots that say the same to everybody of a locale become a part of the static text; those that
write a time run once a zone; only those that read the customer, their links or their own facts run for
each person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from signalpost.content.catalogue import Catalogue, link_values, person_values, read_fact
from signalpost.content.facts import FactType, Place
from signalpost.content.formats import Row
from signalpost.content.variant import Program, Variant
from signalpost.domain.vocabulary import Channel


@dataclass(frozen=True, slots=True)
class _Frame:
    """What everybody of one locale and zone shares."""

    variant: Variant
    context: Mapping[str, Any]
    shared: Mapping[str, str]
    own: Program
    place: Place


class Mailing:
    """One message on one channel, to many. ``facts`` are everybody's; ``personal`` names the others."""

    def __init__(
        self,
        catalogue: Catalogue,
        message: str,
        channel: Channel,
        *,
        facts: Mapping[str, Any],
        personal: frozenset[str] = frozenset(),
    ) -> None:
        self._catalogue, self._message, self._channel = catalogue, message, channel
        self._spec = catalogue[message]
        self._facts = {name: value for name, value in facts.items() if name not in personal}
        self._personal = [fact for name, fact in self._spec.facts.items() if name in personal]
        self._changing = frozenset({"customer", "links"} | personal)
        self._timed = frozenset(
            name for name, fact in self._spec.facts.items() if fact.type is FactType.DATETIME
        )
        self._frames: dict[tuple[str | None, tzinfo], _Frame] = {}
        self._folded: dict[tuple[str, str], Variant] = {}

    def slots(
        self,
        *,
        locale: str | None,
        zone: tzinfo,
        customer: Mapping[str, Any],
        links: Mapping[str, str],
        facts: Mapping[str, Any],
    ) -> tuple[Variant, dict[str, str]]:
        """Return the variant and the value of each slot for one person.

        ``facts``: the personal ones only.

        Raises:
            MissingFact: one of their facts is missing or not of its type; concerns them only.
            RenderFailed: a template broke on their values; concerns them only.
        """
        frame = self._frames.get((locale, zone))
        if frame is None:
            frame = self._frames[locale, zone] = self._frame(locale, zone)
        context = dict(frame.context)
        for fact in self._personal:
            value = read_fact(self._spec, fact, facts.get(fact.name), frame.place)
            if value is not None:
                context[fact.name] = value
        context["customer"] = Row(person_values(customer))
        context["links"] = link_values(links)
        return frame.variant, {**frame.shared, **frame.own.run(context)}

    def _frame(self, locale: str | None, zone: tzinfo) -> _Frame:
        written = self._catalogue.variant(self._message, self._channel, locale)
        place = self._catalogue.place(self._message, locale, zone)
        known = {
            name: value
            for name, fact in self._spec.facts.items()
            if name not in self._changing
            and (value := read_fact(self._spec, fact, self._facts.get(name), place)) is not None
        }
        context = {**known, "brand": self._catalogue.own_brand, "locale": place.locale}
        same, own = written.split(self._changing)
        still, zoned = same.split(self._timed)
        key = (written.id, place.locale)
        variant = self._folded.get(key)
        if variant is None:
            variant = self._folded[key] = written.fold(still.run(context))
        return _Frame(variant, context, zoned.run(context), own, place)
