"""The plan of a launch: what would go to whom, when and at what cost, before anything does.

``make_plan`` only reads. It asks the same audience, the same gate and the same assignment as the send,
so that what it promises is what happens when nothing changes in between. A large audience is judged by
a sample that is always the same for the same people, and every number says how sure it is.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select
from sqlmodel import Session

from signalpost.domain.audience import filled
from signalpost.domain.audience_words import in_words
from signalpost.domain.campaign import release_moment
from signalpost.domain.local_time import FIRST_ZONE, zone
from signalpost.errors import ConfigurationError
from signalpost.record import audiences, campaign_people, campaign_plans, campaign_series
from signalpost.record.campaign_people import Due
from signalpost.services.campaigns import (
    changes,
    checks,
    coming,
    outlook,
    plan_words,
    saying,
    series,
)
from signalpost.services.campaigns.collisions import Collisions, Other
from signalpost.services.campaigns.forecast import Forecast, forecast, waves
from signalpost.services.campaigns.foreseeing import Judge
from signalpost.services.campaigns.giving import unmatched, wrong_facts
from signalpost.services.campaigns.people import Job
from signalpost.services.campaigns.planned import Figures, digest
from signalpost.services.campaigns.reach import Tally
from signalpost.services.campaigns.runs import PLANNED, Launch, Run
from signalpost.services.campaigns.sampling import Sample
from signalpost.services.campaigns.texts import Cost, cost
from signalpost.services.campaigns.unknown import unknown_campaigns, unknown_names
from signalpost.services.desk import Desk

_UTC = ZoneInfo("UTC")
JUDGED = 20_000  #: people of a larger audience are judged by a sample of so many
_BATCH = 2_000


class Plan(Figures):
    """What whoever approves a launch sees: its figures, and the page that they make."""

    def markdown(self) -> str:
        """Write it for whoever approves it: short, the most important first."""
        return plan_words.write(self)


def make_plan(
    desk: Desk,
    *,
    launch: Launch,
    now: datetime,
    exact: bool = False,
    judged: int = JUDGED,
    leave_out: str | None = None,
) -> Plan:
    """Plan a launch, changing nothing.

    ``exact``: judge everybody, however many; else a sample of ``judged`` when there are more. With 0,
    nobody is judged: what refuses a launch is known without.
    ``leave_out``: a run that is no other run, since this plan is its own. It begins when it can, so that
    neither being late nor waiting for another run's end refuses it. What is wrong is said in
    ``Plan.refusals``, never raised.
    """
    with desk.database.reading(bulk=True) as session:
        planner = _Planner(desk, session, launch, now, leave_out)
        return planner.plan(judged=None if exact else judged)


class _Planner:
    def __init__(
        self, desk: Desk, session: Session, launch: Launch, now: datetime, leave_out: str | None
    ) -> None:
        self.desk, self.session, self.launch, self.now = desk, session, launch, now
        told = filled(launch.campaign.audience, launch.facts)
        self.campaign = replace(launch.campaign, audience=told)
        self.prices, self.leave_out = desk.sms_prices or None, leave_out
        self.tally = Tally(desk.default_zone, self.prices)
        self.outlook = outlook.Outlook(self.campaign, now)
        self.people = 0
        self.unread: list[str] = []

    def plan(self, *, judged: int | None) -> Plan:
        """Make the plan; without judging anybody when what it names does not exist."""
        refused = list(checks.hindrances(self.desk.catalogue, self.launch))
        refused += [] if refused else self.unfit()
        if refused:
            return Plan(**self.heading(people=0), refusals=refused)
        members = self.members()
        due = self.due(members)
        rows = [
            row for row in campaign_plans.live_runs(self.session) if row["id"] != self.leave_out
        ]
        collisions = self.judge_all(members, due, rows, judged=judged)
        return self.write(due, rows, collisions)

    def unfit(self) -> list[str]:
        """Say what makes it pointless to judge anybody: nobody to go to, facts that are none."""
        launch, catalogue = self.launch, self.desk.catalogue
        wrong = [*wrong_facts(catalogue, launch.campaign, launch.facts, stage=launch.stage)]
        if wrong:
            wrong += checks.ungiven(catalogue, launch)
        elif not series.follows(self.campaign, launch.stage):
            wrong += unmatched(self.session, launch.campaign, launch.facts, now=self.now)
            wrong += unknown_campaigns(self.session, launch.campaign, self.desk.campaigns)
        return [*series.refusals(self.session, launch), *wrong]

    def members(self) -> Select[Any]:
        """Give the statement that finds the people, as the send will freeze them."""
        launch, campaign = self.launch, self.campaign
        if series.follows(campaign, launch.stage):
            found = campaign_series.sent_to(
                campaign=campaign.name, series=launch.series, stages=series.opening(campaign)
            )
        else:
            dialect = self.session.get_bind().dialect.name
            found = audiences.members(campaign.audience, now=self.now, dialect=dialect)
        return found if launch.sample_of is None else found.limit(launch.sample_of)

    def audience(self) -> list[str]:
        """Say in words who is meant."""
        if series.follows(self.campaign, self.launch.stage):
            return [f"Everybody who was sent the stage that opened {self.launch.series}."]
        return in_words(self.campaign.audience)

    def narrowing(self) -> list[dict[str, Any]]:
        """Say at which clause nobody is left, when nobody is."""
        if self.people or series.follows(self.campaign, self.launch.stage):
            return []
        found = audiences.narrowing(self.session, self.campaign.audience, now=self.now)
        return [asdict(one) for one in found]

    def due(self, members: Select[Any]) -> Due:
        """Say when people are due, as the send will write it down."""
        local_at = self.launch.local_at
        if local_at is None:
            return Due(self.launch.scheduled_at or self.now)
        with audiences.for_many(self.session):
            names = campaign_people.zones_of(self.session, members=members)
        by_zone = {name: release_moment(local_at, tz) for name in names if (tz := zone(name))}
        return Due(release_moment(local_at, FIRST_ZONE), by_zone)

    def moments(self, due: Due) -> list[datetime]:
        """Give when people are really due, in order: who is nowhere known is at home with the house."""
        local_at, house = self.launch.local_at, zone(self.desk.default_zone) or _UTC
        if local_at is None:
            return [due.first]
        return sorted({*due.by_zone.values(), release_moment(local_at, house)})

    def run(self, due: Due) -> Run:
        """Give the run that this launch would be, for what the send reckons from it."""
        launch = self.launch
        return Run(
            id=self.leave_out or PLANNED,
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

    def job(self, due: Due) -> Job:
        """Give what the send would work from."""
        return Job(self.desk, self.run(due), self.campaign)

    def judge_all(
        self, members: Select[Any], due: Due, rows: list[Any], *, judged: int | None
    ) -> Collisions:
        """Judge everybody, or a sample of a large audience; gives what collides."""
        judge = Judge(self.job(due), due, now=self.now)
        others = self.others(rows) + (self.coming(due) if judged != 0 else [])
        collisions = Collisions(self.desk, self.campaign, others, self.now)
        sample = Sample(f"{self.campaign.name}:plan", judged or 0)
        for ids in campaign_plans.stream(self.session, members, size=_BATCH):
            self.people += len(ids)
            if judged is not None:
                sample.offer(ids)
                continue
            self.judge(judge, ids, collisions)
        chosen = sample.chosen()
        for start in range(0, len(chosen), _BATCH):
            self.judge(judge, chosen[start : start + _BATCH], collisions)
        return collisions

    def others(self, rows: list[Any]) -> list[Other]:
        """Read the live runs of other campaigns."""
        found = []
        for row in rows:
            if row["campaign"] == self.campaign.name:
                continue
            try:
                found.append(Other.of(row))
            except (ConfigurationError, ValueError):  # made by an older version of the product
                self.unread.append(
                    f"Run {row['id']} of {row['campaign']} cannot be read, so what it "
                    "collides with is not known."
                )
        return found

    def coming(self, due: Due) -> list[Other]:
        """Find the times at which other campaigns come by themselves around this launch."""
        found = coming.around(
            self.session, self.desk, campaign=self.campaign, moments=self.moments(due), now=self.now
        )
        self.unread += found.uncounted
        return found.others

    def judge(self, judge: Judge, ids: list[str], collisions: Collisions) -> None:
        """Judge one batch and add it up."""
        people = judge.judge(self.session, ids)
        self.tally.add(people)
        if collisions.looked_at < JUDGED:
            collisions.look(self.session, people)
            self.outlook.look(self.session, people)

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
            "needs_approval": campaign.needs_approval(people),
            "stage": launch.stage,
            "series": launch.series,
            "sample_of": launch.sample_of,
            "scheduled_at": launch.scheduled_at.isoformat() if launch.scheduled_at else "",
            "local_at": launch.local_at.isoformat() if launch.local_at else None,
            "audience": self.audience(),
            "messages": versions,
            "facts": saying.facts(campaign, launch.facts),
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
        texts, costs = self.texts(), self.cost()
        return Plan(
            **self.heading(people=self.people),
            says=saying.words(self.job(due), checks.messages_of(self.launch)),
            judged=tally.judged,
            reached=self.whole(tally.reached),
            held_out=self.wholes(tally.ghosts),
            arms=self.wholes(tally.arms),
            tells=self.outlook.says(tally, self.whole),
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
            cost=costs.total,
            unpriced=costs.unpriced,
            hours=curve.rows(),
            waves=waves(releases),
            last_at=curve.last_at.isoformat() if curve.last_at else None,
            delayed={channel: round(n) for channel, n in curve.delayed.items() if round(n)},
            expired={channel: round(n) for channel, n in curve.expired.items() if round(n)},
            stopped=collisions.whole(collisions.stopped, self.people),
            collisions=collisions.to_json(self.people),
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

    def cost(self) -> Cost:
        """Say what the text messages cost."""
        segments: dict[str, float] = defaultdict(float)
        for texts in self.tally.texts.values():
            for country, number in texts.countries.items():
                segments[country] += self.scale(number) * texts.each
        return cost(segments, self.prices)

    def judgement(self, due: Due, rows: list[Any], curve: Forecast) -> dict[str, Any]:
        """Say what is new, what to think about, and what stands in the way."""
        launch, tally, moments = self.launch, self.tally, self.moments(due)
        narrowing, is_kept = self.narrowing(), self.leave_out is not None
        checked = checks.consistency(self.desk.catalogue, checks.messages_of(launch))
        refused = [
            *([] if self.people else [checks.nobody(narrowing)]),
            *checks.refusals(launch, moments, now=self.now, is_kept=is_kept),
            *checks.ungiven(self.desk.catalogue, launch),
            *([] if is_kept else checks.overlapping(rows, launch, moments[0], now=self.now)),
            *(
                f"Message {one.message!r} fails {len(one.problems)} of its checks; "
                "`signalpost lint` says which."
                for one in checked
                if one.problems
            ),
        ]
        warned = [
            *checks.warnings(launch, moments, curve, reached=tally.reached, judged=tally.judged),
            *checks.untimely(launch, now=self.now),
            *self.outlook.warnings(tally, self.whole, launch),
            *checks.beside(rows, launch),
            *checks.skipped(launch, due),
            *checks.gone_by(launch, due, now=self.now),
            *series.warnings(self.session, launch),
            *checks.unknown_places(dict(tally.zone_sources), launch),
            *checks.unwritten(dict(tally.unwritten), tally.reached),
            *self.unread,
            *self.unknown(),
        ]
        if 0 < self.people == campaign_plans.everybody(self.session):
            warned.insert(0, f"Everybody is meant: all {self.people:,} customers on the record.")
        return {
            "narrowing": narrowing,
            "consistency": [asdict(one) for one in checked],
            "changes": self.changes(),
            "warnings": warned,
            "refusals": refused,
        }

    def unknown(self) -> list[str]:
        """Name what the campaign asks for and nobody on the record has."""
        finds = not series.follows(self.campaign, self.launch.stage)
        return list(unknown_names(self.session, self.campaign, finds=finds))

    def changes(self) -> list[str]:
        """Say what changed since the campaign was last launched."""
        last = campaign_plans.last_started(self.session, campaign=self.campaign.name)
        if last is None:
            return ["This is its first launch."]
        names = checks.messages_of(self.launch)
        found = changes.between(
            last["definition"],
            self.campaign,
            old_messages=(last["plan"] or {}).get("messages", {}),
            new_messages={name: self.desk.catalogue[name].version for name in names},
        )
        return found or ["Nothing changed since its last launch."]
