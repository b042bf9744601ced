"""Asks SendGrid what it took: ``POST /v3/logs`` by address and time, then each mail's own arguments.

The search does not know custom arguments, the detail (``GET /v3/logs/{id}``) does: they name the
delivery, so what is found is certain. Made for single people; a whole campaign is not asked for so.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from signalpost.domain.delivery import Inbound, Receipt, Sought
from signalpost.domain.text import could_be
from signalpost.domain.vocabulary import ReceiptKind
from signalpost.providers.sendgrid.client import connect
from signalpost.providers.sendgrid.settings import SendGridSettings
from signalpost.providers.sendgrid.webhooks import KINDS

log = structlog.get_logger(__name__)

_SKEW = timedelta(seconds=60)  #: their clock and ours differ, and theirs is asked by whole seconds
_LATER = timedelta(minutes=30)
_MOST = 50  #: mails to one address in half an hour
#: The words of the logs where the event webhook has others.
_STATUSES = {"bounced": ReceiptKind.BOUNCED, "not_delivered": ReceiptKind.FAILED}


class SendGridTracer:
    """Asks every account of ours, the second one too."""

    name = "sendgrid"
    is_forgetful = False  # an event is repeated for a day

    def __init__(self, *accounts: SendGridSettings) -> None:
        self._accounts = accounts

    async def trace(self, sought: Sought, *, now: datetime) -> Sequence[Receipt] | None:
        """Give the mail that carries this delivery's id, if there is one."""
        found: list[Receipt] = []
        for settings in self._accounts:
            try:
                found += await asyncio.to_thread(_find, settings, sought, now)
            except Exception as error:  # not reached, not allowed, not understood: nothing is known
                log.warning("trace.failed", provider=self.name, error=type(error).__name__)
                return None
            if found and sought.until is None:
                break
        return found

    async def received(self, *, since: datetime) -> Sequence[Inbound] | None:
        """Give nothing: SendGrid keeps no list of what people wrote."""
        del since
        return None


def _find(settings: SendGridSettings, sought: Sought, now: datetime) -> list[Receipt]:
    client: Any = connect(settings)
    latest = (sought.until or sought.since + _LATER) + _SKEW
    query = (
        f'to_email="{sought.address}" '
        f'AND sg_message_id_created_at >= TIMESTAMP "{_moment(sought.since - _SKEW)}" '
        f'AND sg_message_id_created_at <= TIMESTAMP "{_moment(latest)}"'
    )
    body = json.dumps({"query": query, "limit": _MOST}).encode()
    listed = json.loads(client.carrying(body).logs.post(request_body={}).body)
    alike: list[Receipt] = []
    for row in listed["messages"]:
        mail = json.loads(client.logs._(row["sg_message_id"]).get().body)
        if (mail.get("custom_args") or {}).get("x_delivery_id") == sought.delivery_id:
            return [_receipt(mail, sought, now)]
        if sought.until is not None and could_be(sought.parts["subject"], mail["subject"]):
            # Its ids are lost with the record: whether it is this one, the caller finds out.
            alike.append(replace(_receipt(mail, sought, now), message_id=None))
    return alike


def _receipt(mail: dict[str, Any], sought: Sought, now: datetime) -> Receipt:
    status = str(mail.get("status", "")).lower()
    kind = _STATUSES.get(status) or KINDS.get(status) or ReceiptKind.QUEUED
    id_ = str(mail["sg_message_id"])
    return Receipt(
        provider=SendGridTracer.name,
        keys=(f"log:{id_}:{status}",),
        kind=kind,
        at=now,
        message_id=sought.message_id,
        provider_id=id_.split(".filter")[0].split(".recv")[0],
        address=sought.address,
        raw={"sg_message_id": id_, "status": status, "from": "logs"},
    )


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
