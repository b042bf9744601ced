"""``POST /v1/events``: CloudEvents 1.0 over HTTP, and plain JSON signed by Standard Webhooks.

CloudEvents come binary (``ce-*`` headers), structured (``application/cloudevents+json``) or batched
(``application/cloudevents-batch+json``), authorised by the write key. Plain JSON is
``{"type": ..., "timestamp": ..., "data": {...}}`` with the headers ``webhook-id``,
``webhook-timestamp`` and ``webhook-signature``; with the write key instead of a signature it carries
its ``id`` in the body.

Answers: 202 when all is committed, with one result for each event. The same id with the same body
gets the same answer again; with another body 409. A refused event is 400 and says where and what
to do. In a batch each event stands for itself: when some are refused the answer is 207, each result
with its own ``code``, and the others are kept. Fraud signals need a key of the scope ``risk``.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import orjson
from standardwebhooks.webhooks import (
    EmptyWebhookSecretError,
    Webhook,
    WebhookVerificationError,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from signalpost.domain.access import Area, Grant
from signalpost.domain.events import canonical, moment, snake
from signalpost.domain.identity import KINDS
from signalpost.errors import BadInputError, ConfigurationError
from signalpost.services.intake.signals import Accepted, Signal
from signalpost.web import bodies
from signalpost.web.committer import Committer
from signalpost.web.doorkeeper import Doorkeeper, declared
from signalpost.web.errors import Problem

LARGEST_EVENT = 64 * 1024
LARGEST_BODY = 500 * 1024
MOST_EVENTS = 2_500
_LONGEST_ID = 250
_STRUCTURED = "application/cloudevents+json"
_BATCHED = "application/cloudevents-batch+json"
_OURS = {"customer", "traits"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_Result = dict[str, Any]
#: Whom a signature lets in: a system of ours, which may send everything.
_SIGNED = Grant("signed", frozenset({Area.SIGNALS, Area.FRAUD_SIGNALS}))


def routes(
    committer: Committer, *, doorkeeper: Doorkeeper, webhook_secrets: Sequence[str] = ()
) -> list[BaseRoute]:
    """Return the route; two secrets are two in rotation.

    Raises:
        ConfigurationError: a secret is not what Standard Webhooks calls one.
    """
    door = _Door(doorkeeper, webhook_secrets)

    async def take(request: Request) -> Response:
        try:
            return await _take(request, committer, door)
        except Problem as problem:
            return problem.response()

    return [
        declared(Route(path, take, methods=["POST"], name="events"), area=Area.SIGNALS)
        for path in ("/v1/events", "/v1/events/")
    ]


class _Door:
    """Who may come in: a key, or a signature made with one of our secrets."""

    def __init__(self, doorkeeper: Doorkeeper, secrets: Sequence[str]) -> None:
        self.doorkeeper = doorkeeper
        try:
            self._webhooks = [Webhook(secret) for secret in secrets if secret]
        except (EmptyWebhookSecretError, RuntimeError, ValueError, TypeError) as error:
            raise ConfigurationError(
                "a webhook secret cannot be read; write it as whsec_ and base64"
            ) from error

    async def check(self, request: Request, body: bytes) -> Grant:
        """Return whom the signature, else the key, lets in.

        Raises:
            Problem: 401, it has neither; 403, the key sends nothing; 429.
        """
        if "webhook-signature" in request.headers:
            if any(self._verifies(webhook, request, body) for webhook in self._webhooks):
                self.doorkeeper.signals.check(_SIGNED.key_id)
                return _SIGNED
            raise Problem(
                401,
                "the webhook signature does not fit the body, or is older than 5 minutes; "
                "sign webhook-id, webhook-timestamp and the raw body with the shared secret",
            )
        return await self.doorkeeper.sender(request, bodies.key_of(request))

    def _verifies(self, webhook: Webhook, request: Request, body: bytes) -> bool:
        try:
            webhook.verify(body, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            return False
        return True


async def _take(request: Request, committer: Committer, door: _Door) -> Response:
    body = await bodies.read(request, limit=LARGEST_BODY)
    grant = await door.check(request, body)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _BATCHED:
        return await _take_batch(bodies.parse(body), committer, door.doorkeeper, grant)
    if kind == _STRUCTURED:
        event = _whole(bodies.parse(body))
    elif "ce-specversion" in request.headers or "ce-id" in request.headers:
        event = _from_headers(request, body)
    else:
        event = _plain(bodies.parse(body), request, signed=grant is _SIGNED)
    signal = read(event, committer, where="body")
    door.doorkeeper.count_signals(grant, [signal])
    door.doorkeeper.check_signal(grant, signal.name, where="type")
    [accepted] = await committer.submit([signal])
    result = _result(event, accepted)
    return _respond(409 if accepted.status == "conflict" else 202, [result])


async def _take_batch(
    events: Any, committer: Committer, doorkeeper: Doorkeeper, grant: Grant
) -> Response:
    if not isinstance(events, list):
        raise Problem(400, "a batch must be a JSON list of events")
    if len(events) > MOST_EVENTS:
        raise Problem(400, f"a batch holds at most {MOST_EVENTS:,} events; send several")
    results: list[_Result | None] = [None] * len(events)
    good: list[tuple[int, Signal]] = []
    for place, event in enumerate(events):
        try:
            signal = read(_whole(event), committer, where=f"[{place}]")
            doorkeeper.check_signal(grant, signal.name, where=f"[{place}].type")
            good.append((place, signal))
        except Problem as problem:
            results[place] = _refused(event, problem, place)
    signals = [signal for _, signal in good]
    doorkeeper.count_signals(grant, signals)
    accepted = await committer.submit(signals)
    for (place, _), answer in zip(good, accepted, strict=True):
        results[place] = _result(events[place], answer)
    listed = [result for result in results if result is not None]
    return _respond(_status_of({result["code"] for result in listed}, kept=bool(good)), listed)


def _status_of(codes: set[int], *, kept: bool) -> int:
    if codes <= {202}:
        return 202
    if kept:
        return 207
    return codes.pop() if len(codes) == 1 else 400


def _respond(status: int, results: list[_Result]) -> Response:
    return Response(orjson.dumps({"results": results}), status, media_type="application/json")


def _result(event: Mapping[str, Any], accepted: Accepted) -> _Result:
    """Say what became of an event; a repeat hears what the first one heard."""
    conflict = accepted.status == "conflict"
    return {
        "id": event.get("id"),
        "status": accepted.stands or accepted.status,
        "reason": accepted.reason,
        "event_id": accepted.event_id,
        "code": 409 if conflict else 202,
    }


def _refused(event: Any, problem: Problem, place: int) -> _Result:
    return {
        "id": event.get("id") if isinstance(event, dict) else None,
        "status": "refused",
        "reason": problem.detail,
        "event_id": None,
        "code": problem.status_code,
        "where": problem.where or f"[{place}]",
    }


def _whole(event: Any) -> dict[str, Any]:
    """Check a structured CloudEvent."""
    if not isinstance(event, dict):
        raise Problem(400, "an event must be a JSON object")
    if event.get("specversion") != "1.0":
        raise Problem(400, 'specversion must be "1.0"', where="specversion")
    if "data_base64" in event:
        raise Problem(400, "data must be JSON; give it as data", where="data_base64")
    return event


def _from_headers(request: Request, body: bytes) -> dict[str, Any]:
    """Read a binary CloudEvent: its attributes are headers, percent-encoded."""
    event: dict[str, Any] = {
        key[3:]: unquote(value) for key, value in request.headers.items() if key.startswith("ce-")
    }
    if body.strip():
        event["data"] = bodies.parse(body)
    return _whole(event)


def _plain(event: Any, request: Request, *, signed: bool) -> dict[str, Any]:
    """Read ``{"type", "timestamp", "data"}``; a signed one is known by its webhook-id."""
    if not isinstance(event, dict):
        raise Problem(400, "the body must be a JSON object")
    if not isinstance(event.get("data", {}), dict):
        raise Problem(400, "data must be a JSON object", where="data")
    return {
        "id": request.headers["webhook-id"] if signed else event.get("id"),
        "source": "webhook" if signed else event.get("source", "events"),
        "type": event.get("type"),
        "time": event.get("timestamp", event.get("time")),
        "subject": event.get("subject"),
        "data": event.get("data"),
    }


def read(event: Mapping[str, Any], committer: Committer, *, where: str) -> Signal:
    """Turn a CloudEvent into a signal.

    Raises:
        Problem: 400; it says which attribute or fact is missing or wrong, and the remedy.
    """
    try:
        return _read(event, committer, where)
    except Problem as problem:
        if problem.where and not problem.where.startswith(where) and where != "body":
            problem.where = f"{where}.{problem.where}"
        raise


def _read(event: Mapping[str, Any], committer: Committer, where: str) -> Signal:
    source, given_id, name = (_text(event, key) for key in ("source", "id", "type"))
    if any(character.isspace() for character in source):
        raise Problem(400, "source must be a URI reference, without spaces", where="source")
    data = event.get("data")
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise Problem(400, "data must be a JSON object", where="data")
    whole = bodies.packed(
        {key: event.get(key) for key in ("type", "subject", "time", "data") if event.get(key)}
    )
    if len(whole) > LARGEST_EVENT:
        raise Problem(400, f"the event is larger than {LARGEST_EVENT:,} bytes", where=where)
    now = committer.clock()
    occurred_at = _time(event, now)
    properties = {key: value for key, value in data.items() if key not in _OURS}
    policy = committer.policy
    try:
        canonical(name, properties, occurred_at, policy.currency, store=policy.store)
    except BadInputError as error:
        raise Problem(400, str(error), where="data" if data else "type") from error
    customer = _object(data, "customer")
    return Signal(
        message_id=f"{source} {given_id}",  # a source holds no space, so no two pairs look the same
        source=source,
        name=name,
        occurred_at=occurred_at,
        body_hash=hashlib.sha256(whole).hexdigest(),
        identities=_identities(event, data, customer),
        traits=_traits(data, customer),
        properties=properties,
        payload=dict(event),
    )


def _text(event: Mapping[str, Any], key: str) -> str:
    value = event.get(key)
    if not isinstance(value, str) or not value.strip():
        raise Problem(400, f"{key} is missing; every event needs one", where=key)
    if len(value) > _LONGEST_ID:
        raise Problem(400, f"{key} is longer than {_LONGEST_ID} characters", where=key)
    text = value.strip()
    if _CONTROL.search(text):  # the specification forbids them, and no database keeps NUL
        raise Problem(400, f"{key} holds control characters", where=key)
    return text


def _time(event: Mapping[str, Any], now: datetime) -> datetime:
    stated = event.get("time")
    if stated is None:
        return now
    try:
        return moment(stated)
    except ValueError as error:
        raise Problem(400, f"time is {error}", where="time") from error


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Problem(400, f"data.{key} must be a JSON object", where=f"data.{key}")
    return value


def _identities(
    event: Mapping[str, Any], data: Mapping[str, Any], customer: Mapping[str, Any]
) -> dict[str, str]:
    """Return the keys in the data and its ``customer``; the subject is a user id, not a path."""
    found: dict[str, str] = {}
    for part in (data, customer):
        for key, value in part.items():
            kind = snake(str(key))
            if kind in (*KINDS, "previous_id") and _is_id(value):
                found[kind] = str(value).strip()
    if _is_id(customer.get("id")):
        found.setdefault("user_id", str(customer["id"]))
    subject = event.get("subject")
    if isinstance(subject, str) and subject and "/" not in subject:
        found.setdefault("user_id", subject)
    return found


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _traits(data: Mapping[str, Any], customer: Mapping[str, Any]) -> dict[str, Any]:
    said = {
        key: value
        for key, value in customer.items()
        if snake(str(key)) not in (*KINDS, "id", "traits") or snake(str(key)) in ("email", "phone")
    }
    return said | _object(customer, "traits") | _object(data, "traits")
