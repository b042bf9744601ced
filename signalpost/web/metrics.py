"""``/metrics``: the figures of the record and of this process, for Prometheus."""

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from signalpost.bootstrap import Signalpost
from signalpost.domain.access import Area
from signalpost.services.watching.panel import CONTENT_TYPE, Panel
from signalpost.web.doorkeeper import Doorkeeper, Route


def router(signalpost: Signalpost, *, doorkeeper: Doorkeeper) -> APIRouter:
    """Make the route; whoever scrapes sends a key as bearer token, as for the rest of the record."""
    panel = Panel(signalpost.database, clock=signalpost.desk.clock)
    needs = [doorkeeper.needs(Area.METRICS)]
    routes = APIRouter(include_in_schema=False, route_class=Route, dependencies=needs)

    async def metrics() -> Response:
        """Give every figure; that the record is away is a figure too."""
        return Response(await run_in_threadpool(panel.text), media_type=CONTENT_TYPE)

    routes.add_api_route("/metrics", metrics, methods=["GET"])
    return routes
