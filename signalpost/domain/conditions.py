"""Conditions of a branch: small frozen values that serialise, so that a journey version can be pinned.

They read like the brief: ``answer("csat") <= 2``, ``attribute("tier") == "vip"``.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: left in right,
}


@dataclass(frozen=True)
class Condition:
    """``subject op value``; false when the subject is missing or not comparable."""

    subject: str  #: "answer:csat", "fact:total", "attribute:tier"
    op: str
    value: Any

    def holds(self, known: Mapping[str, Mapping[str, Any]]) -> bool:
        """Say whether it holds for what is ``known``: ``{"answer": {...}, "fact": {...}, ...}``."""
        kind, _, name = self.subject.partition(":")
        left = known.get(kind, {}).get(name)
        if left is None:
            return False
        try:
            return _OPERATORS[self.op](*_comparable(left, self.value))
        except TypeError:
            return False

    def __str__(self) -> str:
        kind, _, name = self.subject.partition(":")
        label = f"{name} {kind}" if kind == "answer" else name
        value = ", ".join(map(str, self.value)) if isinstance(self.value, list) else self.value
        return f"{label} {self.op} {value}"


def _comparable(left: Any, right: Any) -> tuple[Any, Any]:
    """Compare a number with a number, also when the answer came as text."""
    if isinstance(right, int | float) and not isinstance(right, bool):
        try:
            return Decimal(str(left)), Decimal(str(right))
        except InvalidOperation:
            return left, right
    return left, right


@dataclass(frozen=True, eq=False)
class Subject:
    """Something a condition can be about; comparing it makes the condition."""

    name: str

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return Condition(self.name, "==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return Condition(self.name, "!=", value)

    def __lt__(self, value: Any) -> Condition:
        return Condition(self.name, "<", value)

    def __le__(self, value: Any) -> Condition:
        return Condition(self.name, "<=", value)

    def __gt__(self, value: Any) -> Condition:
        return Condition(self.name, ">", value)

    def __ge__(self, value: Any) -> Condition:
        return Condition(self.name, ">=", value)

    __hash__ = None  # type: ignore[assignment]

    def among(self, *values: Any) -> Condition:
        """Hold when it is one of ``values``."""
        return Condition(self.name, "in", list(values))


def answer(question: str) -> Subject:
    """The answer to a question: "yes", "no", or a number; missing when there was none."""
    return Subject(f"answer:{question}")


def fact(name: str) -> Subject:
    """A fact of the event that started the journey, or one issued since."""
    return Subject(f"fact:{name}")


def attribute(name: str) -> Subject:
    """An attribute of the customer, as it is when the branch is reached."""
    return Subject(f"attribute:{name}")
