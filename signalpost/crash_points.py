"""Named places at which a process can be made to die: where the harness of ``tests/faults`` aims.

``reach(name)`` does nothing. Only when ``SIGNALPOST_CRASH_AT`` is set as the process starts is it
another function, which kills the process (SIGKILL: nothing is cleaned up) or stops it (SIGSTOP: it
sleeps until somebody wakes it) when its turn has come::

    SIGNALPOST_CRASH_AT="send.intended"               the first time this point is reached
    SIGNALPOST_CRASH_AT="send.intended#3"             the third time
    SIGNALPOST_CRASH_AT="send.answered#2=stop"        stopped instead of killed
    SIGNALPOST_CRASH_AT="send.*~0.01@42"              with a chance of 1 in 100, by the seed 42
    SIGNALPOST_CRASH_AT="journey.claimed#2,send.*~0.01@7"   whichever comes first

The places, in the order of the send protocol (docs/faults.md says which fault each stands for):

=======================  ========================================================================
``journey.claiming``     people are chosen and leased; the claim is not committed
``journey.claimed``      the claim is committed; nothing is intended yet
``campaign.claiming``    the same of a campaign's shards
``campaign.claimed``
``campaign.taken_over``  what the last sender left half-way is called unknown, and committed
``send.deciding``        the gate has decided, its rows are written; not committed
``send.decided``         the decisions are committed; nothing is intended yet (journeys only: a
                         campaign decides and intends in one transaction)
``send.intending``       the intents are written; not committed
``send.intended``        the intents are committed; no byte has left
``send.left``            a request's last byte has left; no answer has come
``send.answered``        every provider has answered; nothing of it is written
``send.settling``        the outcomes are written; not committed
``send.settled``         the outcomes are committed; nobody has moved on
``journey.moving``       everybody's next step is written; not committed
``journey.moved``        everybody's next step is committed; Prefect has not heard of it
``campaign.releasing``   the shard is given back; not committed
``campaign.released``    the shard is given back, and committed
``reconcile.losing``     expired intents are called unknown; not committed
``reconcile.lost``       expired intents are called unknown, and committed
``reconcile.listed``     a provider's list has been read; nothing of it is written
``reconcile.settling``   what the list says is written; not committed
``reconcile.settled``    what the list says is committed
``intake.writing``       signals and what they set going are written; not committed
``intake.committed``     they are committed; the sender has no answer yet
``receipt.writing``      receipts are written; not committed
``receipt.committed``    they are committed; the provider has no answer yet
``reply.writing``        an inbound text and what it means are written; not committed
``reply.committed``      they are committed; the provider has no answer yet
=======================  ========================================================================
"""

import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from signalpost.errors import ConfigurationError

#: The variable of the environment that arms the places.
SWITCH = "SIGNALPOST_CRASH_AT"

POINTS = frozenset(re.findall(r"^``([a-z_.]+)``", __doc__ or "", re.MULTILINE))

_WISH = re.compile(
    r"(?P<name>[a-z_.*]+)(?:#(?P<turn>[1-9]\d*)|~(?P<chance>0?\.\d+|1)(?:@(?P<seed>\d+))?)?"
    r"(?:=(?P<act>kill|stop))?"
)
_ACTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _pass_by(name: str) -> None:
    """Do nothing: nobody wants this process to die."""


@dataclass
class _Wish:
    """Where one wants the process to end, and how."""

    name: str
    turn: int | None  #: the how-manieth time; None: by chance
    chance: float
    dice: random.Random
    act: signal.Signals
    passed: Counter[str] = field(default_factory=Counter)

    def comes_true(self, name: str) -> bool:
        if not fnmatchcase(name, self.name):
            return False
        self.passed[self.name] += 1
        if self.turn is None:
            return self.dice.random() < self.chance
        return self.passed[self.name] == self.turn


class Executioner:
    """Ends this process as its wishes say (the value of ``SWITCH``).

    Raises:
        ConfigurationError: a wish is malformed, or names no place that there is.
    """

    def __init__(self, wishes: str) -> None:
        self._lock = threading.Lock()
        self.aim(wishes)

    def aim(self, wishes: str) -> None:
        """Forget the wishes so far for these; an empty text has none."""
        self._wishes = [_wish(text.strip()) for text in wishes.split(",") if text.strip()]

    def reach(self, name: str) -> None:
        """Come to a place; whoever wished it dies here."""
        with self._lock:  # one thread dies at a time, and the counts are exact
            for wish in self._wishes:
                if wish.comes_true(name):
                    os.write(2, f"signalpost: {wish.act.name} at {name}\n".encode())
                    os.kill(os.getpid(), wish.act)


def _wish(text: str) -> _Wish:
    found = _WISH.fullmatch(text)
    if found is None or not any(fnmatchcase(point, found["name"]) for point in POINTS):
        raise ConfigurationError(
            f"{SWITCH} says {text!r}, which names no place in signalpost/crash_points.py; "
            "write for instance send.intended#3. Unset it to run as usual."
        )
    by_turn = not found["chance"]
    return _Wish(
        name=found["name"],
        turn=int(found["turn"] or 1) if by_turn else None,
        chance=float(found["chance"] or 0),
        dice=random.Random(int(found["seed"] or 0)),
        act=_ACTS[found["act"] or "kill"],
    )


#: None, as long as nobody wants this process to die.
executioner = Executioner(os.environ[SWITCH]) if os.environ.get(SWITCH) else None

#: Called at each place with its name.
reach: Callable[[str], None] = executioner.reach if executioner else _pass_by
