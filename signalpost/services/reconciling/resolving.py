"""An operator's word on a message of which nobody could find out whether it went."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Session

from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import audit, messages, reconciling


class Resolution(StrEnum):
    """What an operator decides. Neither sends anything."""

    NOT_SENT = (
        "resolved_not_sent"  #: they know that it did not go: it counts toward no cap any more
    )
    ABANDONED = "abandoned"  #: nobody will know; it is closed


def resolve(
    session: Session, *, message_id: str, resolution: Resolution, actor: str, now: datetime
) -> None:
    """Close an unknown message. A receipt that comes after all still says how it was.

    Raises:
        NotFoundError: there is no such message.
        ConflictError: it is not unknown.
    """
    if not reconciling.lock_unknown(session, message_ids=[message_id]):
        standing = messages.status_of(session, message_id=message_id)
        if standing is None:
            raise NotFoundError(f"There is no message {message_id}.")
        raise ConflictError(f"Message {message_id} is {standing}, not unknown.")
    reconciling.give_up(session, message_ids=[message_id], reason=resolution.value, now=now)
    audit.add(
        session,
        actor=actor,
        action="message.resolved",
        subject=message_id,
        detail={"as": resolution.value},
        now=now,
    )
