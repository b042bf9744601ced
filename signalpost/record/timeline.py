"""The queries of a customer's timeline: everything on the record about one person, over all tables.

A timeline is read from the tables, not copied from them. Rows keep the customer id they were written
with, so a person is a family of ids: the root and everybody merged into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import func, or_, select
from sqlalchemy.orm import defer
from sqlmodel import Session

from signalpost.record.base import Table, table_of
from signalpost.record.campaigns import CampaignPerson, CampaignRun
from signalpost.record.cases import Case, CaseEntry, HookCall
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint, Customer, Identity, IdentityConflict, Merge
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment, JourneyVersion
from signalpost.record.events import Event
from signalpost.record.messages import Delivery, InAppItem, Message, MessageVariant
from signalpost.record.receipts import Answer, Question, ReceiptRow, Reply

Row = TypeVar("Row", bound=Table)


@dataclass
class History:
    """The rows of one person; of each kind the newest ones, at most as many as were asked for."""

    events: Sequence[Event] = ()
    decisions: Sequence[DecisionRow] = ()
    messages: Sequence[Message] = ()
    variants: dict[str, MessageVariant] = field(default_factory=dict)
    deliveries: Sequence[Delivery] = ()
    receipts: Sequence[ReceiptRow] = ()
    items: Sequence[InAppItem] = ()
    questions: Sequence[Question] = ()
    replies: Sequence[Reply] = ()
    answers: Sequence[Answer] = ()
    cases: dict[str, Case] = field(default_factory=dict)
    case_entries: Sequence[CaseEntry] = ()
    hook_calls: Sequence[HookCall] = ()
    merges: Sequence[Merge] = ()
    conflicts: Sequence[IdentityConflict] = ()
    consents: Sequence[Consent] = ()
    suppressions: Sequence[Suppression] = ()
    ended: Sequence[Enrolment] = ()
    campaign_people: Sequence[CampaignPerson] = ()
    campaign_runs: dict[str, CampaignRun] = field(default_factory=dict)
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    programs: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Profile:
    """Who a person is: the root, the family of ids, the keys that lead there, and the addresses."""

    root: Customer
    family: list[str]
    members: Sequence[Customer]
    identities: Sequence[Identity]
    points: Sequence[ContactPoint]


def root_of(session: Session, customer_id: str) -> str | None:
    """The root of a customer id, or None when there is no such customer."""
    return session.scalar(select(Customer.root_id).where(Customer.id == customer_id))  # type: ignore[arg-type]


def profile(session: Session, root_id: str) -> Profile:
    """Read who this is; ``root_id`` must exist."""
    members = _all(session, Customer, Customer.root_id == root_id, order=Customer.id)
    root = next(one for one in members if one.id == root_id)
    family = [one.id for one in members]
    points = _all(session, ContactPoint, _of(ContactPoint, family), order=ContactPoint.created_at)
    keys = _all(session, Identity, _of(Identity, family), order=Identity.created_at)
    return Profile(root=root, family=family, members=members, identities=keys, points=points)


def history(
    session: Session, who: Profile, *, limit: int = 500, before: datetime | None = None
) -> History:
    """Read what happened with this person; ``before`` leaves out what came at that moment or later."""
    newest = _Newest(session, limit, before)
    family = who.family
    wanted: dict[str, tuple[type[Table], Any, Any]] = {
        "events": (Event, _of(Event, family), Event.received_at),
        "decisions": (DecisionRow, _of(DecisionRow, family), DecisionRow.at),
        "messages": (Message, _of(Message, family), Message.created_at),
        "items": (InAppItem, _of(InAppItem, family), InAppItem.created_at),
        "questions": (Question, _of(Question, family), Question.asked_at),
        "replies": (Reply, _of(Reply, family), Reply.received_at),
        "answers": (Answer, _of(Answer, family), Answer.at),
        "hook_calls": (HookCall, _of(HookCall, family), HookCall.started_at),
        "consents": (Consent, _of(Consent, family), Consent.at),
        "ended": (Enrolment, _of(Enrolment, family), Enrolment.ended_at),
        "merges": (
            Merge,
            or_(_in(Merge.kept_id, family), _in(Merge.merged_id, family)),
            Merge.at,
        ),
        "conflicts": (
            IdentityConflict,
            or_(_in(IdentityConflict.customer_id, family), _in(IdentityConflict.other_id, family)),
            IdentityConflict.at,
        ),
        "suppressions": (
            Suppression,
            _in(Suppression.address, sorted({point.address for point in who.points})),
            Suppression.at,
        ),
    }
    there = _there(session, {name: (model, where) for name, (model, where, _) in wanted.items()})
    rows: dict[str, Any] = {name: newest(*wanted[name]) for name in there}
    found = History(**rows)
    if found.messages:
        own = select(Message.id).where(_of(Message, family))  # type: ignore[arg-type]
        found.deliveries = newest(Delivery, _in(Delivery.message_id, own), Delivery.started_at)
        found.receipts = newest(ReceiptRow, _in(ReceiptRow.message_id, own), ReceiptRow.received_at)
    cases = _all(session, Case, _of(Case, family), order=Case.opened_at)
    found.cases = {case.id: case for case in cases}
    if cases:
        of_them = _in(CaseEntry.case_id, list(found.cases))
        found.case_entries = newest(CaseEntry, of_them, CaseEntry.at)
    found.campaign_people = newest.in_campaigns(family)
    _add_context(session, found, family)
    return found


def _add_context(session: Session, found: History, family: list[str]) -> None:
    """Add what the rows refer to: wording, enrolments and the journeys they are pinned to."""
    wording = {one.variant_id for one in found.messages if one.variant_id}
    if wording:
        variants = _all(session, MessageVariant, _in(MessageVariant.id, sorted(wording)))
        found.variants = {one.id: one for one in variants}
    enrolments = _all(session, Enrolment, _of(Enrolment, family), order=Enrolment.started_at)
    found.enrolments = {one.id: one for one in enrolments}
    if versions := sorted({one.version for one in enrolments}):
        pinned = _all(session, JourneyVersion, _in(JourneyVersion.version, versions))
        found.programs = {one.version: one.program for one in pinned}
    runs = {one.campaign_run_id for one in (*found.campaign_people, *found.messages)}
    if ids := sorted(one for one in runs if one):
        found.campaign_runs = _campaign_runs(session, ids)


def _campaign_runs(session: Session, ids: Sequence[str]) -> dict[str, CampaignRun]:
    """Runs by id, without their plans: those are long and about everybody."""
    query = select(CampaignRun).where(_in(CampaignRun.id, ids))
    query = query.options(defer(CampaignRun.plan))  # type: ignore[arg-type]
    return {one.id: one for one in session.scalars(query)}


def find(session: Session, *, keys: Sequence[tuple[str, str]]) -> str | None:
    """The root customer that the first known of these keys leads to, or None."""
    for kind, value in keys:
        owner = session.scalar(
            select(Customer.root_id)  # type: ignore[call-overload]
            .join(Identity, Identity.customer_id == Customer.id)
            .where(Identity.kind == kind, Identity.value == value)
        )
        if owner is not None:
            return owner
    return None


def _there(session: Session, wanted: dict[str, tuple[type[Table], Any]]) -> list[str]:
    """Name the tables that hold anything of a person, by one look: most hold nothing of most."""
    looks = [
        select(table_of(model)).where(where).exists().label(name)
        for name, (model, where) in wanted.items()
    ]
    row = session.execute(select(*looks)).one()
    return [name for name, holds in zip(wanted, row, strict=True) if holds]


class _Newest:
    """Reads the newest rows of a table, given back oldest first."""

    def __init__(self, session: Session, limit: int, before: datetime | None) -> None:
        self._session, self._limit, self._before = session, limit, before

    def __call__(self, model: type[Row], where: Any, moment: Any) -> list[Row]:
        query = select(model).where(where, moment.is_not(None))
        if self._before is not None:
            query = query.where(moment < self._before)
        key = next(iter(table_of(model).primary_key))
        query = query.order_by(moment.desc(), key.desc()).limit(self._limit)
        return list(reversed(self._session.scalars(query).all()))

    def in_campaigns(self, family: Sequence[str]) -> list[CampaignPerson]:
        """What campaigns decided; somebody who is not decided on yet is there since the run began."""
        people, runs = table_of(CampaignPerson).c, table_of(CampaignRun).c
        moment = func.coalesce(people.decided_at, runs.started_at, runs.created_at)
        query = (
            select(CampaignPerson)
            .join(CampaignRun, runs.id == people.campaign_run_id)
            .where(people.customer_id.in_(family))
        )
        if self._before is not None:
            query = query.where(moment < self._before)
        query = query.order_by(moment.desc(), people.campaign_run_id.desc()).limit(self._limit)
        return list(reversed(self._session.scalars(query).all()))


def _all(session: Session, model: type[Row], where: Any, *, order: Any = None) -> list[Row]:
    query = select(model).where(where)
    if order is not None:
        query = query.order_by(order)
    return list(session.scalars(query))


def _of(model: Any, family: Sequence[str]) -> Any:
    return _in(model.customer_id, family)


def _in(column: Any, values: Any) -> Any:
    return column.in_(values)
