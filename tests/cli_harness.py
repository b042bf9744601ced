"""Runs the command line in this process, as ``main`` does, with the settings given and no others."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from signalpost.cli import say
from signalpost.cli.commands import app


class Result:
    """How a command ended and what it said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


def signalpost(folder: Path, *words: str, **settings: str) -> Result:
    """Run a command; state is kept below ``folder``."""
    out, err = io.StringIO(), io.StringIO()
    given = {"home": str(folder / "state")} | settings
    with (
        _environment({f"SIGNALPOST_{name.upper()}": value for name, value in given.items()}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            say.run(app, words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Result(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in before:
        if name.startswith("SIGNALPOST_"):
            del os.environ[name]
    os.environ.update({"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"} | given)
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)
        os.environ.clear()
        os.environ.update(before)
        sys.stdout.flush()
