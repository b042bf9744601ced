"""What the record says about a period: the runs begun in it, what people did to them, what came in."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, or_, select
from sqlmodel import Session

from signalpost.content import Catalogue
from signalpost.content.campaigns import from_definition, occurrences
from signalpost.domain.audience import Did, clauses
from signalpost.domain.campaign import Campaign, Personal
from signalpost.domain.delivery import Handover
from signalpost.domain.gate import Policy
from signalpost.domain.program import Program
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass
from signalpost.record import campaigns as runs_of_record
from signalpost.record.base import table_of
from signalpost.record.bulk import among, given
from signalpost.record.campaigns import CampaignAct, CampaignRun
from signalpost.record.copying import History, any_of
from signalpost.record.customers import MERGED_AWAY, Merge
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from signalpost.record.receipts import Answer
from signalpost.record.restraint import REDEEMING
from signalpost.services.campaigns.runs import Launch
from signalpost.simulation import imported

_r, _a = table_of(CampaignRun), table_of(CampaignAct)
_merges, _answers, _e = table_of(Merge), table_of(Answer), table_of(Enrolment)
_m, _d = table_of(Message), table_of(Delivery)
_BY_PEOPLE = ("paused", "resumed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Cast:
    """What is played, and not taken as recorded: these campaigns and, unless None, these journeys.

    ``launched``: campaigns that nobody launched in the period, and that are played all the same, by
    their schedule or, without one, at the beginning. ``as_it_happened``: what was told too late to act
    on, as when a history is imported, counts from when it happened, and not from when it was told.
    """

    campaigns: Mapping[str, Campaign]
    launched: Collection[str] = ()
    programs: Mapping[str, Program] | None = None
    as_it_happened: bool = False


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A launch that the record knows nothing of: the schedule says so, or it is played by hand."""

    launch: Launch
    at: datetime
    run_id: str


@dataclass(kw_only=True)
class Period:
    """What was recorded from ``since`` until just before ``until`` and matters to what is played."""

    since: datetime
    until: datetime
    cast: Cast
    runs: Sequence[RowMapping]  #: of the campaigns that are played, begun in the period
    acts: Sequence[RowMapping]
    launches: Sequence[Planned]
    merges: Sequence[RowMapping]
    answers: Sequence[RowMapping]
    dropped: Sequence[str] = field(default_factory=list)  #: runs that a changed schedule has not

    @property
    def run_ids(self) -> set[str]:
        """The runs that are on the record and belong to what is played."""
        return {row["id"] for row in self.runs} | set(self.dropped)

    @property
    def can_be_parted(self) -> bool:
        """Whether people can be played apart: no pace is shared, nobody is drawn, no merge undone."""
        return (
            self.cast.programs is None
            and not any(one.pace for one in self.cast.campaigns.values())
            and all(row["sample_of"] is None for row in self.runs)
            and all(row["undone_at"] is None for row in self.merges)
        )

    @property
    def played_ids(self) -> set[str]:
        """The runs that a simulation plays: recorded ones, and launches nobody made."""
        return {row["id"] for row in self.runs} | {one.run_id for one in self.launches}


def read(session: Session, *, cast: Cast, since: datetime, until: datetime) -> Period:
    """Read a period of the record."""
    began = _began(session, cast.campaigns, since, until)
    kept, dropped, launches = [], [], []
    for campaign in cast.campaigns.values():
        mine = [row for row in began if row["campaign"] == campaign.name]
        same = [row for row in mine if _by_hand(row) or _same_schedule(session, row, campaign)]
        kept += same
        dropped += [row["id"] for row in mine if row not in same]
        if len(same) < len(mine) or (not mine and campaign.name in cast.launched):
            launches += _unrecorded(campaign, since, until)
    return Period(
        since=since,
        until=until,
        cast=cast,
        runs=kept,
        acts=_acts(session, [row["id"] for row in kept], since, until),
        launches=launches,
        # Whoever was found to be one person while a history was imported is so from its beginning.
        merges=[] if cast.as_it_happened else _merged(session, since, until),
        answers=_answered(session, since, until) if cast.programs is not None else [],
        dropped=dropped,
    )


def _began(
    session: Session, names: Collection[str], since: datetime, until: datetime
) -> list[RowMapping]:
    query = (
        select(_r)
        .where(_r.c.campaign.in_(names), _r.c.started_at >= since, _r.c.started_at < until)
        .order_by(_r.c.started_at, _r.c.id)
    )
    return list(session.execute(query).mappings())


def _by_hand(row: RowMapping) -> bool:
    return row["occurrence"].startswith(("by hand ", "run-"))


def _same_schedule(session: Session, row: RowMapping, campaign: Campaign) -> bool:
    if row["version"] == campaign.version:
        return True
    was = runs_of_record.definition(session, version=row["version"])
    return was is not None and from_definition(was).schedule == campaign.schedule


def _has_schedule(campaign: Campaign) -> bool:
    schedule = campaign.schedule
    return bool(schedule.at or schedule.cron or schedule.rrule)


def _scheduled(campaign: Campaign, since: datetime, until: datetime) -> list[Planned]:
    """Give the launches that the schedule asks for in the period."""
    found: list[Planned] = []
    after = since - timedelta(microseconds=1)
    schedule = campaign.schedule
    while _has_schedule(campaign):
        some = occurrences(schedule, after=after, count=50)
        for one in some:
            at = one.begins_at
            if at >= until:
                return found
            local_at = one.local if schedule.is_local else None
            launch = Launch(
                campaign=campaign, occurrence=one.key, scheduled_at=at, local_at=local_at
            )
            found.append(Planned(launch=launch, at=max(at, since), run_id=_id(launch)))
            after = max(after, at)
        if len(some) < 50:
            break
    return found


def _unrecorded(campaign: Campaign, since: datetime, until: datetime) -> list[Planned]:
    if _has_schedule(campaign):
        return _scheduled(campaign, since, until)
    return [_by_itself(campaign, since)]


def _by_itself(campaign: Campaign, since: datetime) -> Planned:
    launch = Launch(campaign=campaign, occurrence="simulated", scheduled_at=since)
    return Planned(launch=launch, at=since, run_id=_id(launch))


def _id(launch: Launch) -> str:
    """Give the run an id that is the same in every simulation: people's own moments hang on it."""
    named = f"{launch.campaign.name}:{launch.occurrence}"
    return str(UUID(bytes=hashlib.sha256(named.encode()).digest()[:16]))


def _acts(
    session: Session, ids: Collection[str], since: datetime, until: datetime
) -> list[RowMapping]:
    query = (
        select(_a)
        .where(_a.c.campaign_run_id.in_(ids), _a.c.act.in_(_BY_PEOPLE))
        .where(_a.c.at >= since, _a.c.at < until)
        .order_by(_a.c.at, _a.c.id)
    )
    return list(session.execute(query).mappings())


def _merged(session: Session, since: datetime, until: datetime) -> list[RowMapping]:
    """Give the merges that were made or undone from ``since`` on, also after the period."""
    del until  # what came later has to be taken back too
    query = select(_merges).where(or_(_merges.c.at >= since, _merges.c.undone_at >= since))
    return list(session.execute(query.order_by(_merges.c.at, _merges.c.id)).mappings())


def _answered(session: Session, since: datetime, until: datetime) -> list[RowMapping]:
    query = (
        select(_answers, _e.c.journey)
        .join(_e, _e.c.id == _answers.c.enrolment_id)
        .where(_e.c.started_at >= since, _answers.c.at >= since, _answers.c.at < until)
        .order_by(_answers.c.at)
    )
    return list(session.execute(query).mappings())


def handovers(
    session: Session, *, since: datetime, until: datetime
) -> dict[tuple[str, str, str], list[Handover]]:
    """Give how providers answered in the period, of messages that they did not simply accept."""
    query = (
        select(_d, _m.c.customer_id, _m.c.message, _m.c.channel)
        .join(_m, _m.c.id == _d.c.message_id)
        .where(_d.c.started_at >= since, _d.c.started_at < until)
        .order_by(_d.c.started_at, _d.c.id)
    )
    refused = session.execute(query.where(_d.c.status != DeliveryStatus.ACCEPTED)).mappings()
    keys = {(row["customer_id"], row["message"], row["channel"]) for row in refused}
    if not keys:
        return {}
    found: dict[tuple[str, str, str], list[Handover]] = defaultdict(list)
    attempts = session.execute(
        query.where(among(_m.c.customer_id)), given({customer for customer, *_ in keys})
    ).mappings()
    before: dict[tuple[str, str, str], datetime] = {}
    for row in attempts:
        key = row["customer_id"], row["message"], row["channel"]
        if key not in keys:
            continue
        if found[key] and found[key][-1].status is DeliveryStatus.RETRY:
            waited = row["started_at"] - before[key]
            found[key][-1] = replace(found[key][-1], retry_after=waited)
        found[key].append(_answer(row))
        before[key] = row["started_at"]
    return dict(found)


def _answer(row: RowMapping) -> Handover:
    known = row["settled_at"] is not None
    return Handover(
        status=DeliveryStatus(row["status"]) if known else DeliveryStatus.UNKNOWN,
        provider=row["provider"],
        fault=FaultClass(row["fault"]) if row["fault"] else None,
        code=row["code"],
        detail=row["detail"],
    )


# -- what is copied --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A share of all people, by the last digit of their root's id: people do not act on each other."""

    number: int
    of: int

    def holds(self, root_id: str) -> str:
        """Say it as SQL, alike on every database."""
        digits = [digit for digit in "0123456789abcdef" if int(digit, 16) % self.of == self.number]
        return f"substr({root_id}, 36, 1) IN ({', '.join(repr(digit) for digit in digits)})"

    def of_history(self, history: History) -> History:
        """Narrow a history to the people of this part."""
        if history.table == "customers":
            return replace(history, where=f"({history.where}) AND {self.holds('root_id')}")
        if history.table not in ABOUT_PEOPLE:
            return history
        # A list of the few who were merged is soon made; everybody else is their own root.
        own = f"{history.table}.customer_id"
        root = (
            f"CASE WHEN {own} IN (SELECT id FROM of_record.customers WHERE {MERGED_AWAY}) "  # noqa: S608
            f"THEN (SELECT c.root_id FROM of_record.customers AS c WHERE c.id = {own}) "
            f"ELSE {own} END"
        )
        mine = self.holds(root)
        return replace(history, where=f"({history.where}) AND {mine}")


#: Tables whose rows are each about one customer.
ABOUT_PEOPLE = (
    "contact_points", "consents", "events", "messages", "campaign_people", "enrolments",
    "marketing_holds",
)  # fmt: skip


#: Who they are merged into is played, and a journey may have set an attribute: neither is written over.
_CUSTOMERS = History(
    "customers",
    "created_at",
    ("learned_at",),
    shown={"known_since": "CASE WHEN learned_at <= :t THEN known_since END"},
    alone=("known_since", "learned_at"),
)


def histories(
    period: Period, *, policy: Policy, catalogue: Catalogue, part: Part | None = None
) -> list[History]:
    """Say which tables the copy needs, which of their rows, and since when each was known."""
    found = _histories(period, policy, catalogue)
    if period.cast.as_it_happened:
        found = imported.as_it_happened(found)
    return [part.of_history(one) for one in found] if part is not None else found


def _histories(period: Period, policy: Policy, catalogue: Catalogue) -> list[History]:
    played = {"since": period.since}
    ids = any_of("run", period.run_ids, played) if period.run_ids else None
    not_played = f"campaign_run_id NOT IN {ids}" if ids else "1=1"
    found = [
        _CUSTOMERS,
        History("contact_points", "created_at", ("verified_at", "replaced_at")),
        History("consents", "recorded_at", without={"wording": "NULL"}),
        History("suppressions", "at"),
        History("campaign_versions", "first_seen_at"),
        History(
            "marketing_holds",
            "since",
            ("lifted_at",),
            where=not_played,
            values=_used(played, not_played),
        ),
        _runs(ids, played),
        History(
            "campaign_people",
            "decided_at",
            where=f"decided_at IS NOT NULL AND {not_played}",
            values=_used(played, not_played),
            without={"verdicts": "'[]'"},
        ),
        _messages(period, not_played, played, policy, catalogue),
        _events(period),
    ]
    if period.cast.programs is not None:
        found += [History("journey_versions", "first_seen_at"), _enrolments(period)]
    return found


def _used(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if f":{name}" in where}


def _runs(ids: str | None, played: Mapping[str, Any]) -> History:
    """Runs that are not played: each has the status that it had."""
    where = f"id NOT IN {ids}" if ids else "1=1"
    status = (
        "CASE WHEN ended_at <= :t THEN status WHEN started_at <= :t THEN 'running' "
        "ELSE 'approved' END"
    )
    return History(
        "campaign_runs",
        "created_at",
        ("started_at", "ended_at"),
        shown={"status": status},
        where=where,
        values=_used(played, where),
        without={"plan": "'{}'"},
    )


def _messages(
    period: Period,
    not_played: str,
    played: Mapping[str, Any],
    policy: Policy,
    catalogue: Catalogue,
) -> History:
    """Messages of what is not played, as far back as a cap or a repeat window reaches."""
    caps = [cap for one in period.cast.campaigns.values() for cap in one.caps or ()]
    spans = [cap.period for cap in (*policy.caps, *caps)]
    spans += [span for name in catalogue.names() if (span := catalogue[name].repeat_window)]
    longest = max(spans, default=timedelta())
    where = f"created_at >= :oldest AND (campaign_run_id IS NULL OR {not_played})"
    if period.cast.programs is not None:
        where += (
            " AND (enrolment_id IS NULL OR enrolment_id IN "
            "(SELECT id FROM of_record.enrolments WHERE started_at < :since))"
        )
    never = "status IN ('rejected', 'failed', 'expired')"  # who counts toward no cap in the end
    return History(
        "messages",
        "created_at",
        ("updated_at",),
        shown={
            "status": f"CASE WHEN {never} AND updated_at > :t THEN 'queued' ELSE status END",
            "updated_at": "updated_at",
        },
        where=where,
        values={**_used(played, where), "oldest": period.since - longest},
        without={"facts": "'{}'", "slots": "'{}'", "variant_id": "NULL"},
    )


def _events(period: Period) -> History:
    """Events that lead to somebody; without journeys, only those that the campaigns ask about."""
    values: dict[str, Any] = {}
    where = "customer_id IS NOT NULL AND status NOT IN ('parked', 'conflict')"
    if period.cast.programs is None:
        names = asked_about(period.cast.campaigns.values())
        where += f" AND name IN {any_of('name', names, values)}"
    return History(
        "events",
        "received_at",
        where=where,
        values=values,
        without={"payload": "'{}'", "body_hash": "''", "held": "NULL"},
    )


def asked_about(campaigns: Collection[Campaign]) -> set[str]:
    """Name the events that these campaigns ask about: in their audiences, facts and offers."""
    names: set[str] = set(REDEEMING)
    for campaign in campaigns:
        asked = (rule for rule in clauses(campaign.audience) if isinstance(rule, Did))
        names |= {name for rule in asked for name in rule.names}
        names |= {
            one.name
            for one in campaign.facts.values()
            if isinstance(one, Personal) and one.source == "event"
        }
    return names


def _enrolments(period: Period) -> History:
    """Who was inside before the period goes on as recorded: there, and moved by nobody."""
    return History(
        "enrolments",
        "started_at",
        ("ended_at",),
        shown={
            "status": "CASE WHEN ended_at <= :t THEN status ELSE 'set_aside' END",
            "due_at": "NULL",
            "wait_for": "NULL",
            "claim_id": "NULL",
            "lease_until": "NULL",
        },
        where="started_at < :since",
        values={"since": period.since},
    )
