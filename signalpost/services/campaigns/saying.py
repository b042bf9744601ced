"""What a launch would say: its facts and where each is from, and the beginning of every message."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from signalpost.domain.campaign import Campaign, Personal
from signalpost.domain.vocabulary import Channel
from signalpost.services.campaigns.people import Job
from signalpost.services.campaigns.previewing import Shown, samples

_LONGEST_VALUE = 120
_LONGEST = {Channel.SMS: 480}  #: signs of a message that are shown: a text message is seldom longer
_ELSEWHERE = 280
_MADE_UP = re.compile(r"sample-{8,}")  #: the token of a link that is none
_HEAD, _BODY = ("subject", "title"), ("text", "body")


def facts(campaign: Campaign, given: Mapping[str, Any]) -> list[dict[str, str]]:
    """List what is said to people, the offer first: name, value and where it is from."""
    offer = campaign.promotion
    promoted: dict[str, Any] = {}
    if offer is not None:
        promoted = offer.said() | {"expires_at": f"{offer.ends_at:%Y-%m-%d %H:%M} UTC"}
    own = campaign.facts.items()
    rows = [
        *((name, _value(value), "the promotion") for name, value in promoted.items()),
        *((name, _value(v), "the file") for name, v in own if not isinstance(v, Personal)),
        *((name, _value(v), "the launch") for name, v in given.items() if v not in (None, "")),
        *((name, _source(v), "each customer") for name, v in own if isinstance(v, Personal)),
    ]
    return [dict(zip(("name", "value", "from"), row, strict=True)) for row in rows]


def words(job: Job, messages: list[str]) -> list[dict[str, Any]]:
    """Give how each message begins on each channel, for a sample person, with the launch's facts."""
    return [
        {
            "message": one.message,
            "channel": str(one.channel),
            "locale": one.locale,
            "lines": [*_beginning(one)],
            "samples": list(one.samples),
        }
        for one in samples(job, messages)
    ]


def _beginning(one: Shown) -> Iterator[str]:
    if one.wrong is not None:
        yield f"It cannot be written: {one.wrong}."
        return
    yield from (_flat(one.parts[part]) for part in _HEAD if one.parts.get(part))
    body = next((_flat(one.parts[part]) for part in _BODY if one.parts.get(part)), "")
    yield _clipped(body, _LONGEST.get(one.channel, _ELSEWHERE))


def _source(fact: Personal) -> str:
    latest = f"{fact.property} of their latest {fact.name}"
    said = latest if fact.source == "event" else f"their {fact.name}"
    return said if fact.otherwise is None else f"{said}; otherwise {_value(fact.otherwise)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and value.keys() == {"amount", "currency"}:
        return f"{value['amount']} {value['currency']}"
    said = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return _clipped(_flat(said), _LONGEST_VALUE)


def _flat(text: str) -> str:
    return _MADE_UP.sub("…", " ".join(text.split()))


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest].rstrip()}…"
