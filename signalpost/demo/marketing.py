"""The marketing department: somebody launches a campaign, somebody else reads its plan and approves it.

Both do what ``signalpost campaign launch`` and ``approve`` do, with the names kept on the record.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlmodel import col

from signalpost.errors import NotFoundError
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.messages import Message
from signalpost.services.campaigns import launching, results, runs
from signalpost.services.campaigns.plan import Plan
from signalpost.services.campaigns.reported import Figures
from signalpost.services.campaigns.runs import Launch
from signalpost.services.desk import Desk
from signalpost.services.reading import runs as sheets
from signalpost.services.reading.runs import RunSheet

FILES = Path(__file__).parent / "data" / "campaigns"
CAMPAIGN = "spring-weekend"
MARKETER, HEAD = "Ines Duarte", "Henrik Vale"


class Marketing:
    """Launches, approves, and reads how the campaign's run stands."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def launch(self, *, now: datetime) -> Plan:
        """Launch the campaign; gives the plan that is kept with its run.

        Raises:
            BadInputError: it cannot be launched, and why.
        """
        wanted = Launch(campaign=self._desk.campaigns[CAMPAIGN])
        run = launching.launch(self._desk, launch=wanted, by=MARKETER, now=now)
        return Plan.from_json(run.plan)

    def approve(self, *, now: datetime) -> None:
        """Approve the run, having seen its plan.

        Raises:
            ConflictError: it does not wait for approval.
        """
        with self._desk.database.reading() as session:
            run = runs.find(session, which=CAMPAIGN)
        seen = str(run.plan["digest"])
        launching.approve(self._desk, campaign_run_id=run.id, by=HEAD, seen=seen, now=now)

    def sheet(self, *, now: datetime) -> RunSheet | None:
        """Say how the run stands; None before there is one."""
        with self._desk.database.reading() as session:
            try:
                return sheets.run_sheet(session, which=CAMPAIGN, now=now)
            except NotFoundError:
                return None

    def people(self) -> Sequence[CampaignPerson]:
        """Give what was decided for each of the run's people."""
        with self._desk.database.reading() as session:
            run = runs.find(session, which=CAMPAIGN)
            query = select(CampaignPerson).where(col(CampaignPerson.campaign_run_id) == run.id)
            return session.scalars(query).all()

    def flow_run(self) -> str | None:
        """Give the id of the Prefect flow run that sent to the first of them."""
        query = select(col(Message.run_id)).where(col(Message.campaign_run_id).is_not(None))
        with self._desk.database.reading() as session:
            return session.scalar(query.order_by(Message.id).limit(1))

    def report(self, *, now: datetime) -> Figures:
        """Say what the run brought about so far."""
        with self._desk.database.reading() as session:
            run = runs.find(session, which=CAMPAIGN)
            return results.results(session, campaign_run_id=run.id, now=now)
