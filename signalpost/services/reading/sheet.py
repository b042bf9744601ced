"""A customer's sheet: who it is, how they may be reached, what they allow, and what runs now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.identity import KINDS
from signalpost.domain.program import Node
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import timeline as record
from signalpost.record.cases import Case
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint, IdentityConflict, Merge
from signalpost.record.enrolments import Enrolment
from signalpost.services.intake import addresses
from signalpost.services.reading.timeline import Timeline, assemble
from signalpost.services.reading.why import Explained, describe, explain_all, reason


@dataclass(frozen=True, kw_only=True)
class Running:
    """A journey that the customer is in, and the step they are at."""

    enrolment: Enrolment
    step: str

    @property
    def is_set_aside(self) -> bool:
        """Whether they wait for an operator."""
        return self.enrolment.status == "set_aside"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Everything that a person who serves this customer wants to see at once."""

    who: record.Profile
    name: str | None
    consents: Sequence[Consent]  #: the latest of each channel and topic
    suppressions: Sequence[Suppression]  #: those in force
    conflicts: Sequence[IdentityConflict]
    merges: Sequence[Merge]
    running: Sequence[Running]
    past: Sequence[Enrolment]
    open_cases: Sequence[Case]
    decisions: Sequence[Explained]
    timeline: Timeline

    @property
    def id(self) -> str:
        """The customer's id: the root's."""
        return self.who.root.id

    @property
    def known_since(self) -> datetime:
        """Since when the person is known, by any id of theirs and by what was told of their past."""
        return min(one.known_since or one.created_at for one in self.who.members)

    def blocks(self, point: ContactPoint) -> list[str]:
        """Why this address may not be written to, or not about everything."""
        return [
            one.reason if one.scope == "all" else f"{one.reason} ({one.scope})"
            for one in self.suppressions
            if (one.channel, one.address) == (point.channel, point.address)
        ]

    def other_of(self, conflict: IdentityConflict) -> str:
        """The customer on the other side of a conflict."""
        ours = conflict.customer_id in self.who.family
        return conflict.other_id if ours else conflict.customer_id

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values, without the timeline and the decisions."""
        root = self.who.root
        return {
            "id": root.id,
            "name": self.name,
            "locale": root.locale,
            "zone": root.zone,
            "attributes": root.attributes,
            "created_at": root.created_at.isoformat(),
            "known_since": self.known_since.isoformat(),
            "merged_from": [one for one in self.who.family if one != root.id],
            "identities": [_row(one, "kind", "value", "source") for one in self.who.identities],
            "contact_points": [
                _row(one, "channel", "address", "verified_at", "replaced_at")
                | {"blocked": self.blocks(one)}
                for one in self.who.points
            ],
            "consents": [
                _row(one, "channel", "topic", "status", "source", "wording", "at")
                for one in self.consents
            ],
            "suppressions": [
                _row(one, "channel", "address", "scope", "reason", "source", "at")
                for one in self.suppressions
            ],
            "conflicts": [
                _row(one, "customer_id", "other_id", "kind", "value", "at", "resolved_at")
                for one in self.conflicts
            ],
            "merges": [
                _row(one, "id", "kept_id", "merged_id", "reason", "at") for one in self.merges
            ],
            "journeys": [
                _row(one.enrolment, "id", "journey", "version", "status", "step", "due_at", "key")
                | {"doing": one.step}
                for one in self.running
            ],
            "open_cases": [case_json(one) for one in self.open_cases],
        }


def case_json(case: Case) -> dict[str, Any]:
    """Give a case as JSON values."""
    return _row(
        case, "id", "kind", "customer_id", "status", "outcome", "reason", "priority", "team",
        "assignee", "context", "promised_by", "opened_at", "closed_at",
    )  # fmt: skip


def _row(row: Any, *names: str) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in names}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def sheet(
    session: Session, *, customer_id: str, limit: int = 500, before: datetime | None = None
) -> Sheet:
    """Read a customer's sheet with the newest ``limit`` entries of the timeline.

    An id that was merged into another leads to the whole person.

    Raises:
        NotFoundError: there is no such customer.
    """
    who = record.profile(session, customer_id)
    found = record.history(session, who.family, limit=limit, before=before, with_programs=True)
    enrolments = list(found.enrolments.values())
    running = [one for one in enrolments if one.ended_at is None]
    return Sheet(
        who=who,
        name=_name(who),
        consents=_latest(found.consents, lambda one: (one.channel, one.topic)),
        suppressions=[one for one in _in_force(found.suppressions) if one.active],
        conflicts=[one for one in found.conflicts if one.resolved_at is None],
        merges=[one for one in found.merges if one.undone_at is None],
        running=[Running(enrolment=one, step=step_of(one, found.programs)) for one in running],
        past=[one for one in enrolments if one.ended_at is not None],
        open_cases=[one for one in found.cases.values() if one.closed_at is None],
        decisions=explain_all(found),
        timeline=assemble(found, limit=limit),
    )


def find(session: Session, *, kind: str, value: str) -> str:
    """Find a customer by one of the keys that lead to them; gives the id.

    ``kind`` is ``id`` or a kind of identity.

    Raises:
        NotFoundError: nothing on the record is called so.
        BadInputError: the kind is unknown, or the value cannot be of that kind.
    """
    value = value.strip()
    if kind == "id":
        found = record.root_of(session, value)
    else:
        found = record.find(session, keys=[(kind, _normal(kind, value))])
    if found is None:
        raise NotFoundError(f"There is no customer with this {kind.replace('_', ' ')}.")
    return found


def search(session: Session, *, text: str) -> str | None:
    """Find a customer by whatever somebody typed: an id, or any key; None when there is nobody."""
    text = text.strip()
    if not text:
        return None
    keys: list[tuple[str, str]] = []
    for kind in KINDS:
        try:
            keys.append((kind, _normal(kind, text)))
        except BadInputError:
            continue
    return record.root_of(session, text) or record.find(session, keys=keys)


def _normal(kind: str, value: str) -> str:
    if kind not in KINDS:
        raise BadInputError(f"The kind {kind!r} is unknown; use id, {', '.join(KINDS)}.")
    if kind == "email":
        return addresses.email(value)
    if kind == "phone":
        return addresses.phone(value)
    return value


def _name(who: record.Profile) -> str | None:
    for member in sorted(who.members, key=lambda one: one.id != who.root.id):
        known = member.attributes
        if known.get("name"):
            return str(known["name"])
        parts = [known.get("first_name"), known.get("last_name")]
        if any(parts):
            return " ".join(str(part) for part in parts if part)
    return None


def _latest(rows: Sequence[Consent], key: Any) -> list[Consent]:
    return list({key(one): one for one in rows}.values())


def _in_force(rows: Sequence[Suppression]) -> list[Suppression]:
    return list({(one.channel, one.address, one.scope): one for one in rows}.values())


def step_of(enrolment: Enrolment, programs: Mapping[str, Mapping[str, Any]]) -> str:
    """Say what somebody is doing in a journey, in a few words."""
    if enrolment.status == "set_aside":
        return f"set aside: {reason(enrolment.reason or 'something failed', {})}"
    node = programs.get(enrolment.version, {}).get("nodes", {}).get(enrolment.step or "")
    return describe(Node(**node)) if node else f"step {enrolment.step}"
