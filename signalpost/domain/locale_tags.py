"""Language tags in the one spelling in which the record keeps them."""

import re

_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,4}")


def tag(locale: str) -> str | None:
    """Return a language tag in the usual case (zh-Hant-TW), or None when it is none (BCP 47)."""
    locale = locale.strip().split(".")[0]
    if not _TAG.fullmatch(locale):
        return None
    first, *others = locale.replace("_", "-").split("-")
    cased = [p.upper() if len(p) == 2 else p.title() if len(p) == 4 else p for p in others]
    return "-".join([first.lower(), *cased])
