"""What the gate must know about a batch of people: one query a rule, whatever their number."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import timezone as phone_zones
from sqlmodel import Session

from signalpost.content import MessageSpec
from signalpost.domain import assignment
from signalpost.domain.gate import Address, Policy, Sent, Standing
from signalpost.domain.local_time import zone
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.record import customers, messages, restraint
from signalpost.record import standings as record
from signalpost.services.journeys.people import Person


class Located(Protocol):
    """Somebody whom the gate is asked about: an enrolment, or a person of a campaign's run."""

    root_id: str
    zone: str | None


def standings(
    session: Session,
    *,
    people: Sequence[Located],
    spec: MessageSpec,
    policy: Policy,
    default_zone: str,
    now: datetime,
) -> dict[str, Standing]:
    """Gather what is known about these people for this message, by root customer id.

    Call it in the transaction that writes the messages it allows: the caps hold only because what is
    counted and what is added to the count cannot be parted. Marketing locks its customers first.
    """
    roots = sorted({person.root_id for person in people})
    marketing = spec.purpose is Purpose.MARKETING
    family = customers.families(session, roots)
    points = record.addresses(session, family=family)
    known = [point.address for held in points.values() for point in held.values()]
    blocks = record.blocks(session, addresses=known)
    said = record.said(session, family=family) if marketing else {}
    recent = _recent(session, family, policy, now) if marketing else {}
    repeats = _repeats(session, family, spec, now)
    held_back = restraint.held_back(session, roots=roots) if marketing else {}
    own_zones = {person.root_id: person.zone for person in people}
    draws = marketing and policy.holdout > 0
    asks_the_time = marketing or spec.quiet_hours  # only then is it worth knowing where they are
    found = {}
    for root in roots:
        addresses = points.get(root, {})
        zones, source = (
            _zones(own_zones[root], addresses, default_zone) if asks_the_time else ((), "not asked")
        )
        found[root] = Standing(
            addresses=addresses,
            blocks=blocks,
            consents=said.get(root, {}),
            recent=recent.get(root, {}),
            repeats=repeats.get(root, {}),
            zones=zones,
            zone_source=source,
            held_out="global" if draws and _is_held_out(root, policy) else None,
            held_back=held_back.get(root),
        )
    return found


def _is_held_out(root: str, policy: Policy) -> bool:
    return assignment.share(policy.holdout_salt, root) < policy.holdout


def _recent(
    session: Session, family: Mapping[str, str], policy: Policy, now: datetime
) -> dict[str, dict[Channel, list[Sent]]]:
    longest = max((cap.period for cap in policy.caps), default=timedelta())
    found: dict[str, dict[Channel, list[Sent]]] = defaultdict(lambda: defaultdict(list))
    for row in messages.recent_marketing(session, customers=[*family], since=now - longest):
        sent = Sent(row["id"], row["created_at"])
        found[family[row["customer_id"]]][Channel(row["channel"])].append(sent)
    return found


def _repeats(
    session: Session, family: Mapping[str, str], spec: MessageSpec, now: datetime
) -> dict[str, dict[str, datetime]]:
    if spec.repeat_window is None:
        return {}
    since = now - spec.repeat_window
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    for row in messages.last_sent(session, customers=[*family], message=spec.name, since=since):
        told, cause = found[family[row["customer_id"]]], row["cause"] or ""
        told[cause] = max(told.get(cause, row["at"]), row["at"])
    return found


def _zones(
    own: str | None, addresses: dict[Channel, Address], default: str
) -> tuple[tuple[ZoneInfo, ...], str]:
    """Give the zones a person may be in: their own, else where their number is, else the house's."""
    if own and (known := zone(own)):
        return (known,), "customer"
    if (point := addresses.get(Channel.SMS)) and (by_phone := phone_zone_names(point.address)):
        zones = tuple(tz for name in by_phone if (tz := zone(name)))
        if zones:
            return zones, "phone"
    return (zone(default) or ZoneInfo("UTC"),), "default"


@lru_cache(maxsize=10_000)
def phone_zone_names(number: str) -> tuple[str, ...]:
    """Give the zones a number may be in; a number of a large country may be in several."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ()
    names = phone_zones.time_zones_for_number(parsed)
    return tuple(name for name in names if name != "Etc/Unknown")


def home_zone(person: Person, default: str, phone: str | None = None) -> ZoneInfo:
    """Give the one zone to reckon a person's local times in."""
    names = [person.zone, *(phone_zone_names(phone) if phone else ()), default]
    return next(found for name in [*names, "UTC"] if name and (found := zone(name)))
