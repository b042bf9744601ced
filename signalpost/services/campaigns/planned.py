"""What a plan says: numbers, sentences, and how sure they are."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from signalpost.services.campaigns.runs import Launch

STEP = 1.25  #: an audience a quarter larger or smaller is another plan


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What whoever approves a launch sees. Everything in it is JSON; it holds ids and no address.

    Numbers of people are for the whole audience; ``judged`` of ``people`` were looked at, and
    ``about`` says how far off a number may be.
    """

    campaign: str
    version: str
    made_at: str
    description: str = ""
    owner: str = ""
    purpose: str = ""
    needs_approval: bool = False
    stage: str | None = None
    series: str | None = None
    sample_of: int | None = None
    scheduled_at: str = ""
    local_at: str | None = None
    audience: list[str] = field(default_factory=list)  #: the rule, in words
    narrowing: list[dict[str, Any]] = field(default_factory=list)
    """How many are left after each clause (words, remaining); looked up when nobody is left."""
    messages: dict[str, str] = field(default_factory=dict)  #: name → version
    facts: list[dict[str, str]] = field(default_factory=list)  #: name, value, from
    says: list[dict[str, Any]] = field(default_factory=list)
    """How each message begins for a sample person (message, channel, locale, lines, samples)."""
    people: int = 0
    judged: int = 0
    reached: int = 0
    held_out: dict[str, int] = field(default_factory=dict)  #: global | campaign | control
    tells: str = ""  #: which lift this run could tell from chance; empty: nobody knows
    arms: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)  #: messages
    locales: dict[str, int] = field(default_factory=dict)  #: people, by what they would read
    zones: dict[str, int] = field(default_factory=dict)
    zone_sources: dict[str, int] = field(default_factory=dict)
    excluded: list[dict[str, Any]] = field(default_factory=list)  #: reason, people, examples
    texts: list[dict[str, Any]] = field(default_factory=list)  #: sms by wording
    segments: int = 0
    cost: str | None = None  #: of the sms, in the currency of the prices; None: none has a price
    unpriced: int = 0  #: segments to countries without a price: they are not in the cost
    pace: dict[str, float] = field(default_factory=dict)
    hours: list[dict[str, Any]] = field(default_factory=list)  #: hour (UTC), channels
    waves: list[dict[str, Any]] = field(default_factory=list)  #: who becomes due when
    last_at: str | None = None
    delayed: dict[str, int] = field(default_factory=dict)  #: have to wait for a morning by the pace
    expired: dict[str, int] = field(default_factory=dict)  #: too late before their turn comes
    stopped: int = 0  #: of those reached, who get nothing after all: other campaigns come first
    collisions: list[dict[str, Any]] = field(default_factory=list)
    consistency: list[dict[str, Any]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give it as the record keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Make it again from what the record kept."""
        return cls(**{one.name: kept[one.name] for one in fields(cls) if one.name in kept})

    @property
    def exact(self) -> bool:
        """Whether everybody was looked at."""
        return self.judged == self.people

    def margin(self, number: int) -> int:
        """Give how far off a number of people may be (95 %), 0 when everybody was looked at.

        The usual interval of a share in a sample without replacement; for none seen, three people
        of the sample (the rule of three).
        """
        if self.exact or self.judged == 0:
            return 0
        share = min(max(number / self.people, 0.0), 1.0)
        left = 1 - self.judged / self.people
        spread = 1.96 * math.sqrt(share * (1 - share) / self.judged * left)
        return math.ceil(self.people * max(spread, 3 / self.judged if share in (0, 1) else 0))

    def about(self, number: int) -> str:
        """Write a number of people as surely as it is known: ``61,234``, or ``about 61,200 ± 900``."""
        margin = self.margin(number)
        if margin == 0:
            return f"{number:,}"
        unit = 10 ** int(math.log10(margin))
        return f"about {round(number / unit) * unit:,} ± {math.ceil(margin / unit) * unit:,}"


def digest(launch: Launch, messages: Mapping[str, str], people: int) -> str:
    """Hash what an approval is about: the version, the words, the facts, the time, and about how many.

    The number of people counts in steps of a quarter, so that a few who come and go between the plan
    and the approval ask for no second look (unless they carry it over the edge of a step).
    """
    about = round(math.log(people, STEP)) if people else None
    said = [
        launch.campaign.name, launch.campaign.version, launch.stage, launch.series,
        launch.scheduled_at, launch.local_at, launch.sample_of, launch.facts, messages, about,
    ]  # fmt: skip
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
