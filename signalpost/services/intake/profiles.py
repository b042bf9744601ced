"""Writing what events say about people: a batch at a time, and only what changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.fingerprints import Fingerprints
from signalpost.record import customers as record
from signalpost.record.base import new_id
from signalpost.services import forgotten
from signalpost.services.intake.traits import MOST_ATTRIBUTES, Profile


@dataclass(frozen=True, slots=True)
class Change:
    """What one event says about one root customer; an old event only fills what is empty."""

    customer_id: str
    profile: Profile
    fresh: bool


def apply(
    session: Session,
    *,
    changes: Sequence[Change],
    new_customers: Sequence[str],
    now: datetime,
    past: Mapping[str, datetime],
) -> None:
    """Insert the new customers and write the changes, in their order.

    A new address takes the old one's place on its channel at once, also in running journeys.
    ``past``: by customer, when the oldest happened of what is told too late to act on.
    """
    written: dict[str, dict[str, Any]] = {
        customer_id: {"locale": None, "zone": None, "attributes": {}}
        for customer_id in new_customers
    }
    fresh = set(written)
    known = {c.customer_id for c in changes} - fresh
    if known:
        written |= record.own_profiles(session, known)
    changed = {
        change.customer_id
        for change in changes
        if _write(written[change.customer_id], change.profile, overwrite=change.fresh)
    }
    record.add(
        session,
        [
            {"id": customer_id, "root_id": customer_id, "created_at": now, "updated_at": now}
            | written[customer_id]
            for customer_id in new_customers
        ],
    )
    record.learn(session, past=past, now=now)
    record.update_profiles(
        session, [{"id": root} | written[root] for root in changed - fresh], now=now
    )


def _write(whole: dict[str, Any], profile: Profile, *, overwrite: bool) -> bool:
    changed = False
    for name, value in (("locale", profile.locale), ("zone", profile.zone)):
        if value and value != whole[name] and (overwrite or not whole[name]):
            whole[name] = value
            changed = True
    attributes = whole["attributes"]
    for key, value in profile.attributes.items():
        if key in attributes:
            if not overwrite or attributes[key] == value:
                continue
            attributes.pop(key)
            changed = True
        if value is not None and len(attributes) < MOST_ATTRIBUTES:
            attributes[key] = value
            changed = True
    return changed


def apply_addresses(
    session: Session,
    *,
    changes: Sequence[Change],
    members: Sequence[str],
    now: datetime,
    fingerprints: Fingerprints | None = None,
) -> None:
    """Write contact points; ``members`` are root customers that got a user id: they have an app.

    An address of somebody who was erased stays blocked: ``fingerprints`` knows it again.
    """
    rows = [_point(customer_id, "in_app", customer_id, now, now) for customer_id in members]
    stating = [change for change in changes if change.profile.addresses]
    if stating:
        held = record.contact_points(session, {change.customer_id for change in stating})
        sheet = _Sheet({root: [dict(r._mapping) for r in points] for root, points in held.items()})
        for change in stating:
            for channel, (address, verified) in change.profile.addresses.items():
                sheet.write(
                    change, channel, address, verified_at=now if verified else None, now=now
                )
        record.change_contact_points(session, list(sheet.changed.values()))
        rows += sheet.new
        if fingerprints is not None and sheet.new:
            forgotten.apply(session, fingerprints=fingerprints, points=sheet.new, now=now)
    record.add_contact_points(session, rows)


def _point(
    customer_id: str, channel: str, address: str, verified_at: datetime | None, now: datetime
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "customer_id": customer_id,
        "channel": channel,
        "address": address,
        "verified_at": verified_at,
        "created_at": now,
        "replaced_at": None,
    }


class _Sheet:
    """The contact points of a batch's customers, as they are and as they will be."""

    def __init__(self, held: dict[str, list[dict[str, Any]]]) -> None:
        self._held = held
        self.new: list[dict[str, Any]] = []
        self.changed: dict[str, dict[str, Any]] = {}
        self._new_ids: set[str] = set()

    def write(
        self,
        change: Change,
        channel: str,
        address: str,
        *,
        verified_at: datetime | None,
        now: datetime,
    ) -> None:
        points = [
            p for p in self._held.setdefault(change.customer_id, []) if p["channel"] == channel
        ]
        current = [p for p in points if p["replaced_at"] is None]
        if current and not change.fresh:
            return
        same = next((p for p in points if p["address"] == address), None)
        if same is None:
            same = _point(change.customer_id, channel, address, verified_at, now)
            self._held[change.customer_id].append(same)
            self.new.append(same)
            self._new_ids.add(same["id"])
        elif same["replaced_at"] is not None or (verified_at and same["verified_at"] is None):
            same["replaced_at"] = None
            same["verified_at"] = same["verified_at"] or verified_at
            self._note(same)
        for other in current:
            if other is not same:
                other["replaced_at"] = now
                self._note(other)

    def _note(self, point: dict[str, Any]) -> None:
        if point["id"] not in self._new_ids:
            self.changed[point["id"]] = point
