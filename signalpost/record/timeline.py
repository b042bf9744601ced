"""The queries of a customer's timeline: everything on the record about one person, over all tables.

A timeline is read from the tables, not copied from them. Rows keep the customer id they were written
with, so a person is a family of ids: the root and everybody merged into it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select
from sqlalchemy.orm import defer
from sqlmodel import Session

from signalpost.errors import NotFoundError
from signalpost.record.base import Table, UtcDateTime, table_of
from signalpost.record.bulk import among, given
from signalpost.record.campaigns import CampaignPerson, CampaignRun
from signalpost.record.cases import Case, CaseEntry, HookCall
from signalpost.record.consents import Consent, Suppression
from signalpost.record.customers import ContactPoint, Customer, Identity, IdentityConflict, Merge
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment, JourneyVersion
from signalpost.record.events import Event
from signalpost.record.messages import Delivery, InAppItem, Message, MessageVariant
from signalpost.record.receipts import Answer, Question, ReceiptRow, Reply


@dataclass
class History:
    """The rows of one person, oldest first; of what happens, the newest ones that were asked for."""

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


# Statements are made once: to build and cache one costs as much as to run it; a timeline takes seven.

_ROOT = select(table_of(Customer).c.root_id).where(table_of(Customer).c.id == bindparam("id"))
_SAME_PERSON = table_of(Customer).c.root_id == _ROOT.scalar_subquery()
_FAMILY = select(table_of(Customer).c.id).where(_SAME_PERSON).order_by(table_of(Customer).c.id)
_MEMBERS = select(Customer).where(_SAME_PERSON).order_by(table_of(Customer).c.id)
_IDENTITIES = (
    select(Identity)
    .where(among(table_of(Identity).c.customer_id))
    .order_by(table_of(Identity).c.created_at, table_of(Identity).c.id)
)
_POINTS = (
    select(ContactPoint)
    .where(among(table_of(ContactPoint).c.customer_id))
    .order_by(table_of(ContactPoint).c.created_at)
)


def root_of(session: Session, customer_id: str) -> str | None:
    """The root of a customer id, or None when there is no such customer."""
    return session.scalar(_ROOT, {"id": customer_id})


def family(session: Session, customer_id: str) -> list[str]:
    """Give every id of the person whom this one leads to.

    Raises:
        NotFoundError: there is no such customer.
    """
    ids = session.scalars(_FAMILY, {"id": customer_id}).all()
    if not ids:
        raise NotFoundError(f"There is no customer {customer_id}.")
    return list(ids)


def profile(session: Session, customer_id: str) -> Profile:
    """Read who this is; an id that was merged into another leads to the whole person.

    Raises:
        NotFoundError: there is no such customer.
    """
    members = session.scalars(_MEMBERS, {"id": customer_id}).all()
    if not members:
        raise NotFoundError(f"There is no customer {customer_id}.")
    root = next(one for one in members if one.id == one.root_id)
    ids = [one.id for one in members]
    keys = session.scalars(_IDENTITIES, given(ids)).all()
    points = session.scalars(_POINTS, given(ids)).all()
    return Profile(root=root, family=ids, members=members, identities=keys, points=points)


@dataclass(frozen=True)
class _Kind:
    """One kind of rows. ``where``: which are a person's; ``query`` reads them, the newest first."""

    where: ColumnElement[bool]
    query: Select[Any]

    @property
    def look(self) -> ColumnElement[bool]:
        """Whether a person has any: most have none of most kinds."""
        return select(1).where(self.where).exists()


def _newest(model: type[Table], moment: str, where: ColumnElement[bool] | None = None) -> _Kind:
    """Rows of what happened at a moment, as many as are wanted. ``where``: the customer's own."""
    columns = table_of(model).c
    mine = _theirs(model) if where is None else where
    query = (
        select(model)
        .where(mine, columns[moment] < bindparam("before", type_=UtcDateTime))
        .order_by(*_newest_first(model, moment))
        .limit(bindparam("most"))
    )
    return _Kind(mine, query)


def _whole(model: type[Table], moment: str) -> _Kind:
    """All rows of somebody: what else happened refers to them."""
    mine = _theirs(model)
    return _Kind(mine, select(model).where(mine).order_by(*_newest_first(model, moment)))


def _newest_first(model: type[Table], moment: str) -> tuple[ColumnElement[Any], ...]:
    table = table_of(model)
    return table.c[moment].desc(), next(iter(table.primary_key)).desc()


def _theirs(model: type[Table]) -> ColumnElement[bool]:
    return among(table_of(model).c.customer_id)


def _in_campaigns() -> _Kind:
    """What campaigns decided; somebody who is not decided on yet is there since the run began."""
    people, runs = table_of(CampaignPerson).c, table_of(CampaignRun).c
    moment = func.coalesce(people.decided_at, runs.started_at, runs.created_at)
    query = (
        select(CampaignPerson)
        .join(CampaignRun, runs.id == people.campaign_run_id)
        .where(_theirs(CampaignPerson), moment < bindparam("before", type_=UtcDateTime))
        .order_by(moment.desc(), people.campaign_run_id.desc())
        .limit(bindparam("most"))
    )
    return _Kind(_theirs(CampaignPerson), query)


def _either(*columns: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(*(among(column) for column in columns))


_OWN_MESSAGES = select(table_of(Message).c.id).where(_theirs(Message))
_OWN_ADDRESSES = select(table_of(ContactPoint).c.address).where(_theirs(ContactPoint))
_OWN_CASES = select(table_of(Case).c.id).where(_theirs(Case))
_merge, _conflict = table_of(Merge).c, table_of(IdentityConflict).c
_KINDS: Mapping[str, _Kind] = {
    "events": _newest(Event, "received_at"),
    "decisions": _newest(DecisionRow, "at"),
    "messages": _newest(Message, "created_at"),
    "deliveries": _newest(
        Delivery, "started_at", table_of(Delivery).c.message_id.in_(_OWN_MESSAGES)
    ),
    "receipts": _newest(
        ReceiptRow, "received_at", table_of(ReceiptRow).c.message_id.in_(_OWN_MESSAGES)
    ),
    "items": _newest(InAppItem, "created_at"),
    "questions": _newest(Question, "asked_at"),
    "replies": _newest(Reply, "received_at"),
    "answers": _newest(Answer, "at"),
    "cases": _whole(Case, "opened_at"),
    "case_entries": _newest(CaseEntry, "at", table_of(CaseEntry).c.case_id.in_(_OWN_CASES)),
    "hook_calls": _newest(HookCall, "started_at"),
    "consents": _newest(Consent, "at"),
    "suppressions": _newest(Suppression, "at", table_of(Suppression).c.address.in_(_OWN_ADDRESSES)),
    "merges": _newest(Merge, "at", _either(_merge.kept_id, _merge.merged_id)),
    "conflicts": _newest(
        IdentityConflict, "at", _either(_conflict.customer_id, _conflict.other_id)
    ),
    "enrolments": _whole(Enrolment, "started_at"),
    "campaign_people": _in_campaigns(),
}
_THERE = select(*(kind.look.label(name) for name, kind in _KINDS.items()))
_EVER = datetime.max.replace(tzinfo=UTC)


def history(
    session: Session,
    ids: Sequence[str],
    *,
    limit: int = 500,
    before: datetime | None = None,
    with_programs: bool = False,
) -> History:
    """Read what happened with the person of these ids.

    ``before`` leaves out what came at that moment or later. ``with_programs``: with the journeys as they
    were pinned, in whose words decisions are explained.
    """
    asked = given(ids, most=limit, before=before or _EVER)
    there = session.execute(_THERE, asked).one()
    rows: dict[str, Any] = {
        name: session.scalars(kind.query, asked).all()[::-1]
        for (name, kind), holds in zip(_KINDS.items(), there, strict=True)
        if holds
    }
    for name in ("cases", "enrolments"):
        rows[name] = {one.id: one for one in rows.get(name, ())}
    found = History(**rows)
    found.ended = _ended(found.enrolments.values(), limit, before or _EVER)
    _add_context(session, found)
    if with_programs:
        versions = sorted({one.version for one in found.enrolments.values()})
        pinned = session.scalars(_PROGRAMS, given(versions)) if versions else ()
        found.programs = {one.version: one.program for one in pinned}
    return found


def _ended(enrolments: Iterable[Enrolment], limit: int, before: datetime) -> list[Enrolment]:
    ended = [(one.ended_at, one.id, one) for one in enrolments if one.ended_at is not None]
    return [one for at, _, one in sorted(ended, key=itemgetter(0, 1)) if at < before][-limit:]


_WORDING = select(MessageVariant).where(among(table_of(MessageVariant).c.id))
_PROGRAMS = select(JourneyVersion).where(among(table_of(JourneyVersion).c.version))
#: Runs without their plans: those are long and about everybody.
_RUNS = (
    select(CampaignRun).where(among(table_of(CampaignRun).c.id)).options(defer(CampaignRun.plan))  # type: ignore[arg-type]
)


def _add_context(session: Session, found: History) -> None:
    """Add what the rows refer to: wording, and the campaigns' runs that they belong to."""
    if wording := sorted({one.variant_id for one in found.messages if one.variant_id}):
        found.variants = {one.id: one for one in session.scalars(_WORDING, given(wording))}
    runs = {one.campaign_run_id for one in (*found.campaign_people, *found.messages)}
    if ids := sorted(one for one in runs if one):
        found.campaign_runs = {one.id: one for one in session.scalars(_RUNS, given(ids))}


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
