"""Taking no for an answer: blocks on addresses, denials of consent, and their lifting by START.

Rows are only ever added. Of the suppressions of an address, the latest row of each channel, scope and
reason counts, so that lifting a STOP does not lift a bounce.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlmodel import Session

from signalpost.record import consents
from signalpost.record.base import new_id
from signalpost.services.intake import consent

STOP = "stop"
#: The source of consents that came as a message to us; START finds by it what a STOP denied.
BY_REPLY = "reply"


@dataclass(frozen=True, kw_only=True)
class Block:
    """What to block, and why."""

    channel: str
    address: str
    scope: str
    reason: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Word:
    """A STOP or START as it came; ``customer_ids`` are the roots of everybody at that address."""

    channel: str
    address: str
    customer_ids: Sequence[str]
    wording: str
    source: str

    @property
    def block(self) -> Block:
        """What a STOP blocks: the whole address on this channel (47 CFR 64.1200(a)(10))."""
        return Block(
            channel=self.channel,
            address=self.address,
            scope="all",
            reason=STOP,
            source=self.source,
        )


def in_force(session: Session, addresses: Iterable[str]) -> set[tuple[str, str, str, str]]:
    """Give channel, address, scope and reason of the suppressions in force on these addresses."""
    latest = {
        (row.channel, row.address, row.scope, row.reason): row.active
        for rows in consents.suppressions(session, set(addresses)).values()
        for row in rows
    }
    return {key for key, active in latest.items() if active}


def block(session: Session, *, blocks: Sequence[Block], now: datetime) -> int:
    """Add the blocks that are not in force yet; gives how many were added."""
    known = in_force(session, {one.address for one in blocks})
    new = {key: one for one in blocks if (key := _key(one)) not in known}
    _add(session, new.values(), active=True, now=now)
    return len(new)


def lift(session: Session, *, blocks: Sequence[Block], now: datetime) -> int:
    """Lift those of the blocks that are in force; gives how many were.

    What else blocks the same scope is said again, for readers who look at the scope alone.
    """
    known = in_force(session, {one.address for one in blocks})
    held = {key: one for one in blocks if (key := _key(one)) in known}
    _add(session, held.values(), active=False, now=now)
    scopes = {key[:3] for key in held}
    rest = [
        Block(channel=channel, address=address, scope=scope, reason=reason, source="restated")
        for channel, address, scope, reason in sorted(known - held.keys())
        if (channel, address, scope) in scopes
    ]
    _add(session, rest, active=True, now=now)
    return len(held)


def _key(one: Block) -> tuple[str, str, str, str]:
    return one.channel, one.address, one.scope, one.reason


def _add(session: Session, blocks: Iterable[Block], *, active: bool, now: datetime) -> None:
    consents.add_suppressions(
        session,
        [{"id": new_id(), **asdict(one), "active": active, "at": now} for one in blocks],
    )


def stop(session: Session, *, word: Word, now: datetime) -> bool:
    """Close an address, and deny consent on its channel; gives whether it was open before."""
    was_open = block(session, blocks=[word.block], now=now) > 0
    denied = _statement(word, "*", "denied", now)
    said = [(customer_id, denied) for customer_id in word.customer_ids]
    consent.record_statements(session, said=said, now=now)
    return was_open


def start(session: Session, *, word: Word, now: datetime) -> bool:
    """Open an address that STOP closed, and grant again what was granted right before.

    Gives whether there was anything to open.
    """
    if not lift(session, blocks=[word.block], now=now):
        return False
    known = consents.statements(session, word.customer_ids)
    said = [
        (customer_id, _statement(word, topic, status, now))
        for customer_id in word.customer_ids
        for topic, status in _before_stop(known.get(customer_id, []), word.channel)
    ]
    consent.record_statements(session, said=said, now=now)
    return True


def _statement(word: Word, topic: str, status: str, now: datetime) -> consent.Statement:
    return consent.Statement(
        channel=word.channel,
        topic=topic,
        status=status,
        source=BY_REPLY,
        at=now,
        wording=word.wording,
    )


def _is_stop(row: Row[Any], channel: str) -> bool:
    said = row.channel, row.topic, row.status, row.source
    return said == (channel, "*", "denied", BY_REPLY)


def _before_stop(said: Sequence[Row[Any]], channel: str) -> list[tuple[str, str]]:
    """What to say again after START, general first: the topics granted right before the STOP.

    A topic about which the customer said something after the STOP keeps that. When the whole channel
    is granted again, topics that were denied one by one are denied again with it.
    """
    heard = [row for row in said if row.channel in (channel, "*")]
    at = next((n for n in reversed(range(len(heard))) if _is_stop(heard[n], channel)), None)
    if at is None:
        return []
    before, after = heard[:at], heard[at + 1 :]
    later = {row.topic for row in after}
    if "*" in later or any(row.source == BY_REPLY for row in after):
        return []
    topics = sorted({row.topic for row in before} - later)  # "*" sorts first
    states = {topic: consent.standing(before, channel, topic) for topic in topics}
    whole = states.get("*") == "granted"
    return [
        (topic, state)
        for topic, state in states.items()
        if state == "granted" or (whole and state == "denied")
    ]
