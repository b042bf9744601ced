"""An audience in plain English, for a plan, a page and ``why``."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Consent,
    Did,
    Everyone,
    InCampaign,
    Not,
    Reachable,
    Rule,
    Sample,
    Tenure,
    Where,
)

_IS = {
    "is": "is", "is_not": "is not", "among": "is one of", "not_among": "is none of",
    "at_least": "is at least", "at_most": "is at most", "more_than": "is more than",
    "less_than": "is less than", "contains": "contains", "before": "is before",
    "after": "is after", "known": "is known",
}  # fmt: skip
_CHANNELS = {"in_app": "in the app", "*": "any channel", "sms": "SMS", "whatsapp": "WhatsApp"}
_OUTCOMES = {
    "sent": "was sent",
    "held_out": "was held out of",
    "skipped": "was skipped by",
    "set_aside": "was set aside by",
    "any": "was decided on by",
}


def in_words(rule: Rule) -> list[str]:
    """Say a rule in lines of plain English, what belongs together indented by two spaces."""
    if isinstance(rule, All) and rule.rules:
        return ["Everybody of whom all of this is true:", *_listed(rule.rules, 1)]
    return ["Everybody of whom this is true:", *_lines(rule, 1)]


def _listed(rules: Iterable[Rule], depth: int) -> list[str]:
    return [line for rule in rules for line in _lines(rule, depth)]


def _lines(rule: Rule, depth: int) -> list[str]:
    indent = "  " * depth
    heading, inner = _group(rule)
    if inner is None:
        return [f"{indent}- {clause_in_words(rule)}"]
    return [f"{indent}- {heading}:", *_listed(inner, depth + 1)]


def _group(rule: Rule) -> tuple[str, tuple[Rule, ...] | None]:
    """Give the heading of a rule that holds others, and them; None for a single clause."""
    if isinstance(rule, All):
        return ("all of", rule.rules) if rule.rules else ("", None)
    if isinstance(rule, AnyOf):
        return ("at least one of", rule.rules) if rule.rules else ("", None)
    if isinstance(rule, Not):
        inner = rule.rule
        if isinstance(inner, AnyOf) and inner.rules:
            return "none of", inner.rules
        if isinstance(inner, All) and inner.rules:
            return "not all of", inner.rules
        if isinstance(inner, Not):
            return "not", (inner,)
    return "", None


@dataclass(frozen=True)
class Node:
    """A rule as a reader checks it: a single clause, or a group with what it holds beneath it.

    What stands within a ``not`` is turned round, so that whatever holds helps somebody in: none of two
    is both opposites, not all of two is one opposite or the other.
    """

    rule: Rule
    words: str
    joins: Literal["all", "any"] | None = None  #: None: a single clause
    members: tuple["Node", ...] = ()


def outline(rule: Rule, *, negative: bool = False) -> Node:
    """Give the structure of a rule, or of its opposite; a group of one is that one."""
    if isinstance(rule, Not):
        return outline(rule.rule, negative=not negative)
    here: Rule = Not(rule) if negative else rule
    if not isinstance(rule, All | AnyOf) or not rule.rules:
        return Node(here, clause_in_words(here))
    members = tuple(outline(inner, negative=negative) for inner in rule.rules)
    if len(members) == 1:
        return members[0]
    if isinstance(rule, All) is not negative:
        return Node(here, "all of these", "all", members)
    return Node(here, "at least one of these", "any", members)


def clause_in_words(rule: Rule) -> str:
    """Say one clause, or its opposite when it is a ``Not``, in one line."""
    if isinstance(rule, Not):
        return f"not: {clause_in_words(rule.rule)}"
    if isinstance(rule, Everyone | All):
        return "everybody"
    if isinstance(rule, AnyOf):
        return "nobody"
    return _single(rule)


def _single(rule: Rule) -> str:
    match rule:
        case Attribute(name, op, value):
            return comparison(name, op, value)
        case Tenure():
            return _tenure(rule)
        case Consent(channel, topic):
            about = "" if topic == "*" else f" about {topic}"
            return f"agreed to marketing {_by(channel)}{about}"
        case Reachable(channel):
            return f"can be reached {_by(channel)}"
        case Did():
            return _did(rule)
        case InCampaign():
            return _in_campaign(rule)
        case Sample(share, seed):
            return f"is in a random {share:.4%} of customers (seed {seed})".replace(".0000%", "%")
    raise TypeError(f"{rule!r} is no single clause of an audience")


def _by(channel: str) -> str:
    said = _CHANNELS.get(channel, channel)
    return said if channel == "in_app" else f"by {said}"


def comparison(name: str, op: str, value: Any = None) -> str:
    """Say a comparison: ``tier is one of gold, vip``."""
    if op == "known":
        return f"{name} is known"
    return f"{name} {_IS.get(op, op)} {value_in_words(value)}"


def value_in_words(value: Any) -> str:
    """Say a value as a person would write it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if "amount" in value:
            return f"{value['amount']} {value.get('currency') or ''}".strip()
        return "; ".join(f"{key}: {value_in_words(one)}" for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(value_in_words(one) for one in value) or "an empty list"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float | Decimal):
        return number_in_words(value)
    return str(value) or "an empty text"


def number_in_words(value: float | Decimal) -> str:
    """Say a number without an exponent or zeros that say nothing: 100, 12.5."""
    written = f"{Decimal(str(value)):f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def times_in_words(count: int) -> str:
    """Say how often: ``1 time``, ``2 times``."""
    return f"{count} time" if count == 1 else f"{count} times"


def length_in_words(length: timedelta) -> str:
    """Say a length of time in its largest whole unit: ``90 days``, ``36 hours``."""
    seconds = int(length.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds} seconds"


def _tenure(rule: Tenure) -> str:
    bounds = []
    if rule.at_least is not None:
        bounds.append(f"for at least {length_in_words(rule.at_least)}")
    if rule.less_than is not None:
        bounds.append(f"for less than {length_in_words(rule.less_than)}")
    return f"known to us {' and '.join(bounds)}".rstrip()


def _did(rule: Did) -> str:
    what = f"{rule.event}{_conditions(rule.where)}{unless_in_words(rule)}"
    said = f"did {what} {_often(rule)}{period_in_words(rule.within)}"
    if rule.sum_of is not None and (bounds := _totals(rule)):
        said += f", with {rule.sum_of} adding up to {bounds}"
    if rule.last_before is not None:
        said += f", the last time at least {length_in_words(rule.last_before)} ago"
    return said


def _conditions(where: tuple[Where, ...]) -> str:
    if not where:
        return ""
    said = " and ".join(comparison(one.name, one.op, one.value) for one in where)
    return f" (where {said})"


def unless_in_words(rule: Did) -> str:
    """Say what an event must not be followed by: `` with no order.picked_up of the same order_id``."""
    if rule.unless is None:
        return ""
    others = f"{' or '.join(rule.unless.events)}{_conditions(rule.unless.where)}"
    return f" with no {others} of the same {rule.unless.same}"


def _often(rule: Did) -> str:
    if rule.at_most is None:
        return f"at least {times_in_words(rule.times)}" if rule.times > 0 else "any number of times"
    if rule.times <= 0:
        return "not once" if rule.at_most == 0 else f"at most {times_in_words(rule.at_most)}"
    if rule.times == rule.at_most:
        return f"exactly {times_in_words(rule.times)}"
    return f"{rule.times} to {times_in_words(rule.at_most)}"


def _totals(rule: Did) -> str:
    bounds = []
    if rule.total_at_least is not None:
        bounds.append(f"at least {number_in_words(rule.total_at_least)}")
    if rule.total_at_most is not None:
        bounds.append(f"at most {number_in_words(rule.total_at_most)}")
    return " and ".join(bounds)


def period_in_words(within: timedelta | None) -> str:
    """Say over which time: `` in the last 90 days``; nothing for all time."""
    return "" if within is None else f" in the last {length_in_words(within)}"


def _in_campaign(rule: InCampaign) -> str:
    outcome = _OUTCOMES.get(rule.outcome, f"is {rule.outcome} in")
    series = f" (series {rule.series})" if rule.series else ""
    return f"{outcome} the campaign {rule.campaign}{series}{period_in_words(rule.within)}"
