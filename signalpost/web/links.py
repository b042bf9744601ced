"""The pages behind links in our messages: unsubscribe, preferences, answers, the way to one's agent.

Scanners open links, so GET changes nothing; a button does. Every link is signed for one purpose and
one customer, and leads nowhere but here; those to the brand's own pages (``/links/go``) to a page that
the template named, and a click on them is written down first.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlmodel import Session

from signalpost.bootstrap import Signalpost
from signalpost.errors import BadInputError
from signalpost.services.inbound import agents, answer_links, clicks, confirming, unsubscribe
from signalpost.services.inbound.answers import Answered
from signalpost.services.links import BadLinkError
from signalpost.web import edge
from signalpost.web.answer_words import answer_words
from signalpost.web.doorkeeper import Doorkeeper, Route

_HERE = Path(__file__).parent
_STYLE = _HERE / "static" / "links.css"
_MOST_BYTES = 64 * 1024
_MOST_TOKEN = 2_000  #: characters
#: What a mail client sends for its own button (RFC 8058), as a form or in multiparts.
_ONE_CLICK = b"One-Click"

T = TypeVar("T")
log = structlog.get_logger(__name__)


def _is_machine(request: Request) -> bool:
    """Whether a scanner or a preview follows the link, and no person: as far as they say so."""
    hints = ("sec-purpose", "purpose", "x-purpose", "x-moz")
    fetches = "".join(request.headers.get(name, "") for name in hints).lower()
    agent = request.headers.get("user-agent", "")
    return "fetch" in fetches or "preview" in fetches or not agent.startswith("Mozilla/")


def _nothing() -> None:
    """Nobody to wake: the worker polls."""


def router(
    signalpost: Signalpost,
    *,
    doorkeeper: Doorkeeper,
    on_commit: Callable[[], None] = _nothing,
) -> APIRouter:
    """Make the pages behind links; ``on_commit`` is called when an answer made an enrolment due."""
    door = _Door(signalpost, on_commit)
    routes = APIRouter(prefix="/links", include_in_schema=False, route_class=Route)
    looking = ["GET", "HEAD"]
    open_to_all = doorkeeper.public("the style of the pages behind links")
    routes.add_api_route("/style.css", door.style, methods=looking, dependencies=[open_to_all])
    theirs = [doorkeeper.public("a link, signed for one person and purpose; changes nothing")]
    once = [doorkeeper.public("a link, signed for one person and purpose", counted=True)]
    for purpose, look, act in (
        ("unsubscribe", door.show_unsubscribe, door.do_unsubscribe),
        ("preferences", door.show_preferences, door.choose),
        ("agent", door.show_agent, door.contact),
        ("answer", door.show_question, door.answer),
        ("confirm", door.show_confirm, door.confirm),
    ):
        path = f"/{purpose}/{{token}}"
        routes.add_api_route(path, look, methods=looking, dependencies=theirs)
        routes.add_api_route(path, act, methods=["POST"], dependencies=once)
    away = [doorkeeper.public("a link to the brand's own pages; a click adds a receipt at most")]
    routes.add_api_route("/go/{token}", door.go, methods=looking, dependencies=away)
    return routes


class _Door:
    """The pages, with what they need."""

    def __init__(self, signalpost: Signalpost, on_commit: Callable[[], None]) -> None:
        self._on_commit = on_commit
        self._desk = signalpost.desk
        self._database = signalpost.database
        self._pages = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def style(self) -> Response:
        """Give the pages' style."""
        headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(_STYLE.read_text(), media_type="text/css", headers=headers)

    async def show_unsubscribe(self, token: str) -> Response:
        """Show the button; looks the same for any token, so that nothing can be learnt from it."""
        del token
        return self._page("links_unsubscribe.html", done=False)

    async def do_unsubscribe(self, request: Request, token: str) -> Response:
        """Unsubscribe at once: no cookie, no login, no redirect (RFC 8058)."""
        one_click = _ONE_CLICK in await edge.body_of(request, limit=_MOST_BYTES)
        claims = self._claims("unsubscribe", token)
        if claims is not None:
            await self._writing(
                lambda session: unsubscribe.unsubscribe(
                    session,
                    customer_id=claims["c"],
                    message_id=claims.get("m", ""),
                    topic=claims.get("t", "*"),
                    source="list-unsubscribe" if one_click else "unsubscribe page",
                    wording="List-Unsubscribe=One-Click" if one_click else "Unsubscribe",
                    now=self._desk.clock(),
                )
            )
            log.info("link.unsubscribed", message_id=claims.get("m"), one_click=one_click)
        return self._page("links_unsubscribe.html", done=True)

    async def show_confirm(self, token: str) -> Response:
        """Show the button; looks the same for any token."""
        del token
        return self._page("links_confirm.html", done=False)

    async def confirm(self, token: str) -> Response:
        """Take the yes of whoever reads the mail, once; the answer tells nothing about anybody."""
        claims = self._claims("confirm", token)
        if claims is not None:
            took = await self._writing(
                lambda session: confirming.confirm(
                    session,
                    customer_id=claims["c"],
                    message_id=claims.get("m", ""),
                    topic=claims.get("t", ""),
                    now=self._desk.clock(),
                )
            )
            log.info("link.confirmed", message_id=claims.get("m"), new=took)
        return self._page("links_confirm.html", done=True)

    async def show_preferences(self, token: str) -> Response:
        """Show what the person may choose, and where each choice stands."""
        claims = self._claims("preferences", token)
        if claims is None:
            return self._invalid()
        found = await self._reading(partial(self._preferences, claims["c"]))
        return self._choices(found, saved=False)

    async def choose(self, request: Request, token: str) -> Response:
        """Keep the choices that were changed."""
        claims = self._claims("preferences", token)
        if claims is None:
            return self._invalid()
        form = edge.form_of(await edge.body_of(request, limit=_MOST_BYTES))
        shown = {key for key in form.get("shown", "").split(",") if key}

        def work(session: Session) -> unsubscribe.Preferences | None:
            unsubscribe.choose(
                session,
                catalogue=self._desk.catalogue,
                customer_id=claims["c"],
                shown=shown,
                wanted=form.keys(),
                now=self._desk.clock(),
            )
            return self._preferences(claims["c"], session)

        return self._choices(await self._writing(work), saved=True)

    async def show_agent(self, token: str) -> Response:
        """Show whom the person will talk to, and about what."""
        claims = self._claims("agent", token)
        if claims is None:
            return self._invalid()
        found = await self._reading(
            lambda session: agents.meeting(
                session,
                customer_id=claims["c"],
                message_id=claims.get("m", ""),
                on_call=self._desk.on_call,
            )
        )
        return self._meeting(found, asked=False)

    async def contact(self, token: str) -> Response:
        """Record that the person wants to talk, and hand the agent the case."""
        claims = self._claims("agent", token)
        if claims is None:
            return self._invalid()
        found = await self._writing(
            lambda session: agents.contact(
                session,
                customer_id=claims["c"],
                message_id=claims.get("m", ""),
                on_call=self._desk.on_call,
                now=self._desk.clock(),
            )
        )
        log.info("link.agent_contacted", message_id=claims.get("m"))
        return self._meeting(found, asked=True)

    async def show_question(self, token: str) -> Response:
        """Show what a message asked; what is closed and what was never ours look the same."""
        claims = self._claims("answer", token)
        return self._question(await self._asked(claims) if claims is not None else None)

    async def answer(self, request: Request, token: str) -> Response:
        """Take the answer; the first valid one counts, whichever channel it came by."""
        form = edge.form_of(await edge.body_of(request, limit=_MOST_BYTES))
        claims = self._claims("answer", token)
        if claims is None:
            return self._question(None)
        asked = await self._asked(claims)
        if asked is None:
            return self._question(None)

        def work(session: Session) -> Answered:
            return answer_links.take(
                session,
                customer_id=claims["c"],
                message_id=claims.get("m", ""),
                value=form.get("value", ""),
                comment=form.get("comment", ""),
                now=self._desk.clock(),
            )

        try:
            done = await self._writing(work)
        except BadInputError:
            return self._question(asked, comment=form.get("comment", ""), status=400)
        if not done.accepted:
            return self._question(None)
        if done.woke:
            self._on_commit()
        log.info("link.answered", message_id=claims.get("m"))
        words = answer_words(asked.locale)
        return self._page("links_answer.html", state="done", words=words, lang=words["lang"])

    async def go(self, request: Request, token: str) -> Response:
        """Lead to one of the brand's own pages; the click is written down before.

        When the record is away the person goes on all the same, and the click is lost.
        """
        claims = self._claims("go", token) or {}
        where = clicks.destination(
            claims,
            website=self._desk.catalogue.brand["website"].rstrip("/"),
            domains=self._desk.catalogue.domains,
        )
        if where is None:
            return self._invalid()
        message_id, to = claims.get("m", ""), claims["to"]
        if request.method == "GET":
            try:
                await self._writing(
                    lambda session: clicks.note(
                        session,
                        message_id=message_id,
                        to=to,
                        machine=_is_machine(request),
                        now=self._desk.clock(),
                    )
                )
            except HTTPException:
                log.warning("link.click_lost", message_id=message_id)
        return RedirectResponse(where, 302, headers=edge.PAGE_HEADERS)

    async def _asked(self, claims: dict[str, str]) -> answer_links.Asked | None:
        return await self._reading(
            lambda session: answer_links.asked(
                session, customer_id=claims["c"], message_id=claims.get("m", "")
            )
        )

    def _question(
        self, asked: answer_links.Asked | None, *, comment: str = "", status: int = 200
    ) -> Response:
        words = answer_words(asked.locale if asked else self._desk.catalogue.default_locale)
        return self._page(
            "links_answer.html",
            status=status,
            state="open" if asked else "closed",
            asked=asked,
            comment=comment[: answer_links.MOST_COMMENT],
            most=answer_links.MOST_COMMENT,
            words=words,
            lang=words["lang"],
        )

    def _choices(self, found: unsubscribe.Preferences | None, *, saved: bool) -> Response:
        if found is None:
            return self._invalid()
        return self._page("links_preferences.html", choices=found.choices, saved=saved)

    def _meeting(self, found: agents.Meeting | None, *, asked: bool) -> Response:
        if found is None:
            return self._invalid()
        on_call = found.agent == self._desk.on_call
        return self._page("links_agent.html", meeting=found, on_call=on_call, asked=asked)

    def _preferences(self, customer_id: str, session: Session) -> unsubscribe.Preferences | None:
        return unsubscribe.preferences(
            session, catalogue=self._desk.catalogue, customer_id=customer_id
        )

    def _claims(self, purpose: str, token: str) -> dict[str, str] | None:
        if len(token) > _MOST_TOKEN:
            return None
        try:
            claims = self._desk.links.read(purpose, token, now=self._desk.clock())
        except BadLinkError:
            return None
        return claims if isinstance(claims.get("c"), str) else None

    def _invalid(self) -> Response:
        return self._page("links_invalid.html", status=400)

    def _page(self, name: str, *, status: int = 200, **values: Any) -> Response:
        text = self._pages.get_template(name).render(brand=self._desk.catalogue.brand, **values)
        return HTMLResponse(text, status, headers=edge.PAGE_HEADERS)

    async def _reading(self, work: Callable[[Session], T]) -> T:
        def read() -> T:
            with self._database.reading() as session:
                return work(session)

        return await edge.in_transaction(read)

    async def _writing(self, work: Callable[[Session], T]) -> T:
        def write() -> T:
            with self._database.writing() as session:
                return work(session)

        return await edge.in_transaction(write)
