"""A provider with a stopwatch: how long it took and how it ended, noted once a call."""

import time
from collections.abc import Sequence
from typing import Any

import structlog

from signalpost.domain.delivery import Handover, Letter, Outgoing, Provider
from signalpost.domain.vocabulary import DeliveryStatus
from signalpost.telemetry import meters, traces

log = structlog.get_logger(__name__)


class Measured:
    """Hands everything on to a provider, and keeps the time; else it is that provider."""

    def __init__(self, provider: Provider, *, account: str | None = None) -> None:
        self._provider = provider
        self._account = account or provider.name
        self.name = provider.name
        self.channels = provider.channels
        self.max_batch = provider.max_batch

    def __getattr__(self, name: str) -> Any:
        """What else the provider can do: list what it sent, for instance."""
        return getattr(self._provider, name)

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Hand over messages, as the provider does."""
        channel = letter.channel.value
        began = time.perf_counter()
        with traces.span(
            "provider.request",
            account=self._account,
            channel=channel,
            messages=len(batch),
            message=batch[0].message_id if len(batch) == 1 else None,
        ):
            handovers = await self._provider.hand_over(letter, batch)
        ended = meters.tally(handovers)
        seconds = time.perf_counter() - began
        meters.called(account=self._account, channel=channel, seconds=seconds, ended=ended)
        for (status, fault, code), number in ended.items():
            if status != DeliveryStatus.ACCEPTED:
                log.warning(
                    "delivery.not_accepted",
                    account=self._account,
                    channel=channel,
                    status=status,
                    fault=fault or None,
                    code=code or None,
                    messages=number,
                )
        return handovers

    async def close(self) -> None:
        """Release connections."""
        await self._provider.close()
