"""What the record knows of each account of a provider."""

from datetime import datetime

from rich.markup import escape

from signalpost.cli import door, say
from signalpost.domain.circuit import Circuit
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import audit, provider_accounts
from signalpost.record.provider_accounts import Standing
from signalpost.services.ways_out.watching import by_name
from signalpost.settings import Settings


def show(settings: Settings) -> None:
    """Say of each account whether it is held back or slow."""
    with door.reading(settings) as session:
        found = provider_accounts.standings(session)
    troubled = [one for one in by_name(found) if one.circuit.is_open or one.slow_since]
    if not troubled:
        say.out.print("Every account takes what it is sent.")
    for one in troubled:
        say.out.print(_line(one), soft_wrap=True)


def _line(one: Standing) -> str:
    circuit = one.circuit
    name = f"[bold]{escape(circuit.account)}[/bold]"
    if not circuit.is_open:
        return (
            f"{name} delivers slowly since {_at(one.slow_since)}: {one.slow_share or 0:.0%} late."
        )
    what = "marketing is held back" if circuit.marketing_only else "everything is held back"
    by_itself = "an operator closes it" if circuit.probe_at is None else "it is tried now and then"
    close = f"signalpost providers --close {circuit.account}"
    return (
        f"{name} {what} since {_at(circuit.opened_at)}: {escape(circuit.reason)} "
        f"[dim]({by_itself}: {close})[/dim]"
    )


def _at(moment: datetime | None) -> str:
    return f"{moment:%d %b %H:%M} UTC" if moment else "now"


def close(settings: Settings, account: str) -> None:
    """Close an account's circuit, because an operator says that it works.

    Raises:
        NotFoundError: nothing is known of an account of that name.
        ConflictError: its circuit is closed.
    """
    from signalpost.bootstrap import clock_of

    now = clock_of(settings)()
    with door.opened(settings) as database, database.writing() as session:
        found = provider_accounts.standings(session).get(account)
        if found is None:
            raise NotFoundError(
                f"There was never trouble with an account {account!r}; `signalpost providers` lists "
                "those in trouble."
            )
        if not found.circuit.is_open:
            raise ConflictError(f"Nothing is held back from {account}.")
        provider_accounts.keep(session, circuit=Circuit(account=account), now=now)
        audit.add(
            session,
            actor=door.actor(),
            action="circuit_close",
            subject=f"account:{account}",
            detail={"code": found.circuit.code},
            now=now,
        )
    say.out.print(f"Everything goes out by {escape(account)} again.")
