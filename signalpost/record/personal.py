"""Where a person is on the record, table by table, and what becomes of it when they are erased.

Every table is either in ``HOLDINGS`` or, with a reason, in ``IMPERSONAL``: a test walks all tables, so
a new one cannot be forgotten. The export reads by it, and the erasure empties by it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlmodel import Session

from signalpost.record.audit import AuditEntry
from signalpost.record.base import UtcDateTime, table_of
from signalpost.record.campaigns import CampaignPerson, MarketingHold
from signalpost.record.cases import Case, CaseEntry, HookCall
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint, Customer, Identity, IdentityConflict, Merge
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.erasures import Erasure, ErasureStep
from signalpost.record.events import Event
from signalpost.record.messages import Delivery, InAppItem, Message
from signalpost.record.receipts import Answer, Question, ReceiptKey, ReceiptRow, Reply
from signalpost.record.reconciling import Lookup


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whom to look for: the family of ids, and what leads to them where no id does."""

    root: str
    family: tuple[str, ...]
    addresses: tuple[str, ...] = ()  #: that nobody else has
    keys: tuple[tuple[str, str], ...] = ()  #: identities: kind and value
    strays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Table → ids of rows that name them without a customer id: parked, refused, unmatched."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """How a table's rows lead to a person, and what an erasure does with them.

    ``emptied``: the columns that are written over; None: the rows are deleted; an empty mapping: they
    stay as they are. ``stays`` says what is kept, and why.
    """

    table: Table
    leads: Callable[[Person], ColumnElement[bool]]
    emptied: Mapping[str, Any] | None
    stays: str

    def count(self, session: Session, person: Person) -> int:
        """Count the rows of a person."""
        query = select(func.count()).select_from(self.table).where(self.leads(person))
        return session.execute(query).scalar_one()

    def read(self, session: Session, person: Person) -> list[dict[str, Any]]:
        """Give the rows of a person, every column, in the order of their keys."""
        query = select(self.table).where(self.leads(person)).order_by(*self.table.primary_key)
        return [dict(row) for row in session.execute(query).mappings()]

    def erase(self, session: Session, person: Person, now: datetime) -> int:
        """Empty or delete the rows of a person; gives how many."""
        where = self.leads(person)
        if self.emptied is None:
            done = session.execute(delete(self.table).where(where))
        elif self.emptied:
            done = session.execute(
                update(self.table).where(where).values(self.emptied), {"erased_now": now}
            )
        else:
            return 0
        return int(done.rowcount)  # type: ignore[attr-defined]


def _of(model: Any) -> Callable[[Person], ColumnElement[bool]]:
    column = table_of(model).c.customer_id
    return lambda person: column.in_(person.family)


def _or_stray(model: Any) -> Callable[[Person], ColumnElement[bool]]:
    table = table_of(model)

    def leads(person: Person) -> ColumnElement[bool]:
        return or_(
            table.c.customer_id.in_(person.family),
            table.c.id.in_(person.strays.get(table.name, ())),
        )

    return leads


#: The moment of the erasure.
_NOW = bindparam("erased_now", type_=UtcDateTime)

_c, _m, _d = table_of(Customer), table_of(Message), table_of(Delivery)
_receipts, _keys, _replies = table_of(ReceiptRow), table_of(ReceiptKey), table_of(Reply)
_merges, _conflicts = table_of(Merge), table_of(IdentityConflict)
_cases, _entries, _blocks = table_of(Case), table_of(CaseEntry), table_of(Suppression)
_enrolments, _audit = table_of(Enrolment), table_of(AuditEntry)
_lookups = table_of(Lookup)
_erasures, _steps = table_of(Erasure), table_of(ErasureStep)


def _messages_of(person: Person) -> Any:
    return select(_m.c.id).where(_m.c.customer_id.in_(person.family))


def _receipts_of(person: Person) -> ColumnElement[bool]:
    return or_(
        _receipts.c.message_id.in_(_messages_of(person)),
        _receipts.c.id.in_(person.strays.get("receipts", ())),
    )


def _cases_of(person: Person) -> Any:
    return select(_cases.c.id).where(_cases.c.customer_id.in_(person.family))


#: In the order in which an erasure takes them: messages first, so that a receipt or a reply that
#: comes meanwhile waits for it, and then finds nobody.
HOLDINGS: Mapping[str, Holding] = {
    one.table.name: one
    for one in (
        Holding(
            table=_m,
            leads=_of(Message),
            emptied={
                "address": "",
                "locale": "und",
                "facts": {},
                "slots": {},
                "updated_at": _NOW,
            },
            stays="which message was sent when, and how it ended: caps and campaigns count it",
        ),
        Holding(
            table=_enrolments,
            leads=_of(Enrolment),
            emptied={
                "entry_key": literal("erased:") + _enrolments.c.id,
                "key": None,
                "context": {},
            },
            stays="that somebody passed through a journey, and how it ended",
        ),
        Holding(
            table=table_of(Event),
            leads=_or_stray(Event),
            emptied={
                "body_hash": "",
                "reason": None,
                "parked_key": None,
                "facts": {},
                "payload": {},
                "held": None,
            },
            stays="the event's name and times, so that a repeat is known as one and brings nothing back",
        ),
        Holding(
            table=_d,
            leads=lambda person: _d.c.message_id.in_(_messages_of(person)),
            emptied={"detail": None},
            stays="when it was handed over, and the id that the provider gave it",
        ),
        Holding(
            table=_lookups,
            leads=lambda person: _lookups.c.message_id.in_(_messages_of(person)),
            emptied={},
            stays="what a provider was asked about, and how that ended: ids and codes",
        ),
        Holding(
            # Before the receipts, by which they are found; a key may be a hash of an address.
            table=_keys,
            leads=lambda person: _keys.c.receipt_id.in_(
                select(_receipts.c.id).where(_receipts_of(person))
            ),
            emptied={},
            stays="hashes and provider ids by which a repeat of a receipt is known",
        ),
        Holding(
            table=_receipts,
            leads=_receipts_of,
            emptied={"raw": {}},
            stays="what happened to the message, and when: campaigns count it",
        ),
        Holding(
            table=table_of(InAppItem),
            leads=_of(InAppItem),
            emptied=None,
            stays="nothing: the inbox is gone",
        ),
        Holding(
            table=table_of(Answer),
            leads=_of(Answer),
            emptied={"comment": None},
            stays="yes, no or the score: satisfaction is counted from it",
        ),
        Holding(
            table=table_of(Question),
            leads=_of(Question),
            emptied={
                "code": None,
                "closed_at": func.coalesce(table_of(Question).c.closed_at, _NOW),
                "outcome": func.coalesce(table_of(Question).c.outcome, "erased"),
            },
            stays="that something was asked, and when",
        ),
        Holding(
            table=_replies,
            leads=_or_stray(Reply),
            emptied={"sender": "", "body": "", "value": None, "raw": {}},
            stays="that somebody wrote, when, and what kind of word it was: a STOP is counted",
        ),
        Holding(
            table=_entries,
            leads=lambda person: _entries.c.case_id.in_(_cases_of(person)),
            emptied={"detail": {}},
            stays="what kind of thing happened to a case, and when",
        ),
        Holding(
            table=_cases,
            leads=_of(Case),
            emptied={
                "context": {},
                "assignee": "",
                "status": "closed",
                "outcome": func.coalesce(_cases.c.outcome, "erased"),
                "closed_at": func.coalesce(_cases.c.closed_at, _NOW),
            },
            stays="that there was a case, of which team, and how it ended",
        ),
        Holding(
            table=table_of(HookCall),
            leads=_of(HookCall),
            emptied={"body": {}, "detail": None},
            stays="that another system was called, and how that ended",
        ),
        Holding(
            table=table_of(DecisionRow),
            leads=_of(DecisionRow),
            emptied={"detail": {}},
            stays="what was decided, and the reason's code",
        ),
        Holding(
            table=table_of(CampaignPerson),
            leads=_of(CampaignPerson),
            emptied={"verdicts": []},
            stays="the outcome and its reason: a run's figures add up to its people",
        ),
        Holding(
            table=table_of(MarketingHold),
            leads=_of(MarketingHold),
            emptied=None,
            stays="nothing",
        ),
        Holding(
            table=table_of(Consent),
            leads=_of(Consent),
            emptied={"source": "erased", "wording": None},
            stays="that there was a yes or a no, when: proof that what was sent was allowed",
        ),
        Holding(
            table=_blocks,
            leads=lambda person: _blocks.c.address.in_(person.addresses),
            emptied=None,
            stays="nothing; the block itself goes on under the address's fingerprint",
        ),
        Holding(
            table=_conflicts,
            leads=lambda person: or_(
                _conflicts.c.customer_id.in_(person.family),
                _conflicts.c.other_id.in_(person.family),
            ),
            emptied=None,
            stays="nothing",
        ),
        Holding(
            table=_merges,
            leads=lambda person: or_(
                _merges.c.kept_id.in_(person.family), _merges.c.merged_id.in_(person.family)
            ),
            emptied={"reason": "erased"},
            stays="which ids were one person",
        ),
        Holding(
            table=table_of(ContactPoint),
            leads=_of(ContactPoint),
            emptied=None,
            stays="nothing; fingerprints of the addresses keep them from being written to again",
        ),
        Holding(
            table=table_of(Identity),
            leads=_of(Identity),
            emptied=None,
            stays="nothing: no key leads there any more",
        ),
        Holding(
            table=_c,
            leads=lambda person: _c.c.id.in_(person.family),
            emptied={
                "locale": None,
                "zone": None,
                "attributes": {},
                "known_since": None,
                "learned_at": None,
                "updated_at": _NOW,
                "erased_at": _NOW,
            },
            stays="an id that nothing leads to, so that what is counted stays counted",
        ),
        Holding(
            table=_audit,
            leads=lambda person: _audit.c.subject.in_(
                [one for id_ in person.family for one in (id_, f"customer:{id_}")]
            ),
            emptied={},
            stays="who of the staff did what: ids and counts only, chained by hashes",
        ),
        Holding(
            table=_erasures,
            leads=_of(Erasure),
            emptied={},
            stays="the erasure itself, with its signed receipt",
        ),
        Holding(
            table=_steps,
            leads=lambda person: _steps.c.erasure_id.in_(
                select(_erasures.c.id).where(_erasures.c.customer_id.in_(person.family))
            ),
            emptied={},
            stays="how far the providers were with it",
        ),
    )
}

IMPERSONAL: Mapping[str, str] = {
    "journey_versions": "a journey as it was written; the same for everybody in it",
    "message_variants": "the static wording of a message; what is a person's own is in its slots",
    "campaign_versions": "a campaign's file as a marketer wrote it",
    "campaign_runs": "a launch and its plan: counts, and ids of customers as examples",
    "campaign_acts": "what the staff did to a run",
    "campaign_shards": "claims, counts, and ids of messages on their way",
    "campaign_schedules": "when a campaign is launched next",
    "provider_accounts": "how well a provider's account works",
    "channel_paces": "when a provider may be given more",
    "lost_windows": "when the record was restored, and from how old a backup",
    "forgotten_addresses": "keyed hashes: without the secret they lead to nobody",
    "api_keys": "keys of systems and staff, hashed",
}


def everywhere(session: Session, person: Person) -> dict[str, int]:
    """Count the rows of a person in every table that has some."""
    counts = {name: one.count(session, person) for name, one in HOLDINGS.items()}
    return {name: count for name, count in counts.items() if count}


def held(
    session: Session, *, addresses: Collection[str], outside: Collection[str] = ()
) -> set[str]:
    """Give those of the addresses that lead to somebody, not counting the customers ``outside``."""
    if not addresses:
        return set()
    points, keys = table_of(ContactPoint), table_of(Identity)
    shared = select(points.c.address).where(
        points.c.address.in_(addresses), points.c.customer_id.not_in(outside)
    )
    named = select(keys.c.value).where(
        keys.c.value.in_(addresses),
        keys.c.kind.in_(("email", "phone")),
        and_(keys.c.customer_id.is_not(None), keys.c.customer_id.not_in(outside)),
    )
    return {*session.execute(shared).scalars(), *session.execute(named).scalars()}
