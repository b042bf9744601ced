"""Clicks on links to the brand's own pages: written down, then followed.

Where a link leads is said by the template (``links.home``) and not by the address that is called: a
token holds the name of a page, so no link of ours can be turned into a way to somebody else's.
"""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlmodel import Session

from signalpost.content import facts
from signalpost.domain.delivery import Receipt
from signalpost.domain.vocabulary import ReceiptKind
from signalpost.record.receipts import BY_US
from signalpost.services.inbound import receipts
from signalpost.services.links import page_of


def destination(
    claims: Mapping[str, object], *, website: str, domains: frozenset[str]
) -> str | None:
    """Give where a click link leads: https, and a host of the brand. None: nowhere."""
    order = claims.get("o")
    domains |= {urlsplit(website).hostname or ""}
    try:
        page = page_of(website, str(claims.get("to")), str(order) if order is not None else None)
        return facts.url(page, facts.Place("en", ZoneInfo("UTC"), domains))
    except (KeyError, ValueError, TypeError):
        return None


def note(session: Session, *, message_id: str, to: str, machine: bool, now: datetime) -> None:
    """Write a click down as a receipt of the message; the same one again adds nothing."""
    who = "machine" if machine else "person"
    click = Receipt(
        provider=BY_US,
        keys=(f"go:{message_id}:{to}:{who}",),
        kind=ReceiptKind.CLICKED,
        at=now,
        message_id=message_id,
        machine=machine,
        raw={"to": to},
    )
    receipts.record(session, given=[click], now=now)
