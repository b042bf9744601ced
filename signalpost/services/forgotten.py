"""Blocks on addresses that nobody knows any more, kept by fingerprint.

A person who was erased and is imported again must not get marketing: their address is new to us, its
fingerprint is not. Only an address that is new to somebody is looked up, so the gate pays nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.fingerprints import Fingerprints
from signalpost.record import consents, erasures
from signalpost.record.base import new_id

#: What an erasure itself blocks: marketing on every channel. A new order is still confirmed.
REASON, SCOPE, EVERY_CHANNEL = "erased", "marketing", "*"
SOURCE = "erasure"


def remember(
    session: Session,
    *,
    fingerprints: Fingerprints,
    addresses: Collection[str],
    in_force: Collection[tuple[str, str, str, str]],
    now: datetime,
) -> int:
    """Keep a block on these addresses by fingerprint, with what blocks them already.

    ``in_force``: channel, address, scope and reason of each. Gives how many were kept.
    """
    said = {(address, EVERY_CHANNEL, SCOPE, REASON) for address in addresses}
    said |= {(address, channel, scope, why) for channel, address, scope, why in in_force}
    rows = [
        {
            "fingerprint": fingerprints.of(address),
            "channel": channel,
            "scope": scope,
            "reason": reason,
            "at": now,
        }
        for address, channel, scope, reason in sorted(said)
    ]
    erasures.keep_fingerprints(session, rows=rows)
    return len(rows)


def known(session: Session, *, fingerprints: Fingerprints, addresses: Collection[str]) -> set[str]:
    """Give those of the addresses that belonged to somebody who was erased."""
    by_print = {fingerprints.of(address): address for address in addresses}
    rows = erasures.blocks(session, fingerprints=by_print.keys())
    return {by_print[row["fingerprint"]] for row in rows}


def apply(
    session: Session,
    *,
    fingerprints: Fingerprints,
    points: Sequence[Mapping[str, Any]],
    now: datetime,
) -> int:
    """Block those of these new contact points that were blocked before they were erased."""
    by_print: dict[str, list[Mapping[str, Any]]] = {}
    for point in points:
        by_print.setdefault(fingerprints.of(point["address"]), []).append(point)
    rows = [
        {
            "id": new_id(),
            "channel": point["channel"],
            "address": point["address"],
            "scope": kept["scope"],
            "reason": kept["reason"],
            "active": True,
            "source": SOURCE,
            "at": now,
        }
        for kept in erasures.blocks(session, fingerprints=by_print.keys())
        for point in by_print[kept["fingerprint"]]
        if kept["channel"] in (EVERY_CHANNEL, point["channel"])
    ]
    consents.add_suppressions(session, rows)
    return len(rows)
