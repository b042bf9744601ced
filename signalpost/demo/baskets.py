"""The shipped slice of real baskets (``data/ATTRIBUTION.md`` says whose), read into plain values."""

import csv
import gzip
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Line:
    """One product in a basket."""

    name: str
    quantity: int
    value: Decimal  #: of the whole line, in dollars


@dataclass(frozen=True)
class Basket:
    """What one household carried home at once. ``at`` is the local time, without a zone."""

    household: int
    number: int
    store: int
    at: datetime
    lines: Sequence[Line]

    @property
    def total(self) -> Decimal:
        """What it cost, in dollars."""
        return sum((line.value for line in self.lines), Decimal(0))


@dataclass(frozen=True)
class Redemption:
    """A coupon that a household redeemed on a day."""

    day: date
    household: int
    campaign: int
    coupon: str


@dataclass(frozen=True)
class Slice:
    """All of it. ``campaigns``: household → the campaigns that were sent to it."""

    baskets: Sequence[Basket]
    redemptions: Sequence[Redemption]
    campaigns: Mapping[int, frozenset[int]]

    @property
    def first_day(self) -> date:
        """The day of the first basket: a Monday."""
        return self.baskets[0].at.date()

    def by_household(self) -> dict[int, list[Basket]]:
        """Give each household's baskets, in order of time."""
        found: dict[int, list[Basket]] = defaultdict(list)
        for basket in self.baskets:
            found[basket.household].append(basket)
        return found


def load(folder: Path = DATA) -> Slice:
    """Read the slice."""
    names = {row["product"]: row["name"] for row in _table(folder / "products.csv.gz")}
    campaigns: dict[int, set[int]] = defaultdict(set)
    for row in _table(folder / "campaigns.csv.gz"):
        campaigns[int(row["household"])].add(int(row["campaign"]))
    return Slice(
        baskets=[_basket(line, names) for line in _text(folder / "baskets.jsonl.gz")],
        redemptions=[
            Redemption(
                day=date.fromisoformat(row["day"]),
                household=int(row["household"]),
                campaign=int(row["campaign"]),
                coupon=row["coupon"],
            )
            for row in _table(folder / "redemptions.csv.gz")
        ],
        campaigns={household: frozenset(theirs) for household, theirs in campaigns.items()},
    )


def _text(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def _table(path: Path) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO("\n".join(_text(path))))


def _basket(line: str, names: Mapping[str, str]) -> Basket:
    household, number, store, at, lines = json.loads(line)
    return Basket(
        household=household,
        number=number,
        store=store,
        at=datetime.fromisoformat(at),
        lines=[
            Line(names[str(product)], quantity, Decimal(str(value)))
            for product, quantity, value in lines
        ],
    )
