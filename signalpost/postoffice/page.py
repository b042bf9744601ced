"""The page: a mailbox, a phone and an app inbox, drawn on the server and refreshed by htmx."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from signalpost.errors import BadInputError, NotFoundError, TransientError
from signalpost.postoffice import desk, inbox, magic, phone
from signalpost.postoffice.book import Mail, Sms
from signalpost.postoffice.http import read_body
from signalpost.postoffice.mail_text import links_of, one_click_url
from signalpost.postoffice.office import Office, office_of
from signalpost.postoffice.sms_rules import channel_of

_HERE = Path(__file__).parent
_SHOWN = 100  #: rows of a list
_MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _clock(at: datetime | str | None) -> str:
    """Show a time of this machine's day."""
    if not at:
        return ""
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found.astimezone().strftime("%H:%M:%S")


def _day(at: datetime | str | None) -> str:
    if not at:
        return ""
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found.astimezone().strftime("%-d %b %H:%M")


_templates.filters |= {
    "clock": _clock,
    "day": _day,
    "segment": lambda text: quote(text, safe=""),
    "channel": channel_of,
    "bare": lambda address: address.rpartition(":")[2],
}


def routes() -> list[Route | Mount]:
    """Return the routes of the page and its parts."""
    return [
        Route("/", whole_page),
        Route("/page/counters", counters),
        Route("/page/mail", mail_list),
        Route("/page/mail/{id}", read_mail),
        Route("/page/mail/{id}/facts", mail_facts),
        Route("/page/mail/{id}/body", mail_body),
        Route("/page/mail/{id}/{act}", act_on_mail, methods=["POST"]),
        Route("/page/phone", thread_list),
        Route("/page/phone/{address}", read_thread),
        Route("/page/phone/{address}/bubbles", bubbles),
        Route("/page/phone/{address}/reply", reply, methods=["POST"]),
        Route("/page/inbox", inbox_list),
        Route("/page/inbox/{customer}", read_inbox),
        Route("/page/inbox/{customer}/items", inbox_items),
        Route("/page/inbox/{customer}/{item}/{act}", act_on_item, methods=["POST"]),
        Route("/favicon.ico", lambda _: RedirectResponse("/static/icon.svg")),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]


def _draw(name: str, values: dict[str, Any], request: Request | None = None) -> Response:
    """Draw one template; a part that has not changed since it was drawn is not sent again."""
    text = _templates.get_template(name).render(values)
    if request is None:
        return HTMLResponse(text)
    token = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    if request.query_params.get("v") == token:
        return Response(status_code=204)
    return HTMLResponse(text.replace("@version@", token, 1))


def _version(text: str) -> str:
    """Put its own fingerprint into a drawn part, for the next poll to name."""
    token = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return text.replace("@version@", token, 1)


async def whole_page(request: Request) -> Response:
    """Draw the whole page, with the newest of everything opened."""
    office, query = office_of(request), request.query_params
    book = office.book
    mail = book.mails.get(query.get("mail", "")) or next(book.mails_newest_first(), None)
    address = query.get("phone") or next(reversed(book.threads), None)
    values: dict[str, Any] = {
        **_counter_values(office),
        "mail_list": _part("mail_list.html", _mail_rows(office, "", mail.id if mail else "")),
        "mail": _part("mail.html", _mail_values(mail)) if mail else "",
        "threads": _part("threads.html", _thread_rows(office, address or "")),
        "thread": _part("thread.html", _thread_values(office, address)) if address else "",
        "magic": magic.__doc__,
    }
    return _draw("page.html", values)


def _part(name: str, values: dict[str, Any]) -> str:
    return _version(_templates.get_template(name).render(values))


async def counters(request: Request) -> Response:
    """Draw the figures in the head of the page."""
    return _draw("counters.html", _counter_values(office_of(request)), request)


def _counter_values(office: Office) -> dict[str, Any]:
    book = office.book
    return {
        "mails": len(book.mails),
        "texts": len(book.texts),
        "hooks": list(book.hooks),
        "faults": office.faults.listed(),
    }


# -- mailbox --------------------------------------------------------------------------------------


async def mail_list(request: Request) -> Response:
    """Draw the mailbox, newest first."""
    query = request.query_params
    values = _mail_rows(office_of(request), query.get("q", ""), query.get("selected", ""))
    return _draw("mail_list.html", values, request)


def _mail_rows(office: Office, wanted: str, selected: str) -> dict[str, Any]:
    rows = [
        {"mail": mail, "subject": mail.subject}
        for mail in islice(_found_mails(office, wanted.strip().lower()), _SHOWN)
    ]
    return {"rows": rows, "selected": selected, "wanted": wanted, "shown": _SHOWN}


def _found_mails(office: Office, wanted: str) -> Iterator[Mail]:
    for mail in office.book.mails_newest_first():
        if (
            not wanted
            or wanted in mail.email.lower()
            or wanted in mail.name.lower()
            or wanted in mail.subject.lower()
        ):
            yield mail


def _mail(request: Request) -> Mail:
    mail = office_of(request).book.mails.get(request.path_params["id"])
    if mail is None:
        raise NotFoundError("There is no such mail.")
    return mail


def _mail_values(mail: Mail) -> dict[str, Any]:
    rendered = mail.rendered()
    return {
        "mail": mail,
        **rendered,
        "sender": mail.request.payload["from"],
        "links": links_of(rendered["html"], rendered["text"]),
        "one_click": one_click_url(rendered["headers"]),
        "args": mail.custom_args(),
        "facts": _version(_templates.get_template("mail_facts.html").render(mail=mail)),
    }


async def read_mail(request: Request) -> Response:
    """Draw one mail; looking at it is not opening it."""
    return _draw("mail.html", _mail_values(_mail(request)))


async def mail_facts(request: Request) -> Response:
    """Draw what happened to one mail."""
    return _draw("mail_facts.html", {"mail": _mail(request)}, request)


async def mail_body(request: Request) -> Response:
    """Return the HTML of a mail, locked in: no script, no form, nothing fetched."""
    html = _mail(request).rendered()["html"] or ""
    return HTMLResponse(html, headers={"Content-Security-Policy": _MAIL_POLICY})


async def act_on_mail(request: Request) -> Response:
    """Let the recipient do something with a mail."""
    office, mail, act = office_of(request), _mail(request), request.path_params["act"]
    match act:
        case "open":
            await desk.open_message(office, mail)
        case "click":
            await desk.click(office, mail, (await _form(request)).get("url"))
        case "bounce":
            await office.lives.mail_event(mail, "bounce", **magic.BOUNCE[1])
        case "spam":
            await office.lives.mail_event(mail, "spamreport")
        case "unsubscribe":
            status = await desk.unsubscribe(office, mail)
            if status is None or not 200 <= status < 300:
                raise BadInputError(f"The unsubscribe address answered {status or 'nothing'}.")
        case _:
            raise NotFoundError("A mail cannot do that.")
    return _draw("mail_facts.html", {"mail": mail}, request)


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request, limit=100_000)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


# -- phone ----------------------------------------------------------------------------------------


async def thread_list(request: Request) -> Response:
    """Draw the conversations, the last one used first."""
    values = _thread_rows(office_of(request), request.query_params.get("address", ""))
    return _draw("threads.html", values, request)


def _thread_rows(office: Office, selected: str) -> dict[str, Any]:
    threads = office.book.threads
    rows = [
        {"address": address, "last": threads[address][-1]}
        for address in islice(reversed(threads), _SHOWN)
    ]
    return {"rows": rows, "selected": selected}


def _thread_values(office: Office, address: str) -> dict[str, Any]:
    drawn = _templates.get_template("bubbles.html").render(_bubble_values(office, address))
    return {"address": address, "bubbles": _version(drawn)}


def _bubble_values(office: Office, address: str) -> dict[str, Any]:
    thread: list[Sms] = office.book.threads.get(address, [])
    stopped = [ours for ours, theirs in office.book.opted_out if theirs == address]
    return {"address": address, "texts": thread[-_SHOWN:][::-1], "stopped": sorted(stopped)}


async def read_thread(request: Request) -> Response:
    """Draw one conversation with its reply box."""
    values = _thread_values(office_of(request), request.path_params["address"])
    return _draw("thread.html", values)


async def bubbles(request: Request) -> Response:
    """Draw the messages of one conversation."""
    values = _bubble_values(office_of(request), request.path_params["address"])
    return _draw("bubbles.html", values, request)


async def reply(request: Request) -> Response:
    """Send what the person typed."""
    office, address = office_of(request), request.path_params["address"]
    body = (await _form(request)).get("body", "")
    await phone.reply(office=office, sender=address, to=None, body=body)
    return _draw("bubbles.html", _bubble_values(office, address), request)


# -- app inbox ------------------------------------------------------------------------------------


async def inbox_list(request: Request) -> Response:
    """Draw the customers with an app inbox."""
    values: dict[str, Any] = {"rows": [], "problem": None}
    try:
        rows = await inbox.customers(office_of(request))
        values["rows"] = sorted(rows, key=lambda row: (-row.unread, row.name.lower()))[:_SHOWN]
    except TransientError as error:
        values["problem"] = str(error)
    values["selected"] = request.query_params.get("customer", "")
    return _draw("inbox_list.html", values, request)


async def _customer(request: Request) -> inbox.Customer:
    wanted = request.path_params["customer"]
    for customer in await inbox.customers(office_of(request)):
        if customer.id == wanted:
            return customer
    raise NotFoundError("There is no such customer.")


async def read_inbox(request: Request) -> Response:
    """Draw one customer's inbox."""
    values = await _inbox_values(request)
    drawn = _version(_templates.get_template("inbox_items.html").render(values))
    return _draw("inbox.html", {"customer": request.path_params["customer"], "drawn": drawn})


async def inbox_items(request: Request) -> Response:
    """Draw the items of one customer's inbox."""
    return _draw("inbox_items.html", await _inbox_values(request), request)


async def _inbox_values(request: Request) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": request.path_params["customer"], "name": "", "items": []}
    shown["problem"] = None
    try:
        customer = await _customer(request)
        found = await inbox.items(office_of(request), customer)
        shown |= {"name": customer.name, "items": [_item(row) for row in found["items"]]}
    except TransientError as error:
        shown["problem"] = str(error)
    return shown


def _item(row: dict[str, Any]) -> dict[str, Any]:
    action = row.get("action") if isinstance(row.get("action"), dict) else None
    if action and not str(action.get("url", "")).lower().startswith(("http://", "https://")):
        action = None
    names = ("id", "title", "body", "created_at", "seen_at", "read_at", "archived_at")
    return {**{name: row.get(name) for name in names}, "action": action}


async def act_on_item(request: Request) -> Response:
    """Mark one item seen, read or archived."""
    customer = await _customer(request)
    params = request.path_params
    await inbox.act(office_of(request), customer, params["item"], params["act"])
    return _draw("inbox_items.html", await _inbox_values(request), request)
