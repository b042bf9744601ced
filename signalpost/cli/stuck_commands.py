"""The commands about what does not go on by itself."""

from enum import StrEnum
from typing import Annotated

import typer

from signalpost import settings as settings_
from signalpost.cli.options import Json


class _Word(StrEnum):
    NOT_SENT = "not-sent"
    ABANDONED = "abandoned"


def stuck(
    fix: Annotated[
        bool, typer.Option("--fix", help="Do what is safe: nothing is ever sent by it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what --fix would see to; change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """List what is stuck, each with the command that helps."""
    from signalpost.cli.stuck import stuck as run

    run(settings_.load(), fix=fix, dry_run=dry_run, json=json)


def resolve(
    message: Annotated[str, typer.Argument(help="The id of a message that is unknown.")],
    as_: Annotated[
        _Word,
        typer.Option("--as", help="not-sent: you know that it did not go. abandoned: closed."),
    ],
) -> None:
    """Close a message of which nobody can find out whether it went; nothing is sent."""
    from signalpost.cli.stuck import take_word
    from signalpost.services.reconciling.resolving import Resolution

    word = Resolution.NOT_SENT if as_ is _Word.NOT_SENT else Resolution.ABANDONED
    take_word(settings_.load(), message, resolution=word)


def register(app: typer.Typer, *, panel: str) -> None:
    """Put the commands into the list."""
    for command in (stuck, resolve):
        app.command(rich_help_panel=panel)(command)
