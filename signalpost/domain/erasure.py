"""What passes between us and a provider when it is to forget somebody."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from signalpost.errors import TransientError


class NotErasedError(TransientError):
    """The provider did not erase everything this time; it is asked again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What a provider did."""

    addresses: int = 0
    messages: int = 0  #: that it had, and has no more
    job_ids: Sequence[str] = field(default_factory=tuple)  #: as the provider calls its own jobs


class Eraser(Protocol):
    """A vendor that can be told to forget. Asking twice does no harm."""

    name: str

    async def erase(self, *, emails: Sequence[str], provider_ids: Sequence[str]) -> Erased:
        """Have the vendor forget these addresses and messages.

        Raises:
            NotErasedError: not now. Its text names no address.
        """
        ...
