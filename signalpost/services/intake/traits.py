"""Traits: what an event says about the person, read into locale, zone, addresses and consent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from signalpost.domain.events import plain, snake
from signalpost.domain.identity import LONGEST_VALUE
from signalpost.domain.locale_tags import tag
from signalpost.errors import BadInputError
from signalpost.services.intake import addresses
from signalpost.services.intake.consent import TRAITS, Statement

_KEY = re.compile(r"[^\W\d]\w{0,63}")
_LONGEST_TEXT = 500
_LONGEST_OBJECT = 2_000
MOST_ATTRIBUTES = 200

_LOCALES = ("locale", "language")
_ZONES = ("timezone", "time_zone", "zone", "tz")
_CONSENTS = {
    "marketing_consent": "*",
    "email_marketing": "email",
    "sms_marketing": "sms",
    "whatsapp_marketing": "whatsapp",
    "in_app_marketing": "in_app",
}
_PHONE_CHANNELS = {"phone": "sms", "whatsapp": "whatsapp"}
_NOT_ATTRIBUTES = {
    *_LOCALES,
    *_ZONES,
    *_CONSENTS,
    *_PHONE_CHANNELS,
    "email",
    "messenger",
    "email_verified",
    "phone_verified",
}


@dataclass(slots=True)
class Profile:
    """What traits say, checked. ``notes`` name what could not be used."""

    locale: str | None = None
    zone: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)  #: None takes one away
    addresses: dict[str, tuple[str, bool]] = field(
        default_factory=dict
    )  #: channel: value, verified
    statements: list[Statement] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)  #: identities that the addresses are
    notes: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write on the customer."""
        return not (self.locale or self.zone or self.attributes or self.addresses)


def read(
    traits: Mapping[str, Any], *, identities: Mapping[str, str], region: str, at: datetime
) -> Profile:
    """Read traits; ``identities`` may name an email or a phone too. Never raises."""
    given = {snake(str(key)): value for key, value in traits.items()}
    for kind in ("email", "phone"):
        if identities.get(kind) and not given.get(kind):
            given[kind] = identities[kind]
    profile = Profile()
    _read_place(profile, given)
    country = given.get("country")
    if country is None and isinstance(given.get("address"), Mapping):
        country = given["address"].get("country")
    region = addresses.region_of(country=country, locale=profile.locale, default=region)
    _read_addresses(profile, given, region)
    _read_consents(profile, given, at)
    _read_attributes(profile, given)
    return profile


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((v for n in names if isinstance(v := given.get(n), str) and v), None)


def _read_place(profile: Profile, given: Mapping[str, Any]) -> None:
    if locale := _first(given, _LOCALES):
        profile.locale = tag(locale)
        if profile.locale is None:
            profile.notes.append("invalid_locale")
    if zone := _first(given, _ZONES):
        if _is_zone(zone):
            profile.zone = zone
        else:
            profile.notes.append("invalid_zone")


@lru_cache(maxsize=1_000)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (
        ValueError,
        OSError,
    ):  # ZoneInfoNotFoundError is a KeyError, IsADirectoryError an OSError
        return False
    except KeyError:
        return False
    return True


def _read_addresses(profile: Profile, given: Mapping[str, Any], region: str) -> None:
    if value := given.get("email"):
        _try(
            profile,
            "email",
            "email",
            value,
            given.get("email_verified"),
            lambda v: addresses.email(v),
        )
    for name, channel in _PHONE_CHANNELS.items():
        if value := given.get(name):
            verified = given.get("phone_verified")
            _try(profile, name, channel, value, verified, lambda v: addresses.phone(v, region))
    if value := given.get("messenger"):
        text = plain(str(value))
        if 0 < len(text) <= LONGEST_VALUE:
            profile.addresses["messenger"] = (text, True)
        else:
            profile.notes.append("invalid_messenger")


def _try(
    profile: Profile, kind: str, channel: str, value: object, verified: object, normalise: Any
) -> None:
    """Keep an address in its one spelling, or note that it is not valid."""
    try:
        address = normalise(str(value))
    except BadInputError:
        profile.notes.append(f"invalid_{kind}")
        return
    profile.addresses[channel] = (address, verified is not False)
    if kind in ("email", "phone"):
        profile.keys[kind] = address


def _read_consents(profile: Profile, given: Mapping[str, Any], at: datetime) -> None:
    for name, channel in _CONSENTS.items():
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, bool):
            profile.notes.append(f"invalid_{name}")
            continue
        profile.statements.append(
            Statement(
                channel=channel,
                topic="*",
                status="granted" if value else "denied",
                source=f"{TRAITS}.{name}",
                at=at,
            )
        )


def _read_attributes(profile: Profile, given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if key in _NOT_ATTRIBUTES:
            continue
        if not _KEY.fullmatch(key) or len(profile.attributes) >= MOST_ATTRIBUTES:
            profile.notes.append("invalid_trait")
            continue
        if isinstance(value, str):
            clean = plain(value)
            if clean != value.strip():
                profile.notes.append("control_characters")
            value = clean
        if _too_long(value):
            profile.notes.append(f"too_long:{key}")
            continue
        profile.attributes[key] = value


def _too_long(value: object) -> bool:
    if isinstance(value, str):
        return len(value) > _LONGEST_TEXT
    return isinstance(value, dict | list) and len(orjson.dumps(value)) > _LONGEST_OBJECT
