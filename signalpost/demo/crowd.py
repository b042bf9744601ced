"""The crowd: households of the slice, and their baskets as the shop would report them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from signalpost.demo import people
from signalpost.demo.baskets import Basket, Redemption, Slice
from signalpost.demo.people import Person

HOUSEHOLDS = 32
LOYAL = 3

#: Towns for the stores of the data, which have numbers only.
_TOWNS = (
    "Ashford", "Brookside", "Cedar Hill", "Dunmore", "Eastgate", "Fairview", "Glenwood", "Harbour Row",
    "Kingsway", "Lakeside", "Maple Street", "Northfield", "Oak Park", "Riverside", "Westbury",
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Happening:
    """Something that a household did: when, and what the shop says about it."""

    at: datetime
    message_id: str
    person: Person
    event: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Crowd:
    """The households that take part, and what they do, in order of time."""

    members: Sequence[Person]
    happenings: Sequence[Happening]


def gather(slice_: Slice, *, first_day: date, days: int) -> Crowd:
    """Choose households that come back within the days, and move their weeks to ``first_day``."""
    shift = first_day - slice_.first_day
    end = datetime.combine(slice_.first_day + timedelta(days=days), time())
    baskets = {
        household: [basket for basket in theirs if basket.at < end]
        for household, theirs in slice_.by_household().items()
    }
    redeemed = {one.household for one in slice_.redemptions if one.day < end.date()}
    regular = sorted(
        (household for household, theirs in baskets.items() if 2 <= len(theirs) <= 4),
        key=lambda household: (household not in redeemed, household * 2_654_435_761 % 2**32),
    )
    chosen = sorted(regular[: HOUSEHOLDS // 2] + regular[-HOUSEHOLDS // 2 :])
    spent = {household: sum(basket.total for basket in baskets[household]) for household in chosen}
    members = people.of_households(
        chosen,
        invited=[household for household in chosen if slice_.campaigns.get(household)],
        loyal=sorted(chosen, key=lambda household: spent[household])[-LOYAL:],
    )
    happenings = [
        _order(person, basket, shift)
        for person in members
        for basket in baskets[person.household or 0]
    ]
    by_household = {person.household: person for person in members}
    happenings += [
        _redemption(by_household[one.household], one, shift)
        for one in slice_.redemptions
        if one.household in by_household and one.day < end.date()
    ]
    happenings.sort(key=lambda one: (one.at, one.message_id))
    return Crowd(members, happenings)


def _order(person: Person, basket: Basket, shift: timedelta) -> Happening:
    return Happening(
        at=(basket.at + shift).replace(tzinfo=person.tz).astimezone(UTC),
        message_id=f"order-{basket.number}",
        person=person,
        event="Order Completed",
        properties={
            "order_id": f"B-{basket.number}",
            "total": f"{basket.total:.2f}",
            "currency": "USD",
            "store": f"Larkfield {_TOWNS[basket.store % len(_TOWNS)]}",
            "products": [
                {
                    "name": line.name,
                    "quantity": line.quantity,
                    "price": f"{line.value / line.quantity:.2f}",
                }
                for line in basket.lines
            ],
        },
    )


def _redemption(person: Person, one: Redemption, shift: timedelta) -> Happening:
    """A coupon of the grocer's own campaigns; the data knows the day, so it is taken at noon."""
    day = datetime.combine(one.day, time(12)) + shift
    return Happening(
        at=day.replace(tzinfo=person.tz).astimezone(UTC),
        message_id=f"coupon-{one.household}-{one.coupon}-{one.day:%m%d}",
        person=person,
        event="Coupon Applied",
        properties={"coupon_id": f"campaign-{one.campaign}-{one.coupon}"},
    )
