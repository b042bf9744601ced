"""How refusals and faults are answered: as a page to a person, as a problem to a program.

Every one says what is wrong, and repeats nothing that was sent.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.web import edge, pages
from signalpost.web.doorkeeper import SignInFirst
from signalpost.web.errors import problem
from signalpost.web.page_door import inside

_AWAY = "The record cannot be reached at the moment; please come again."
_OURS: Mapping[type[Exception], int] = {BadInputError: 400, NotFoundError: 404, ConflictError: 409}


def add(app: FastAPI) -> None:
    """Have the application answer every refusal."""
    app.add_exception_handler(SignInFirst, _sign_in)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(kind, _away)
    app.add_exception_handler(DataError, _unfit)
    for kind in _OURS:
        app.add_exception_handler(kind, _said)


async def _sign_in(request: Request, error: Any) -> Response:
    del error
    where = f"/login?next={quote(inside(request.url.path))}"
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": where})
    return RedirectResponse(where, 303)


async def _refused(request: Request, error: Any) -> Response:
    where = getattr(error, "where", None)
    return _answer(request, error.status_code, str(error.detail), error.headers, where=where)


async def _away(request: Request, error: Any) -> Response:
    del error
    return _answer(request, 503, _AWAY, {"Retry-After": edge.RETRY_AFTER})


async def _unfit(request: Request, error: Any) -> Response:
    """Answer what no text of a database can hold, such as NUL, and numbers that no column can."""
    del error
    return _answer(request, 400, "One of the values holds what no record can hold, such as NUL.")


async def _said(request: Request, error: Any) -> Response:
    status = next(status for kind, status in _OURS.items() if isinstance(error, kind))
    return _answer(request, status, str(error))


async def _invalid(_: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem(422, f"{where}: {first['msg']}", title="Not valid", where=where)


def _answer(
    request: Request,
    status: int,
    says: str,
    headers: Mapping[str, str] | None = None,
    *,
    where: str | None = None,
) -> Response:
    if pages.wants_page(request):
        return pages.error_page(request, status, says, headers)
    return problem(status, says, headers=headers, where=where)
