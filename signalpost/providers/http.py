"""The little that every HTTP vendor shares."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the vendor asks us to wait (RFC 9110 ``Retry-After``, else ``X-RateLimit-Reset``).

    Moments are compared with the answer's own ``Date``, so that our clock does not matter.
    """
    lower = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    wanted = lower.get("retry-after", "")
    if wanted.isdecimal():
        return timedelta(seconds=min(int(wanted[:9]), 86_400))
    sent = _moment(lower.get("date"))
    until = _moment(wanted) or _epoch(lower.get("x-ratelimit-reset"), sent)
    if sent is None or until is None:
        return None
    return min(max(until - sent, timedelta(0)), timedelta(days=1))


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _epoch(text: str | None, sent: datetime | None) -> datetime | None:
    if sent is None or not (text or "").isdecimal():
        return None
    try:
        return datetime.fromtimestamp(int(text or ""), sent.tzinfo)
    except (OverflowError, OSError, ValueError):
        return None
