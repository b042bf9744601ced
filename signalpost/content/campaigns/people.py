"""Who a campaign is for, as the file says it: each rule is a mapping that begins with its own word."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from signalpost.content.campaigns.comparing import Comparisons, Condition
from signalpost.content.campaigns.part import OneChannel, Part, choose
from signalpost.content.campaigns.values import (
    AttributeName,
    Count,
    EventName,
    Length,
    Name,
    Number,
    PropertyPath,
    Share,
    Word,
    plain,
    wrong,
)
from signalpost.domain import audience as rules


class RulePart(Part):
    """One rule."""

    def rule(self) -> rules.Rule:
        """Give the value that the record is asked with."""
        raise NotImplementedError


class EveryoneRule(RulePart):
    """``everyone: true``."""

    everyone: Literal[True]

    def rule(self) -> rules.Rule:
        """Every customer."""
        return rules.Everyone()


class AllRule(RulePart):
    """``all:`` of these rules."""

    all: Annotated[list["OneRule"], Field(min_length=1)]

    def rule(self) -> rules.Rule:
        """Those to whom every rule applies."""
        return rules.All(tuple(one.rule() for one in self.all))


class AnyRule(RulePart):
    """``any:`` of these rules."""

    any: Annotated[list["OneRule"], Field(min_length=1)]

    def rule(self) -> rules.Rule:
        """Those to whom at least one rule applies."""
        return rules.AnyOf(tuple(one.rule() for one in self.any))


class NotRule(RulePart):
    """``not:`` this rule."""

    not_: "OneRule" = Field(alias="not")

    def rule(self) -> rules.Rule:
        """Those to whom it does not apply."""
        return rules.Not(self.not_.rule())


class AttributeRule(Comparisons, RulePart):
    """``attribute: tier`` with a comparison."""

    attribute: AttributeName

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if says := self.impossible():
            raise wrong(says, "correct one of the two")
        return self

    def rule(self) -> rules.Rule:
        """Those whose attribute compares so."""
        found: list[rules.Rule] = [
            rules.Attribute(self.attribute, op, value) for op, value in self.comparisons()
        ]
        if self.known is not None:
            known = rules.Attribute(self.attribute, "known")
            found.append(known if self.known else rules.Not(known))
        return found[0] if len(found) == 1 else rules.All(tuple(found))


class Tenure(Part):
    """How long we have known somebody."""

    at_least: Length | None = None
    less_than: Length | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.at_least is None and self.less_than is None:
            raise wrong("`known_for` says no length of time", "write known_for: {at_least: 1y}")
        if self.at_least and self.less_than and self.at_least >= self.less_than:
            says = "nobody can be known for at least and for less than that"
            raise wrong(says, "make at_least the shorter of the two")
        return self


class TenureRule(RulePart):
    """``known_for: {at_least: 1y}``."""

    known_for: Tenure

    def rule(self) -> rules.Rule:
        """Those whom we have known so long."""
        return rules.Tenure(at_least=self.known_for.at_least, less_than=self.known_for.less_than)


class Permission(Part):
    """A channel and a topic."""

    channel: OneChannel
    topic: Word


class ConsentRule(RulePart):
    """``consent: {channel: sms, topic: offers}``."""

    consent: Permission

    def rule(self) -> rules.Rule:
        """Those who said yes."""
        return rules.Consent(channel=str(self.consent.channel), topic=self.consent.topic)


class ReachableRule(RulePart):
    """``reachable: sms``."""

    reachable: OneChannel

    def rule(self) -> rules.Rule:
        """Those with a verified address there."""
        return rules.Reachable(channel=str(self.reachable))


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class _Events(Part):
    """Which events are meant: those whose properties are so."""

    where: dict[PropertyPath, Condition] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _some_value_passes(self) -> Self:
        for name, condition in self.where.items():
            if "." not in name and (says := condition.impossible()):  # a path may lead to several
                raise wrong(f"{says}, and {name!r} has to be", "correct one of the two", at="where")
        return self

    def wheres(self) -> Iterator[rules.Where]:
        """Give each comparison of a property."""
        for name, condition in sorted(self.where.items()):  # a record does not keep their order
            for op, value in condition.comparisons():
                yield rules.Where(name, op, value)
            if condition.known:
                yield rules.Where(name, "known")


class UnlessPart(_Events):
    """``unless: {did: order.picked_up, same: order_id}``; several events as a list."""

    did: Annotated[list[EventName], Field(min_length=1), BeforeValidator(_listed)]
    same: AttributeName

    def said(self) -> rules.Unless:
        """Give the value that the record is asked with."""
        names = tuple(dict.fromkeys(self.did))
        return rules.Unless(events=names, same=self.same, where=tuple(self.wheres()))


class _Deed(_Events, RulePart):
    """What ``did`` and ``did_not`` say alike."""

    within: Length | None = None
    times: Count = 1
    at_most: Count | None = None
    sum_of: PropertyPath | None = None
    total_at_least: Number | None = None
    total_at_most: Number | None = None
    last_before: Length | None = None
    unless: UnlessPart | None = None

    @property
    def event(self) -> str:
        """The event's name."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        totals = self.total_at_least is not None or self.total_at_most is not None
        if totals and self.sum_of is None:
            raise wrong(
                "a total is asked for, and `sum_of` does not say of what", "add sum_of: total"
            )
        if self.sum_of is not None and not totals:
            says = "`sum_of` is given without a total to compare with"
            raise wrong(says, "add total_at_least or total_at_most")
        if self.at_most is not None and self.at_most < self.times:
            raise wrong(
                f"nobody can do it {self.times} times and at most {self.at_most}", "correct one"
            )
        least, most = self.total_at_least, self.total_at_most
        if least is not None and most is not None and least > most:
            says = f"no total is at least {least} and at most {most}"
            raise wrong(says, "correct one of the two", at="total_at_most")
        if self.within and self.last_before and self.last_before >= self.within:
            says = "nobody's last time can be before the period that `within` looks at"
            raise wrong(says, "make within the longer of the two", at="last_before")
        if self.unless and self.event in self.unless.did:
            says = (
                f"each {self.event} has the same {self.unless.same} as itself, so none would count"
            )
            raise wrong(says, "name another event, such as order.picked_up", at="unless")
        return self

    def deed(self) -> rules.Did:
        """Give the events that the record is asked for."""
        return rules.Did(
            event=self.event,
            where=tuple(self.wheres()),
            within=self.within,
            times=self.times,
            at_most=self.at_most,
            sum_of=self.sum_of,
            total_at_least=self.total_at_least,
            total_at_most=self.total_at_most,
            last_before=self.last_before,
            unless=None if self.unless is None else self.unless.said(),
        )


class DidRule(_Deed):
    """``did: order.placed`` with conditions."""

    did: EventName

    @property
    def event(self) -> str:
        """The event's name."""
        return self.did

    def rule(self) -> rules.Rule:
        """Those who did it."""
        return self.deed()


class DidNotRule(_Deed):
    """``did_not: order.placed`` with conditions."""

    did_not: EventName

    @property
    def event(self) -> str:
        """The event's name."""
        return self.did_not

    def rule(self) -> rules.Rule:
        """Those who did not."""
        return rules.Not(self.deed())


_OUTCOMES = ("sent", "held_out", "skipped", "any")


def _outcome(value: Any) -> str:
    if value not in _OUTCOMES:
        raise wrong(f"there is no outcome {str(value)[:40]!r}", choose(str(value), _OUTCOMES))
    return str(value)


class CampaignRule(RulePart):
    """``in_campaign: win-back``."""

    in_campaign: Name
    outcome: Annotated[str, BeforeValidator(_outcome)] = "sent"
    within: Length | None = None
    series: Word | None = None

    def rule(self) -> rules.Rule:
        """Those whom another campaign decided on."""
        return rules.InCampaign(
            campaign=self.in_campaign, outcome=self.outcome, within=self.within, series=self.series
        )


class Draw(Part):
    """A share of all customers, and what they are drawn by."""

    share: Share
    seed: Word

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not 0 < self.share < 1:
            raise wrong("a sample of 0 % or 100 % is none", "write a share between, such as 10%")
        return self


class SampleRule(RulePart):
    """``sample: {share: 10%, seed: spring}``."""

    sample: Draw

    def rule(self) -> rules.Rule:
        """A random share, the same people for the same seed."""
        return rules.Sample(share=self.sample.share, seed=self.sample.seed)


#: The word that a rule begins with → its part.
KINDS: dict[str, type[RulePart]] = {
    "everyone": EveryoneRule, "all": AllRule, "any": AnyRule, "not": NotRule,
    "attribute": AttributeRule, "known_for": TenureRule, "consent": ConsentRule,
    "reachable": ReachableRule, "did": DidRule, "did_not": DidNotRule,
    "in_campaign": CampaignRule, "sample": SampleRule,
}  # fmt: skip


def _one_kind(value: Any) -> Any:
    if isinstance(value, list):
        raise wrong(
            "a list of rules does not say how they go together", "put `all:` or `any:` above it"
        )
    if not isinstance(value, dict):
        says = "a rule is expected here"
        raise wrong(
            says, f"begin it with one of: {', '.join(KINDS)}; for all customers, everyone: true"
        )
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) > 1:
        says = f"{' and '.join(f'`{kind}`' for kind in kinds)} are two rules in one"
        raise wrong(says, "make a list of them under `all:` or `any:`, each with a - before it")
    if not kinds:
        word = str(next(iter(value), ""))
        says = f"`{word[:40]}` is no rule" if word else "the rule is empty"
        raise wrong(says, choose(word, KINDS))
    if "everyone" in value and plain(value["everyone"]) is not True:
        raise wrong("`everyone` can only be true", "write everyone: true, or say who is meant")
    return plain(value) if kinds == ["everyone"] else value


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((part.__name__ for kind, part in KINDS.items() if kind in value), None)
    return type(value).__name__


OneRule = Annotated[
    Annotated[EveryoneRule, Tag("EveryoneRule")]
    | Annotated[AllRule, Tag("AllRule")]
    | Annotated[AnyRule, Tag("AnyRule")]
    | Annotated[NotRule, Tag("NotRule")]
    | Annotated[AttributeRule, Tag("AttributeRule")]
    | Annotated[TenureRule, Tag("TenureRule")]
    | Annotated[ConsentRule, Tag("ConsentRule")]
    | Annotated[ReachableRule, Tag("ReachableRule")]
    | Annotated[DidRule, Tag("DidRule")]
    | Annotated[DidNotRule, Tag("DidNotRule")]
    | Annotated[CampaignRule, Tag("CampaignRule")]
    | Annotated[SampleRule, Tag("SampleRule")],
    Discriminator(_kind),
    BeforeValidator(_one_kind),
]
