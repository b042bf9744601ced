"""The list of commands; each is imported when it is run, so that ``--help`` is quick."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Optional

import typer

from signalpost import settings as settings_
from signalpost.cli import (
    campaign_commands,
    key_commands,
    privacy_commands,
    provider_commands,
    stuck_commands,
)
from signalpost.cli.options import Json, Person
from signalpost.domain.vocabulary import Channel, Lane

HELP = "\n\n".join(
    [
        "Signals in, messages out, every step on the customer's record.",
        (
            "Start with [bold]signalpost up[/bold]: everything on this machine, in one terminal, with a "
            "local post office in place of SendGrid and Twilio. [bold]signalpost doctor[/bold] says "
            "what is wrong and what to do."
        ),
        "Settings are variables SIGNALPOST_*; state is kept in .signalpost (SIGNALPOST_HOME).",
        (
            "Exit codes: 0 fine, 1 something is wrong, 2 usage, 3 settings, 4 not found, "
            "5 not reachable."
        ),
    ]
)

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN, LOOK, WRITE, MEND = "Run", "Look", "Write and check", "Put right"

app.add_typer(
    campaign_commands.app,
    name="campaign",
    short_help="Plan, launch, approve, watch and stop campaigns: `signalpost campaign --help`.",
    rich_help_panel=RUN,
)
app.add_typer(
    key_commands.app,
    name="key",
    short_help="Make, list, rotate and revoke keys with scopes: `signalpost key --help`.",
    rich_help_panel=MEND,
)


@app.command(rich_help_panel=RUN)
def up() -> None:
    """Start everything on this machine in one terminal; Ctrl-C stops everything."""
    from signalpost.cli.up import up as run

    run(settings_.load())


if find_spec("signalpost.demo") is not None:

    @app.command(rich_help_panel=RUN)
    def demo(
        exit_: Annotated[
            bool, typer.Option("--exit", help="End with a summary when all has been played.")
        ] = False,
    ) -> None:
        """Start everything and replay some days of real purchases, a pickup and a fraud alert."""
        from signalpost import demo  # type: ignore[attr-defined]

        raise typer.Exit(demo.run(settings_.load(), exit_when_done=exit_))


@app.command(rich_help_panel=RUN)
def web() -> None:
    """Serve signals in, receipts in, the inbox and the record's pages."""
    from signalpost.cli.serve import web as run

    run(settings_.load())


@app.command(rich_help_panel=RUN)
def worker(
    lane: Annotated[Lane, typer.Option(help="The lane to serve; one process each.")],
) -> None:
    """Serve one lane: claim people who are due and run their flow in Prefect."""
    from signalpost.cli.serve import worker as run

    run(settings_.load(), lane)


@app.command(rich_help_panel=RUN)
def postoffice() -> None:
    """Serve the local post office: SendGrid and Twilio on the wire, with a page to look at."""
    from signalpost.cli.serve import postoffice as run

    run(settings_.load())


@app.command(rich_help_panel=RUN)
def migrate() -> None:
    """Bring the record to the tables of this version."""
    from signalpost.cli.serve import migrate as run

    run(settings_.load())


@app.command(rich_help_panel=RUN)
def deploy() -> None:
    """Register every journey and campaign in Prefect, with its schedule and its Run form."""
    from signalpost.cli.serve import deploy as run

    run(settings_.load())


@app.command(rich_help_panel=LOOK)
def doctor(
    live: Annotated[
        bool, typer.Option("--live", help="Ask the installation that runs; nothing is sent.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what is configured, reachable and wrong, and what to do about it."""
    from signalpost.cli.doctor import doctor as run

    run(json=json, live=live)


@app.command(rich_help_panel=LOOK)
def record(
    customer: Person,
    json: Json = False,
    limit: Annotated[int, typer.Option(min=1, help="How many entries, the newest.")] = 200,
) -> None:
    """Show a customer's timeline: everything over all channels, in order."""
    from signalpost.cli.read import record as run

    run(settings_.load(), customer, json=json, limit=limit)


@app.command(rich_help_panel=LOOK)
def why(
    customer: Person,
    about: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this at run time
        typer.Option(help="One message, journey or campaign only."),
    ] = None,
    json: Json = False,
) -> None:
    """Show why a customer was sent something, or not."""
    from signalpost.cli.read import why as run

    run(settings_.load(), customer, about=about, json=json)


@app.command(rich_help_panel=LOOK)
def audit(
    head_was: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="HEAD", help="With --verify: what --head printed earlier."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Look whether anybody changed it; ends with 1 if so.")
    ] = False,
    head: Annotated[
        bool, typer.Option("--head", help="Print its newest number and hash, to keep elsewhere.")
    ] = False,
    since: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="MOMENT", help="Such as 2026-03-02 or 2026-03-02T09:30."),
    ] = None,
    subject: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="ID", help="What was acted on: a run, a customer, an enrolment …"),
    ] = None,
    json: Json = False,
) -> None:
    """Show who did what; --verify [--head HEAD] proves that nobody has changed it since."""
    from signalpost.cli import audit as log

    settings = settings_.load()
    if verify or head_was is not None:
        log.verify(settings, against=head_was, json=json)
    elif head:
        log.head(settings)
    else:
        log.show(settings, since=since, subject=subject, json=json)


@app.command(rich_help_panel=LOOK)
def journeys(
    name: Annotated[Optional[str], typer.Argument(help="One journey only.")] = None,  # noqa: UP045
    mermaid: Annotated[bool, typer.Option(help="Print the Mermaid diagram.")] = False,
    write: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write a Markdown page with every diagram."),
    ] = None,
    json: Json = False,
) -> None:
    """Show every journey with the number of people at each step."""
    from signalpost.cli.read import draw
    from signalpost.cli.read import journeys as run

    if write is not None:
        draw(settings_.load(), write)
        return
    run(settings_.load(), name, mermaid=mermaid, json=json)


@app.command(rich_help_panel=WRITE)
def lint(json: Json = False) -> None:
    """Check every message on every channel and locale, every campaign and every journey."""
    from signalpost.cli.write import lint as run

    run(settings_.load(), json=json)


@app.command(rich_help_panel=WRITE)
def preview(
    message: Annotated[str, typer.Argument(help="The message folder's name.")],
    locale: Annotated[Optional[str], typer.Option(help="Such as zh-Hant.")] = None,  # noqa: UP045
    channel: Annotated[Optional[Channel], typer.Option(help="One channel only.")] = None,  # noqa: UP045
    open_: Annotated[bool, typer.Option("--open", help="Open the email in a browser.")] = False,
    json: Json = False,
) -> None:
    """Show a message as it would be sent, with its sample facts."""
    from signalpost.cli.write import preview as run

    run(settings_.load(), message, locale=locale, channel=channel, browser=open_, json=json)


@app.command(rich_help_panel=WRITE)
def event(
    name: Annotated[str, typer.Argument(help="Such as order.placed.")],
    properties: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            help="key=value (a list or object as JSON), key:=7 for a number, or "
            "customer.key=value for what is about them."
        ),
    ] = None,
    body: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--json", help="The data as one JSON object; - reads it from stdin."),
    ] = None,
    id_: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--id", help="The event's id; the same id is taken once."),
    ] = None,
    file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A file that holds the data as one JSON object."),
    ] = None,
) -> None:
    """Send one signal to the running web, such as order.ready_for_pickup order_id=7 user_id=ann."""
    from signalpost.cli.write import event as run

    run(settings_.load(), name, properties or [], body=body, event_id=id_, file=file)


@app.command(rich_help_panel=MEND)
def redrive(
    id_: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="ID", help="Of a parked event, of somebody set aside, or of a failed call."
        ),
    ] = None,
    all_set_aside: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="All who are set aside in this journey or campaign."),
    ] = None,
    reason: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of them only those with this reason, such as missing_fact."),
    ] = None,
    fact: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="KEY=VALUE", help="Put a fact of theirs right first; repeatable."),
    ] = None,
) -> None:
    """Try again what waits for an operator; without an ID, list it."""
    from signalpost.cli.mend import redrive as run

    run(settings_.load(), id_, journey=all_set_aside, facts=fact or [], reason=reason)


@app.command(rich_help_panel=MEND)
def merge(
    keep: Annotated[str, typer.Argument(help="Who stays: an id or any key of theirs.")],
    other: Annotated[str, typer.Argument(help="Who is the same person.")],
    reason: Annotated[str, typer.Option(help="How you know; kept on the record.")],
) -> None:
    """Make one person of two customers; it can be undone."""
    from signalpost.cli.mend import merge as run

    run(settings_.load(), keep, other, reason=reason)


@app.command(rich_help_panel=MEND)
def unmerge(
    merge_id: Annotated[str, typer.Argument(help="As `signalpost record` shows it.")],
) -> None:
    """Undo a merge."""
    from signalpost.cli.mend import unmerge as run

    run(settings_.load(), merge_id)


@app.command(rich_help_panel=MEND)
def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")
    ] = False,
) -> None:
    """Delete now what is older than SIGNALPOST_KEEP_…_DAYS; a worker does it every hour."""
    from signalpost.cli.mend import prune as run

    run(settings_.load(), dry_run=dry_run)


@app.command(rich_help_panel=MEND)
def suppress(
    address: Annotated[str, typer.Argument(help="An email address, a phone number …")],
    channel: Annotated[
        Optional[Channel],  # noqa: UP045
        typer.Option(help="Email for an address with @, else SMS, when left out."),
    ] = None,
    scope: Annotated[str, typer.Option(help="all, marketing, or a topic.")] = "all",
    reason: Annotated[str, typer.Option(help="manual, hard_bounce, bad_address …")] = "manual",
    lift: Annotated[bool, typer.Option("--lift", help="Lift the block of this reason.")] = False,
) -> None:
    """Block an address whatever the consent, or lift such a block."""
    from signalpost.cli.mend import suppress as run

    run(settings_.load(), address, channel=channel, scope=scope, reason=reason, lift=lift)


stuck_commands.register(app, panel=MEND)
provider_commands.register(app, panel=MEND)
privacy_commands.register(app)
