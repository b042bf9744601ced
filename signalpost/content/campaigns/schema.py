"""The campaign file, key by key: what it may say, and the campaign that it makes."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from signalpost.content.campaigns.part import OneChannel, OnePurpose, Part
from signalpost.content.campaigns.people import OneRule
from signalpost.content.campaigns.recurrence import check_cron, check_rrule
from signalpost.content.campaigns.values import (
    ApprovalRule,
    AttributeName,
    Count,
    Day,
    Ending,
    EventName,
    FactName,
    Json,
    Length,
    Name,
    OneCap,
    Pace,
    PropertyPath,
    Share,
    Text,
    WallClock,
    Word,
    Yes,
    Zone,
    ZoneOrCustomer,
    wrong,
)
from signalpost.domain import campaign as domain
from signalpost.domain.audience import givens
from signalpost.domain.local_time import at_local
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.errors import ConfigurationError


class First(Part):
    """``first: [sms, email]``: the first of them that the gate allows."""

    first: Annotated[list[OneChannel], Field(min_length=1)]


def _link(value: Any) -> Any:
    return {"first": [value]} if isinstance(value, str) else value


Chain = Annotated[First, BeforeValidator(_link)]


class Channels(Part):
    """``every`` one of these, or the ``first`` that goes; ``preferred``: the customer's own first."""

    every: Annotated[list[Chain], Field(min_length=1)] | None = None
    first: Annotated[list[OneChannel], Field(min_length=1)] | None = None
    preferred: Yes = False

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"first": [value]}
        return {"every": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if (self.every is None) == (self.first is None):
            says = "`channels` has to say either `every` or `first`"
            raise wrong(says, "write every: [email, in_app] or first: [sms, email]")
        named = [channel for chain in self.via() for channel in chain]
        twice = next((c for c in named if named.count(c) > 1), None)
        if twice:
            raise wrong(
                f"{twice} is named twice: people would get it twice",
                "name each channel once",
                at="every",
            )
        if self.preferred and all(len(chain) == 1 for chain in self.via()):
            says = "`preferred` chooses between channels, and there is nothing to choose"
            raise wrong(
                says,
                "write first: with several channels, or remove preferred",
                at="preferred",
            )
        return self

    def via(self) -> tuple[tuple[Channel, ...], ...]:
        """Give the chains."""
        if self.every is not None:
            return tuple(tuple(chain.first) for chain in self.every)
        return (tuple(self.first or ()),)


class Schedule(Part):
    """When it runs; without one it is launched by hand."""

    at: WallClock | None = None
    cron: Annotated[str, BeforeValidator(check_cron)] | None = None
    rrule: Annotated[str, BeforeValidator(check_rrule)] | None = None
    zone: ZoneOrCustomer = "UTC"
    until: Day | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        given = [key for key in ("at", "cron", "rrule") if getattr(self, key) is not None]
        if len(given) != 1:
            says = f"`schedule` says {' and '.join(given) or 'no time'}"
            raise wrong(
                says, "write one of at, cron and rrule; leave schedule out to launch by hand"
            )
        if self.at is not None and self.until is not None:
            raise wrong(
                "`until` is for what comes again, and `at` comes once", "remove until", at="until"
            )
        return self

    def value(self) -> domain.Schedule:
        """Give the schedule."""
        return domain.Schedule(
            at=self.at, cron=self.cron, rrule=self.rrule, zone=self.zone, until=self.until
        )


class Arm(Part):
    """One version in an experiment; ``control: true`` sends nothing."""

    name: Word
    share: Share
    message: Word | None = None
    control: Yes = False

    @model_validator(mode="after")
    def _one_or_none(self) -> Self:
        if self.control and self.message:
            raise wrong("a control gets no message", "remove message, or control", at="control")
        if self.share == 0:
            raise wrong(
                f"the arm {self.name!r} has a share of 0",
                "give it a share, or remove it",
                at="share",
            )
        return self


class Measure(Part):
    """What counts as success, for how long, and when the result may be read."""

    event: EventName = "order.placed"
    within: Length = domain.Measure().within
    revenue: PropertyPath | None = "total"
    horizon: Count | None = None
    sequential: Yes = False
    alpha: Share = 0.05

    @model_validator(mode="before")
    @classmethod
    def _no_money(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("revenue") in ("none", "nothing"):
            return {**value, "revenue": None}
        return value

    @model_validator(mode="after")
    def _one_way_to_read(self) -> Self:
        if self.horizon and self.sequential:
            says = "a result is read once at its horizon, or sequentially at any moment, not both"
            raise wrong(says, "keep horizon or sequential", at="horizon")
        if not 0 < self.alpha <= 0.5:
            raise wrong(
                "`alpha` is the error we accept, between 0 and 50 %", "write 5%", at="alpha"
            )
        return self

    def value(self) -> domain.Measure:
        """Give the measure."""
        return domain.Measure(
            event=self.event, within=self.within, revenue=self.revenue, horizon=self.horizon,
            alpha=self.alpha,
        )  # fmt: skip


class Experiment(Part):
    """Versions beside each other, and how they are measured."""

    arms: list[Arm] = Field(default_factory=list)
    measure: Measure = Field(default_factory=Measure)

    @model_validator(mode="after")
    def _fair(self) -> Self:
        if not self.arms:
            return self
        if len(self.arms) < 2:
            raise wrong(
                "an experiment with one arm compares nothing",
                "add another, or a control",
                at="arms",
            )
        names = [arm.name for arm in self.arms]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise wrong(f"two arms are called {twice!r}", "rename one", at="arms")
        total = math.fsum(arm.share for arm in self.arms)
        if abs(total - 1) > 1e-6:
            says = f"the shares of the arms add up to {100 * total:g}%"
            raise wrong(says, "make them add up to 100%", at="arms")
        if sum(arm.control for arm in self.arms) > 1:
            raise wrong("two arms are controls", "keep one", at="arms")
        return self


class Promotion(Part):
    """One offer on every channel: one id, one code, one end."""

    id: Word
    code: Text
    ends: Ending
    zone: Zone | None = None
    facts: dict[FactName, Json] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_moment(self) -> Self:
        if self.ends.tzinfo is None and self.zone is None:
            says = "`ends` does not say where it is that late"
            raise wrong(says, "add zone: Europe/London, or an offset such as +01:00", at="ends")
        return self

    def value(self) -> domain.Promotion:
        """Give the promotion; a time that comes twice is the first, one that a gap skips the later."""
        ends = self.ends
        if ends.tzinfo is None:
            ends = at_local(ends.date(), ends.time(), ZoneInfo(self.zone or "UTC"))
        return domain.Promotion(
            id=self.id, code=self.code, ends_at=ends.astimezone(UTC), facts=dict(self.facts)
        )


class Stage(Part):
    """One message of a series."""

    name: Word
    message: Word
    opens: Yes = False
    closes: Yes = False


class FromAttribute(Part):
    """A fact that is each customer's own attribute."""

    attribute: AttributeName
    otherwise: Json = None

    def value(self) -> domain.Personal:
        """Give where the fact comes from."""
        return domain.Personal("attribute", self.attribute, otherwise=self.otherwise)


class FromEvent(Part):
    """A fact of each customer's latest event of a name."""

    event: EventName
    fact: PropertyPath
    otherwise: Json = None

    def value(self) -> domain.Personal:
        """Give where the fact comes from."""
        return domain.Personal("event", self.event, self.fact, self.otherwise)


def _source(value: Any) -> str:
    """Tell where a fact comes from: an attribute, an event, or the file itself."""
    if isinstance(value, FromAttribute) or (isinstance(value, dict) and "attribute" in value):
        return "FromAttribute"
    if isinstance(value, FromEvent) or (isinstance(value, dict) and "event" in value):
        return "FromEvent"
    return "constant"


OneFact = Annotated[
    Annotated[FromAttribute, Tag("FromAttribute")]
    | Annotated[FromEvent, Tag("FromEvent")]
    | Annotated[Json, Tag("constant")],
    Discriminator(_source),
]


class CampaignFile(Part):
    """A whole file of ``deployments/campaigns/``."""

    name: Name
    description: Text = ""
    owner: Text = ""
    message: Word | None = None
    purpose: OnePurpose | None = None
    topic: Word | None = None
    audience: OneRule
    channels: Channels
    schedule: Schedule | None = None
    expires: Length | None = None
    caps: Annotated[list[OneCap], Field(min_length=1)] | None = None
    holdout: Share = 0.0
    experiment: Experiment | None = None
    approval: ApprovalRule = domain.Approval()
    pace: dict[OneChannel, Pace] = Field(default_factory=dict)
    promotion: Promotion | None = None
    facts: dict[FactName, OneFact] = Field(default_factory=dict)
    asks: list[FactName] = Field(default_factory=list)
    stages: list[Stage] = Field(default_factory=list)
    holds_back_marketing: Yes = False
    run_on: Word | None = None

    def words(self) -> str:
        """Name the message that everybody gets; in a series, the one that opens it."""
        opening = next((one.message for one in self.stages if one.opens), None)
        return self.message or opening or ""

    def definition(self) -> dict[str, Any]:
        """Give what the file says as plain JSON, without comments and defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def campaign(self, definition: Mapping[str, Any]) -> domain.Campaign:
        """Make the campaign; purpose and topic have to be known by now."""
        experiment = self.experiment or Experiment()
        audience = self.audience.rule()
        return domain.Campaign(
            name=self.name,
            description=self.description,
            owner=self.owner,
            purpose=self.purpose or Purpose.MARKETING,
            topic=self.topic or "",
            message=self.words(),
            audience=audience,
            via=self.channels.via(),
            preferred=self.channels.preferred,
            schedule=self.schedule.value() if self.schedule else domain.Schedule(),
            expires_after=self.expires,
            caps=tuple(self.caps) if self.caps is not None else None,
            holdout=self.holdout,
            arms=tuple(self._arm(one) for one in experiment.arms),
            measure=experiment.measure.value(),
            approval=self.approval,
            pace={str(channel): pace for channel, pace in self.pace.items()},
            promotion=self.promotion.value() if self.promotion else None,
            facts={
                name: fact.value() if isinstance(fact, FromAttribute | FromEvent) else fact
                for name, fact in self.facts.items()
            },
            asks=tuple(dict.fromkeys([*self.asks, *givens(audience)])),
            stages=tuple(domain.Stage(**dict(one)) for one in self.stages),
            holds_back_marketing=self.holds_back_marketing,
            run_on=self.run_on,
            definition=definition,
            version=version_of(definition),
            file=f"{self.name}.yaml",
        )

    def _arm(self, arm: Arm) -> domain.Arm:
        message = None if arm.control else arm.message or self.words()
        return domain.Arm(name=arm.name, share=arm.share, message=message)


def version_of(definition: Mapping[str, Any]) -> str:
    """Give the version: a hash of the canonical JSON."""
    told = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def from_definition(definition: Mapping[str, Any]) -> domain.Campaign:
    """Give the campaign of a definition on the record: exactly the one that was pinned.

    Raises:
        ConfigurationError: it is no definition that this version of the product can read.
    """
    try:
        file = CampaignFile.model_validate(dict(definition))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"The pinned version of the campaign {str(definition.get('name', '?'))!r} cannot be read: "
            f"{where}: {first['msg']}. Finish its runs with the version of Signalpost that launched "
            "them, or cancel them."
        ) from None
    return file.campaign(definition)
