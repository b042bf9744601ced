"""Playing a period: the virtual clock goes from one thing that happens, or is due, to the next."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, groupby
from typing import Any

from sqlalchemy import column, select, text

from signalpost.domain.campaign import Campaign
from signalpost.domain.vocabulary import Lane
from signalpost.errors import ConflictError
from signalpost.record import campaign_people, campaigns, customers, questions
from signalpost.record.base import table_of
from signalpost.record.campaigns import ChannelPace
from signalpost.record.copying import Copy
from signalpost.record.events import Event
from signalpost.services.campaigns import launching, sending
from signalpost.services.campaigns.plan import make_plan
from signalpost.services.desk import Desk
from signalpost.services.inbound import answers
from signalpost.services.intake.signals import Arrival, SignalPolicy
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due
from signalpost.services.journeys.claims import next_due as next_enrolment
from signalpost.services.journeys.enrolling import Journeys
from signalpost.simulation.outcome import Refusal
from signalpost.simulation.period import Period, Planned
from signalpost.simulation.together import Together
from signalpost.testing import VirtualClock

BY = "simulation"  #: who acts in a simulated run where the record names nobody
_TRY_AGAIN = timedelta(minutes=5)  #: a run that has to wait for another one of its campaign
_pace, _events = table_of(ChannelPace), table_of(Event)

Deed = Callable[[], None]


@dataclass
class Player:
    """One simulation while it is played. ``desk`` is quiet: nothing can leave it."""

    desk: Desk
    clock: VirtualClock
    copy: Copy
    period: Period
    policy: SignalPolicy
    together: Together
    refused: list[Refusal] = field(default_factory=list)
    _stops: list[tuple[datetime, int, Deed]] = field(default_factory=list)
    _number: Iterator[int] = field(default_factory=count)

    async def play(self) -> None:
        """Play until the period is over."""
        self._take_back_merges()
        self._note_stops()
        while (at := self._next()) is not None and at < self.period.until:
            if at < self.clock.now:  # somebody was due while their run was paused
                at = last = self.clock.now
            else:
                last = self._together(at)
            self.clock.now = last
            self.copy.let_in(last)
            while self._stops and self._stops[0][0] <= last:
                heapq.heappop(self._stops)[2]()
            await self._do_due()
            if last > at:
                self.together.date_back(last)
        self.clock.now = self.period.until

    def _together(self, at: datetime) -> datetime:
        """Say how far the clock may go on at once: to ``at``, or to the last of a whole morning."""
        stop = self._stops[0][0] if self._stops else self.period.until
        enrolment = self._enrolment_due()
        if stop <= at or (enrolment is not None and enrolment <= at):
            return at
        if any(one.pace for one in self.period.cast.campaigns.values()):
            return at
        bounds = [stop, self.period.until, *([enrolment] if enrolment else [])]
        return self.together.until(at, bounds)

    def _enrolment_due(self) -> datetime | None:
        if self.period.cast.programs is None:
            return None
        found = [due for lane in Lane if (due := next_enrolment(self.desk, lane=lane))]
        return min(found, default=None)

    # -- what happens ------------------------------------------------------------------------

    def _at(self, moment: datetime, deed: Deed) -> None:
        heapq.heappush(self._stops, (moment, next(self._number), deed))

    def _note_stops(self) -> None:
        period = self.period
        for row in period.merges:
            self._note_merge(row)
        if period.cast.programs is not None:
            self._note_arrivals()
        for row in period.answers:
            self._at(row["at"], lambda row=row: self._answer(row))
        for row in period.runs:
            self._at(row["started_at"], lambda row=row: self._begin(row))
        for row in period.acts:
            self._at(row["at"], lambda row=row: self._steer(row))
        for planned in period.launches:
            self._at(planned.at, lambda planned=planned: self._launch(planned))

    def _note_merge(self, row: Any) -> None:
        if row["at"] >= self.period.since:
            self._at(row["at"], lambda: self._join(row["moved"], row["kept_id"]))
        if row["undone_at"] is not None and row["undone_at"] >= self.period.since:
            self._at(row["undone_at"], lambda: self._join(row["moved"], row["merged_id"]))

    def _join(self, moved: Sequence[str], to: str) -> None:
        with self.desk.database.writing() as session:
            root = customers.roots(session, [to]).get(to, to)
            customers.set_root(session, moved, to if to in moved else root)

    def _take_back_merges(self) -> None:
        """Undo what was joined, and join what was parted, since the period began; the latest first."""
        happened: list[tuple[datetime, Sequence[str], str]] = []
        for row in self.period.merges:
            if row["at"] >= self.period.since:
                happened.append((row["at"], row["moved"], row["merged_id"]))
            if row["undone_at"] is not None and row["undone_at"] >= self.period.since:
                happened.append((row["undone_at"], row["moved"], row["kept_id"]))
        for _, moved, to in sorted(happened, key=lambda one: one[0], reverse=True):
            self._join(moved, to)
        if not self.period.cast.as_it_happened:  # whoever comes later comes as themselves
            with self.desk.database.writing() as session:
                session.execute(text("UPDATE later_customers SET root_id = id"))

    def _note_arrivals(self) -> None:
        journeys = Journeys(self.desk.programs)
        query = (
            select(*(column(one.name, one.type) for one in _events.c if one.name in _ARRIVAL))
            .select_from(text("later_events"))
            .where(text("status IN ('accepted', 'historic') AND source <> 'signalpost'"))
            .order_by(text("received_at, id"))
        )
        with self.desk.database.reading() as session:
            rows = list(session.execute(query).mappings())
        for moment, together in groupby(rows, key=lambda row: row["received_at"]):
            some = sorted(together, key=lambda row: row["occurred_at"])
            self._at(moment, lambda some=some: self._arrive(journeys, some))

    def _arrive(self, journeys: Journeys, rows: Sequence[Any]) -> None:
        """Let events do to journeys what they do when they come in."""
        with self.desk.database.writing() as session:
            roots = customers.roots(session, {row["customer_id"] for row in rows})
            arrivals = [
                Arrival(
                    row["id"],
                    row["name"],
                    roots[row["customer_id"]],
                    row["facts"],
                    row["occurred_at"],
                    row["received_at"] - row["occurred_at"] <= self.policy.fresh_for,
                )
                for row in rows
            ]
            journeys.react(session, arrivals, self.clock.now)

    def _answer(self, row: Any) -> None:
        """Give the answer that the customer gave, to the question that stands here in its place."""
        with self.desk.database.writing() as session:
            root = customers.roots(session, [row["customer_id"]]).get(row["customer_id"])
            held = questions.open_now(session, roots=[root] if root else [])
            asked = [one for one in held.get(root or "", []) if one["name"] == row["name"]]
            if asked:
                answers.answer(
                    session,
                    question_id=asked[-1]["id"],
                    value=row["value"],
                    channel=row["channel"],
                    now=self.clock.now,
                    comment=row["comment"],
                )

    # -- runs --------------------------------------------------------------------------------

    def _begin(self, row: Any) -> None:
        """Begin a run that began at this moment, with the campaign as it is played."""
        campaign = self.period.cast.campaigns[row["campaign"]]
        fresh = {
            "version": campaign.version, "status": "approved", "reason": None, "people": None,
            "plan": {}, "started_at": None, "ended_at": None, "run_id": None,
        }  # fmt: skip
        with self.desk.database.writing() as session:
            _keep(session, campaign, self.clock.now)
            campaigns.add_run(session, row={**row, **fresh})
        self._start(row["id"])

    def _start(self, run_id: str) -> None:
        now = self.clock.now
        try:
            launching.start(self.desk, campaign_run_id=run_id, now=now)
        except ConflictError:  # another run of the campaign still goes on, or its series is over
            with self.desk.database.reading() as session:
                run = campaigns.run(session, campaign_run_id=run_id)
            if run is not None and run["status"] == "approved":
                self._at(now + _TRY_AGAIN, lambda: self._start(run_id))

    def _launch(self, planned: Planned) -> None:
        """Launch what the record knows nothing of, as approved; the plan may refuse it."""
        launch, now = planned.launch, self.clock.now
        plan = make_plan(self.desk, launch=launch, now=now, judged=0)  # for its refusals only
        if plan.refusals:
            why = " ".join(plan.refusals)
            self.refused.append(Refusal(launch.occurrence or planned.run_id, now, why))
            return
        row = {
            "id": planned.run_id, "campaign": launch.campaign.name,
            "occurrence": launch.occurrence, "stage": launch.stage, "series": launch.series,
            "facts": dict(launch.facts), "scheduled_at": launch.scheduled_at or now,
            "local_at": launch.local_at.isoformat() if launch.local_at else None,
            "sample_of": launch.sample_of, "created_at": now,
        }  # fmt: skip
        self._at(max(row["scheduled_at"], now), lambda: self._begin(row))

    def _steer(self, row: Any) -> None:
        """Do to a run what somebody did to it; when it is over by now, there is nothing to do."""
        deed = {"paused": launching.pause, "resumed": launching.resume}.get(
            row["act"], launching.cancel
        )
        try:
            deed(self.desk, campaign_run_id=row["campaign_run_id"], by=BY, now=self.clock.now)
        except ConflictError:
            return

    # -- what is due -------------------------------------------------------------------------

    async def _do_due(self) -> None:
        busy = True
        while busy:
            busy = await self._journeys_due() or await self._campaigns_due()

    async def _journeys_due(self) -> bool:
        if self.period.cast.programs is None:
            return False
        busy = False
        for lane in Lane:
            for claim in claim_due(self.desk, lane=lane, now=self.clock.now):
                busy = True
                await advance(self.desk, claim_id=claim.id, units=Direct(self.desk), run_id=None)
        return busy

    async def _campaigns_due(self) -> bool:
        claims = sending.claim_shards(
            self.desk, now=self.clock.now, limit=1, except_campaigns=self._waiting()
        )
        for claim in claims:
            await sending.send_shard(
                self.desk,
                claim=claim,
                run_id=None,
                stop=lambda name=claim.campaign: name in self._waiting(),
            )
        return bool(claims)

    def _waiting(self) -> dict[str, datetime]:
        """Give the campaigns that wait for the pace of a provider, and until when."""
        paced = [one for one in self.period.cast.campaigns.values() if one.pace]
        if not paced:
            return {}
        with self.desk.database.reading() as session:
            free = {row.channel: row.next_free_at for row in session.execute(select(_pace))}
        until = {
            one.name: max(free.get(channel, self.clock.now) for channel in one.pace)
            for one in paced
        }
        return {name: moment for name, moment in until.items() if moment > self.clock.now}

    def _next(self) -> datetime | None:
        moments = [self._stops[0][0]] if self._stops else []
        if (due := self._enrolment_due()) is not None:
            moments.append(due)
        moments += self._shards_due()
        return min(moments, default=None)

    def _shards_due(self) -> list[datetime]:
        waiting = self._waiting()
        with self.desk.database.reading() as session:
            if not waiting:
                due = sending.next_due(session)
                return [due] if due is not None else []
            found = []
            for run in campaigns.runs(session, statuses=("running",)):
                for shard in campaign_people.shards(session, campaign_run_id=run["id"]):
                    if shard["due_at"] is not None:
                        free = waiting.get(run["campaign"], shard["due_at"])
                        found.append(max(shard["due_at"], free))
            return found


_ARRIVAL = ("id", "name", "customer_id", "facts", "occurred_at", "received_at")


def _keep(session: Any, campaign: Campaign, now: datetime) -> None:
    campaigns.keep_version(
        session,
        row={
            "version": campaign.version,
            "campaign": campaign.name,
            "definition": dict(campaign.definition),
            "first_seen_at": now,
        },
    )
