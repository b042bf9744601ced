"""Comparing values of JSON documents in a statement, as ``domain.audience_values`` says.

PostgreSQL compares in SQL. No cast can raise: each stands behind the test that its value can be
cast. SQLite calls the domain's functions, which ``prepare_sqlite`` makes known to a connection.
Names and values are bound parameters everywhere.
"""

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Numeric,
    String,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, JSONPATH

from signalpost.domain import assignment
from signalpost.domain import audience_values as values

Truth = ColumnElement[bool]
_ORDER: dict[str, Callable[[Any, Any], Truth]] = {
    "at_least": lambda left, right: left >= right,
    "at_most": lambda left, right: left <= right,
    "more_than": lambda left, right: left > right,
    "less_than": lambda left, right: left < right,
}


class Postgres:
    """Comparisons as PostgreSQL says them."""

    def has(self, document: Any, name: str) -> Truth:
        """The document has this key of its own, be it null."""
        return document.op("->")(_text(name)).is_not(None)

    def one_of(self, name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """A document of one name and value."""
        return func.jsonb_build_object(_text(name), value, type_=JSONB)

    def key(self, document: Any, name: str) -> ColumnElement[Any]:
        """The text or number of this name, as a text; null for anything else."""
        value = document.op("->", return_type=JSONB())(_text(name))
        return case((_kind(value).in_(("string", "number")), _plain(value)))

    def holds(self, document: Any, name: str, op: str, value: Any) -> Truth:
        """The operator applies to what the path leads to; never null."""
        wanted = values.checked(op, value)
        if op in values.NEGATIVE:
            return and_(
                self._any(document, name, lambda one: _known(one)),
                ~self._any(document, name, lambda one: _test(values.NEGATIVE[op], one, wanted)),
            )
        if op == "known":
            return self._any(document, name, _known)
        texts = _texts(op, wanted)
        if texts and len(values.parts(name)) == 1:
            return _text_among(document.op("->")(_text(name)), texts)
        return self._any(document, name, lambda one: _test(op, one, wanted))

    def _any(self, document: Any, name: str, test: Callable[[Any], Truth]) -> Truth:
        steps = values.parts(name)
        if len(steps) > 1:
            item = func.jsonb_path_query(document, path(name, opened=True), type_=JSONB)
            return _exists(item, test)
        value = document.op("->")(_text(name))
        each = _exists(func.jsonb_array_elements(value, type_=JSONB), test)
        # Most values are no list, and a subquery for each row would cost more than all the rest.
        return func.coalesce(case((_kind(value) == "array", each), else_=test(value)), false())

    def drawn(self, customer_id: Any, *, seed: str, share: float) -> Truth:
        """The customer's place under the seed is below the share."""
        bound = _digests_below(share)
        if bound is None:
            return true() if share > 0 else false()
        salt = bindparam(None, f"{seed}\x00".encode(), BYTEA)
        named = func.convert_to(customer_id, literal_column("'UTF8'"), type_=BYTEA)
        return func.sha256(salt.op("||")(named), type_=BYTEA) < bindparam(None, bound, BYTEA)


def _texts(op: str, wanted: Any) -> list[str]:
    """Give the texts that "is" or "among" looks for, when it looks for nothing else."""
    listed = wanted if op == "among" else (wanted,) if op == "is" else ()
    known = all(isinstance(one, str) and _storable(one) for one in listed)
    return list(listed) if known else []


def _text_among(value: Any, texts: list[str]) -> Truth:
    """The value, or an item of it, is one of the texts: the usual question, and the fastest answer.

    Without a subquery for lists, PostgreSQL can share the work among its processes.
    """
    wanted = bindparam(None, texts, ARRAY(Text))
    held = or_(_kind(value) == "string", _kind(value) == "array")
    return func.coalesce(and_(held, value.bool_op("?|")(wanted)), false())


def _exists(items: Any, test: Callable[[Any], Truth]) -> Truth:
    each = items.table_valued(column("value", JSONB)).render_derived()
    return exists(select(literal_column("1")).select_from(each).where(test(each.c.value)))


def path(name: str, *, opened: bool) -> ColumnElement[Any]:
    """A path as PostgreSQL takes it; ``opened``: the last step's list too."""
    steps = "".join(f'."{step}"' for step in values.parts(name))
    return cast(_text(f"${steps}{'[*]' if opened else ''}"), JSONPATH)


def _text(value: str) -> ColumnElement[Any]:
    return bindparam(None, value, Text)


def _kind(value: Any) -> ColumnElement[Any]:
    return func.jsonb_typeof(value, type_=Text)


def _plain(value: Any) -> ColumnElement[Any]:
    """The value without JSON's quotation marks."""
    return value.op("#>>", return_type=Text())(literal_column("'{}'"))


def _known(value: Any) -> Truth:
    return func.coalesce(_kind(value) != "null", false())


def number(value: Any) -> ColumnElement[Any]:
    """A JSON value as a number, null when it is none."""
    bare = case((_kind(value) == "object", value.op("->")(literal_column("'amount'"))), else_=value)
    bare = cast(bare, JSONB)
    written = and_(_kind(bare) == "string", _plain(bare).bool_op("~")(_text(f"^{values.NUMBER}$")))
    return case(
        (_kind(bare) == "number", cast(_plain(bare), Numeric)),
        (written, cast(_plain(bare), Numeric)),
    )


def currency(value: Any) -> ColumnElement[Any]:
    """The currency of a JSON value that is money; empty for every other."""
    said = value.op("->>", return_type=Text())(literal_column("'currency'"))
    return case(
        (said.bool_op("~")(_text(f"^{values.CURRENCY}$")), said), else_=literal_column("''")
    )


def _time(value: Any) -> ColumnElement[Any]:
    said, kind = _plain(value), DateTime(timezone=True)
    in_utc = func.timezone(literal_column("'UTC'"), cast(said, DateTime()), type_=kind)
    return case(
        (or_(_kind(value) != "string", ~said.bool_op("~")(_text(f"^{values.TIME}$"))), None),
        (said.bool_op("~")(_text(f"^{values.ZONED}$")), cast(said, kind)),
        else_=in_utc,
    )


def _test(op: str, value: Any, wanted: Any) -> Truth:
    if op == "among":
        return _among(value, wanted)
    if op in _ORDER:
        return _ORDER[op](number(value), literal(wanted, Numeric))
    if op in ("before", "after"):
        bound: datetime = wanted
        moment = literal(bound, DateTime(timezone=True))
        return _time(value) < moment if op == "before" else _time(value) >= moment
    if op == "contains" and isinstance(wanted, str):
        if not _storable(wanted):
            return false()
        found = func.strpos(func.lower(_plain(value)), _text(values.folded(wanted))) > 0
        return and_(_kind(value) == "string", found)
    return _among(value, (wanted,))


def _among(value: Any, wanted: tuple[Any, ...]) -> Truth:
    texts = [one for one in wanted if isinstance(one, str) and _storable(one)]
    numbers = [one for one in wanted if isinstance(one, Decimal)]
    truths = [one for one in wanted if isinstance(one, bool)]
    tests: list[Truth] = []
    if texts:
        tests.append(and_(_plain(value).in_(texts), _kind(value) == "string"))
    if numbers:
        tests.append(number(value).in_([literal(one, Numeric) for one in numbers]))
    if truths:
        said = [literal_column("'true'" if one else "'false'") for one in truths]
        tests.append(and_(_kind(value) == "boolean", _plain(value).in_(said)))
    return or_(*tests) if tests else false()


def _storable(text: str) -> bool:
    """Whether PostgreSQL can keep such a text at all; one that it cannot is nobody's value."""
    return "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _digests_below(share: float) -> bytes | None:
    """Give the first bytes of a digest from which on a place is no longer below the share.

    None when every digest is on one side. It is the exact border of ``assignment.share``, whose
    division rounds: of all n, the first for which n / 2**64 is no longer below the share.
    """
    if share <= 0 or share > 1:
        return None
    border = int(Fraction(share) * 2**64)
    low, high = max(0, border - 2**12), min(2**64, border + 2**12)
    while low < high:
        middle = (low + high) // 2
        if middle / 2**64 >= share:
            high = middle
        else:
            low = middle + 1
    return low.to_bytes(8, "big") if low < 2**64 else None


class Sqlite:
    """Comparisons as SQLite says them: by calling the domain."""

    def has(self, document: Any, name: str) -> Truth:
        """The document has this key of its own, be it null."""
        return func.json_type(document, _place(name)).is_not(None)

    def one_of(self, name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """A document of one name and value."""
        return func.json_object(bindparam(None, name, String), value)

    def key(self, document: Any, name: str) -> ColumnElement[Any]:
        """The text or number of this name, as a text; null for anything else."""
        kind = func.json_type(document, _place(name))
        value = func.json_extract(document, _place(name))
        return case((kind.in_(("text", "integer", "real")), cast(value, Text)))

    def holds(self, document: Any, name: str, op: str, value: Any) -> Truth:
        """The operator applies to what the path leads to; never null."""
        wanted = values.checked(op, value)
        said = json.dumps([op, _written(value)])
        called = func.signalpost_holds(document, _name(name), bindparam(None, said, String)) == 1
        texts = _texts(op, wanted)
        if len(values.parts(name)) > 1 or not 0 < len(texts) <= _FEW:
            return called
        # The usual question. SQLite answers it itself in a third of the time of a call. It would cut
        # a text at NUL, which none on record holds: intake writes only what every database can keep.
        kind = func.json_type(document, _place(name))
        text = func.json_extract(document, _place(name))
        return case((kind == "text", text.in_(texts)), (kind == "array", called), else_=false())

    def drawn(self, customer_id: Any, *, seed: str, share: float) -> Truth:
        """The customer's place under the seed is below the share."""
        salt = bindparam(None, seed, String)
        return func.signalpost_share(salt, customer_id) < literal(float(share))


#: Texts that SQLite compares one by one.
_FEW = 50


def _place(name: str) -> ColumnElement[Any]:
    return bindparam(None, f'$."{name}"', String)


def _name(name: str) -> ColumnElement[Any]:
    return bindparam(None, name, String)


def _written(value: Any) -> Any:
    if isinstance(value, tuple | list | set | frozenset):
        return [_written(one) for one in value]
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def largest_total(document: Any, name: str) -> ColumnElement[Any]:
    """On SQLite: the largest of a group's totals, one of each currency; 0 when there is none."""
    values.parts(name)
    return func.signalpost_total(document, _name(name))


def prepare_sqlite(connection: Any) -> None:
    """Make the domain's comparisons known to a connection of SQLite."""
    connection.create_function("signalpost_share", 2, assignment.share, deterministic=True)
    connection.create_function("signalpost_holds", 3, _holds, deterministic=True)
    connection.create_aggregate("signalpost_total", 2, _Total)


_ASKED: dict[str, tuple[str, Any]] = {}


def _holds(document: str | None, name: str, said: str) -> int:
    if document is None:
        return 0
    asked = _ASKED.get(said)
    if asked is None:
        op, value = json.loads(said)
        if len(_ASKED) > 1_000:
            _ASKED.clear()
        asked = _ASKED[said] = (op, values.checked(op, value))
    return int(values.applies(asked[0], values.items(orjson.loads(document), name), asked[1]))


class _Total:
    """An aggregate: the largest total of one currency."""

    def __init__(self) -> None:
        self._found: list[Any] = []

    def step(self, document: str | None, name: str) -> None:
        """Take one event's facts."""
        if document is not None:
            self._found += values.items(orjson.loads(document), name, whole=True)

    def finalize(self) -> float:
        """Give the total."""
        return float(max(values.totals(self._found).values(), default=Decimal(0)))
