"""What every part of a campaign file has in common, and the words it chooses from."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from signalpost.content.campaigns.values import text, wrong
from signalpost.domain.vocabulary import Channel, Purpose

_MEANT = {
    "mail": "email", "e-mail": "email", "text": "sms", "phone": "sms", "app": "in_app",
    "inapp": "in_app", "in-app": "in_app", "web": "in_app", "website": "in_app", "feed": "in_app",
}  # fmt: skip


class Part(BaseModel):
    """A part of a file: unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True
    )

    @classmethod
    def known_keys(cls) -> dict[str, Any]:
        """Give the type behind each key as it is written in the file."""
        return {field.alias or name: field.annotation for name, field in cls.model_fields.items()}


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Give the known word that was probably meant."""
    return next(iter(get_close_matches(word.lower(), sorted(known), n=1, cutoff=cutoff)), None)


def choose(word: str, known: Iterable[str], meant: str | None = None) -> str:
    """Give the remedy for a word that is not one of the ``known``."""
    listed = sorted(known)
    near = meant or nearest(word, listed)
    if near:
        return (
            f"did you mean {near}? Known: {', '.join(listed)}"
            if len(listed) < 40
            else (f"did you mean {near}?")
        )
    return f"use one of: {', '.join(listed[:40])}" if listed else "there is none yet"


def _channel(value: Any) -> Channel:
    if isinstance(value, Channel):
        return value
    word = text(value)
    try:
        return Channel(word)
    except ValueError:
        says = f"there is no channel {word!r}"
        raise wrong(says, choose(word, list(Channel), _MEANT.get(word.lower()))) from None


def _purpose(value: Any) -> Purpose:
    word = text(value)
    try:
        return Purpose(word)
    except ValueError:
        raise wrong(f"there is no purpose {word!r}", choose(word, list(Purpose))) from None


OneChannel = Annotated[Channel, BeforeValidator(_channel)]
OnePurpose = Annotated[Purpose, BeforeValidator(_purpose)]
