"""What went to whom, when and why: read alike from the record and from a simulation's copy of it."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson
from sqlalchemy import func, or_, select
from sqlmodel import Session

from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignPerson, CampaignRun
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message

_m, _d, _e = table_of(Message), table_of(Delivery), table_of(Enrolment)
_r, _p, _n = table_of(CampaignRun), table_of(CampaignPerson), table_of(DecisionRow)
#: Of these nothing left the house, or nobody took it.
_NOT_GONE = ("queued", "failed", "expired", "rejected")
#: Drawn anew each time, so no difference in what is said: the token of a signed link.
_TOKEN = re.compile(rb"(/links/[a-z_]+/)[\w~.-]+")
#: Facts that are drawn anew for each enrolment.
_DRAWN = ("promotion_id", "code", "answer_code")


class Sending(NamedTuple):
    """One message that went, or would have gone. ``words``: a hash of what it says."""

    customer_id: str
    cause: str  #: the campaign (with stage and series), or the journey
    message: str
    channel: str
    at: datetime
    arm: str | None
    words: str


class Decided(NamedTuple):
    """What was decided about one person: by a run of a campaign, or by a journey's gate or door."""

    customer_id: str
    cause: str
    subject: str  #: the message, or the journey that was entered or not; empty for a run
    channel: str | None
    outcome: str
    reason: str
    at: datetime | None  #: None: not decided within the period


class Refusal(NamedTuple):
    """A launch that the plan refused, and why."""

    occurrence: str
    at: datetime
    why: str

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} UTC: {self.why}"


@dataclass
class Outcome:
    """Everything that went in a period, and every decision."""

    sendings: list[Sending] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)

    def reasons(self) -> Counter[tuple[str, str, str]]:
        """Count decisions by cause, outcome and reason: one of each person in each run."""
        return Counter((one.cause, one.outcome, one.reason) for one in self.decided)

    def people(self) -> Counter[tuple[str, str, str]]:
        """Count people by cause, outcome and reason: each once, however many runs decided alike."""
        once = {(one.customer_id, one.cause, one.outcome, one.reason) for one in self.decided}
        return Counter((cause, outcome, why) for _, cause, outcome, why in once)

    def curve(self) -> Counter[tuple[datetime, str]]:
        """Count messages by hour and channel."""
        return Counter(
            (one.at.replace(minute=0, second=0, microsecond=0), one.channel)
            for one in self.sendings
        )

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON values: ids, never an address or a word."""
        return {
            "sendings": [[*one[:4], one.at.isoformat(), *one[5:]] for one in self.sendings],
            "decided": [[*one[:6], one.at and one.at.isoformat()] for one in self.decided],
        }

    def columns(self) -> tuple[list[Any], list[Any]]:
        """Give it by columns: a process tells another a million rows so in half the time."""
        return [*zip(*self.sendings, strict=True)], [*zip(*self.decided, strict=True)]

    @classmethod
    def of_columns(cls, columns: tuple[list[Any], list[Any]]) -> "Outcome":
        """Put together what ``columns`` took apart."""
        sendings, decided = (zip(*one, strict=True) for one in columns)
        return cls([*map(Sending._make, sendings)], [*map(Decided._make, decided)])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Outcome":
        """Read what ``to_json`` wrote."""
        moment = datetime.fromisoformat
        return cls(
            [Sending._make([*one[:4], moment(one[4]), *one[5:]]) for one in data["sendings"]],
            [Decided._make([*one[:6], one[6] and moment(one[6])]) for one in data["decided"]],
        )


def read(
    session: Session,
    *,
    run_ids: Collection[str],
    journeys: bool,
    since: datetime,
    until: datetime,
) -> Outcome:
    """Read what went in a period by these runs and, with ``journeys``, by enrolments begun in it."""
    causes = {
        row["id"]: " · ".join(filter(None, (row["campaign"], row["stage"], row["series"])))
        for row in session.execute(select(_r).where(_r.c.id.in_(run_ids))).mappings()
    }
    found = Outcome()
    arms: dict[tuple[str, str], str] = {}
    found.decided += _people(session, causes, until, arms)
    found.sendings += _of_runs(session, causes, since, until, arms)
    if journeys:
        found.sendings += _of_journeys(session, since, until)
        found.decided += _notes(session, since, until)
    found.sendings.sort(key=lambda one: (one.at, one[:4]))
    return found


def _of_runs(
    session: Session,
    causes: Mapping[str, str],
    since: datetime,
    until: datetime,
    arms: Mapping[tuple[str, str], str],
) -> Iterator[Sending]:
    query = select(
        _m.c.id, _m.c.customer_id, _m.c.campaign_run_id, _m.c.message, _m.c.channel,
        _m.c.created_at, _m.c.variant_id, _m.c.slots,
    ).where(_m.c.campaign_run_id.in_(causes), *_gone(since, until))  # fmt: skip
    later = _later_attempts(session, _m.c.campaign_run_id.in_(causes))
    for one, who, run, message, channel, at, variant, slots in session.execute(query):
        arm = arms.get((run, who))
        yield Sending(
            who, causes[run], message, channel, later.get(one, at), arm, words(variant, slots, ())
        )


def _of_journeys(session: Session, since: datetime, until: datetime) -> Iterator[Sending]:
    query = (
        select(
            _m.c.id, _m.c.customer_id, _e.c.journey, _m.c.message, _m.c.channel, _m.c.created_at,
            _m.c.variant_id, _m.c.slots, _m.c.facts,
        )
        .join(_e, _e.c.id == _m.c.enrolment_id)
        .where(_e.c.started_at >= since, *_gone(since, until))
    )  # fmt: skip
    later = _later_attempts(session, _m.c.enrolment_id.is_not(None))
    for one, who, journey, message, channel, at, variant, slots, facts in session.execute(query):
        drawn = [str(facts[name]) for name in _DRAWN if facts.get(name)]
        yield Sending(
            who, journey, message, channel, later.get(one, at), None, words(variant, slots, drawn)
        )


def _gone(since: datetime, until: datetime) -> list[Any]:
    return [_m.c.status.not_in(_NOT_GONE), _m.c.created_at >= since, _m.c.created_at < until]


def _later_attempts(session: Session, mine: Any) -> dict[str, Any]:
    """Give when those were handed over that were not at their first attempt."""
    query = (
        select(_d.c.message_id, func.max(_d.c.started_at))
        .join(_m, _m.c.id == _d.c.message_id)
        .where(_d.c.attempt > 1, mine)
        .group_by(_d.c.message_id)
    )
    return {message: at for message, at in session.execute(query)}  # noqa: C416


def words(variant: str | None, slots: Mapping[str, str], drawn: Collection[str]) -> str:
    """Hash what a message says, leaving out what is drawn by chance: tokens, codes, offers' numbers."""
    if not slots:
        return variant or ""
    said = orjson.dumps(slots, option=orjson.OPT_SORT_KEYS)
    if b"/links/" in said:
        said = b"".join(_TOKEN.split(said))  # what leads to a token stays, being a group
    for value in drawn:
        said = said.replace(value.encode(), b"")
    return _hash(variant or "", said)


@lru_cache(maxsize=50_000)
def _hash(variant: str, said: bytes) -> str:
    return blake2b(variant.encode() + b"\n" + said, digest_size=12).hexdigest()


def _people(
    session: Session, causes: Mapping[str, str], until: datetime, arms: dict[tuple[str, str], str]
) -> Iterator[Decided]:
    """Give what was decided; notes in ``arms`` who was in which arm of which run."""
    query = select(
        _p.c.customer_id, _p.c.campaign_run_id, _p.c.outcome, _p.c.reason, _p.c.decided_at, _p.c.arm
    ).where(_p.c.campaign_run_id.in_(causes))
    for who, run, outcome, reason, at, arm in session.execute(query):
        if arm is not None:
            arms[run, who] = arm
        if outcome is None or at >= until:
            yield Decided(who, causes[run], "", None, "waiting", "", None)
        else:
            yield Decided(who, causes[run], "", None, outcome, reason or "", at)


def _notes(session: Session, since: datetime, until: datetime) -> Iterator[Decided]:
    """Read who entered a journey or not, and what the gate said to those who began in the period."""
    query = (
        select(_n, _e.c.journey)
        .outerjoin(_e, _e.c.id == _n.c.enrolment_id)
        .where(_n.c.kind.in_(("entry", "gate")), _n.c.at >= since, _n.c.at < until)
        .where(or_(_n.c.kind == "entry", _e.c.started_at >= since))
        .order_by(_n.c.at, _n.c.id)
    )
    for row in session.execute(query).mappings():
        journey = row["journey"] or row["subject"]
        yield Decided(
            row["customer_id"], journey, row["subject"], row["channel"], row["outcome"],
            row["reason"], row["at"],
        )  # fmt: skip
