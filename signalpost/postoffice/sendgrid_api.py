"""SendGrid's v3 endpoints, as far as a sender needs them."""

import hmac
import re
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from signalpost.postoffice import faults, forgetting
from signalpost.postoffice.book import Mail
from signalpost.postoffice.http import TooLargeError, json_response, read_body
from signalpost.postoffice.mail_rules import (
    MAX_BODY_BYTES,
    Refusal,
    check_mail,
    is_sandboxed,
    refusal,
)
from signalpost.postoffice.office import Office, office_of

_TOO_LARGE = """<html>
<head><title>413 Request Entity Too Large</title></head>
<body><center><h1>413 Request Entity Too Large</h1></center><hr><center>nginx</center></body>
</html>
"""
_SCOPES = [
    *("mail.send", "mail.batch.create", "messages.read", "user.webhooks.event.settings.read"),
    *("recipients.erasejob.create", "recipients.erasejob.read"),
]
_CONDITION = re.compile(
    r"\s*(sg_message_id|subject|to_email|status|reason|categories|sg_message_id_created_at)"
    r"\s*(=|>=|<=|>|<|IN)\s*(.+?)\s*",
    re.IGNORECASE | re.DOTALL,
)

_MOST_ERASED = 5_000
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]

Endpoint = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    """Return the routes of this provider."""
    return [
        Route("/v3/mail/send", _keyed(send_mail), methods=["POST"]),
        Route("/v3/mail/batch", _keyed(create_batch), methods=["POST"]),
        Route("/v3/scopes", _keyed(list_scopes)),
        Route("/v3/logs", _keyed(search_logs), methods=["POST"]),
        Route("/v3/logs/{mail_id}", _keyed(read_log)),
        Route("/v3/suppression/{kind}/{email}", _keyed(lift), methods=["DELETE"]),
        Route("/v3/asm/suppressions/global/{email}", _keyed(lift), methods=["DELETE"]),
        Route("/v3/recipients/erasejob", _keyed(erase), methods=["POST"]),
        Route("/v3/{rest:path}", _keyed(not_here), methods=_EVERY_METHOD),
    ]


def errors(found: list[Refusal], status: int = 400, **headers: str) -> Response:
    """Return SendGrid's error object."""
    return json_response({"errors": found}, status, headers)


def _keyed(endpoint: Endpoint) -> Endpoint:
    async def keyed(request: Request) -> Response:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        expected = office_of(request).config.sendgrid_api_key
        if scheme.lower() != "bearer":
            return errors([refusal("authorization required")], 401)
        if not hmac.compare_digest(key.strip().encode(), expected.encode()):
            problem = "The provided authorization grant is invalid, expired, or revoked"
            return errors([refusal(problem)], 401)
        return await endpoint(request)

    return keyed


async def send_mail(request: Request) -> Response:
    """Take one mail/send request: 202 and X-Message-Id, or every reason why not."""
    office = office_of(request)
    try:
        body = await read_body(request, limit=MAX_BODY_BYTES)
    except TooLargeError:
        await office.record("mail.refused", status=413, errors=[], to=[])
        return HTMLResponse(_TOO_LARGE, 413)
    try:
        mail: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        mail = None
    fault = office.faults.take("sendgrid", _addresses(mail)) if office.faults else None
    if fault and not fault.processed:
        return await _go_wrong(request, office, fault, mail)
    found = check_mail(mail, now=time.time())
    if found:
        await office.record(
            "mail.refused", status=400, errors=found[:20], to=sorted(_addresses(mail))
        )
        return errors(found)
    if is_sandboxed(mail):
        return Response(status_code=200)
    message_id = await _accept(office, mail)
    right = Response(status_code=202, headers={"X-Message-Id": message_id})
    return await _go_wrong(request, office, fault, mail, right) if fault else right


async def _accept(office: Office, mail: dict[str, Any]) -> str:
    message_id = secrets.token_urlsafe(16)
    if office.config.keep:
        await office.record("mail.accepted", message_id=message_id, request=mail)
        office.lives.begin_mails(office.book.requests[message_id])
    return message_id


async def _go_wrong(
    request: Request, office: Office, fault: faults.Fault, mail: Any, right: Response | None = None
) -> Response:
    about = _custom_args(mail)
    await office.record("fault.hit", provider="sendgrid", fault=fault.fault, about=about)
    answer = await faults.go_wrong(request, fault, right)
    if answer is not None:
        return answer
    match fault.kind:
        case "429":
            headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1)}
            if fault.retry_after is not None:
                headers["Retry-After"] = str(fault.retry_after)
            return errors([refusal("too many requests")], 429, **headers)
        case "400":
            return errors([refusal("Bad Request")])
        case "401":
            problem = "The provided authorization grant is invalid, expired, or revoked"
            return errors([refusal(problem)], 401)
        case _:
            return errors([refusal("Internal Server Error")], 500)


def _custom_args(mail: Any) -> list[Any]:
    """Return what a request says of each person to its sender, whatever shape it has."""
    people = mail.get("personalizations") if isinstance(mail, dict) else None
    listed = people if isinstance(people, list) else []
    return [one.get("custom_args") for one in listed if isinstance(one, dict)]


def _addresses(mail: Any) -> set[str]:
    """Return the recipients of a request that may have any shape."""
    people = mail.get("personalizations") if isinstance(mail, dict) else None
    found: set[str] = set()
    for person in people if isinstance(people, list) else ():
        parties = person.get("to") if isinstance(person, dict) else None
        for party in parties if isinstance(parties, list) else ():
            if isinstance(party, dict) and isinstance(party.get("email"), str):
                found.add(party["email"])
    return found


async def not_here(_: Request) -> Response:
    """Say that this part of SendGrid is not imitated."""
    return errors([refusal("resource not found: the local post office has no such endpoint")], 404)


async def create_batch(_: Request) -> Response:
    """Hand out a batch id."""
    return json_response({"batch_id": secrets.token_urlsafe(36)}, 201)


async def list_scopes(_: Request) -> Response:
    """Say what the key may do."""
    return json_response({"scopes": _SCOPES})


async def lift(request: Request) -> Response:
    """Take an address off the suppression lists."""
    office, email = office_of(request), request.path_params["email"].lower()
    if email not in office.book.suppressed:
        return errors([refusal("resource not found")], 404)
    await office.record("mail.suppression_lifted", email=email)
    return Response(status_code=204)


async def erase(request: Request) -> Response:
    """Take a job that erases recipients (5,000 addresses or 256 KB), and do it at once."""
    office = office_of(request)
    try:
        wish = orjson.loads(await read_body(request, limit=256 * 1024))
    except (TooLargeError, orjson.JSONDecodeError):
        wish = None
    emails = wish.get("email_addresses") if isinstance(wish, dict) else None
    if not isinstance(emails, list) or not 1 <= len(emails) <= _MOST_ERASED:
        return errors([refusal("email_addresses must hold 1 to 5000 addresses", "email_addresses")])
    wrong = [one for one in emails if not isinstance(one, str) or not _ADDRESS.fullmatch(one)]
    if wrong:
        said = "an email_address is not valid"
        return errors([refusal(said, "email_addresses") for _ in wrong[:20]])
    fault = office.faults.take("sendgrid", set(emails)) if office.faults else None
    if fault:
        return await _go_wrong(request, office, fault, None)
    job = str(uuid.uuid4())
    mails = office.book.forget(emails)
    await office.record("mail.erased", job_id=job, addresses=len(emails), mails=mails)
    await office.forget(forgetting.mail_of(emails))
    return json_response({"job_id": job}, 202)


async def search_logs(request: Request) -> Response:
    """Search the accepted mails by SendGrid's query language: conditions joined by AND."""
    try:
        wish = orjson.loads(await read_body(request, limit=100_000) or b"{}")
        conditions = _conditions(str(wish.get("query") or ""))
        limit = int(wish.get("limit") or 10)
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return errors([refusal("invalid query", "query")])
    if not 1 <= limit <= 1000:
        return errors([refusal("limit must be between 1 and 1000", "limit")])
    book = office_of(request).book
    wanted = next((value for name, op, value in conditions if (name, op) == ("to_email", "=")), "")
    mails = reversed(book.by_email.get(wanted.lower(), [])) if wanted else book.mails_newest_first()
    found: list[dict[str, Any]] = []
    for mail in mails:
        if len(found) == limit:
            break
        if all(_holds(mail, *condition) for condition in conditions):
            found.append(_summary(mail))
    return json_response({"messages": found})


def _conditions(query: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for part in re.split(r"\s+AND\s+", query.strip()) if query.strip() else ():
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise ValueError(part)
        name, operator, value = match.groups()
        value = re.sub(r"(?i)^TIMESTAMP\s+", "", value).strip("\"'")
        if name.lower() == "sg_message_id_created_at":
            datetime.fromisoformat(value)
        found.append((name.lower(), operator.upper(), value))
    return found


def _holds(mail: Mail, name: str, operator: str, value: str) -> bool:
    if name == "sg_message_id_created_at":
        at, bound = mail.request.at, datetime.fromisoformat(value)
        bound = bound if bound.tzinfo else bound.replace(tzinfo=at.tzinfo)
        return {">": at > bound, "<": at < bound, ">=": at >= bound, "<=": at <= bound}[operator]
    if operator == "IN":
        wanted = set(
            re.findall(r"['\"]([^'\"]*)['\"]", f"'{value}'" if "(" not in value else value)
        )
        mine = mail.request.payload.get("categories") or [] if name == "categories" else None
        return bool(wanted & set(mine if mine is not None else [mail.status]))
    return str(_summary(mail).get(name, "")).lower() == value.lower()


def _summary(mail: Mail) -> dict[str, Any]:
    status = "processed" if mail.status == "accepted" else mail.status
    reason = next((fact["reason"] for fact in reversed(mail.history) if "reason" in fact), None)
    return {
        "from_email": mail.request.payload["from"]["email"],
        "sg_message_id": mail.id,
        "subject": mail.subject,
        "to_email": mail.email,
        "status": status,
        "sg_message_id_created_at": mail.request.at.isoformat().replace("+00:00", "Z"),
        **({"reason": reason} if reason else {}),
    }


async def read_log(request: Request) -> Response:
    """Return one mail with its events and custom arguments."""
    mail = office_of(request).book.mails.get(request.path_params["mail_id"])
    if mail is None:
        return errors([refusal("message not found")], 404)
    detail = {
        **_summary(mail),
        "api_key_id": "",
        "client_ip": "127.0.0.1",
        "category": mail.request.payload.get("categories") or [],
        "custom_args": mail.custom_args(),
        "events": mail.history[-100:],
    }
    return json_response(detail)
