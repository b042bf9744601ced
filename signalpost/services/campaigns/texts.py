"""What text messages take and cost: segments by the country of each number, at the house's prices.

The plan, which looks ahead, and the report, which looks back, reckon with the same functions.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import phonenumbers
from sqlmodel import Session

from signalpost.record import campaign_texts
from signalpost.services.campaigns.reported import NEVER_HANDED_OVER, Texts

Prices = Mapping[str, Decimal]
OTHER = (
    "default"  #: the price of any country without one of its own, and of a number of no known one
)
LOOKED_AT = 20_000  #: of more texts than these, a sample says where they went


@dataclass(frozen=True)
class Cost:
    """What segments cost, in the currency of the prices."""

    total: str | None  #: None: none of them has a price
    unpriced: int = 0  #: segments to countries without a price: they are not in the total


@lru_cache(maxsize=10_000)
def country(number: str) -> str:
    """Give the country of a phone number (ISO 3166-1, two letters), or ``default``."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return OTHER
    return phonenumbers.region_code_for_number(parsed) or OTHER


def cost(segments: Mapping[str, float], prices: Prices | None) -> Cost:
    """Add up what segments by country cost."""
    if not prices:
        return Cost(None)
    priced = {
        one: prices[name] for one in segments if (name := one if one in prices else OTHER) in prices
    }
    unpriced = round(sum(number for one, number in segments.items() if one not in priced))
    if segments and not priced:
        return Cost(None, unpriced)
    total = sum((price * Decimal(segments[one]) for one, price in priced.items()), Decimal(0))
    return Cost(str(total.quantize(Decimal("0.01"))), unpriced)


def cost_in_words(total: str | None, unpriced: int) -> str:
    """Say what they cost, or why that is not known, to go on after the number of segments."""
    if total is None:
        where = " for the countries they go to" if unpriced else ""
        return f"no price is set{where}, so no cost is shown"
    left_out = (
        f", without {unpriced:,} segment{'' if unpriced == 1 else 's'} to countries that have no price"
        if unpriced
        else ""
    )
    return f"at about {total}{left_out}"


def took(
    session: Session,
    *,
    runs: Sequence[str],
    plans: Iterable[Mapping[str, Any]],
    sent: int,
    prices: Prices | None,
    looked_at: int = LOOKED_AT,
) -> Texts:
    """Say what the ``sent`` text messages of runs took and cost.

    A text has as many segments as the plans counted for its wording. Of more than ``looked_at``, an
    even sample stands for all.
    """
    each, usual = _segments(plans)
    if not usual:
        return Texts(messages=sent, segments=None, cost=None)
    share = looked_at / sent
    went = campaign_texts.went(session, runs=runs, never=NEVER_HANDED_OVER, share=share)
    wordings: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in went:
        wordings[country(row["address"])][row["message"], row["locale"]] += 1
    scale = sent / max(len(went), 1)
    segments = {
        where: scale * sum(number * each.get(one, usual) for one, number in some.items())
        for where, some in wordings.items()
    }
    found = cost(segments, prices)
    return Texts(
        messages=sent,
        segments=round(sum(segments.values())),
        cost=found.total,
        unpriced=found.unpriced,
    )


def _segments(plans: Iterable[Mapping[str, Any]]) -> tuple[dict[tuple[str, str], float], float]:
    """Give the segments of one text by its wording, and of any text; 0 when no plan counted them."""
    people: Counter[tuple[str, str]] = Counter()
    counted: dict[tuple[str, str], float] = defaultdict(float)
    for one in (texts for plan in plans for texts in plan.get("texts", ())):
        wording, number = (one["message"], one["locale"]), max(one["people"], 1)
        people[wording] += number
        counted[wording] += number * one["each"]
    each = {wording: counted[wording] / number for wording, number in people.items()}
    return each, sum(counted.values()) / max(people.total(), 1)
