"""Fact values that write themselves in the person's locale and zone.

Babel costs 20-60 microseconds a value, so each formatted string is cached by its value: the offer's
expiry is the same for everybody who gets it.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any

from babel import Locale, dates, numbers

from signalpost.content.locales import babel_locale

_CACHE = 16_384


class Money:
    """An amount in a currency; as text ``US$1,000.00`` in the person's locale."""

    __slots__ = ("amount", "currency", "locale")

    def __init__(self, amount: Decimal, currency: str, locale: str) -> None:
        self.amount, self.currency, self.locale = amount, currency, locale

    def __str__(self) -> str:
        return money(self.amount, self.currency, self.locale)


class Moment:
    """An instant; as text its date and time in the person's locale and zone."""

    __slots__ = ("at", "locale", "zone")

    def __init__(self, at: datetime, locale: str, zone: tzinfo) -> None:
        self.at, self.locale, self.zone = at, locale, zone

    def __str__(self) -> str:
        return moment(self.at, self.locale, self.zone)


class Day:
    """A calendar day; as text ``4 May 2023`` in the person's locale."""

    __slots__ = ("day", "locale")

    def __init__(self, day: date, locale: str) -> None:
        self.day, self.locale = day, locale

    def __str__(self) -> str:
        return day(self.day, self.locale, "medium")


class Whole(int):
    """An integer that writes itself with the locale's grouping."""

    locale: str

    @classmethod
    def of(cls, value: int, locale: str) -> "Whole":
        """Return the value bound to a locale."""
        made = cls(value)
        made.locale = locale
        return made

    def __str__(self) -> str:
        return number(Decimal(int(self)), self.locale)


class Number(Decimal):
    """A decimal number that writes itself with the locale's separators."""

    locale: str

    @classmethod
    def of(cls, value: Decimal, locale: str) -> "Number":
        """Return the value bound to a locale."""
        made = cls(value)
        made.locale = locale
        return made

    def __str__(self) -> str:
        return number(Decimal(self), self.locale)


class Row:
    """Named values that a template reads and cannot change; what is missing is undefined."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


@lru_cache(maxsize=_CACHE)
def money(amount: Decimal, currency: str, locale: str) -> str:
    """Return an amount in words of the locale, the dollar always with its country in English."""
    where = babel_locale(locale)
    text = numbers.format_currency(amount, currency, locale=where)
    return _plain(_named_dollar(text, currency, where))


@lru_cache(maxsize=_CACHE)
def moment(at: datetime, locale: str, zone: tzinfo) -> str:
    """Return medium date and short time in a zone: ``4 May 2023, 14:30``."""
    where, local = babel_locale(locale), at.astimezone(zone)
    joined = str(dates.get_datetime_format("medium", locale=where)).replace("'", "")
    in_words = dates.format_date(local, "medium", locale=where)
    return _plain(joined.replace("{1}", in_words).replace("{0}", clock(at, locale, zone)))


@lru_cache(maxsize=_CACHE)
def clock(at: datetime, locale: str, zone: tzinfo) -> str:
    """Return the short local time in a zone: ``14:30``."""
    return _plain(dates.format_time(at.astimezone(zone), "short", locale=babel_locale(locale)))


@lru_cache(maxsize=_CACHE)
def day(value: date, locale: str, style: str) -> str:
    """Return a date: ``medium`` 4 May 2023, ``long`` 4 May 2023 in full words, ``short`` 4 May."""
    if style == "short":
        return _plain(dates.format_skeleton("MMMd", value, locale=babel_locale(locale)))  # type: ignore[arg-type]
    return _plain(dates.format_date(value, style, locale=babel_locale(locale)))  # type: ignore[arg-type]


@lru_cache(maxsize=_CACHE)
def number(value: Decimal, locale: str) -> str:
    """Return a number with the locale's separators."""
    return _plain(numbers.format_decimal(value, locale=babel_locale(locale)))


def _plain(text: str) -> str:
    """Return the text with plain spaces: the same on every channel, and fit for an SMS."""
    return text.replace("\u202f", " ").replace("\u00a0", " ")


def _named_dollar(text: str, currency: str, where: Locale) -> str:
    """Return an amount whose bare ``$`` says whose dollar it is; half the readers travel."""
    if where.language == "en" and numbers.get_currency_symbol(currency, where) == "$":
        return text.replace("$", numbers.get_currency_symbol(currency, "en_001"))
    return text


def as_day(value: Moment | Day) -> Day:
    """Template filter ``date``: the day of an instant in the person's zone."""
    return value if isinstance(value, Day) else Day(_local_day(value), value.locale)


def as_clock(value: Moment) -> str:
    """Template filter ``time``: the local time of an instant."""
    return clock(value.at, value.locale, value.zone)


def long(value: Moment | Day) -> str:
    """Template filter ``long``: the date with the month in full."""
    return day(as_day(value).day, value.locale, "long")


def short(value: Moment | Day | Money) -> str:
    """Template filter ``short``: the date without its year, or the amount without empty cents."""
    if isinstance(value, Money):
        whole = value.amount == value.amount.to_integral_value()
        return _without_cents(value) if whole else str(value)
    return day(as_day(value).day, value.locale, "short")


def _without_cents(value: Money) -> str:
    where = babel_locale(value.locale)
    pattern = numbers.parse_pattern(where.currency_formats["standard"].pattern)
    bare = pattern.pattern.replace(".00", "")
    text = numbers.format_currency(
        value.amount, value.currency, bare, locale=where, currency_digits=False
    )
    return _plain(_named_dollar(text, value.currency, where))


def _local_day(value: Moment) -> date:
    return value.at.astimezone(value.zone).date()
