"""Adding up who would be reached, by channel, locale and zone, and who would not, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

import phonenumbers

from signalpost.content import MissingFact, RenderFailed, sms_segments
from signalpost.content.locales import normalise
from signalpost.domain.campaign import Personal
from signalpost.domain.vocabulary import Channel
from signalpost.services.campaigns.forecast import Release
from signalpost.services.campaigns.judging import Going, Judged
from signalpost.services.campaigns.runs import Launch
from signalpost.services.desk import Desk

EXAMPLES = 5  #: people named for each reason
SAMPLES = 40  #: texts rendered for each wording, to count their segments


@dataclass
class Texts:
    """The text messages of one wording: how many, to where, and what the rendered samples need."""

    people: int = 0
    rendered: int = 0
    segments: int = 0  #: of the rendered ones
    encodings: Counter[str] = field(default_factory=Counter)
    longest: int = 0  #: segments of the longest one
    broken: int = 0
    countries: Counter[str] = field(default_factory=Counter)

    @property
    def each(self) -> float:
        """Segments of one text, on average."""
        return self.segments / self.rendered if self.rendered else 1.0


class Tally:
    """Counts people as they are judged; its size does not grow with theirs."""

    def __init__(self, desk: Desk, launch: Launch, prices: Mapping[str, Decimal] | None) -> None:
        self.desk, self.launch, self.prices = desk, launch, prices
        self.judged = self.reached = 0
        self.ghosts: Counter[str] = Counter()
        self.arms: Counter[str] = Counter()
        self.channels: Counter[str] = Counter()
        self.locales: Counter[str] = Counter()
        self.unwritten: Counter[str] = Counter()
        self.zones: Counter[str] = Counter()
        self.zone_sources: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)
        self.releases: Counter[Release] = Counter()
        self.texts: dict[tuple[str, str], Texts] = defaultdict(Texts)

    def add(self, people: Iterable[Judged]) -> None:
        """Count these people."""
        for person in people:
            self.judged += 1
            if not person.going:
                self.leave_out(person)
            elif person.side.ghost is not None:
                self.ghosts[person.side.ghost] += 1
            else:
                self.reach(person, person.side.gate_message)

    def leave_out(self, person: Judged) -> None:
        """Count somebody who gets nothing, under the first objection of the gate."""
        reason = person.reason or "no_channel"
        self.reasons[reason] += 1
        if len(self.examples[reason]) < EXAMPLES:
            self.examples[reason].append(person.root_id)

    def reach(self, person: Judged, message: str) -> None:
        """Count somebody who gets something."""
        self.reached += 1
        if person.side.arm is not None:
            self.arms[person.side.arm] += 1
        first = self.desk.catalogue.variant(message, person.going[0].channel, person.locale)
        self.locales[first.locale] += 1
        wished = normalise(person.locale)
        if wished and wished.split("-")[0] != first.locale.split("-")[0]:
            self.unwritten[wished] += 1
        zones = person.standing.zones
        self.zones[zones[0].key if zones else person.zone or self.desk.default_zone] += 1
        self.zone_sources[person.standing.zone_source] += 1
        for going in person.going:
            self.count(person, message, going)

    def count(self, person: Judged, message: str, going: Going) -> None:
        """Count one message."""
        self.channels[going.channel.value] += 1
        wakes = going.channel is not Channel.IN_APP
        zones = tuple(tz.key for tz in person.standing.zones) if wakes else ()
        self.releases[Release(going.channel.value, going.at, zones, going.expires_at)] += 1
        if going.channel is Channel.SMS:
            self.measure(person, message)

    def measure(self, person: Judged, message: str) -> None:
        """Count a text message, and render it when few of its wording were."""
        variant = self.desk.catalogue.variant(message, Channel.SMS, person.locale)
        texts = self.texts[message, variant.locale]
        texts.people += 1
        if self.prices is not None:
            texts.countries[country(person.standing.addresses[Channel.SMS].address)] += 1
        if texts.rendered + texts.broken >= SAMPLES:
            return
        try:
            text = self.render(person, message)
        except (MissingFact, RenderFailed):
            texts.broken += 1
            return
        encoding, _, segments = sms_segments(text)
        texts.rendered += 1
        texts.segments += segments
        texts.longest = max(texts.longest, segments)
        texts.encodings[encoding] += 1

    def render(self, person: Judged, message: str) -> str:
        """Give the text as this person would read it; samples for facts that come later."""
        catalogue = self.desk.catalogue
        links = self.desk.links.for_message(
            customer_id=person.root_id,
            message_id=person.root_id,  # as long as a message's: a link's length is what counts
            topic=self.launch.campaign.topic,
            website=catalogue.brand["website"].rstrip("/"),
            order_id=None,
            now=person.due,
        )
        return catalogue.preview(
            message,
            Channel.SMS,
            person.locale,
            facts=facts_known(self.launch, person.attributes),
            customer=person.attributes,
            links=links,
            zone=person.zone or self.desk.default_zone,
        )["text"]


def facts_known(launch: Launch, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the facts of a message that are known before it is sent, for one person."""
    campaign = launch.campaign
    known: dict[str, Any] = {}
    if (promotion := campaign.promotion) is not None:
        known |= {
            "promotion_id": promotion.id,
            "code": promotion.code,
            "expires_at": promotion.ends_at.isoformat(),
            **promotion.facts,
        }
    for name, fact in campaign.facts.items():
        if not isinstance(fact, Personal):
            known[name] = fact
        elif fact.source == "attribute":
            known[name] = attributes.get(fact.name, fact.otherwise)
    known |= launch.facts
    return {name: value for name, value in known.items() if value is not None}


@lru_cache(maxsize=10_000)
def country(number: str) -> str:
    """Give the country of a phone number (ISO 3166-1, two letters), or ``default``."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return "default"
    return phonenumbers.region_code_for_number(parsed) or "default"
