"""``signalpost providers``: where each account stands, and closing a circuit by hand."""

from typing import Annotated, Optional

import typer

from signalpost import settings as settings_


def register(app: typer.Typer, *, panel: str) -> None:
    """Add the command to the app."""
    app.command("providers", rich_help_panel=panel)(providers)


def providers(
    close: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="ACCOUNT", help="Let everything go out by this account again."),
    ] = None,
) -> None:
    """Show which accounts of providers are held back or slow, and why."""
    from signalpost.cli.providers import close as run_close
    from signalpost.cli.providers import show

    settings = settings_.load()
    if close is not None:
        run_close(settings, close)
    else:
        show(settings)
