"""Adding up who would be reached, by channel, locale and zone, and who would not, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from signalpost.content import sms_segments
from signalpost.content.locales import normalise
from signalpost.domain.vocabulary import Channel
from signalpost.services.campaigns.forecast import Release
from signalpost.services.campaigns.foreseeing import Going, Judged
from signalpost.services.campaigns.judging import home
from signalpost.services.campaigns.texts import Prices, country

EXAMPLES = 5  #: people named for each reason


@dataclass
class Texts:
    """The text messages of one wording: how many, to where, and what the rendered samples need."""

    people: int = 0
    rendered: int = 0
    segments: int = 0  #: of the rendered ones
    encodings: Counter[str] = field(default_factory=Counter)
    longest: int = 0  #: segments of the longest one
    countries: Counter[str] = field(default_factory=Counter)

    @property
    def each(self) -> float:
        """Segments of one text, on average."""
        return self.segments / self.rendered if self.rendered else 1.0


class Tally:
    """Counts people as they are judged; its size does not grow with theirs."""

    def __init__(self, default_zone: str, prices: Prices | None) -> None:
        self.default_zone, self.prices = default_zone, prices
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
            elif person.who.side.ghost is not None:
                self.ghosts[person.who.side.ghost] += 1
            else:
                self.reach(person)

    def leave_out(self, person: Judged) -> None:
        """Count somebody who gets nothing, under the reason."""
        reason = person.reason or "no_channel"
        self.reasons[reason] += 1
        if len(self.examples[reason]) < EXAMPLES:
            self.examples[reason].append(person.who.root_id)

    def reach(self, person: Judged) -> None:
        """Count somebody who gets something."""
        who, standing = person.who, person.standing
        self.reached += 1
        if who.side.arm is not None:
            self.arms[who.side.arm] += 1
        read = person.going[0].variant.locale
        self.locales[read] += 1
        wished = normalise(who.locale)
        if wished and wished.split("-")[0] != read.split("-")[0]:
            self.unwritten[wished] += 1
        place = home(standing, who.zone, self.default_zone).key
        self.zones[place] += 1
        self.zone_sources[standing.zone_source] += 1
        for going in person.going:
            self.count(person, going, place)

    def count(self, person: Judged, going: Going, place: str) -> None:
        """Count one message."""
        self.channels[going.channel.value] += 1
        wakes = going.channel is not Channel.IN_APP
        zones = tuple(tz.key for tz in person.standing.zones) if wakes else ()
        release = Release(going.channel.value, going.at, zones, going.expires_at, place)
        self.releases[release] += 1
        if going.channel is Channel.SMS:
            self.measure(person, going)

    def measure(self, person: Judged, going: Going) -> None:
        """Count a text message, and its segments when it was rendered."""
        texts = self.texts[going.variant.message, going.variant.locale]
        texts.people += 1
        if self.prices is not None:
            texts.countries[country(person.standing.addresses[Channel.SMS].address)] += 1
        if going.text is None:
            return
        encoding, _, segments = sms_segments(going.text)
        texts.rendered += 1
        texts.segments += segments
        texts.longest = max(texts.longest, segments)
        texts.encodings[encoding] += 1
