"""Locale tags as people write them, and the ones a message is tried in."""

from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global


@lru_cache(maxsize=4096)
def normalise(tag: str | None) -> str | None:
    """Return ``zh-Hant-TW`` for ``zh_hant_tw`` or ``zh-TW``; None for what is no locale."""
    parsed = _parse(tag)
    if parsed is None:
        return None
    return "-".join(x for x in (parsed.language, _script(parsed), parsed.territory) if x)


def _parse(tag: str | None) -> Locale | None:
    if not isinstance(tag, str) or not 2 <= len(tag) <= 35:
        return None
    try:
        return Locale.parse(tag.strip().replace("_", "-"), sep="-")
    except (ValueError, TypeError, UnknownLocaleError):
        return _parse_language(tag)


def _parse_language(tag: str) -> Locale | None:
    language = tag.strip().replace("_", "-").split("-")[0].lower()
    try:
        return Locale.parse(language)
    except (ValueError, TypeError, UnknownLocaleError):
        return None


def _script(locale: Locale) -> str | None:
    if locale.script or locale.language != "zh":
        return locale.script
    likely = get_global("likely_subtags")
    full = likely.get(f"{locale.language}_{locale.territory}") or likely.get(locale.language, "")
    return next((part for part in full.split("_") if len(part) == 4), None)


@lru_cache(maxsize=4096)
def fallbacks(tag: str | None, default: str) -> tuple[str, ...]:
    """Return the locales to try in order: ``zh-Hant-TW``, ``zh-Hant``, ``zh``, then the default."""
    found = normalise(tag)
    parts = found.split("-") if found else []
    return (*("-".join(parts[:n]) for n in range(len(parts), 0, -1)), default)


@lru_cache(maxsize=1024)
def babel_locale(tag: str) -> Locale:
    """Return Babel's locale for a tag; plain ``en`` reads as international English.

    ``4 May 2023`` and ``US$1,000.00`` cannot be misread in another country.
    """
    parsed = _parse(normalise(tag)) or Locale.parse("en_001")
    return Locale.parse("en_001") if str(parsed) == "en" else parsed
