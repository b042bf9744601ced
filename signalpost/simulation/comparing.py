"""What is different between two outcomes: added, dropped, moved in time, said in other words."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import Any

from signalpost.errors import BadInputError
from signalpost.simulation.outcome import Outcome, Sending

#: A worker takes up who is due within moments, and a simulation at the very moment.
TOLERANCE = timedelta(minutes=1)
_SHOWN = 5
KINDS = ("added", "dropped", "moved", "reworded")


@dataclass(frozen=True, kw_only=True)
class Diff:
    """The differences, each with the messages that it is about. ``of``: how many there were before."""

    of: int
    added: Sequence[Sending] = ()
    dropped: Sequence[Sending] = ()
    moved: Sequence[tuple[Sending, Sending]] = ()  #: before, after
    reworded: Sequence[tuple[Sending, Sending]] = ()
    reasons: Mapping[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    """(cause, outcome, reason) → decisions before and after, where they differ."""

    @property
    def is_empty(self) -> bool:
        """Whether both are the same."""
        return not (self.reasons or any(getattr(self, kind) for kind in KINDS))

    def share(self, kind: str) -> float:
        """Give the part of the messages before that a kind of difference comes to."""
        number = len(getattr(self, kind))
        return number / self.of if self.of else float(number > 0)

    def exceeds(self, limits: Mapping[str, str]) -> list[str]:
        """Say which limits are exceeded: ``{"added": "5%"}``, or a number of messages.

        Raises:
            BadInputError: a limit is neither a number nor a percentage.
        """
        said = []
        for kind, limit in limits.items():
            number = len(getattr(self, kind))
            if number > _allowed(limit, self.of):
                said.append(f"{number:,} messages are {kind}, more than {limit}.")
        return said

    def to_json(self) -> dict[str, Any]:
        """Give counts, reasons and some examples as plain JSON values."""
        return {
            "before": self.of,
            **{kind: len(getattr(self, kind)) for kind in KINDS},
            "examples": {
                "added": [_short(one) for one in self.added[:_SHOWN]],
                "dropped": [_short(one) for one in self.dropped[:_SHOWN]],
                "moved": [
                    _short(one) | {"to": after.at.isoformat()} for one, after in self.moved[:_SHOWN]
                ],
                "reworded": [_short(one) for one, _ in self.reworded[:_SHOWN]],
            },
            "reasons": [
                {"cause": cause, "outcome": outcome, "reason": why, "before": a, "after": b}
                for (cause, outcome, why), (a, b) in sorted(self.reasons.items())
            ],
        }


def check_limits(limits: Mapping[str, str]) -> None:
    """Insist that every limit can be read, before anything is played.

    Raises:
        BadInputError: one is neither a number nor a percentage.
    """
    for kind, limit in limits.items():
        try:
            _allowed(limit, 1)
        except BadInputError as error:
            raise BadInputError(f"--max-{kind}: {error}") from None


def _allowed(limit: str, of: int) -> float:
    text = limit.strip()
    share = text.endswith("%")
    try:
        number = float(text[:-1] if share else text)
    except ValueError:
        number = -1.0
    if not 0 <= number < inf:
        raise BadInputError(f"{limit!r} is no limit; write a number, or a share such as 5%.")
    return number / 100 * of if share else number


def _short(one: Sending) -> dict[str, Any]:
    return {
        "customer_id": one.customer_id, "cause": one.cause, "message": one.message,
        "channel": one.channel, "at": one.at.isoformat(),
    }  # fmt: skip


def compare(before: Outcome, after: Outcome, *, tolerance: timedelta = TOLERANCE) -> Diff:
    """Compare two outcomes: the same person, cause, message and channel is the same message."""
    olds, news = _by_key(before.sendings), _by_key(after.sendings)
    added, dropped, moved, reworded = [], [], [], []
    for key in olds.keys() | news.keys():
        pairs, gone, come = _pair(olds.get(key, []), news.get(key, []))
        added += come
        dropped += gone
        moved += [(a, b) for a, b in pairs if abs(a.at - b.at) > tolerance]
        reworded += [(a, b) for a, b in pairs if a.words != b.words]
    old, new = before.reasons(), after.reasons()
    return Diff(
        of=len(before.sendings),
        added=sorted(added, key=_order),
        dropped=sorted(dropped, key=_order),
        moved=sorted(moved, key=lambda pair: _order(pair[0])),
        reworded=sorted(reworded, key=lambda pair: _order(pair[0])),
        reasons=_changed(old, new),
    )


def _order(one: Sending) -> tuple[Any, ...]:
    return one.at, one[:4]


def _said(one: Sending) -> tuple[datetime, str]:
    return one.at, one.words


def _by_key(sendings: Iterable[Sending]) -> dict[tuple[str, ...], list[Sending]]:
    found: dict[tuple[str, ...], list[Sending]] = defaultdict(list)
    for one in sendings:
        found[one[:4]].append(one)
    return found


def _pair(
    old: list[Sending], new: list[Sending]
) -> tuple[list[tuple[Sending, Sending]], list[Sending], list[Sending]]:
    """Pair those of one moment first, the rest in order; gives pairs, and who is left alone.

    Each is in one pair at most: somebody who is sent the same twice at one moment is sent it twice.
    """
    at: dict[datetime, list[Sending]] = defaultdict(list)
    for one in sorted(new, key=_said):
        at[one.at].append(one)
    pairs: list[tuple[Sending, Sending]] = []
    rest: list[Sending] = []
    for one in sorted(old, key=_said):
        if at[one.at]:
            pairs.append((one, at[one.at].pop(0)))
        else:
            rest.append(one)
    others = [one for some in at.values() for one in some]
    count = min(len(rest), len(others))
    pairs += list(zip(rest[:count], others[:count], strict=True))
    return pairs, rest[count:], others[count:]


def _changed(
    old: Counter[tuple[str, str, str]], new: Counter[tuple[str, str, str]]
) -> dict[tuple[str, str, str], tuple[int, int]]:
    return {key: (old[key], new[key]) for key in old.keys() | new.keys() if old[key] != new[key]}
