"""The commands about a person's own data, and about copies of the record."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from signalpost import settings as settings_
from signalpost.cli.options import Person
from signalpost.errors import BadInputError

PANEL = "Privacy and copies"

Out = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads this at run time
    typer.Option(help="Write to this file, for its owner alone; else to the terminal."),
]


def export(customer: Person, out: Out = None) -> None:
    """Give all data of a person, as JSON."""
    from signalpost.cli.privacy import export as run

    run(settings_.load(), customer, out=out)


def erase(
    customer: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="Customer id, user id, email, phone, order id or another key."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept, so name nobody in it.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go; change nothing.")
    ] = False,
    out: Out = None,
    verify: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Say whether this receipt is ours and unchanged."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what a provider delayed.")
    ] = False,
) -> None:
    """Erase a person everywhere, for good, and give a signed receipt."""
    from signalpost.cli import privacy

    settings = settings_.load()
    if verify is not None:
        privacy.verify(settings, verify)
    elif resume:
        privacy.resume(settings)
    elif customer is None:
        raise BadInputError("Say whom to erase; or give --resume, or --verify FILE.")
    elif dry_run:
        privacy.plan(settings, customer)
    else:
        privacy.erase(settings, customer, reason=reason, out=out)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to; it must not be there yet.")],
) -> None:
    """Copy the record while everything runs (SQLite; PostgreSQL has its own tools)."""
    from signalpost.cli.copies import backup as run

    run(settings_.load(), file)


def restored(
    since: Annotated[
        str, typer.Option(metavar="TIME", help="When the backup was taken: 2026-03-02T09:30:00Z.")
    ],
) -> None:
    """Say that the record was restored from a backup, before anything is started again.

    What may have been sent since then is asked about at the providers and not sent a second time, and
    whoever was erased since then is erased again.
    """
    from signalpost.cli.copies import restored as run

    run(settings_.load(), since)


def register(app: typer.Typer) -> None:
    """Put the commands into the list."""
    for command in (export, erase, backup, restored):
        app.command(rich_help_panel=PANEL)(command)
