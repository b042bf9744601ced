"""The runs of campaigns, as pages and as JSON. They show; what is done is done by the commands."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from signalpost.bootstrap import Signalpost
from signalpost.content.campaigns import Folder
from signalpost.domain.access import Area
from signalpost.services.campaigns import report_words, results
from signalpost.services.reading import campaign_files, runs
from signalpost.web import page_words
from signalpost.web.api import ApiDoor, Id, Limit
from signalpost.web.doorkeeper import Doorkeeper, Route
from signalpost.web.page_door import PageDoor

Name = Annotated[str, Query(max_length=100)]
Outcome = Literal["sent", "skipped", "held_out", "set_aside", "cancelled", "open"]


def router(signalpost: Signalpost, *, doorkeeper: Doorkeeper) -> APIRouter:
    """Make the pages."""
    door = _Pages(signalpost)
    routes = APIRouter(
        include_in_schema=False,
        default_response_class=HTMLResponse,
        route_class=Route,
        dependencies=[doorkeeper.needs(Area.CAMPAIGNS, page=True)],
    )
    routes.add_api_route("/campaigns", door.campaigns, methods=["GET"])
    routes.add_api_route("/campaigns/{run_id}", door.run, methods=["GET"])
    routes.add_api_route("/campaigns/{run_id}/progress", door.progress, methods=["GET"])
    routes.add_api_route("/campaigns/{run_id}/people", door.people, methods=["GET"])
    routes.add_api_route("/campaigns/{run_id}/results", door.results, methods=["GET"])
    return routes


def json_router(signalpost: Signalpost, *, doorkeeper: Doorkeeper) -> APIRouter:
    """Make the routes that read campaigns."""
    door = _Json(signalpost)
    needs = [doorkeeper.needs(Area.CAMPAIGNS)]
    routes = APIRouter(prefix="/v1", tags=["campaigns"], route_class=Route, dependencies=needs)
    routes.add_api_route("/campaigns", door.campaigns, methods=["GET"])
    routes.add_api_route("/campaigns/{run_id}", door.run, methods=["GET"])
    routes.add_api_route("/campaigns/{run_id}/results", door.results, methods=["GET"])
    return routes


class _Pages(PageDoor):
    """The handlers of the pages."""

    def __init__(self, signalpost: Signalpost) -> None:
        super().__init__(signalpost)
        self._folder = Folder(signalpost.settings.campaigns, signalpost.catalogue)
        self._prices = signalpost.desk.sms_prices or None

    async def campaigns(self, request: Request) -> Response:
        """Show the newest runs with how far they are, and the files."""
        now = self.now()
        found = await self.read(lambda s: runs.listed(s, now=now))
        campaigns = await run_in_threadpool(self._folder.read)
        files = await self.read(lambda s: campaign_files.filed(s, campaigns=campaigns, now=now))
        values = {"found": found, "files": files, "problems": campaigns.problems}
        return self.show(request, "campaigns.html", here="campaigns", **values)

    async def run(self, request: Request, run_id: Id) -> Response:
        """Show one run: the plan as approved, how far it is, outcomes by reason, who did what."""
        found = await self._run(run_id)
        values = {"one": found, "prefect": self.settings.prefect_url, "here": "campaigns"}
        return self.show(request, "campaign.html", **values)

    async def progress(self, request: Request, run_id: Id) -> Response:
        """Give how far it is alone, for the page that shows it."""
        return self.show(request, "_progress.html", one=await self._run(run_id), here="campaigns")

    async def people(
        self,
        request: Request,
        run_id: Id,
        outcome: Outcome = "open",
        reason: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Show some of its people who have one outcome, each with why."""
        found = await self._run(run_id)
        chosen = None if outcome == "open" else outcome
        people = await self.read(
            lambda s: runs.people(s, campaign_run_id=found.run.id, outcome=chosen, reason=reason)
        )
        values = {"people": people, "outcome": outcome, "tz": page_words.UTC_ZONE}
        return self.show(request, "campaign_people.html", one=found, here="campaigns", **values)

    async def results(self, request: Request, run_id: Id) -> Response:
        """Give what it brought about alone, for its page; an answer is kept by the command, not here."""
        now = self.now()
        found = await self.read(
            lambda s: results.results(s, campaign_run_id=run_id, now=now, prices=self._prices)
        )
        values = {
            "found": found,
            "says": report_words.verdicts(found.experiment),
            "parts": report_words.parts(found),
        }
        return self.show(request, "_results.html", here="campaigns", **values)

    async def _run(self, run_id: str) -> runs.RunSheet:
        now = self.now()
        return await self.read(lambda s: runs.run_sheet(s, which=run_id, now=now))


class _Json(ApiDoor):
    """The handlers of the JSON."""

    def __init__(self, signalpost: Signalpost) -> None:
        super().__init__(signalpost)
        self._clock = signalpost.desk.clock
        self._folder = Folder(signalpost.settings.campaigns, signalpost.catalogue)
        self._prices = signalpost.desk.sms_prices or None

    async def campaigns(self, campaign: Name | None = None, limit: Limit = 50) -> dict[str, Any]:
        """The campaigns as their files are, what is wrong with others, and the newest runs."""
        now = self._clock()
        found = await self.read(
            lambda s: runs.listed(s, campaign=campaign, limit=min(limit, 200), now=now)
        )
        campaigns = await run_in_threadpool(self._folder.read)
        files = await self.read(lambda s: campaign_files.filed(s, campaigns=campaigns, now=now))
        return {
            "campaigns": [one.to_json() for one in files if campaign in (None, one.campaign.name)],
            "problems": [str(one) for one in campaigns.problems],
            "runs": [one.to_json() for one in found],
        }

    async def run(self, run_id: Id) -> dict[str, Any]:
        """One run, or a campaign's latest: progress, outcomes by reason, acts, plan, definition."""
        now = self._clock()
        found = await self.read(lambda s: runs.run_sheet(s, which=run_id, now=now))
        more = {"plan": dict(found.run.plan), "definition": dict(found.definition)}
        return found.to_json() | more

    async def results(self, run_id: Id) -> dict[str, Any]:
        """What a run brought about: messages, what came back, orders, and the experiment."""
        now = self._clock()
        found = await self.read(
            lambda s: results.results(s, campaign_run_id=run_id, now=now, prices=self._prices)
        )
        return found.to_json()
