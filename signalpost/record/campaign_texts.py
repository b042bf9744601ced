"""Which text messages of campaigns went, and where to."""

from collections.abc import Collection

from sqlalchemy import RowMapping, func, select
from sqlmodel import Session

from signalpost.domain.vocabulary import Channel
from signalpost.record.base import table_of
from signalpost.record.messages import Message

_m = table_of(Message)
_DIGITS = 6  #: of the end of an id, by which a sample is drawn: those of a UUIDv7 are random


def went(
    session: Session, *, runs: Collection[str], never: Collection[str], share: float
) -> list[RowMapping]:
    """Give the wording (message, locale) and the address of text messages of runs.

    ``never``: statuses of those that did not go. ``share``: below 1, an even sample of about so many of
    them, the same every time.
    """
    query = select(_m.c.message, _m.c.locale, _m.c.address).where(
        _m.c.campaign_run_id.in_(runs), _m.c.channel == Channel.SMS, _m.c.status.not_in(never)
    )
    if share < 1:
        end = func.substr(_m.c.id, 37 - _DIGITS)
        query = query.where(end < f"{int(share * 16**_DIGITS):0{_DIGITS}x}")
    return list(session.execute(query).mappings())
