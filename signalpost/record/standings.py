"""What the gate asks about a thousand people at once: lean rows, one query a rule.

``family``: the root of every customer whom the rows may belong to (``customers.families``).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session

from signalpost.domain.gate import Address
from signalpost.domain.vocabulary import Channel
from signalpost.record.base import table_of
from signalpost.record.bulk import among, given
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint

_points = table_of(ContactPoint)
_consents = table_of(Consent)
_suppressions = table_of(Suppression)

_ADDRESSES = (
    select(
        _points.c.customer_id,
        _points.c.channel,
        _points.c.address,
        _points.c.verified_at.is_not(None),
    )
    .where(among(_points.c.customer_id), _points.c.replaced_at.is_(None))
    .order_by(_points.c.created_at, _points.c.id)
)


_CHANNELS = {str(channel): channel for channel in Channel}  # a tenth of what Channel(…) costs


def addresses(session: Session, *, family: Mapping[str, str]) -> dict[str, dict[Channel, Address]]:
    """Give by root and channel the one address in use, and whether it is known to be theirs."""
    found: dict[str, dict[Channel, Address]] = defaultdict(dict)
    own = []
    for row in session.execute(_ADDRESSES, given([*family])).all():
        customer, channel, address, verified = row
        if (root := family[customer]) == customer:
            own.append(row)
        else:
            found[root][_CHANNELS[channel]] = Address(address, verified)
    # The later row wins: the root's own address before a merged customer's, the newest of several.
    for customer, channel, address, verified in own:
        found[customer][_CHANNELS[channel]] = Address(address, verified)
    return found


_SAID = (
    select(
        _consents.c.customer_id,
        _consents.c.channel,
        _consents.c.topic,
        _consents.c.status,
        _consents.c.at,
    )
    .where(among(_consents.c.customer_id))
    .order_by(_consents.c.at, _consents.c.id)
)


def said(
    session: Session, *, family: Mapping[str, str]
) -> dict[str, dict[tuple[str, str], tuple[str, datetime]]]:
    """Give by root the latest statement of consent for each (channel, topic), with its time."""
    found: dict[str, dict[tuple[str, str], tuple[str, datetime]]] = defaultdict(dict)
    for customer, channel, topic, status, at in session.execute(_SAID, given([*family])).all():
        found[family[customer]][channel, topic] = (status, at)
    return found


_BLOCKS = (
    select(
        _suppressions.c.channel,
        _suppressions.c.address,
        _suppressions.c.scope,
        _suppressions.c.reason,
        _suppressions.c.active,
    )
    .where(among(_suppressions.c.address))
    .order_by(_suppressions.c.at, _suppressions.c.id)
)


def blocks(
    session: Session, *, addresses: Collection[str]
) -> dict[tuple[str, str], dict[str, str]]:
    """Give by (channel, address) the scopes of the suppressions in force, each with its reason.

    Of each reason the latest row stands: one that lifts it takes away what it blocked.
    """
    rows = session.execute(_BLOCKS, given(addresses)).all()
    latest = {
        (channel, address, scope, why): active for channel, address, scope, why, active in rows
    }
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for (channel, address, scope, why), active in latest.items():
        if active:
            found[channel, address][scope] = why
    return found
