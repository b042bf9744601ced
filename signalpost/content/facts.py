"""Facts: what a message is about, typed, as JSON on the wire and as values in a template."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from signalpost.content.errors import MissingFact
from signalpost.content.formats import Day, Moment, Money, Number, Row, Whole
from signalpost.content.sms import one_line

_LONGEST_TEXT, _LONGEST_LIST, _DEEPEST = 500, 500, 4
_MOST_VALUES = 10_000  #: in a list, with everything that stands in it
_CODE = re.compile(r"[^\s<>\"'`\\]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")


class FactType(StrEnum):
    """What a fact may be, and so how it is written in each locale."""

    TEXT = "text"
    MONEY = "money"
    DATETIME = "datetime"
    DATE = "date"
    INTEGER = "integer"
    DECIMAL = "decimal"
    CODE = "code"
    URL = "url"
    LIST = "list"


@dataclass(frozen=True)
class Fact:
    """One fact that a message declares; ``sample`` is its JSON for previews and checks.

    A fact that is not ``shown`` ties the channels together (a promotion's id) and need not be read.
    ``low`` and ``high``: what an integer may be; None: no bound.
    """

    name: str
    type: FactType
    required: bool
    sample: Any
    shown: bool = True
    low: int | None = None
    high: int | None = None

    @property
    def kind(self) -> str:
        """What it may be, in words: ``integer from 1 to 100``."""
        bounds = (("from", self.low), ("to", self.high))
        return " ".join([self.type, *(f"{word} {n}" for word, n in bounds if n is not None)])


class _TooManyError(Exception):
    """A list holds more than is ever shown: not the list of a shop."""


@dataclass(frozen=True, slots=True)
class Place:
    """In whose locale and zone values are written, and to which hosts a fact may link."""

    locale: str
    zone: tzinfo
    domains: frozenset[str] = frozenset()


def read(fact: Fact, value: Any, place: Place) -> Any:
    """Return the value as templates see it.

    Raises ``MissingFact`` (``bad_fact:<name>``) when the JSON is not of the declared type, or an
    integer out of its bounds.
    """
    try:
        return _within(fact, _READERS[fact.type](value, place))
    except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError, _TooManyError):
        expected = f"{fact.kind}, such as {_written(fact.sample)}"
        raise MissingFact(fact.name, bad=True, expected=expected) from None


def _within(fact: Fact, value: Any) -> Any:
    low, high = fact.low, fact.high
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError("out of bounds")
    return value


def _written(sample: Any) -> str:
    if isinstance(sample, datetime | date):
        return sample.isoformat()
    return sample if isinstance(sample, str) else json.dumps(sample, default=str)


_WRITTEN_AS_TEXT = (str, int, Decimal)


def text(value: Any, _place: Place | None = None) -> str:
    """Return text on one line, without control characters.

    Raises ``ValueError``, or ``TypeError`` for what is no text at all.
    """
    if isinstance(value, bool) or not isinstance(value, _WRITTEN_AS_TEXT):
        raise TypeError("not text")
    clean = one_line(str(value))
    if not clean or len(clean) > _LONGEST_TEXT:
        raise ValueError("empty or too long")
    return clean


def code(value: Any, _place: Place | None = None) -> str:
    """Return an order number, promotion or answer code as it was given; raises ``ValueError``."""
    clean = text(value)
    if not _CODE.fullmatch(clean):
        raise ValueError("not a code")
    return clean


def url(value: Any, place: Place) -> str:
    """Return an https link to a host of the brand; raises ``ValueError`` (providers.md C19)."""
    clean = text(value)
    parts = urlsplit(clean)
    if parts.scheme != "https" or not hosted(parts.hostname or "", place.domains):
        raise ValueError("not a link to the brand")
    return clean


def hosted(host: str, domains: frozenset[str]) -> bool:
    """Say whether the host is one of the domains or below one."""
    return any(host == d or host.endswith("." + d) for d in domains)


def _money(value: Any, place: Place) -> Money:
    currency = value["currency"]
    if not _CURRENCY.fullmatch(currency):
        raise ValueError("not a currency code")
    return Money(_decimal(value["amount"]), currency, place.locale)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError("not a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not number.is_finite() or abs(number) >= 10**15:
        raise ValueError("not a number that can be shown")
    return number


def _integer(value: Any, place: Place) -> Whole:
    number = _decimal(value)
    if number != number.to_integral_value():
        raise ValueError("not whole")
    return Whole.of(int(number), place.locale)


def _number(value: Any, place: Place) -> Number:
    return Number.of(_decimal(value), place.locale)


def _moment(value: Any, place: Place) -> Moment:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if at.tzinfo is None or not 1900 < at.year < 9000:
        raise ValueError("no UTC offset")
    return Moment(at, place.locale, place.zone)


def _day(value: Any, place: Place) -> Day:
    found = value if isinstance(value, date) else date.fromisoformat(value)
    if isinstance(found, datetime) or not 1900 < found.year < 9000:
        raise ValueError("not a day")
    return Day(found, place.locale)


def _list(value: Any, place: Place) -> list[Any]:
    if not isinstance(value, list) or not value or len(value) > _LONGEST_LIST:
        raise ValueError("not a list, or an empty or endless one")
    left = [_MOST_VALUES]
    return [_item(item, place, 1, left) for item in value]


def _item(value: Any, place: Place, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise _TooManyError
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, Mapping):
        if value.keys() == {"amount", "currency"}:
            return _money(value, place)
        return _row(value, place, depth, left)
    if isinstance(value, list):
        return [_item(item, place, depth + 1, left) for item in value[:_LONGEST_LIST]]
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return Whole.of(value, place.locale)
    if isinstance(value, float):
        return _number(value, place)
    return text(value)


def _row(value: Mapping[Any, Any], place: Place, depth: int, left: list[int]) -> Row:
    """Return an object of a list; a field that cannot be shown is absent, the others stay.

    Shops send prices, pictures and long descriptions along; none of them may stop a confirmation.
    """
    known = {}
    for key, field in value.items():
        if field is None or field == "":
            continue
        try:
            known[str(key)] = _item(field, place, depth + 1, left)
        except (ValueError, TypeError, KeyError, ArithmeticError):
            continue
    return Row(known)


_READERS: dict[FactType, Callable[[Any, Place], Any]] = {
    FactType.TEXT: text,
    FactType.MONEY: _money,
    FactType.DATETIME: _moment,
    FactType.DATE: _day,
    FactType.INTEGER: _integer,
    FactType.DECIMAL: _number,
    FactType.CODE: code,
    FactType.URL: url,
    FactType.LIST: _list,
}
