"""The desk: what a test or a person can ask of the post office itself, under ``/postoffice``."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from signalpost.errors import BadInputError, NotFoundError
from signalpost.postoffice import magic, phone
from signalpost.postoffice.book import Mail, Sms
from signalpost.postoffice.http import json_response, read_body, read_json, whole_number
from signalpost.postoffice.mail_rules import switched_on
from signalpost.postoffice.mail_text import links_of, one_click_url
from signalpost.postoffice.office import Office, office_of
from signalpost.postoffice.sms_rules import channel_of

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"
_BOUNCE = magic.BOUNCE[1]


def routes() -> list[Route]:
    """Return the routes of the desk."""
    acts: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "open": do_open,
        "click": do_click,
        "bounce": do_bounce,
        "spam": do_spam,
        "unsubscribe": do_unsubscribe,
        "reply": do_reply,
        "faults": set_fault,
    }
    return [
        Route("/postoffice/health", health),
        Route("/postoffice/log", read_log),
        Route("/postoffice/messages", list_messages),
        Route("/postoffice/messages/{id}", read_message),
        Route("/postoffice/faults", list_faults, methods=["GET"]),
        Route("/postoffice/faults", clear_faults, methods=["DELETE"]),
        *(Route(f"/postoffice/{name}", act, methods=["POST"]) for name, act in acts.items()),
        Route("/hooks/block-card", block_card, methods=["POST"]),
    ]


async def health(request: Request) -> Response:
    """Say that the post office is open, and how far its log goes."""
    office = office_of(request)
    counts = {"mails": len(office.book.mails), "texts": len(office.book.texts)}
    return json_response({"status": "ok", "seq": office.log.last, **counts})


async def read_log(request: Request) -> Response:
    """Return log entries above ``after``, oldest first."""
    after = whole_number(request, "after", default=0, low=0, high=2**53)
    limit = whole_number(request, "limit", default=1000, low=1, high=10_000)
    entries = office_of(request).log.read(after=after, limit=limit)
    return json_response({"entries": entries, "last": office_of(request).log.last})


async def list_messages(request: Request) -> Response:
    """Return the newest accepted messages (oldest of them first), by ``to`` and ``channel``."""
    book, query = office_of(request).book, request.query_params
    limit = whole_number(request, "limit", default=1000, low=1, high=10_000)
    channel, to = query.get("channel"), query.get("to", "").replace(" ", "+")
    mails = book.by_email.get(to.lower(), []) if to else list(book.mails.values())
    texts = book.by_address.get(to, []) if to else list(book.texts.values())
    found: list[Mail | Sms] = [mail for mail in mails if channel in {None, "email"}]
    found += [sms for sms in texts if channel in {None, channel_of(sms.to)}]
    found.sort(key=lambda message: message.seq)
    return json_response({"messages": [shown(message) for message in found[-limit:]]})


async def read_message(request: Request) -> Response:
    """Return one message."""
    return json_response(shown(_message(office_of(request), {"id": request.path_params["id"]})))


def shown(message: Mail | Sms) -> dict[str, Any]:
    """Return a message in the desk's own shape, the same for every channel."""
    if isinstance(message, Mail):
        payload = message.request.payload
        return {
            "id": message.id,
            "seq": message.seq,
            "channel": "email",
            "direction": "outbound",
            "to": message.email,
            "name": message.name,
            "from": payload["from"]["email"],
            **message.rendered(),
            "custom_args": message.custom_args(),
            "categories": payload.get("categories") or [],
            "message_id": message.request.message_id,
            "status": message.status,
            "events": message.history,
            "at": message.request.at.isoformat(),
        }
    return {
        "id": message.sid,
        "seq": message.seq,
        "channel": channel_of(message.party),
        "direction": message.direction,
        "to": message.to,
        "from": message.sender,
        "text": message.body,
        "segments": message.segments,
        "media": message.media,
        "service_sid": message.service_sid,
        "status": message.status,
        "error_code": message.error_code,
        "events": message.history,
        "at": message.created.isoformat(),
    }


# -- what a recipient does ------------------------------------------------------------------------


def _message(office: Office, wish: dict[str, Any]) -> Mail | Sms:
    found = office.book.mails.get(str(wish.get("id"))) or office.book.texts.get(str(wish.get("id")))
    if found is None and wish.get("to"):
        address = str(wish["to"])
        row = office.book.by_address.get(address)
        found = office.book.latest_mail(address) or (row[-1] if row else None)
    if found is None:
        raise NotFoundError('There is no such message: give {"id": …} or {"to": address}.')
    return found


def _mail(office: Office, wish: dict[str, Any]) -> Mail:
    found = _message(office, wish)
    if not isinstance(found, Mail):
        raise BadInputError("Only a mail can do that.")
    return found


async def do_open(request: Request) -> Response:
    """Open a mail, or read a WhatsApp or Messenger message."""
    office, wish = office_of(request), await read_json(request)
    message = _message(office, wish)
    return json_response({"event": await open_message(office, message)})


async def open_message(office: Office, message: Mail | Sms) -> dict[str, Any] | None:
    """Let the recipient open a message; None when the sender has switched tracking off."""
    if isinstance(message, Sms):
        if channel_of(message.to) == "sms":
            raise BadInputError("An SMS cannot tell that it was read.")
        await office.lives.sms_status(message, "read")
        return {"status": "read"}
    if not switched_on(message.request.payload, "tracking_settings", "open_tracking", default=True):
        return None
    details = {"useragent": _BROWSER, "ip": "127.0.0.1", "sg_machine_open": False}
    return await office.lives.mail_event(message, "open", **details)


async def do_click(request: Request) -> Response:
    """Click a link of a mail: the first, or the one given as ``url``."""
    office, wish = office_of(request), await read_json(request)
    return json_response({"event": await click(office, _mail(office, wish), wish.get("url"))})


async def click(office: Office, mail: Mail, url: str | None) -> dict[str, Any] | None:
    """Let the recipient click a link; None when the sender has switched tracking off."""
    rendered = mail.rendered()
    links = links_of(rendered["html"], rendered["text"])
    chosen = url or (links[0] if links else None)
    if chosen is None or chosen not in links:
        raise BadInputError("The mail has no such link.")
    if not switched_on(mail.request.payload, "tracking_settings", "click_tracking", default=True):
        return None
    offset = {"index": links.index(chosen), "type": "html" if rendered["html"] else "text"}
    details = {"url": chosen, "url_offset": offset, "useragent": _BROWSER, "ip": "127.0.0.1"}
    return await office.lives.mail_event(mail, "click", **details)


async def do_bounce(request: Request) -> Response:
    """Let a mail come back late (``{"type": "blocked"}`` for a soft bounce)."""
    office, wish = office_of(request), await read_json(request)
    details = magic.BLOCKED[1] if wish.get("type") == "blocked" else _BOUNCE
    event = await office.lives.mail_event(_mail(office, wish), "bounce", **details)
    return json_response({"event": event})


async def do_spam(request: Request) -> Response:
    """Mark a mail as spam."""
    office, wish = office_of(request), await read_json(request)
    event = await office.lives.mail_event(_mail(office, wish), "spamreport")
    return json_response({"event": event})


async def do_unsubscribe(request: Request) -> Response:
    """Unsubscribe: by the mail's one-click header, or with ``{"via": "sendgrid"}`` by its event."""
    office, wish = office_of(request), await read_json(request)
    mail = _mail(office, wish)
    if wish.get("via") == "sendgrid":
        return json_response({"event": await office.lives.mail_event(mail, "unsubscribe")})
    return json_response({"status": await unsubscribe(office, mail)})


async def unsubscribe(office: Office, mail: Mail) -> int | None:
    """POST to the one-click address; return its status, None when it was not reached."""
    url = one_click_url(mail.rendered()["headers"])
    if url is None:
        raise BadInputError("The mail has no one-click List-Unsubscribe header.")
    return (await office.courier.one_click(url)).status


async def do_reply(request: Request) -> Response:
    """Write from a phone: ``{"from", "body", "to"?}``."""
    office, wish = office_of(request), await read_json(request)
    sender, body, to = wish.get("from"), wish.get("body"), wish.get("to")
    if not isinstance(sender, str) or not isinstance(body, str) or not isinstance(to, str | None):
        raise BadInputError('A reply is {"from": number, "body": text, "to": number (optional)}.')
    sms = await phone.reply(office=office, sender=sender, to=to, body=body)
    return json_response({"message": shown(sms)}, 201)


# -- faults and hooks -----------------------------------------------------------------------------


async def set_fault(request: Request) -> Response:
    """Let the next matching calls go wrong."""
    office = office_of(request)
    office.faults.add(await read_json(request))
    await office.record("fault.set", faults=office.faults.listed())
    return json_response({"faults": office.faults.listed()}, 201)


async def list_faults(request: Request) -> Response:
    """Return the faults still to come."""
    return json_response({"faults": office_of(request).faults.listed()})


async def clear_faults(request: Request) -> Response:
    """Let everything go right again."""
    office = office_of(request)
    office.faults.clear()
    await office.record("fault.cleared")
    return Response(status_code=204)


async def block_card(request: Request) -> Response:
    """Take the product's signed block-card webhook: once, however often it comes."""
    office, body = office_of(request), await read_body(request, limit=100_000)
    if office.config.hook_secret is None:
        return json_response({"error": "No hook secret is set."}, 503)
    try:
        verified = Webhook(office.config.hook_secret).verify(body, dict(request.headers))
    except (WebhookVerificationError, orjson.JSONDecodeError, ValueError):
        await office.record("hook.refused", hook="block-card")
        return json_response({"error": "The signature does not match."}, 403)
    webhook_id = request.headers["webhook-id"]
    again = office.book.opened_hook(webhook_id)
    known: dict[str, Any] = {"hook": "block-card", "webhook_id": webhook_id, "again": again}
    await office.record("hook.received", **known, body=verified)
    return json_response({"status": "blocked", "again": again})
