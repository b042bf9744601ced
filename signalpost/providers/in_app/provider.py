"""The provider that is ourselves."""

from collections.abc import Callable, Sequence

from signalpost.domain.delivery import Handover, Letter, Outgoing
from signalpost.domain.vocabulary import Channel, DeliveryStatus


class InApp:
    """Hands a message to the customer's inbox, which is the record itself: it is accepted at once.

    ``push`` gets the ids of the customers who have news, so that open pages can show it.
    """

    name = "in_app"
    channels = frozenset({Channel.IN_APP})
    max_batch = 1000

    def __init__(self, push: Callable[[list[str]], None] | None = None) -> None:
        self._push = push

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Accept every message, and tell the listeners once for each customer."""
        del letter
        if self._push and batch:
            self._push(list(dict.fromkeys(out.customer_id for out in batch)))
        return [
            Handover(status=DeliveryStatus.ACCEPTED, provider=self.name, provider_id=out.message_id)
            for out in batch
        ]

    async def close(self) -> None:
        """Nothing to release."""
