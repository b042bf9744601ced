"""``/metrics``: the figures of the record and of this process, for Prometheus."""

from fastapi import APIRouter, Depends, Response
from starlette.concurrency import run_in_threadpool

from signalpost.bootstrap import Signalpost
from signalpost.services.watching.panel import CONTENT_TYPE, Panel
from signalpost.web.api import ApiDoor


def router(signalpost: Signalpost) -> APIRouter:
    """Make the route; whoever scrapes sends a key as bearer token, as for the rest of the record."""
    panel = Panel(signalpost.database, clock=signalpost.desk.clock)
    door = ApiDoor(signalpost)
    routes = APIRouter(include_in_schema=False, dependencies=[Depends(door.check)])

    async def metrics() -> Response:
        """Give every figure; that the record is away is a figure too."""
        return Response(await run_in_threadpool(panel.text), media_type=CONTENT_TYPE)

    routes.add_api_route("/metrics", metrics, methods=["GET"])
    return routes
