"""Twilio's 2010-04-01 Messages resource, as far as a sender needs it."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from signalpost.postoffice import faults, forgetting
from signalpost.postoffice.book import FINAL_SMS, Sms
from signalpost.postoffice.http import TooLargeError, json_response, read_body, whole_number
from signalpost.postoffice.office import Office, office_of
from signalpost.postoffice.segments import count_segments
from signalpost.postoffice.sms_rules import SmsRefusal, check_sms, parse_time

_BASE = "/2010-04-01/Accounts/{account}"
_MAX_FORM_BYTES = 1_000_000

Endpoint = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    """Return the routes of this provider."""
    one = _BASE + "/Messages/{sid}"
    return [
        Route(_BASE + "/Messages.json", _keyed(send_sms), methods=["POST"]),
        Route(_BASE + "/Messages.json", _keyed(list_sms), methods=["GET"]),
        Route(one + ".json", _keyed(read_sms), methods=["GET"]),
        Route(one + ".json", _keyed(change_sms), methods=["POST"]),
        Route(one + ".json", _keyed(delete_sms), methods=["DELETE"]),
        Route(one, _keyed(change_sms), methods=["POST"]),
        Route(_BASE + ".json", _keyed(read_account), methods=["GET"]),
        Route(_BASE + "/{rest:path}", _keyed(not_here), methods=["GET", "POST", "DELETE"]),
    ]


def refuse(refused: SmsRefusal, **headers: str) -> Response:
    """Return Twilio's error object."""
    return json_response(refused.body(), refused.status, headers)


def _keyed(endpoint: Endpoint) -> Endpoint:
    async def keyed(request: Request) -> Response:
        if not _is_allowed(request):
            realm = {"WWW-Authenticate": 'Basic realm="Twilio API"'}
            return json_response(SmsRefusal(20003).body(), 401, realm)
        return await endpoint(request)

    return keyed


def _is_allowed(request: Request) -> bool:
    config = office_of(request).config
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        user, _, secret = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return False
    account = config.twilio_account_sid.encode()
    known = hmac.compare_digest(user, account) or (user[:2] == b"SK" and len(user) == 34)
    right = hmac.compare_digest(secret, config.twilio_auth_token.encode())
    ours = request.path_params["account"].removesuffix(".json") == config.twilio_account_sid
    return scheme.lower() == "basic" and known and right and ours


async def send_sms(request: Request) -> Response:
    """Take one message: 201 and the resource, or the reason why not."""
    office = office_of(request)
    try:
        body = await read_body(request, limit=_MAX_FORM_BYTES)
    except TooLargeError:
        return Response(status_code=413)
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    fields, media = dict(pairs), [value for name, value in pairs if name == "MediaUrl" and value]
    fault = _fault_for(office, fields)
    if fault and not fault.processed:
        return await _go_wrong(request, office, fault, fields)
    refused = check_sms(fields, media, now=datetime.now(UTC)) or _opted_out(office, fields)
    if refused:
        known = {"to": refused.to, "from": refused.sender, "code": refused.code}
        await office.record("sms.refused", status=refused.status, **known)
        return refuse(refused)
    sms = await _accept(office, fields, media)
    right = json_response(resource(sms, office.config.twilio_account_sid), 201)
    return await _go_wrong(request, office, fault, fields, right) if fault else right


def number_of_service(service_sid: str) -> str:
    """Return the one number a Messaging Service sends from here (a fictional one, always the same)."""
    return f"+120255501{int(service_sid[2:], 16) % 100:02d}"


def _fault_for(office: Office, fields: dict[str, str]) -> faults.Fault | None:
    return office.faults.take("twilio", {fields.get("To", "")}) if office.faults else None


def _opted_out(office: Office, fields: dict[str, str]) -> SmsRefusal | None:
    pair = (_sender(fields), fields["To"])
    return SmsRefusal(21610, pair[1], pair[0]) if pair in office.book.opted_out else None


def _sender(fields: dict[str, str]) -> str:
    sender = fields.get("From") or number_of_service(fields["MessagingServiceSid"])
    prefix, colon, _ = fields["To"].partition(":")
    return f"{prefix}:{sender}" if colon and ":" not in sender else sender


async def _accept(office: Office, fields: dict[str, str], media: list[str]) -> Sms:
    now = datetime.now(UTC)
    service = fields.get("MessagingServiceSid") or None
    first = "scheduled" if fields.get("ScheduleType") == "fixed" else "accepted"
    sms = Sms(
        sid=("MM" if media else "SM") + secrets.token_hex(16),
        seq=0,
        to=fields["To"],
        sender=_sender(fields),
        service_sid=service,
        body=fields.get("Body") or _content_note(fields),
        media=media,
        direction="outbound-api",
        status=first if service else "queued",
        created=now,
        updated=now,
        callback=fields.get("StatusCallback") or None,
        send_at=fields.get("SendAt") or None,
        assigned=bool(fields.get("From")),
    )
    return await keep_sms(office, sms)


async def keep_sms(office: Office, sms: Sms) -> Sms:
    """Log one message from our side and start its life; return it as the book has it."""
    if not office.config.keep:
        return sms
    await office.record(
        "sms.accepted",
        **{"sid": sms.sid, "to": sms.to, "from": sms.sender, "service_sid": sms.service_sid},
        body=sms.body,
        media=sms.media,
        direction=sms.direction,
        status=sms.status,
        callback=sms.callback,
        send_at=sms.send_at,
        assigned=sms.assigned,
    )
    kept = office.book.texts[sms.sid]
    office.lives.begin_sms(kept)
    return kept


def _content_note(fields: dict[str, str]) -> str:
    if not fields.get("ContentSid"):
        return ""
    return f"[content {fields['ContentSid']}] {fields.get('ContentVariables', '')}".strip()


async def _go_wrong(
    request: Request,
    office: Office,
    fault: faults.Fault,
    fields: dict[str, str],
    right: Response | None = None,
) -> Response:
    about = fields.get("StatusCallback", "")
    await office.record("fault.hit", provider="twilio", fault=fault.fault, about=[about])
    answer = await faults.go_wrong(request, fault, right)
    if answer is not None:
        return answer
    match fault.kind:
        case "429":
            after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return refuse(SmsRefusal(20429), **after)
        case "400":
            return refuse(SmsRefusal(fault.code or 21211))
        case "401":
            return refuse(SmsRefusal(20003))
        case _:
            return refuse(SmsRefusal(20500))


def resource(sms: Sms, account: str) -> dict[str, Any]:
    """Return a message as Twilio shows it: strings throughout, dates in RFC 2822."""
    uri = f"/2010-04-01/Accounts/{account}/Messages/{sms.sid}"
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": sms.body,
        "date_created": format_datetime(sms.created),
        "date_sent": format_datetime(sms.sent) if sms.sent else None,
        "date_updated": format_datetime(sms.updated),
        "direction": sms.direction,
        "error_code": sms.error_code,
        "error_message": None,
        "from": sms.sender if sms.assigned else None,
        "messaging_service_sid": sms.service_sid,
        "num_media": str(len(sms.media)),
        "num_segments": str(count_segments(sms.body)) if sms.assigned else "0",
        "price": None,
        "price_unit": "USD",
        "sid": sms.sid,
        "status": sms.status,
        "subresource_uris": {"media": uri + "/Media.json"},
        "to": sms.to,
        "uri": uri + ".json",
    }


async def list_sms(request: Request) -> Response:
    """List messages, newest first, by To, From and DateSent."""
    office, query = office_of(request), request.query_params
    page = whole_number(request, "Page", default=0, low=0, high=10**6)
    size = whole_number(request, "PageSize", default=50, low=1, high=1000)
    wanted = query.get("To") or query.get("From")
    rows = office.book.by_address.get(wanted, []) if wanted else list(office.book.texts.values())
    found = [sms for sms in reversed(rows) if _is_wanted(sms, query.multi_items())]
    account = office.config.twilio_account_sid
    shown = [resource(sms, account) for sms in found[page * size : (page + 1) * size]]
    kept = {name: value for name, value in query.items() if name not in {"Page", "PageToken"}}
    more = (page + 1) * size < len(found)

    def uri(number: int) -> str:
        asked = urlencode({**kept, "PageSize": size, "Page": number})
        return f"/2010-04-01/Accounts/{account}/Messages.json?{asked}"

    answer = {
        "messages": shown,
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": page * size + max(len(shown) - 1, 0),
        "uri": uri(page),
        "first_page_uri": uri(0),
        "next_page_uri": uri(page + 1) if more else None,
        "previous_page_uri": uri(page - 1) if page else None,
    }
    return json_response(answer)


def _is_wanted(sms: Sms, query: Iterable[tuple[str, str]]) -> bool:
    return all(_matches(sms, name, value) for name, value in query if value)


def _matches(sms: Sms, name: str, value: str) -> bool:
    match name:
        case "To":
            return sms.to == value
        case "From":
            return sms.assigned and sms.sender == value
        case "DateSent":
            return sms.sent is not None and sms.sent.date().isoformat() == value[:10]
        case "DateSent>" | "DateSent<":
            bound = parse_time(value.replace("Z", "+00:00")) or parse_time(
                f"{value[:10]}T00:00+00:00"
            )
            if sms.sent is None or bound is None:
                return False  # a message not yet sent hides from this filter, as at Twilio
            return sms.sent >= bound if name[-1] == ">" else sms.sent <= bound
        case _:
            return True


def _find(request: Request) -> Sms | None:
    return office_of(request).book.texts.get(request.path_params["sid"])


async def read_sms(request: Request) -> Response:
    """Return one message."""
    sms = _find(request)
    if sms is None:
        return refuse(SmsRefusal(20404))
    return json_response(resource(sms, office_of(request).config.twilio_account_sid))


async def change_sms(request: Request) -> Response:
    """Redact a finished message (``Body=``), or cancel a scheduled one (``Status=canceled``)."""
    office, sms = office_of(request), _find(request)
    if sms is None:
        return refuse(SmsRefusal(20404))
    body = await read_body(request, limit=_MAX_FORM_BYTES)
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if fields.get("Status") == "canceled":
        if sms.status not in {"scheduled", "accepted", "queued"}:
            return refuse(SmsRefusal(30409))
        await office.lives.sms_status(sms, "canceled")
    elif fields.get("Body") == "":
        if sms.status not in FINAL_SMS | {"sent"}:
            return refuse(SmsRefusal(30409))
        await office.record("sms.redacted", sid=sms.sid)
        await office.forget(forgetting.text_of(sms.sid, party=None))
    return json_response(resource(sms, office.config.twilio_account_sid))


async def delete_sms(request: Request) -> Response:
    """Forget one message, unless it is still under way; its line in the log stays, without a word."""
    office, sms = office_of(request), _find(request)
    if sms is None:
        return refuse(SmsRefusal(20404))
    if sms.status not in FINAL_SMS | {"sent"}:
        return refuse(SmsRefusal(20009))
    party = sms.party
    await office.record("sms.deleted", sid=sms.sid)
    await office.forget(forgetting.text_of(sms.sid, party=party))
    if party not in office.book.threads:
        await office.forget(forgetting.number_of(party))
    return Response(status_code=204)


async def not_here(_: Request) -> Response:
    """Say that this part of Twilio is not imitated."""
    return refuse(SmsRefusal(20404))


async def read_account(request: Request) -> Response:
    """Return the account, so that a client can check its key."""
    account = office_of(request).config.twilio_account_sid
    return json_response(
        {
            "sid": account,
            "friendly_name": "Local post office",
            "status": "active",
            "type": "Full",
            "owner_account_sid": account,
            "date_created": format_datetime(datetime(2026, 1, 1, tzinfo=UTC)),
            "date_updated": format_datetime(datetime(2026, 1, 1, tzinfo=UTC)),
            "uri": f"/2010-04-01/Accounts/{account}.json",
            "subresource_uris": {"messages": f"/2010-04-01/Accounts/{account}/Messages.json"},
        }
    )
