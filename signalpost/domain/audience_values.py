"""How an audience compares values: numbers as numbers, text as text, times as times.

These are the words' meaning in plain Python. On SQLite they are called from the statement itself;
``record.audience_values`` says the same in PostgreSQL's words, and tests hold the two together.

- *Number*: a JSON number, money (its amount), or text that is nothing but a number (``"12.50"``).
- *Time*: an ISO 8601 date or time as text; without a zone it is UTC.
- A value of another kind satisfies no clause; it is never an error.
- A list applies when any of its items does. ``is_not`` and ``not_among`` apply when there is a value
  and none of its items is it.
- A *total* adds up one currency at a time; where there are several it is the largest of them, since
  dollars and yen do not add up.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from signalpost.domain.audience import OPERATORS
from signalpost.errors import BadInputError

#: Text that is a number. PostgreSQL reads the same patterns.
NUMBER = r"-?[0-9]{1,15}([.][0-9]{1,10})?"
CURRENCY = r"[A-Z]{3}"
_DAY = (
    r"((?!0000|0001|9999)[0-9]{4}-("  # so that no zone leads out of the calendar
    r"(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([2468][048]|0[48]|[13579][26])00)-02-29)"
)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?"
#: Text that is a date, or a date and time.
TIME = rf"{_DAY}([T ]{_CLOCK}(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?"
#: A time that says its zone.
ZONED = r".*[0-9](Z|[+-][0-9]{2}:[0-9]{2})"

_NUMBER, _CURRENCY, _TIME = (re.compile(pattern) for pattern in (NUMBER, CURRENCY, TIME))
_NAME = re.compile(r'[^"\\\x00-\x1f\x7f\ud800-\udfff]{1,200}')
_MOST_PARTS = 8

#: Operators that say what a value is not: there is a value, and none of it is this.
NEGATIVE = {"is_not": "is", "not_among": "among"}
_ORDER = {
    "at_least": lambda left, right: left >= right,
    "at_most": lambda left, right: left <= right,
    "more_than": lambda left, right: left > right,
    "less_than": lambda left, right: left < right,
}


def parts(name: str) -> list[str]:
    """Cut a name into the steps of its path: ``lines.sku`` into ``lines`` and ``sku``.

    Raises:
        BadInputError: it is empty, too long, or holds a quotation mark, a backslash or a control.
    """
    steps = name.split(".")
    if not _NAME.fullmatch(name) or not all(steps) or len(steps) > _MOST_PARTS:
        raise BadInputError(
            f"{name[:60]!r} is no name of a value; write words joined by dots, such as lines.sku,"
            " without quotation marks or backslashes"
        )
    return steps


def checked(op: str, value: Any) -> Any:
    """Give an operator's value ready to compare with.

    Raises:
        BadInputError: there is no such operator, or it cannot take this value; says what it takes.
    """
    if op not in OPERATORS:
        raise BadInputError(f"{op!r} is no operator; there are {', '.join(OPERATORS)}")
    if op == "known":
        return None
    if op in ("among", "not_among"):
        if not isinstance(value, tuple | list | set | frozenset):
            raise BadInputError(f"{op} takes a list of values, not {value!r}")
        return tuple(_plain(op, one) for one in value)
    if op in ("before", "after"):
        return _bound(op, value)
    if op in _ORDER and (isinstance(value, bool) or not isinstance(value, int | float | Decimal)):
        raise BadInputError(f"{op} takes a number, not {value!r}")
    return _plain(op, value)


def _plain(op: str, value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float | Decimal) and (exact := Decimal(str(value))).is_finite():
        return exact
    if isinstance(value, date):
        return value.isoformat()
    raise BadInputError(f"{op} takes a text, a number, or true or false, not {value!r}")


def _bound(op: str, value: Any) -> datetime:
    """Give the moment that ``before`` ends at, or ``after`` begins at: a day counts as a whole."""
    text = value.isoformat() if isinstance(value, date) else str(value)
    found = moment(text)
    if found is None:
        raise BadInputError(f"{op} takes a date or time such as 2026-03-01, not {value!r}")
    whole_day = len(text) == len("2026-03-01")
    if op == "after":  # at or later than the bound, so the first moment that is after
        return found + (timedelta(days=1) if whole_day else timedelta(microseconds=1))
    return found


def items(document: Mapping[str, Any], name: str, *, whole: bool = False) -> list[Any]:
    """Give what a path leads to, lists on the way opened, and the last one too unless ``whole``.

    Nulls are left out; a list within a list is not opened.
    """
    found: list[Any] = [document]
    for step in parts(name):
        opened = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
        found = [one[step] for one in opened if isinstance(one, dict) and step in one]
    if not whole:
        found = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
    return [one for one in found if one is not None]


def number(value: Any) -> Decimal | None:
    """Read a number, money or text that is a number; None for everything else."""
    if isinstance(value, dict):
        value = value.get("amount")
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return None


def moment(value: Any) -> datetime | None:
    """Read an ISO date or time as UTC; None for everything else."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        read = datetime.fromisoformat(value)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def applies(op: str, found: Iterable[Any], value: Any) -> bool:
    """Tell whether an operator applies to any of these items; ``value`` comes from ``checked``."""
    held = [one for one in found if one is not None]
    if op == "known":
        return bool(held)
    if op in NEGATIVE:
        return bool(held) and not any(_applies(NEGATIVE[op], one, value) for one in held)
    return any(_applies(op, one, value) for one in held)


def _applies(op: str, one: Any, value: Any) -> bool:
    if op == "among":
        return any(_equals(one, single) for single in value)
    if op in _ORDER:
        left = number(one)
        return left is not None and _ORDER[op](left, value)
    if op in ("before", "after"):
        at = moment(one)
        return at is not None and (at < value if op == "before" else at >= value)
    if op == "contains" and isinstance(value, str):
        return isinstance(one, str) and folded(value) in folded(one)
    return _equals(one, value)


def folded(text: str) -> str:
    """Give a text in small letters, letter by letter, as a database does."""
    return text.lower() if text.isascii() else "".join(one.lower()[0] for one in text)


def _equals(one: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return one is value
    if isinstance(value, str):
        return isinstance(one, str) and one == value
    return number(one) == value


def currency(value: Any) -> str:
    """Give the currency that money is in; empty for a plain number."""
    said = value.get("currency") if isinstance(value, dict) else None
    return said if isinstance(said, str) and _CURRENCY.fullmatch(said) else ""


def totals(values: Iterable[Any]) -> dict[str, Decimal]:
    """Add up what is a number, each currency by itself."""
    added: dict[str, Decimal] = defaultdict(Decimal)
    for value in values:
        amount = number(value)
        if amount is not None:
            added[currency(value)] += amount
    return dict(added)
