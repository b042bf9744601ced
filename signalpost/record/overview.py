"""The queries of the pages that show many people: recent customers, cases, parked events."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlmodel import Session, col

from signalpost.record.campaign_results import scanned
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.cases import Case
from signalpost.record.customers import Customer, Identity
from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from signalpost.record.messages import NOT_SENT, Message


def recent_customers(session: Session, *, limit: int) -> list[tuple[Customer, Event]]:
    """The people of whom we heard last, each with the latest signal."""
    latest = list(
        session.scalars(
            select(Event)
            .where(col(Event.customer_id).is_not(None))
            .order_by(col(Event.id).desc())  # ids are sorted by the time of making
            .limit(limit * 20)
        )
    )
    customers = by_id(session, [event.customer_id for event in latest if event.customer_id])
    found: dict[str, tuple[Customer, Event]] = {}
    for event in latest:
        customer = customers.get(event.customer_id or "")
        if customer is not None and customer.root_id not in found and len(found) < limit:
            found[customer.root_id] = (customer, event)
    roots = by_id(session, list(found))
    return [(roots[root], event) for root, (_, event) in found.items() if root in roots]


def by_id(session: Session, ids: Sequence[str]) -> dict[str, Customer]:
    """Customers by their ids."""
    query = select(Customer).where(col(Customer.id).in_(sorted(set(ids))))
    return {one.id: one for one in session.scalars(query)}


def names(session: Session, roots: Sequence[str]) -> dict[str, dict[str, str]]:
    """One identity of each kind by root customer, the newest."""
    query = (
        select(col(Customer.root_id), col(Identity.kind), col(Identity.value))
        .join(Identity, col(Identity.customer_id) == Customer.id)
        .where(
            col(Customer.root_id).in_(list(roots)),
            col(Identity.kind).in_(("user_id", "email", "phone", "anonymous_id")),
        )
        .order_by(col(Identity.created_at))
    )
    found: dict[str, dict[str, str]] = {root: {} for root in roots}
    for root, kind, value in session.execute(query):
        found[root][kind] = value
    return found


def cases(session: Session, *, status: str | None, limit: int) -> list[Case]:
    """Cases, the open ones first: high priority before normal, then the oldest first."""
    query = select(Case).order_by(
        col(Case.status).desc(),  # open, closed, awaiting_customer: sorted again by the reader
        col(Case.priority),
        col(Case.opened_at),
    )
    if status is not None:
        query = query.where(col(Case.status) == status)
    return list(session.scalars(query.limit(limit)))


def case_counts(session: Session) -> dict[str, int]:
    """How many cases there are of each status."""
    query = select(col(Case.status), func.count()).group_by(col(Case.status))
    return {status: count for status, count in session.execute(query)}  # noqa: C416 - rows


def events(session: Session, *, status: str, limit: int) -> list[Event]:
    """Events of one status, the newest first."""
    query = select(Event).where(col(Event.status) == status)
    return list(session.scalars(query.order_by(col(Event.id).desc()).limit(limit)))


def journey_counts(session: Session) -> list[tuple[str, str, str, str | None, int]]:
    """People by journey, version, status and step."""
    place = (
        col(Enrolment.journey),
        col(Enrolment.version),
        col(Enrolment.status),
        col(Enrolment.step),
    )
    rows = session.execute(select(*place, func.count()).group_by(*place))
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def campaign_examples(
    session: Session, *, campaign_run_id: str, among: int, each: int
) -> dict[tuple[str, str], list[str]]:
    """Some customers for each outcome and reason, of the first ``among`` people of a run.

    The bound keeps it quick on a run of a million; ``campaign_people`` finds whoever is rarer.
    """
    mine = col(CampaignPerson.campaign_run_id) == campaign_run_id
    first = (
        select(
            col(CampaignPerson.outcome), col(CampaignPerson.reason), col(CampaignPerson.customer_id)
        )
        .where(mine, col(CampaignPerson.outcome).is_not(None))
        .limit(among)
        .subquery()
    )
    place = func.row_number().over(
        partition_by=(first.c.outcome, first.c.reason), order_by=first.c.customer_id
    )
    ranked = select(*first.c, place.label("place")).subquery().c
    rows = session.execute(
        select(ranked.outcome, ranked.reason, ranked.customer_id).where(ranked.place <= each)
    )
    found: dict[tuple[str, str], list[str]] = {}
    for outcome, reason, customer_id in rows:
        found.setdefault((outcome, reason or ""), []).append(customer_id)
    return found


def campaign_examples_by_channel(
    session: Session, *, campaign_run_id: str, among: int, each: int
) -> dict[frozenset[str], list[str]]:
    """Some customers who were sent to, by the channels they were sent to by.

    Looks at the messages of some people of the run, each of whom has a few.
    """
    people = (
        select(col(CampaignPerson.customer_id))
        .where(
            col(CampaignPerson.campaign_run_id) == campaign_run_id,
            col(CampaignPerson.outcome) == "sent",
        )
        .limit(among)
    )
    rows = session.execute(
        select(col(Message.customer_id), col(Message.channel)).where(
            col(Message.customer_id).in_(people),
            scanned(col(Message.campaign_run_id)) == campaign_run_id,
            col(Message.status).not_in(NOT_SENT),
        )
    )
    by_person: dict[str, set[str]] = {}
    for customer_id, channel in rows:
        by_person.setdefault(customer_id, set()).add(channel)
    found: dict[frozenset[str], list[str]] = {}
    for customer_id, channels in sorted(by_person.items()):
        examples = found.setdefault(frozenset(channels), [])
        if len(examples) < each:
            examples.append(customer_id)
    return found


def campaign_people(
    session: Session, *, campaign_run_id: str, outcome: str | None, reason: str | None, limit: int
) -> list[CampaignPerson]:
    """People of a run with one outcome, None: not decided yet; ``reason`` None: any."""
    query = select(CampaignPerson).where(col(CampaignPerson.campaign_run_id) == campaign_run_id)
    query = query.where(
        col(CampaignPerson.outcome).is_(None)
        if outcome is None
        else col(CampaignPerson.outcome) == outcome
    )
    if reason is not None:
        query = query.where(func.coalesce(col(CampaignPerson.reason), "") == reason)
    return list(session.scalars(query.order_by(col(CampaignPerson.customer_id)).limit(limit)))
