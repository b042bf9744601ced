"""The list of key commands; each is imported when it is run, as those of ``commands`` are."""

from typing import Annotated, Optional

import typer

from signalpost import settings as settings_
from signalpost.cli.options import Json
from signalpost.domain.access import Scope

app = typer.Typer(
    help=(
        "Keys for whoever calls the web: one for each program, with the scopes that it needs. A key is "
        "shown once, when it is made or rotated; only its hash is kept."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Which = Annotated[str, typer.Argument(metavar="KEY", help="The key's id or its name.")]


@app.command()
def make(
    name: Annotated[str, typer.Argument(help="Who will use it, such as web-shop.")],
    scope: Annotated[list[Scope], typer.Option(help="What it is for; repeatable.")],
    expires: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this at run time
        typer.Option(metavar="IN|AT", help="Such as 90d, 12h, or 2027-01-31; never when left out."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    from signalpost.cli.keys import make as run

    run(settings_.load(), name, scopes=scope, expires=expires, json=json)


@app.command("list")
def list_(json: Json = False) -> None:
    """Show every key: its scopes, who made it, until when it is good, when it was last used."""
    from signalpost.cli.keys import list_keys as run

    run(settings_.load(), json=json)


@app.command()
def rotate(
    key: Which,
    keep: Annotated[
        str,
        typer.Option(metavar="IN|AT", help="So long is the old secret good, too; 0: not at all."),
    ] = "7d",
    json: Json = False,
) -> None:
    """Give a key a new secret and show it, this once."""
    from signalpost.cli.keys import rotate as run

    run(settings_.load(), key, keep=keep, json=json)


@app.command()
def revoke(key: Which, json: Json = False) -> None:
    """End a key for good, within seconds, and every session that was opened with it."""
    from signalpost.cli.keys import revoke as run

    run(settings_.load(), key, json=json)
