"""What the protocol needs to know of a message on its way, whoever sends it."""

from collections.abc import Mapping
from typing import Any, Protocol

from signalpost.content import Variant
from signalpost.domain.delivery import Handover, Outgoing
from signalpost.domain.vocabulary import Channel, Purpose


class Draft(Outgoing, Protocol):
    """One message on its way: a journey's or a campaign's."""

    handover: Handover | None  #: how the attempt ended; None: it was not made yet

    @property
    def channel(self) -> Channel:
        """The channel it goes by."""
        ...

    @property
    def purpose(self) -> Purpose:
        """What it is for."""
        ...

    @property
    def topic(self) -> str:
        """What it is about, for whoever unsubscribed from that only."""
        ...

    @property
    def variant(self) -> Variant | None:
        """Its wording; None: not rendered yet, and so not to be sent."""
        ...

    @property
    def maybe_sent(self) -> bool:
        """Whether it may have left before the record was restored, and must not leave again."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts that are this person's own, kept with the message."""
        ...
