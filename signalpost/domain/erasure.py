"""What passes between us and a provider when it is to forget somebody."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from signalpost.domain.fingerprints import Fingerprints
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

    async def erase(self, *, addresses: Sequence[str], provider_ids: Sequence[str]) -> Erased:
        """Have the vendor forget these messages, and what it knows by the addresses it understands.

        Raises:
            NotErasedError: not now. Its text names no address.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """What an erasure works with, wired once by ``bootstrap``."""

    fingerprints: Fingerprints  #: knows addresses again that were erased
    erasers: Sequence[Eraser] = ()
    signing_key: str = field(default="", repr=False)  #: of receipts: Ed25519, 32 bytes in base64
    folder: Path | None = None  #: receipts are kept here too: a restored backup does not know them
