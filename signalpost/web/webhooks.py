"""Where SendGrid and Twilio tell us what happened: verified on the raw bytes, then written, then 2xx.

A forged call is answered 403 without a word more, leaves nothing on the record, and is counted. Our
public address is a setting; what a request says about it (``Host``, ``X-Forwarded-*``) is not believed.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from fastapi import APIRouter, HTTPException, Request, Response

from signalpost.bootstrap import Signalpost
from signalpost.crash_points import reach
from signalpost.domain.delivery import Inbound, Receipt
from signalpost.errors import BadInputError
from signalpost.providers import sendgrid, twilio
from signalpost.services.inbound import receipts, replies
from signalpost.services.watching import spans
from signalpost.telemetry import meters
from signalpost.vendors import (
    SENDGRID_EVENTS,
    TWILIO_INBOUND,
    TWILIO_STATUS,
    sendgrid_settings,
    twilio_settings,
)
from signalpost.web import edge
from signalpost.web.doorkeeper import Doorkeeper, Route

#: SendGrid sends up to 30 seconds of events; Twilio's forms are small.
MOST_EVENTS_BYTES = 8 * 1024 * 1024
MOST_FORM_BYTES = 256 * 1024

log = structlog.get_logger(__name__)


def _nothing() -> None:
    """Nobody to wake: the worker polls."""


def router(
    signalpost: Signalpost,
    *,
    doorkeeper: Doorkeeper,
    on_commit: Callable[[], None] = _nothing,
) -> APIRouter:
    """Make the webhooks; ``on_commit`` is called when something was written that a worker may await."""
    door = _Door(signalpost, on_commit)
    routes = APIRouter(
        include_in_schema=False,
        route_class=Route,
        dependencies=[doorkeeper.public("the vendor's signature over the raw body")],
    )
    for path in dict.fromkeys(("/webhooks/sendgrid/events", SENDGRID_EVENTS)):
        routes.add_api_route(path, door.sendgrid_events, methods=["POST"])
    routes.add_api_route(TWILIO_STATUS, door.twilio_status, methods=["POST"])
    routes.add_api_route(TWILIO_INBOUND, door.twilio_inbound, methods=["POST"])
    return routes


def _refused(provider: str) -> HTTPException:
    """Count and log a forged call, of which nothing else is known that could be believed."""
    meters.REFUSED_WEBHOOKS.labels(provider).inc()
    log.warning("webhook.refused", provider=provider)
    return HTTPException(403)


class _Door:
    """The handlers, with the keys they verify by."""

    def __init__(self, signalpost: Signalpost, on_commit: Callable[[], None]) -> None:
        settings = signalpost.settings
        self._desk = signalpost.desk
        self._database = signalpost.database
        self._on_commit = on_commit
        self._public_url = settings.base_url
        self._sendgrid_keys = sendgrid_settings(settings, brand="").webhook_public_keys
        self._twilio_tokens = twilio_settings(settings).auth_tokens
        self._callback_secrets = settings.links_signed_with

    async def sendgrid_events(self, request: Request) -> Response:
        """Take a batch of mail events."""
        raw = await edge.body_of(request, limit=MOST_EVENTS_BYTES)
        if not sendgrid.verify_events(raw, request.headers, self._sendgrid_keys):
            raise _refused("sendgrid")
        now = self._desk.clock()
        try:
            given = sendgrid.parse_events(raw, now=now)
        except BadInputError as error:
            raise HTTPException(400, str(error)) from error
        await self._record(given, now)
        return Response(status_code=204)

    async def twilio_status(self, request: Request) -> Response:
        """Take the news of one text message."""
        form = await self._twilio_form(request)
        query = dict(request.query_params)
        ours = twilio.callback_is_ours(query, self._callback_secrets)
        if "m" in query and not ours:
            raise _refused("twilio")
        now = self._desk.clock()
        await self._record([twilio.parse_status(form, query=query if ours else None, now=now)], now)
        return Response(status_code=204)

    async def twilio_inbound(self, request: Request) -> Response:
        """Take a text message from a customer, and answer it when there is something to say."""
        form = await self._twilio_form(request)
        if not twilio.is_whole(form):
            raise _refused("twilio")
        now = self._desk.clock()
        inbound = twilio.parse_inbound(form, now=now)
        taken = await edge.in_transaction(partial(self._take, inbound, now))
        reach("reply.committed")
        log.info("reply.received", reply_id=taken.reply_id, meaning=taken.meaning)
        if taken.woke:
            self._on_commit()
        return Response(twilio.answer(taken.answer), media_type="text/xml")

    async def _twilio_form(self, request: Request) -> dict[str, str]:
        raw = await edge.body_of(request, limit=MOST_FORM_BYTES)
        query = request.url.query
        url = self._public_url + request.url.path + (f"?{query}" if query else "")
        if not twilio.verify(url, raw, request.headers, self._twilio_tokens):
            raise _refused("twilio")
        return edge.form_of(raw)

    async def _record(self, given: list[Receipt], now: datetime) -> None:
        def work() -> receipts.Recorded:
            with self._database.writing() as session:
                recorded = receipts.record(
                    session,
                    given=given,
                    now=now,
                    fingerprints=self._desk.forgetting.fingerprints,
                )
                spans.of_receipts(session, given=given)
                reach("receipt.writing")
            return recorded

        done = await edge.in_transaction(work)
        reach("receipt.committed")
        log.info(
            "receipts.recorded", new=done.new, repeated=done.repeated, unmatched=done.unmatched
        )

    def _take(self, inbound: Inbound, now: datetime) -> replies.Taken:
        with self._database.writing() as session:
            taken = replies.take(session, inbound=inbound, desk=self._desk, now=now)
            reach("reply.writing")
        return taken
