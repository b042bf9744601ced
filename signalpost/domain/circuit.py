"""A circuit: whether requests go to an account of a provider, or are held back for a while.

It opens when every request fails, or when the account itself is refused, and lets one message through
now and then to find out. What is held back was not tried: it costs nobody one of their tries.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from signalpost.domain.delivery import Handover
from signalpost.domain.retrying import RetryClass, class_of
from signalpost.domain.vocabulary import DeliveryStatus

#: So many messages in a row that the provider did not take, whoever they were to, open the circuit.
IN_A_ROW = 10
#: 5 s, 10 s, 20 s, then every 30 s one message asks whether it works again.
FIRST_PROBE = timedelta(seconds=5)
LONGEST_PROBE = timedelta(seconds=30)
#: However long a provider asks us to wait, it is asked again after this.
LONGEST_ASKED = timedelta(minutes=15)

_NOT_TAKEN = (RetryClass.SAFE, RetryClass.UNKNOWN)
_ACCEPTED = DeliveryStatus.ACCEPTED  # asked of each: through its class it takes ten times as long


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """An account's circuit. Open: nothing goes out before ``probe_at``, and then one message."""

    account: str
    opened_at: datetime | None = None  #: None: closed, everything goes out
    probe_at: datetime | None = None
    failed_probes: int = 0
    ours: bool = False  #: our account or key is wrong; an operator has to mend it
    marketing_only: bool = False  #: alerts and what people wait for go out all the same
    code: str | None = None
    reason: str = ""  #: a sentence without personal data

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self.opened_at is not None


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a circuit opens."""

    reason: str
    code: str | None
    ours: bool
    asked: timedelta | None = None  #: how long the provider wants us to wait


class Row:
    """Counts the messages in a row that an account did not take."""

    def __init__(self) -> None:
        self._failed: list[Handover] = []

    def look_at(self, handovers: Iterable[Handover]) -> Trouble | None:
        """Take in how messages ended; say why the circuit has to open, None: it need not."""
        for one in handovers:
            if one.status is _ACCEPTED:
                self._failed.clear()
                continue
            if not one.tried:
                continue  # it was held back by us: that says nothing about the account
            kind = class_of(one.status, one.fault)
            if kind is RetryClass.OURS and one.whole_account:
                self._failed.clear()
                return Trouble(reason=one.detail or "", code=one.code, ours=True)
            if kind not in _NOT_TAKEN:
                self._failed.clear()  # an answer about this one message: the account works
                continue
            self._failed.append(one)
        if len(self._failed) < IN_A_ROW:
            return None
        failed = self._failed[:]
        self._failed.clear()
        return trouble_of(failed)


def trouble_of(failed: list[Handover]) -> Trouble:
    """Say in words what a row of failures has in common: the last one's."""
    last = failed[-1]
    asked = max((one.retry_after for one in failed if one.retry_after), default=None)
    what = "were not answered" if last.status is DeliveryStatus.UNKNOWN else "were put off"
    reason = f"{len(failed)} messages in a row {what}. {last.detail or ''}".rstrip()
    return Trouble(reason=reason, code=last.code, ours=False, asked=asked)


def opened(circuit: Circuit, trouble: Trouble, *, now: datetime) -> Circuit:
    """Open a circuit, or hold it open longer after a probe that failed."""
    failed = circuit.failed_probes + 1 if circuit.is_open else 0
    pause = min(FIRST_PROBE * 2 ** min(failed, 10), LONGEST_PROBE)
    pause = max(pause, min(trouble.asked or timedelta(), LONGEST_ASKED))
    return replace(
        circuit,
        opened_at=circuit.opened_at or now,
        probe_at=now + pause,
        failed_probes=failed,
        ours=trouble.ours,
        marketing_only=False,
        code=trouble.code,
        reason=trouble.reason,
    )
