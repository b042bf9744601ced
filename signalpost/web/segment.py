"""Segment's HTTP tracking API, so that its official clients and RudderStack's work unchanged.

``POST /v1/{batch,import,track,identify,page,screen,group,alias}`` and the one-letter forms. The answer
is exactly 200 with ``{"success": true}`` once everything is committed. As with Segment, an event that
cannot be acted on is still answered 200: it is on the record, parked with its reason. 400 is for
malformed JSON and for events over 32 KB, 413 for a body over 500 KB, 401 for a wrong key, 403 for a
fraud signal without a key of the scope ``risk``, 429 for too many; then nothing of the request was kept.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from signalpost.domain.access import Area
from signalpost.domain.events import moment, snake, well_formed
from signalpost.record.base import new_id
from signalpost.services.intake.signals import Signal
from signalpost.web import bodies
from signalpost.web.committer import Committer
from signalpost.web.doorkeeper import Doorkeeper, declared
from signalpost.web.errors import Problem

SOURCE = "segment"
LARGEST_EVENT = 32 * 1024
LARGEST_BODY = 500 * 1024
MOST_EVENTS = 2_500

#: Segment's e-commerce spec in our words; names are compared without case.
NAMES = {
    "order completed": "order.placed",
    "order updated": "order.updated",
    "order cancelled": "order.cancelled",
    "order canceled": "order.cancelled",
    "order refunded": "order.returned",
    "order returned": "order.returned",
    "order ready for pickup": "order.ready_for_pickup",
    "order picked up": "order.picked_up",
    "payment info entered": "payment.entered",
    "payment approved": "payment.approved",
    "coupon applied": "promotion.redeemed",
    "coupon entered": "promotion.entered",
    "coupon denied": "promotion.denied",
    "coupon removed": "promotion.removed",
    "promotion viewed": "promotion.viewed",
    "promotion clicked": "promotion.clicked",
    "cart viewed": "cart.viewed",
    "product added": "cart.updated",
    "product removed": "cart.updated",
    "checkout started": "checkout.started",
    "live chat conversation started": "chat.started",
    "live chat conversation ended": "chat.ended",
    "product viewed": "product.viewed",
    "product clicked": "product.clicked",
    "consent granted": "consent.granted",
    "consent withdrawn": "consent.withdrawn",
    "consent requested": "consent.requested",
}

#: These tell one change to a cart; its product's fields are the event's own.
CHANGES = {"product added": "added", "product removed": "removed"}

#: What the calls other than track are called on the record.
CALLS = {
    "identify": "customer.identified",
    "page": "page.viewed",
    "screen": "screen.viewed",
    "group": "customer.grouped",
    "alias": "customer.aliased",
}

_LETTERS = {"b": "batch", "t": "track", "i": "identify", "p": "page", "s": "screen"} | {
    "g": "group",
    "a": "alias",
}
_BATCHES = ("batch", "import")
_TRANSPORT = ("sentAt", "writeKey")  #: differ between tries of one event
_REFERENCES = {"order_id", "payment_id", "charge_id"}
_SUCCESS = b'{"success": true}'


def routes(committer: Committer, *, doorkeeper: Doorkeeper) -> list[BaseRoute]:
    """Return the routes of the tracking API."""

    async def take(request: Request) -> Response:
        try:
            return await _take(request, committer, doorkeeper)
        except Problem as problem:
            return problem.response()

    return [
        declared(
            Route(f"/v1/{kind}{slash}", take, methods=["POST"], name=f"segment.{kind}"),
            area=Area.SIGNALS,
        )
        for kind in (*_BATCHES, "track", *CALLS, *_LETTERS)
        for slash in ("", "/")
    ]


async def _take(request: Request, committer: Committer, doorkeeper: Doorkeeper) -> Response:
    key = bodies.key_of(request)
    grant = await doorkeeper.sender(request, key) if key is not None else None
    body = bodies.parse(await bodies.read(request, limit=LARGEST_BODY))
    if not isinstance(body, dict):
        raise Problem(400, "the body must be a JSON object")
    if grant is None:
        key = body.get("writeKey")
        grant = await doorkeeper.sender(request, key if isinstance(key, str) else None)
    kind = request.scope["path"].strip("/").rsplit("/", 1)[-1]
    kind = _LETTERS.get(kind, kind)
    items = _items(body) if kind in _BATCHES else [body]
    now = committer.clock()
    sent_at = body.get("sentAt")
    implied = None if kind in _BATCHES else kind
    signals = [
        read(item, kind=implied, sent_at=sent_at, now=now, where=f"batch[{place}]")
        for place, item in enumerate(items)
    ]
    doorkeeper.count_signals(grant, signals)
    doorkeeper.check_signals(grant, signals)
    await committer.submit(signals)
    return Response(_SUCCESS, media_type="application/json")


def _items(body: Mapping[str, Any]) -> list[Any]:
    items = body.get("batch")
    if not isinstance(items, list):
        raise Problem(400, "batch must be a list of events", where="batch")
    if len(items) > MOST_EVENTS:
        raise Problem(
            400, f"a batch holds at most {MOST_EVENTS:,} events; send several", where="batch"
        )
    if isinstance(context := body.get("context"), dict):  # the batch's, for events without one
        for item in items:
            if isinstance(item, dict):
                item.setdefault("context", context)
    return items


def read(
    item: Any, *, kind: str | None, sent_at: object, now: datetime, where: str = "body"
) -> Signal:
    """Turn one Segment event into a signal; what cannot be read makes a signal with a problem.

    Raises:
        Problem: 400, when it is larger than 32 KB or nested too deep.
    """
    if not isinstance(item, dict):
        return _unreadable(item, "bad_event: must be a JSON object", now)
    for key in _TRANSPORT:
        if key in item:
            item = {k: v for k, v in item.items() if k not in _TRANSPORT}
            break
    whole = bodies.packed(item)
    if len(whole) > LARGEST_EVENT:
        raise Problem(
            400,
            f"the event has {len(whole):,} bytes and the limit is {LARGEST_EVENT:,}; "
            "nothing of this request was kept",
            where=where,
        )
    kind = item.get("type", kind) if kind is None else kind
    name, problem = _name(item, kind)
    context = _object(item, "context")
    given = _object(item, "properties")
    notes: list[str] = []
    message_id = item.get("messageId")
    return Signal(
        message_id=f"{SOURCE}:{message_id}" if _is_id(message_id) else f"{SOURCE}:{new_id()}",
        source=SOURCE,
        name=name,
        occurred_at=_time(item, sent_at, now, notes),
        body_hash=hashlib.sha256(whole).hexdigest(),
        identities=_identities(item, kind, context, given, name),
        traits=_traits(item, kind, context),
        properties=_properties(item, kind, given),
        payload=item,
        problem=problem,
        notes=tuple(notes),
    )


def _unreadable(item: Any, problem: str, now: datetime) -> Signal:
    digest = hashlib.sha256(bodies.packed(item)).hexdigest()
    return Signal(
        message_id=f"{SOURCE}:sha256-{digest}",
        source=SOURCE,
        name="unreadable",
        occurred_at=now,
        body_hash=digest,
        payload={"item": item},
        problem=problem,
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _object(item: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = item.get(key)
    return value if isinstance(value, dict) else {}


def _name(item: Mapping[str, Any], kind: object) -> tuple[str, str | None]:
    """Return our name of an event and, when it has none, why it is parked."""
    if kind == "track":
        event = item.get("event")
        if not isinstance(event, str) or not event.strip():
            return "unreadable", "bad_event: track needs an event name in event"
        return named(event), None
    if isinstance(kind, str) and kind in CALLS:
        return CALLS[kind], None
    return "unreadable", "bad_event: type must be track, identify, page, screen, group or alias"


def named(event: str) -> str:
    """Return our name of a track event: known ones by the table, ours as they are.

    ``Signed Up``, which nobody knows here, becomes ``track.signed_up``.
    """
    known = NAMES.get(event.strip().lower())
    if known is not None:
        return known
    if "." in event and well_formed(event):
        return event
    word = re.sub(r"\W+", "_", snake(event)).strip("_")
    return f"track.{word}" if word else event


def _identities(
    item: Mapping[str, Any],
    kind: object,
    context: Mapping[str, Any],
    given: Mapping[str, Any],
    name: str,
) -> dict[str, str]:
    found: dict[str, Any] = {
        "user_id": item.get("userId"),
        "anonymous_id": item.get("anonymousId"),
        "device_id": _object(context, "device").get("id"),
    }
    if kind == "alias":
        found["previous_id"] = item.get("previousId")
    for key, value in given.items():
        if (field := snake(key)) in _REFERENCES:
            found[field] = value
    if name == "order.placed":
        found |= {key: given[key] for key in ("email", "phone") if given.get(key)}
    return {key: str(value).strip() for key, value in found.items() if _is_id(value)}


def _traits(
    item: Mapping[str, Any],
    kind: object,
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the event says about the person, from every place that Segment has for it."""
    traits: dict[str, Any] = {}
    if isinstance(locale := context.get("locale"), str):
        traits["locale"] = locale
    if isinstance(zone := context.get("timezone"), str):
        traits["timezone"] = zone
    choices = _object(_object(context, "consent"), "categoryPreferences")
    agreed = [
        agreed
        for category, agreed in choices.items()
        if isinstance(agreed, bool) and re.search("marketing|advertising", category, re.IGNORECASE)
    ]
    if agreed:
        traits["marketing_consent"] = all(agreed)
    traits |= _object(context, "traits")
    if kind == "identify":
        traits |= _object(item, "traits")
    return traits


def _properties(
    item: Mapping[str, Any], kind: object, given: Mapping[str, Any]
) -> Mapping[str, Any]:
    if kind in ("page", "screen"):
        named = {key: item[key] for key in ("name", "category") if item.get(key)}
        return {**named, **given}
    if kind == "group":
        return {"group_id": item.get("groupId"), "traits": _object(item, "traits")}
    if kind == "alias":
        return {"previous_id": item.get("previousId"), "user_id": item.get("userId")}
    change = CHANGES.get(str(item.get("event")).strip().lower()) if kind == "track" else None
    if change and not any(key in given for key in ("products", "items", change)):
        return {**given, change: given}
    return given


def _time(item: Mapping[str, Any], sent_at: object, now: datetime, notes: list[str]) -> datetime:
    """Return when it happened by our clock: Segment's correction for a client's wrong one.

    timestamp = receivedAt - (sentAt - originalTimestamp)
    """
    stated = item.get("timestamp", item.get("originalTimestamp"))
    if stated is None:
        return now
    try:
        happened = moment(stated)
    except ValueError:
        notes.append("bad_timestamp")
        return now
    try:
        return now - (moment(sent_at) - happened) if sent_at is not None else happened
    except (ValueError, OverflowError):
        return happened
