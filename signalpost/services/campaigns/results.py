"""What a campaign brought about: who got it, what came back, what it changed, which orders it is owed.

``results`` reads one run, ``results_of_campaign`` all runs of a campaign together; both only read.
``look`` also keeps a verdict that is known for the first time, so that it stands whoever looks again.
docs/measuring.md tells the rules.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content.campaigns import from_definition
from signalpost.domain.campaign import Campaign
from signalpost.domain.vocabulary import Channel
from signalpost.errors import NotFoundError
from signalpost.record import campaign_orders, campaigns
from signalpost.record import campaign_results as record
from signalpost.services.campaigns import report_markdown, report_words, runs, texts
from signalpost.services.campaigns.measuring import Ran, Trial, keep
from signalpost.services.campaigns.reported import ByChannel, Figures, Outcome, Owed, Texts
from signalpost.services.campaigns.texts import Prices
from signalpost.services.desk import Desk


class Results(Figures):
    """What a run, or all runs of a campaign, brought about, as of ``made_at``."""

    def markdown(self, *, base_url: str = "") -> str:
        """Write the report: what is known in plain words, then the tables."""
        return report_markdown.write(self, base_url=base_url)

    def csv(self) -> str:
        """Give orders and revenue before and after, as comma-separated values: a row for each group."""
        return report_words.csv(self)


def results(
    session: Session, *, campaign_run_id: str, now: datetime, prices: Prices | None = None
) -> Results:
    """Say what one run brought about.

    In the experiment of a recurring campaign's run only those count who came into it with this run:
    the others were treated, or kept from it, before. ``prices``: of a segment of a text message,
    by country; None: no cost is given.

    Raises:
        NotFoundError: there is no such run, or it has not begun.
    """
    found = runs.find(session, which=campaign_run_id)
    return _Reader(session, found.campaign, found.id, now, prices).read()


def results_of_campaign(
    session: Session, *, campaign: str, now: datetime, prices: Prices | None = None
) -> Results:
    """Say what all runs of a campaign together brought about: a person counts from their first decision.

    Raises:
        NotFoundError: no run of a campaign of that name has begun.
    """
    return _Reader(session, campaign, None, now, prices).read()


def look(
    desk: Desk,
    *,
    which: str,
    now: datetime,
    whole_campaign: bool = False,
    prices: Prices | None = None,
) -> Results:
    """Say what a run (by its id, or a campaign's latest) brought about, and keep what is now known.

    Raises:
        NotFoundError: there is no such run or campaign, or it has not begun.
    """

    def read(session: Session) -> Results:
        run = runs.find(session, which=which)
        if whole_campaign:
            return results_of_campaign(session, campaign=run.campaign, now=now, prices=prices)
        return results(session, campaign_run_id=run.id, now=now, prices=prices)

    with desk.database.reading() as session:
        found = read(session)
    if not found.new_verdicts:
        return found
    with desk.database.writing() as session:
        # Of two who look at once, the second finds what the first has kept.
        campaigns.run(session, campaign_run_id=found.run_ids[-1], lock=True)
        found = read(session)
        if found.new_verdicts:
            keep(session, found, now=now)
    return found


class _Reader:
    def __init__(
        self,
        session: Session,
        campaign: str,
        campaign_run_id: str | None,
        now: datetime,
        prices: Prices | None,
    ) -> None:
        self.session, self.now, self.prices = session, now, prices
        self.versions: dict[str, Campaign] = {}
        every = [
            Ran(row, _campaign(self.versions, row))
            for row in record.runs_of(session, campaign=campaign)
        ]
        self.ran = [one for one in every if campaign_run_id in (None, one.id)]
        if not self.ran:
            raise NotFoundError(
                f"Nobody was asked yet by {campaign_run_id or campaign}: a run has results once it has "
                "begun. `signalpost campaign status` says what it waits for."
            )
        self.ids = [one.id for one in self.ran]
        self.whole_campaign = campaign_run_id is None
        ended = max(one.row["ended_at"] or now for one in self.ran)
        among = [one for one in every if one.began <= ended]  # what began later decided later
        self.trial = Trial(
            session, ran=self.ran, among=among, whole_campaign=self.whole_campaign, now=now
        )

    def read(self) -> Results:
        """Read everything."""
        last = self.ran[-1]
        outcomes = record.outcomes(self.session, runs=self.ids)
        return Results(
            title=last.campaign.name if self.whole_campaign else runs.Run.of(last.row).title,
            campaign=last.campaign.name,
            whole_campaign=self.whole_campaign,
            run_ids=self.ids,
            status=last.row["status"],
            made_at=self.now,
            people=sum(row["people"] for row in outcomes),
            outcomes=[
                Outcome(
                    outcome=row["outcome"] or "open",
                    reason=row["reason"] or "",
                    people=row["people"],
                )
                for row in outcomes
            ],
            channels=(channels := self.channels()),
            owed=self.owed.get(None, Owed()),
            texts=self.texts(channels),
            experiment=self.trial.experiment(),
            periods=self.trial.periods(),
        )

    def channels(self) -> list[ByChannel]:
        """Say what became of the messages, channel by channel."""
        statuses = _by(record.messages(self.session, runs=self.ids), "status")
        back = record.came_back(self.session, runs=self.ids)
        by_people = _by([row for row in back if not row["machine"]], "kind")
        by_machines = _by([row for row in back if row["machine"]], "kind")
        within = self.trial.success.within
        replied = record.replied(self.session, runs=self.ids, since=self.since, within=within)
        return [
            ByChannel(
                channel=channel,
                statuses=statuses[channel],
                came_back=by_people.get(channel, {}),
                machines=by_machines.get(channel, {}),
                replied=replied.get(channel, 0),
                owed=self.owed.get(channel, Owed()),
            )
            for channel in sorted(statuses)
        ]

    @property
    def since(self) -> datetime:
        """When the first run began."""
        return min(one.began for one in self.ran)

    @property
    def until(self) -> datetime:
        """Up to when an order may still be owed to them."""
        within = self.trial.success.within
        return max((one.row["ended_at"] or self.now) + within for one in self.ran)

    @cached_property
    def owed(self) -> dict[str | None, Owed]:
        """Count the orders that are owed to these runs: by channel, and in all (None)."""
        what = self.trial.success
        rivals = {one.id: one.campaign.measure.within for one in self.ran}
        for row in campaign_orders.overlapping(self.session, since=self.since, until=self.until):
            measure = _campaign(self.versions, row).measure
            if measure.event == what.event:
                rivals.setdefault(row["id"], measure.within)
        rows = campaign_orders.attributed(
            self.session,
            runs=self.ids,
            rivals=rivals,
            what=what,
            since=self.since,
            until=self.until,
        )
        money: dict[str | None, dict[str, int]] = defaultdict(dict)
        for row in rows:
            if row["currency"]:
                money[row["channel"]][row["currency"]] = row["revenue"]
        return {
            row["channel"]: Owed(
                buyers=row["people"], orders=row["orders"], revenue=money[row["channel"]]
            )
            for row in rows
            if row["currency"] is None
        }

    def texts(self, channels: Sequence[ByChannel]) -> Texts | None:
        """Say what the text messages took and cost."""
        sent = sum(one.handed_over for one in channels if one.channel == Channel.SMS)
        if not sent:
            return None
        plans = [ran.row["plan"] for ran in self.ran]
        return texts.took(self.session, runs=self.ids, plans=plans, sent=sent, prices=self.prices)


def _campaign(versions: dict[str, Campaign], row: RowMapping) -> Campaign:
    if row["version"] not in versions:
        versions[row["version"]] = from_definition(row["definition"])
    return versions[row["version"]]


def _by(rows: Sequence[RowMapping], name: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        found[row["channel"]][row[name]] = row["messages"]
    return dict(found)
