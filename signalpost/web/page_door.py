"""What every page shares: its template, the sign-in, and one reading transaction."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlmodel import Session

from signalpost.bootstrap import Signalpost
from signalpost.domain.reason_words import channel_name, held_out, reason_for_many
from signalpost.errors import NotFoundError
from signalpost.services.campaigns.plan_words import collision, segments
from signalpost.services.reading import commands
from signalpost.services.reading.runs import rate
from signalpost.web import edge, page_words
from signalpost.web.doorkeeper import PAGES, grant_in

T = TypeVar("T")
HOME = "/customers"
_LOCAL = re.compile(r"/[A-Za-z0-9/_-]*")

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["channel"] = channel_name
_environment.filters["held_out"] = held_out
_environment.filters["for_many"] = reason_for_many
_environment.filters["collision"] = collision
_environment.filters["words"] = page_words.words
_environment.filters["sentence"] = page_words.sentence
_environment.filters["rate"] = rate
_environment.filters["segments"] = segments
_environment.filters["ticked"] = page_words.ticked
_environment.filters["pretty"] = page_words.pretty
_environment.filters["curve"] = page_words.curve
_environment.globals["commands"] = commands
_environment.globals["zip"] = zip
_environment.globals["pages"] = PAGES
templates = Jinja2Templates(env=_environment)


class PageDoor:
    """Shows pages; the routes see to it that whoever asks may see them."""

    def __init__(self, signalpost: Signalpost) -> None:
        self.settings = signalpost.settings
        self._database = signalpost.database
        self.now = signalpost.desk.clock

    async def read(self, work: Callable[[Session], T]) -> T:
        """Read from the record; what is not there is a page with 404."""

        def reading() -> T:
            with self._database.reading() as session:
                return work(session)

        try:
            return await edge.in_transaction(reading)
        except NotFoundError as error:
            raise HTTPException(404, str(error)) from None

    def show(
        self, request: Request, template: str, *, status: int = 200, **values: Any
    ) -> Response:
        """Fill a template."""
        grant = grant_in(request)
        values["may"] = grant.areas if grant else frozenset()
        values["now"] = self.now()
        return templates.TemplateResponse(request, template, values, status_code=status)


def inside(path: str) -> str:
    """A path of ours to lead back to; anything else is not followed."""
    if _LOCAL.fullmatch(path) and not path.startswith("//"):
        return path
    return HOME
