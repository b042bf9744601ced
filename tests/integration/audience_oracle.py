"""A small record as plain rows, and whom a rule means in it, said as simply as possible.

Nothing of the product's own comparisons is used here: this is what they are held to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from signalpost.domain import assignment
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

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
Row = dict[str, Any]


@dataclass
class Record:
    """Rows as the tables have them."""

    customers: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    consents: list[Row] = field(default_factory=list)
    contact_points: list[Row] = field(default_factory=list)
    suppressions: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)  #: campaign_people with its run's columns

    def roots(self) -> list[str]:
        """Name the root customers."""
        return [row["id"] for row in self.customers if row["id"] == row["root_id"]]

    def family(self, root: str) -> list[Row]:
        """Give the customers of a person: the root first, then by id."""
        rows = [row for row in self.customers if row["root_id"] == root]
        return sorted(rows, key=lambda row: (row["id"] != root, row["id"]))

    def of(self, table: list[Row], root: str) -> list[Row]:
        """Give the rows of a table that are this person's."""
        ids = {row["id"] for row in self.family(root)}
        return [row for row in table if row["customer_id"] in ids]


def members(record: Record, rule: Rule) -> set[str]:
    """Name the root customers that a rule means."""
    return {root for root in record.roots() if applies(record, root, rule)}


def applies(record: Record, root: str, rule: Rule) -> bool:  # noqa: C901 - one line a kind
    """Tell whether a rule means a person."""
    match rule:
        case Everyone():
            return True
        case All(rules):
            return all(applies(record, root, one) for one in rules)
        case AnyOf(rules):
            return any(applies(record, root, one) for one in rules)
        case Not(inner):
            return not applies(record, root, inner)
        case Attribute(name, op, value):
            return compares(reached(profile(record, root, name), name), op, value)
        case Tenure():
            known = NOW - min(
                row["known_since"] or row["created_at"] for row in record.family(root)
            )
            return (rule.at_least is None or known >= rule.at_least) and (
                rule.less_than is None or known < rule.less_than
            )
        case Consent():
            return consents(record, root, rule)
        case Reachable(channel):
            return reachable(record, root, channel)
        case Did():
            return did(record, root, rule)
        case InCampaign():
            return in_campaign(record, root, rule)
        case Sample(share, seed):
            return assignment.share(seed, root) < share
    raise AssertionError(rule)


def profile(record: Record, root: str, name: str) -> dict[str, Any]:
    """Give the attributes of a whole person."""
    family = record.family(root)
    if name in ("locale", "zone"):
        return {name: next((row[name] for row in family if row[name]), None)}
    whole: dict[str, Any] = {}
    for row in reversed(family):
        whole |= row["attributes"]
    return whole


def reached(document: Any, name: str) -> list[Any]:
    """Give what a path leads to, lists opened once at each step."""
    step, _, rest = name.partition(".")
    if isinstance(document, list):
        return [
            one for inner in document if isinstance(inner, dict) for one in reached(inner, name)
        ]
    if not isinstance(document, dict) or step not in document:
        return []
    value = document[step]
    if rest:
        return reached(value, rest)
    values = value if isinstance(value, list) else [value]
    return [one for one in values if one is not None]


def compares(found: list[Any], op: str, value: Any) -> bool:
    """Tell whether an operator applies to what was found."""
    if op == "known":
        return bool(found)
    if op in ("is_not", "not_among"):
        positive = "is" if op == "is_not" else "among"
        return bool(found) and not compares(found, positive, value)
    return any(compare(one, op, value) for one in found)


def compare(one: Any, op: str, value: Any) -> bool:
    """Compare one value."""
    if op == "among":
        return any(compare(one, "is", single) for single in value)
    if op in ("before", "after"):
        at = day(one)
        limit = datetime.fromisoformat(value).replace(tzinfo=UTC)
        after = limit + timedelta(days=1)
        return at is not None and (at < limit if op == "before" else at >= after)
    if op == "contains" and isinstance(value, str):
        return isinstance(one, str) and one.find(value) >= 0
    if isinstance(value, (bool, str)):
        return type(one) is type(value) and one == value
    amount, limit = decimal(one), Decimal(str(value))
    if amount is None:
        return False
    return {
        "is": amount == limit,
        "contains": amount == limit,
        "at_least": amount >= limit,
        "at_most": amount <= limit,
        "more_than": amount > limit,
        "less_than": amount < limit,
    }[op]


def day(value: Any) -> datetime | None:
    """Read the kinds of date that the strategies write."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) and "-" in value else None
    except ValueError:
        return None
    return read.replace(tzinfo=read.tzinfo or UTC) if read else None


def decimal(value: Any) -> Decimal | None:
    """Read a number, money, or the text of a number."""
    if isinstance(value, dict):
        value = value.get("amount")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value)
    return Decimal(text) if text.strip("-").replace(".", "", 1).isdigit() else None


def consents(record: Record, root: str, rule: Consent) -> bool:
    """Ask the gate's question of plain rows."""
    said: dict[tuple[str, str], Row] = {}
    for row in sorted(record.of(record.consents, root), key=lambda row: (row["at"], row["id"])):
        said[row["channel"], row["topic"]] = row
    keys = [(c, t) for c in (rule.channel, "*") for t in (rule.topic, "*")]
    latest = max((said[k] for k in keys if k in said), key=lambda row: row["at"], default=None)
    return latest is not None and latest["status"] == "granted"


def reachable(record: Record, root: str, channel: str) -> bool:
    """Find the address in use, and look for a block on it."""
    points = [
        row
        for row in record.of(record.contact_points, root)
        if row["channel"] == channel and row["replaced_at"] is None
    ]
    if not points:
        return False
    used = max(points, key=lambda row: (row["customer_id"] == root, row["created_at"], row["id"]))
    latest: dict[str, Row] = {}
    for row in sorted(record.suppressions, key=lambda row: (row["at"], row["id"])):
        if (row["channel"], row["address"], row["scope"]) == (channel, used["address"], "all"):
            latest[row["reason"]] = row
    blocked = any(row["active"] for row in latest.values())
    return used["verified_at"] is not None and not blocked


def did(record: Record, root: str, rule: Did) -> bool:
    """Go through a person's events one by one."""
    found = [
        row
        for row in record.of(record.events, root)
        if row["name"] == rule.event
        and row["status"] in ("accepted", "historic")
        and row["occurred_at"] <= NOW
        and (rule.within is None or row["occurred_at"] > NOW - rule.within)
        and all(meets(row["facts"], one) for one in rule.where)
        and not is_followed(record, root, row, rule)
    ]
    totals: dict[str, Decimal] = {}
    for row in found if rule.sum_of else []:
        for value in whole(row["facts"], rule.sum_of or ""):
            if (amount := decimal(value)) is not None:
                money = value.get("currency") if isinstance(value, dict) else ""
                money = money if money in ("USD", "JPY") else ""
                totals[money] = totals.get(money, Decimal(0)) + amount
    total = max(totals.values(), default=Decimal(0))
    last = max((row["occurred_at"] for row in found), default=None)
    return (
        len(found) >= rule.times
        and (rule.at_most is None or len(found) <= rule.at_most)
        and (rule.total_at_least is None or total >= Decimal(str(rule.total_at_least)))
        and (rule.total_at_most is None or total <= Decimal(str(rule.total_at_most)))
        and (rule.last_before is None or (last is not None and last <= NOW - rule.last_before))
    )


def is_followed(record: Record, root: str, event: Row, rule: Did) -> bool:
    """Look through all of the person's events for one with the same text or number."""
    unless = rule.unless
    return unless is not None and any(
        row["name"] in unless.events
        and (rule.within is None or row["occurred_at"] > NOW - rule.within)
        and row["status"] in ("accepted", "historic")
        and row["occurred_at"] <= NOW
        and all(meets(row["facts"], one) for one in unless.where)
        and unless.same in row["facts"]
        and plain(row["facts"][unless.same]) == plain(event["facts"].get(unless.same)) is not None
        for row in record.of(record.events, root)
    )


def plain(value: Any) -> str | None:
    """Give a text or a number as a text."""
    is_plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return str(value) if is_plain else None


def meets(facts: Row, where: Where) -> bool:
    """Tell whether one event meets a condition."""
    return compares(reached(facts, where.name), where.op, where.value)


def whole(facts: Any, name: str) -> list[Any]:
    """Give what a path leads to; a list at its end stays one value."""
    step, _, rest = name.rpartition(".")
    holders = [facts] if not step else reached(facts, step)
    return [one[rest] for one in holders if isinstance(one, dict) and rest in one]


def in_campaign(record: Record, root: str, rule: InCampaign) -> bool:
    """Look for a decision."""
    return any(
        row["campaign"] == rule.campaign
        and row["outcome"] is not None
        and rule.outcome in ("any", row["outcome"])
        and rule.series in (None, row["series"])
        and (rule.within is None or NOW - rule.within < row["decided_at"] <= NOW)
        for row in record.of(record.decisions, root)
    )
