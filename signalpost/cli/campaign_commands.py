"""The list of campaign commands; each is imported when it is run, as those of ``commands`` are."""

from datetime import date
from pathlib import Path
from typing import Annotated, Optional

import typer

from signalpost import settings as settings_
from signalpost.cli.options import By, Campaign, Json, Run
from signalpost.domain.vocabulary import Channel

app = typer.Typer(
    help=(
        "Campaigns: one file each in deployments/campaigns. Write, [bold]plan[/bold], "
        "[bold]preview[/bold] and [bold]simulate[/bold] send nothing; [bold]launch[/bold] makes a run, "
        "one for more people than its file says waits until somebody [bold]approves[/bold] it."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)

WRITE, GO, LOOK = "Write and check", "Run", "Look"

Stage = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this at run time
    typer.Option(help="The stage of a series, such as update."),
]
Series = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="What several runs are about, such as INC-7."),
]
Facts = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--fact", metavar="KEY=VALUE", help="A fact that the file asks for; repeatable."),
]
At = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="When, such as 2026-12-01T10:00; when left out, as its file says."),
]
Now = Annotated[
    bool, typer.Option("--now", help="At once, whatever the schedule in its file says.")
]
TestOn = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="A test on so many of its people only."),
]
MaxDifference = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="N|N%", help="End with 1 when more messages than this are, or it is refused."
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept on the record.")]


@app.command(rich_help_panel=WRITE)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as spring-sale.")],
    message: Annotated[str, typer.Option(help="The message folder that it sends.")],
) -> None:
    """Write a commented campaign file to start from; it overwrites nothing."""
    from signalpost.cli.campaigns import new as run

    run(settings_.load(), name, message=message)


@app.command("list", rich_help_panel=LOOK)
def list_(json: Json = False) -> None:
    """Show every campaign file, with its latest run."""
    from signalpost.cli.campaigns import list_campaigns as run

    run(settings_.load(), json=json)


@app.command(rich_help_panel=WRITE)
def plan(
    name: Campaign,
    stage: Stage = None,
    series: Series = None,
    fact: Facts = None,
    at: At = None,
    now: Now = False,
    test_on: TestOn = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Ask the gate about everybody, and count the audience by clause."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show who would get it and who not, when, by which channel, and what it costs."""
    from signalpost.cli.campaigns import Wanted
    from signalpost.cli.campaigns import plan as run

    wanted = Wanted(name, stage, series, fact or [], at=at, at_once=now, test_on=test_on)
    run(settings_.load(), wanted, exact=exact, json=json)


@app.command(rich_help_panel=WRITE)
def preview(
    name: Campaign,
    customer: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="KEY", help="As this customer would get it; a sample person else."),
    ] = None,
    stage: Stage = None,
    series: Series = None,
    fact: Facts = None,
    channel: Annotated[Optional[Channel], typer.Option(help="One channel only.")] = None,  # noqa: UP045
    locale: Annotated[Optional[str], typer.Option(help="Such as zh-Hant.")] = None,  # noqa: UP045
    json: Json = False,
) -> None:
    """Show every message of it as it would be sent, with the campaign's facts."""
    from signalpost.cli.campaign_preview import preview as run

    run(
        settings_.load(),
        name,
        customer=customer,
        stage=stage,
        series=series,
        facts=fact or [],
        channel=channel,
        locale=locale,
        json=json,
    )


@app.command(rich_help_panel=WRITE)
def simulate(
    name: Campaign,
    from_: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--from", metavar="DAY", help="Replay from this day on; a week, when left out."
        ),
    ] = None,
    to: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="DAY", help="Until the end of this day; now, when left out."),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="record|live|FILE",
            help="Compare with what went, with the version launched last, or with a kept simulation.",
        ),
    ] = "record",
    everything: Annotated[
        bool,
        typer.Option(
            "--everything", help="Play journeys and other campaigns too, not as recorded."
        ),
    ] = False,
    as_it_happened: Annotated[
        bool,
        typer.Option(
            "--as-it-happened",
            help="Take what was imported later as told when it happened. "
            "Else only what was known then is played.",
        ),
    ] = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Keep it in this file; in the home folder, when left out."),
    ] = None,
    json: Json = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="End with 1 when it differs from what it is beside, or is refused."
        ),
    ] = False,
    max_added: MaxDifference = None,
    max_dropped: MaxDifference = None,
    max_moved: MaxDifference = None,
    max_reworded: MaxDifference = None,
) -> None:
    """Play it on recorded events and a virtual clock: what would have gone to whom, and when."""
    from signalpost.cli.campaign_simulation import Asked
    from signalpost.cli.campaign_simulation import simulate as run

    limits = {
        "added": max_added, "dropped": max_dropped, "moved": max_moved, "reworded": max_reworded,
    }  # fmt: skip
    asked = Asked(
        since=_day(from_),
        until=_day(to),
        against=against,
        everything=everything,
        as_it_happened=as_it_happened,
        out=out,
        check=check,
        limits={kind: limit for kind, limit in limits.items() if limit is not None},
    )
    run(settings_.load(), name, asked, json=json)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write it like 2026-03-02.") from None


@app.command(rich_help_panel=GO)
def launch(
    name: Campaign,
    stage: Stage = None,
    series: Series = None,
    fact: Facts = None,
    at: At = None,
    now: Now = False,
    test_on: TestOn = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Make a run of it; a worker of lane marketing sends it, once it is approved where it must be."""
    from signalpost.cli.campaign_runs import launch as run
    from signalpost.cli.campaigns import Wanted

    wanted = Wanted(name, stage, series, fact or [], at=at, at_once=now, test_on=test_on)
    run(settings_.load(), wanted, by=by, json=json)


@app.command(rich_help_panel=GO)
def approve(
    which: Run,
    by: By = None,
    seen: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="DIGEST", help="Of the plan that you saw; a changed one is refused."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needs --seen.")] = False,
) -> None:
    """Approve a run that waits for it: shows its plan and asks."""
    from signalpost.cli.campaign_runs import approve as run

    run(settings_.load(), which, by=by, seen=seen, yes=yes)


@app.command(rich_help_panel=GO)
def refuse(which: Run, reason: Reason, by: By = None) -> None:
    """Refuse a run that waits for approval; nothing of it is sent."""
    from signalpost.cli.campaign_runs import act

    act(settings_.load(), which, "refuse", by=by, why=reason)


@app.command(rich_help_panel=GO)
def pause(which: Run, reason: Reason = "", by: By = None) -> None:
    """Stop a run within a batch; whoever is left waits."""
    from signalpost.cli.campaign_runs import act

    act(settings_.load(), which, "pause", by=by, why=reason)


@app.command(rich_help_panel=GO)
def resume(which: Run, by: By = None) -> None:
    """Let a paused run go on, with exactly the people who are left."""
    from signalpost.cli.campaign_runs import act

    act(settings_.load(), which, "resume", by=by)


@app.command(rich_help_panel=GO)
def cancel(
    which: Run,
    reason: Reason = "",
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End a run for good, after asking: whoever is left gets nothing.

    Its in-app items leave the inboxes, also of those whose email says that the offer waits in the app.
    """
    from signalpost.cli.campaign_runs import act

    act(settings_.load(), which, "cancel", by=by, why=reason, ask=not yes)


@app.command(rich_help_panel=LOOK)
def status(
    which: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="NAME|RUN", help="One run; the latest runs of all when left out."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it until the run ends.")] = False,
    json: Json = False,
) -> None:
    """Show how far a run is: rate, when it will be done, and outcomes by reason."""
    from signalpost.cli.campaign_status import status as run

    run(settings_.load(), which, watch=watch, json=json)


@app.command(rich_help_panel=LOOK)
def report(
    which: Run,
    all_runs: Annotated[
        bool, typer.Option("--all-runs", help="All runs of the campaign together.")
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Orders and revenue before and after, for a spreadsheet.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a run brought about: sent, delivered, conversions, and the lift with its interval."""
    from signalpost.cli.campaign_status import report as run

    run(settings_.load(), which, all_runs=all_runs, csv=csv, json=json)


@app.command(rich_help_panel=LOOK)
def holdout(
    days: Annotated[int, typer.Option(min=1, help="Count so long from each first campaign.")] = 28,
    json: Json = False,
) -> None:
    """Show what all campaigns together bring about, by those whom the house keeps from all of them."""
    from signalpost.cli.campaign_status import holdout as run

    run(settings_.load(), days=days, json=json)
