"""The plan of a launch: what would go to whom, when and at what cost, before anything does.

``make_plan`` only reads. It asks the same audience, the same gate and the same assignment as the send,
so that what it promises is what happens when nothing changes in between. A large audience is judged by
a sample that is always the same for the same people, and every number says how sure it is.
"""

import hashlib
import heapq
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Select
from sqlmodel import Session

from signalpost.domain import assignment
from signalpost.domain.audience_words import in_words
from signalpost.domain.campaign import release_moment
from signalpost.domain.local_time import zone
from signalpost.record import audiences, campaign_people, campaign_plans
from signalpost.record.campaign_people import Due
from signalpost.services.campaigns import changes, checks, plan_words
from signalpost.services.campaigns.collisions import Collisions, Other
from signalpost.services.campaigns.forecast import Forecast, forecast
from signalpost.services.campaigns.foreseeing import Judge
from signalpost.services.campaigns.people import Job
from signalpost.services.campaigns.reach import Tally
from signalpost.services.campaigns.runs import Launch, Run
from signalpost.services.desk import Desk

JUDGED = 20_000  #: people of a larger audience are judged by a sample of so many
_BATCH = 2_000
_HOURS = 24 * 14  #: rows of the hourly curve that are kept; what goes later is added up
_STEP = 1.25  #: an audience a quarter larger or smaller is another plan


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What whoever approves a launch sees. Everything in it is JSON; it holds ids and no address.

    Numbers of people are for the whole audience; ``judged`` of ``people`` were looked at, and
    ``about`` says how far off a number may be.
    """

    campaign: str
    version: str
    made_at: str
    description: str = ""
    owner: str = ""
    purpose: str = ""
    stage: str | None = None
    series: str | None = None
    sample_of: int | None = None
    scheduled_at: str = ""
    local_at: str | None = None
    audience: list[str] = field(default_factory=list)  #: the rule, in words
    messages: dict[str, str] = field(default_factory=dict)  #: name → version
    people: int = 0
    judged: int = 0
    reached: int = 0
    held_out: dict[str, int] = field(default_factory=dict)  #: global | campaign | control
    arms: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)  #: messages
    locales: dict[str, int] = field(default_factory=dict)  #: people, by what they would read
    zones: dict[str, int] = field(default_factory=dict)
    zone_sources: dict[str, int] = field(default_factory=dict)
    excluded: list[dict[str, Any]] = field(default_factory=list)  #: reason, people, examples
    texts: list[dict[str, Any]] = field(default_factory=list)  #: sms by wording
    segments: int = 0
    cost: str | None = None  #: of the sms, in the currency of the prices; None: no price is set
    pace: dict[str, float] = field(default_factory=dict)
    hours: list[dict[str, Any]] = field(default_factory=list)  #: hour (UTC), channels
    waves: list[dict[str, Any]] = field(default_factory=list)  #: who becomes due when
    last_at: str | None = None
    delayed: dict[str, int] = field(default_factory=dict)  #: have to wait for a morning by the pace
    expired: dict[str, int] = field(default_factory=dict)  #: too late before their turn comes
    collisions: list[dict[str, Any]] = field(default_factory=list)
    consistency: list[dict[str, Any]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give it as the record keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Plan":
        """Make it again from what the record kept."""
        return cls(**{one.name: kept[one.name] for one in fields(cls) if one.name in kept})

    @property
    def exact(self) -> bool:
        """Whether everybody was looked at."""
        return self.judged == self.people

    def margin(self, number: int) -> int:
        """Give how far off a number of people may be (95 %), 0 when everybody was looked at.

        The usual interval of a share in a sample without replacement; for none seen, three people
        of the sample (the rule of three).
        """
        if self.exact or self.judged == 0:
            return 0
        share = min(max(number / self.people, 0.0), 1.0)
        left = 1 - self.judged / self.people
        spread = 1.96 * math.sqrt(share * (1 - share) / self.judged * left)
        return math.ceil(self.people * max(spread, 3 / self.judged if share in (0, 1) else 0))

    def about(self, number: int) -> str:
        """Write a number of people as surely as it is known: ``61,234``, or ``about 61,200 ± 900``."""
        margin = self.margin(number)
        if margin == 0:
            return f"{number:,}"
        unit = 10 ** int(math.log10(margin))
        return f"about {round(number / unit) * unit:,} ± {math.ceil(margin / unit) * unit:,}"

    def markdown(self) -> str:
        """Write it for whoever approves it: short, the most important first."""
        return plan_words.write(self)


def make_plan(
    desk: Desk,
    *,
    launch: Launch,
    now: datetime,
    prices: Mapping[str, Decimal] | None = None,
    exact: bool = False,
    leave_out: str | None = None,
) -> Plan:
    """Plan a launch, changing nothing.

    ``prices``: of an SMS segment, by country (``US``) or ``default``. ``exact``: judge everybody,
    however many. ``leave_out``: a run that is no other run, since this plan is its own. What is wrong
    is said in ``Plan.refusals``, never raised.
    """
    with desk.database.reading() as session:
        return _Planner(desk, session, launch, now, prices, leave_out).plan(exact=exact)


class _Planner:
    def __init__(
        self,
        desk: Desk,
        session: Session,
        launch: Launch,
        now: datetime,
        prices: Mapping[str, Decimal] | None,
        leave_out: str | None,
    ) -> None:
        self.desk, self.session, self.launch, self.now = desk, session, launch, now
        self.campaign = launch.campaign
        self.prices, self.leave_out = prices, leave_out
        self.tally = Tally(desk.default_zone, prices)

    def plan(self, *, exact: bool) -> Plan:
        """Make the plan; without judging anybody when what it names does not exist."""
        refused = list(checks.hindrances(self.desk.catalogue, self.launch))
        opened_by, missing = (None, None) if refused else checks.opening(self.session, self.launch)
        refused += [missing] if missing else []
        if refused:
            return Plan(**self.heading(people=0), refusals=refused)
        members = self.members(opened_by)
        due = self.due(members)
        rows = [
            row for row in campaign_plans.live_runs(self.session) if row["id"] != self.leave_out
        ]
        collisions = self.judge_all(members, due, rows, exact=exact)
        return self.write(due, rows, collisions)

    def members(self, opened_by: str | None) -> Select[Any]:
        """Give the statement that finds the people, as the send will freeze them."""
        if opened_by is not None:
            found = campaign_plans.people_of(campaign_run_id=opened_by)
        else:
            dialect = self.session.get_bind().dialect.name
            found = audiences.members(self.campaign.audience, now=self.now, dialect=dialect)
        return found if self.launch.sample_of is None else found.limit(self.launch.sample_of)

    def due(self, members: Select[Any]) -> Due:
        """Say when people are due: together, or each zone at its own time."""
        local_at = self.launch.local_at
        if local_at is None:
            return Due(self.launch.scheduled_at or self.now)
        names = campaign_people.zones_of(self.session, members=members)
        by_zone = {name: release_moment(local_at, tz) for name in names if (tz := zone(name))}
        house = zone(self.desk.default_zone)
        moments = by_zone.values() or ([release_moment(local_at, house)] if house else [])
        return Due(min(moments, default=self.now), by_zone)

    def run(self, due: Due) -> Run:
        """Give the run that this launch would be, for what the send reckons from it."""
        launch = self.launch
        return Run(
            id=self.leave_out or "planned",
            campaign=self.campaign.name,
            version=self.campaign.version,
            occurrence=launch.occurrence or "",
            stage=launch.stage,
            series=launch.series,
            facts=launch.facts,
            status="planned",
            reason=None,
            scheduled_at=due.first,
            local_at=launch.local_at.isoformat() if launch.local_at else None,
            sample_of=launch.sample_of,
            people=None,
            plan={},
            created_at=self.now,
            started_at=None,
            ended_at=None,
            run_id=None,
        )

    def judge_all(self, members: Select[Any], due: Due, rows: list[Any], *, exact: bool) -> Any:
        """Judge everybody, or a sample of a large audience; gives what collides."""
        judge = Judge(Job(self.desk, self.run(due), self.campaign), due, now=self.now)
        others = [Other.of(row) for row in rows if row["campaign"] != self.campaign.name]
        collisions = Collisions(self.desk, self.campaign, others, self.now)
        self.people, sample = 0, Sample(f"{self.campaign.name}:plan", JUDGED)
        for ids in campaign_plans.stream(self.session, members, size=_BATCH):
            self.people += len(ids)
            if not exact:
                sample.offer(ids)
                continue
            self.judge(judge, ids, collisions)
        chosen = sample.chosen()
        for start in range(0, len(chosen), _BATCH):
            self.judge(judge, chosen[start : start + _BATCH], collisions)
        return collisions

    def judge(self, judge: Judge, ids: list[str], collisions: Collisions) -> None:
        """Judge one batch and add it up."""
        people = judge.judge(self.session, ids)
        self.tally.add(people)
        if collisions.looked_at < JUDGED:
            collisions.look(self.session, people)

    # -- writing it down -----------------------------------------------------------------------

    def heading(self, *, people: int) -> dict[str, Any]:
        """Give what a plan says before anybody is counted."""
        launch, campaign = self.launch, self.campaign
        names = [name for name in checks.messages_of(launch) if name in self.desk.catalogue]
        versions = {name: self.desk.catalogue[name].version for name in names}
        return {
            "campaign": campaign.name,
            "version": campaign.version,
            "made_at": self.now.isoformat(),
            "description": campaign.description,
            "owner": campaign.owner,
            "purpose": campaign.purpose.value,
            "stage": launch.stage,
            "series": launch.series,
            "sample_of": launch.sample_of,
            "scheduled_at": launch.scheduled_at.isoformat() if launch.scheduled_at else "",
            "local_at": launch.local_at.isoformat() if launch.local_at else None,
            "audience": in_words(campaign.audience),
            "messages": versions,
            "people": people,
            "pace": dict(campaign.pace),
            "digest": digest(launch, versions, people),
        }

    def write(self, due: Due, rows: list[Any], collisions: Collisions) -> Plan:
        """Write the plan of what was counted."""
        tally, window = self.tally, self.desk.policy.window
        releases = {release: self.scale(n) for release, n in tally.releases.items()}
        pace = {str(channel): rate for channel, rate in self.campaign.pace.items()}
        curve = forecast(releases, pace=pace, window=window)
        texts = self.texts()
        return Plan(
            **self.heading(people=self.people),
            judged=tally.judged,
            reached=self.whole(tally.reached),
            held_out=self.wholes(tally.ghosts),
            arms=self.wholes(tally.arms),
            channels=self.wholes(tally.channels),
            locales=self.wholes(tally.locales),
            zones=self.wholes(tally.zones),
            zone_sources=self.wholes(tally.zone_sources),
            excluded=[
                {"reason": reason, "people": self.whole(n), "examples": tally.examples[reason]}
                for reason, n in tally.reasons.most_common()
            ],
            texts=texts,
            segments=sum(one["segments"] for one in texts),
            cost=self.cost(),
            hours=_hours(curve),
            waves=_waves(releases),
            last_at=curve.last_at.isoformat() if curve.last_at else None,
            delayed={channel: round(n) for channel, n in curve.delayed.items() if round(n)},
            expired={channel: round(n) for channel, n in curve.expired.items() if round(n)},
            collisions=self.collisions(rows, collisions),
            **self.judgement(due, rows, curve),
        )

    def scale(self, number: float) -> float:
        """Give what a number of the judged stands for."""
        return number * self.people / self.tally.judged if self.tally.judged else 0.0

    def whole(self, number: float) -> int:
        """Give it as a number of people."""
        return round(self.scale(number))

    def wholes(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Scale counts, the largest first."""
        most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return {key: self.whole(number) for key, number in most}

    def texts(self) -> list[dict[str, Any]]:
        """Say what each wording of the text message needs."""
        return [
            {
                "message": message,
                "locale": locale,
                "people": self.whole(texts.people),
                "encoding": " and ".join(sorted(texts.encodings)) or "unknown",
                "each": round(texts.each, 2),
                "longest": texts.longest,
                "segments": self.whole(texts.people * texts.each),
                "rendered": texts.rendered,
            }
            for (message, locale), texts in sorted(self.tally.texts.items())
        ]

    def cost(self) -> str | None:
        """Add up what the text messages cost; None when no price is set."""
        prices = self.prices
        if not prices:
            return None
        total = Decimal(0)
        for texts in self.tally.texts.values():
            for country, number in texts.countries.items():
                price = prices.get(country, prices.get("default", Decimal(0)))
                total += price * Decimal(self.scale(number) * texts.each)
        return str(total.quantize(Decimal("0.01")))

    def collisions(self, rows: list[Any], found: Collisions) -> list[dict[str, Any]]:
        """Name the other runs that mean the same people."""
        factor = self.people / found.looked_at if found.looked_at else 0
        return [
            {
                "run": row["id"],
                "campaign": row["campaign"],
                "status": row["status"],
                "scheduled_at": row["scheduled_at"].isoformat(),
                **{
                    key: round(found.found[row["id"]][key] * factor)
                    for key in ("people", "here", "there", "held_back")
                },
            }
            for row in rows
            if row["id"] in found.found
        ]

    def judgement(self, due: Due, rows: list[Any], curve: Forecast) -> dict[str, Any]:
        """Say what is new, what to think about, and what stands in the way."""
        launch, tally = self.launch, self.tally
        checked = checks.consistency(self.desk.catalogue, checks.messages_of(launch))
        refused = [
            *checks.refusals(self.desk.catalogue, launch, due, people=self.people, now=self.now),
            *checks.overlapping(rows, launch),
            *(
                f"Message {one.message!r} fails {len(one.problems)} of its checks; "
                "`signalpost lint` says which."
                for one in checked
                if one.problems
            ),
        ]
        warned = [
            *checks.warnings(
                launch, due, curve, reached=tally.reached, judged=tally.judged, now=self.now
            ),
            *checks.unknown_places(dict(tally.zone_sources), launch),
            *checks.unwritten(dict(tally.unwritten), tally.reached),
        ]
        if 0 < self.people == campaign_plans.everybody(self.session):
            warned.insert(0, f"Everybody is meant: all {self.people:,} customers on the record.")
        return {
            "consistency": [asdict(one) for one in checked],
            "changes": self.changes(),
            "warnings": warned,
            "refusals": refused,
        }

    def changes(self) -> list[str]:
        """Say what changed since the campaign was last launched."""
        last = campaign_plans.last_started(self.session, campaign=self.campaign.name)
        if last is None:
            return ["This is its first launch."]
        names = checks.messages_of(self.launch)
        found = changes.between(
            last["definition"],
            self.campaign.definition,
            old_messages=(last["plan"] or {}).get("messages", {}),
            new_messages={name: self.desk.catalogue[name].version for name in names},
        )
        return found or ["Nothing changed since its last launch."]


class Sample:
    """The people with the lowest places under a salt: an even sample, the same every time."""

    def __init__(self, salt: str, size: int) -> None:
        self.salt, self.size = salt, size
        self.heap: list[tuple[float, str]] = []

    def offer(self, ids: list[str]) -> None:
        """Look at more people; at most ``size`` are kept."""
        for customer in ids:
            entry = (-assignment.share(self.salt, customer), customer)
            if len(self.heap) < self.size:
                heapq.heappush(self.heap, entry)
            elif entry > self.heap[0]:
                heapq.heapreplace(self.heap, entry)

    def chosen(self) -> list[str]:
        """Give them in the order of their ids, which is the order on the disk."""
        return sorted(customer for _, customer in self.heap)


def digest(launch: Launch, messages: Mapping[str, str], people: int) -> str:
    """Hash what an approval is about: the version, the words, the facts, the time, and about how many.

    The number of people counts in steps of a quarter, so that a few who come and go between the plan
    and the approval ask for no second look (unless they carry it over the edge of a step).
    """
    about = round(math.log(people, _STEP)) if people else None
    said = [
        launch.campaign.name, launch.campaign.version, launch.stage, launch.series,
        launch.scheduled_at, launch.local_at, launch.sample_of, launch.facts, messages, about,
    ]  # fmt: skip
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hours(curve: Forecast) -> list[dict[str, Any]]:
    rows = [
        {"hour": hour.isoformat(), "channels": {c: round(n) for c, n in sorted(sent.items())}}
        for hour, sent in sorted(curve.hours.items())
    ]
    return rows[:_HOURS]


def _waves(releases: Mapping[Any, float]) -> list[dict[str, Any]]:
    """Put together who becomes due at one moment."""
    waves: dict[datetime, dict[str, float]] = {}
    for release, people in releases.items():
        zones = waves.setdefault(release.at, {})
        name = release.zones[0] if release.zones else "any zone"
        zones[name] = zones.get(name, 0) + people
    return [
        {
            "at": at.isoformat(),
            "messages": round(sum(zones.values())),
            "zones": sorted(zones, key=lambda name: (-zones[name], name)),
        }
        for at, zones in sorted(waves.items())
    ]
