"""The last span of a send: what the provider told us later."""

from collections.abc import Sequence

from sqlmodel import Session

from signalpost.domain.delivery import Receipt
from signalpost.record import figures
from signalpost.telemetry import traces


def of_receipts(session: Session, *, given: Sequence[Receipt]) -> None:
    """Put each receipt into the trace of what its message was about; nothing when nobody collects."""
    if not traces.is_on():
        return
    named = [one for one in given if one.message_id]
    causes = figures.causes(session, message_ids={one.message_id or "" for one in named})
    for one in named:
        if (cause := causes.get(one.message_id or "")) is not None:
            with traces.span(
                "receipt",
                causes=[cause],
                message=one.message_id,
                provider=one.provider,
                kind=one.kind.value,
            ):
                pass
