"""How the command line speaks: tables and sentences on stdout, what went wrong on stderr."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import orjson
from rich.console import Console
from rich.markup import escape

from signalpost import errors

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

#: Exit codes, also in ``signalpost --help``.
WRONG, USAGE, SETTINGS, NOT_FOUND, AWAY, STOPPED = 1, 2, 3, 4, 5, 130

_CODES: Mapping[type[errors.SignalpostError], int] = {
    errors.ConfigurationError: SETTINGS,
    errors.NotFoundError: NOT_FOUND,
    errors.TransientError: AWAY,
    errors.BadInputError: USAGE,
}


def run(app: Any, words: Sequence[str] | None = None) -> NoReturn:
    """Run the commands; expected errors become a sentence and an exit code."""
    try:
        app(words)
    except errors.SignalpostError as error:
        fail(str(error), code=_code(error))
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except BrokenPipeError:  # the reader of a pipe has had enough
        sys.stderr.close()
    except Exception as error:
        if type(error).__module__.startswith("sqlalchemy."):
            fail(_about_database(error), code=AWAY)
        if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
            fail("The record is on PostgreSQL; install its driver: signalpost[postgres].", SETTINGS)
        raise
    sys.exit(0)


def _code(error: errors.SignalpostError) -> int:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), WRONG)


def _about_database(error: Exception) -> str:
    """Say what is wrong with the database; the driver's text may hold values, so it is not shown."""
    text = str(getattr(error, "orig", "")).lower()
    if any(said in text for said in ("no such table", "no such column", "does not exist")):
        return "The record has no tables yet, or older ones; run `signalpost migrate`."
    if "locked" in text:
        return "The record is locked by another process; try again in a moment."
    return (
        "The record cannot be reached. Look at SIGNALPOST_DATABASE_URL and whether the database "
        "runs; `signalpost doctor` says more."
    )


def fail(message: str, code: int = WRONG) -> NoReturn:
    """Say what is wrong, and end."""
    err.print(f"[red]✗[/red] {escape(message)}", soft_wrap=True)
    sys.exit(code)


def as_json(value: Any) -> None:
    """Print a value as JSON, for other programs."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(value, default=str, option=options).decode() + "\n")
