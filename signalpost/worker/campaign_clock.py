"""The clock of the campaigns: the marketing worker launches what their schedules say, by itself.

Prefect shows the schedules, and what is paused or changed there counts. To fire they do not need it:
the record says how far each schedule has been followed.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse

from signalpost.content.campaigns import Folder
from signalpost.domain.campaign import Campaign, Schedule
from signalpost.services.campaigns.following import Told, follow, forget
from signalpost.services.desk import Desk
from signalpost.worker.campaign_deployments import files_in
from signalpost.worker.campaign_schedules import schedule_from
from signalpost.worker.deployments import digest
from signalpost.worker.prefect_view import PrefectView
from signalpost.worker.registering import OURS, said, schedule_told

log = structlog.get_logger()

LOOK_EVERY = 3.0  #: seconds between looks at the clock


class CampaignClock:
    """Follows the schedules of the campaigns in a folder."""

    def __init__(self, desk: Desk, *, view: PrefectView, folder: Path) -> None:
        self._desk = desk
        self._view = view
        self._folder = Folder(folder, desk.catalogue)
        self._strange: set[str] = set()

    async def look(self) -> None:
        """Launch what has come since the last look; raises what the record raises."""
        await asyncio.to_thread(self._follow, self._view.campaigns)

    def _follow(self, there: Mapping[str, DeploymentResponse]) -> None:
        found = self._folder.read()
        for name, campaign in found.items():
            try:
                runs = follow(
                    self._desk,
                    campaign=campaign,
                    told=self._told(campaign, there[name]) if name in there else None,
                    now=self._desk.clock(),
                )
            except Exception as error:  # it is tried again at the next look, the others go on
                log.warning("campaigns.not_launched", campaign=name, error=type(error).__name__)
                continue
            for run in runs:
                log.info("campaigns.came", campaign=name, at=run.occurrence, status=run.status)
        forget(self._desk, except_for=[*found, *files_in(self._folder.path)])

    def _told(self, campaign: Campaign, there: DeploymentResponse) -> Told:
        """Read what Prefect says of a campaign, which may be of an older version of its file."""
        told = schedule_told(there)
        active = [one for one in there.schedules if one.active]
        paused = there.paused or bool(there.schedules and not active)
        counted = active or there.schedules
        ours = [one for one in counted if one.slug == OURS and digest(said(one)) == told]
        if counted == ours and bool(ours) is (told != digest(None)):
            return Told(paused=paused)
        read = [campaign.schedule if one in ours else self._read(campaign, one) for one in counted]
        return Told(paused=paused, changed=tuple(one for one in read if one is not None))

    def _read(self, campaign: Campaign, one: DeploymentSchedule) -> Schedule | None:
        found = schedule_from(said(one), campaign.schedule)
        if found is None and str(one.id) not in self._strange:
            self._strange.add(str(one.id))
            log.warning(
                "campaigns.strange_schedule",
                campaign=campaign.name,
                remedy="in Prefect, give it as cron, or as an RRULE with a time of day",
            )
        return found
