"""Runs of campaigns: launched, approved, paused and ended by somebody, who is kept on the record."""

import getpass
from typing import Literal

import typer
from rich.markdown import Markdown
from rich.markup import escape

from signalpost.cli import door, say
from signalpost.cli.campaigns import Wanted
from signalpost.errors import BadInputError
from signalpost.record import inbox
from signalpost.record.campaigns import LIVE
from signalpost.services.campaigns import runs
from signalpost.services.campaigns.runs import Run
from signalpost.services.reading.runs import run_json
from signalpost.settings import Settings

_DONE = {
    "refuse": "is refused; nothing of it is sent",
    "pause": "is paused: it stops within a batch",
    "resume": "goes on, with exactly the people who are left",
    "cancel": "is cancelled; whoever is left gets nothing",
}


def _who(by: str | None) -> str:
    """Who acts: as said, else the login name.

    Raises:
        BadInputError: neither is known.
    """
    try:
        name = (by if by is not None else getpass.getuser()).strip()
    except (KeyError, OSError):
        name = ""
    if not name:
        raise BadInputError("Say who you are with --by; it is kept on the record.")
    return name


def launch(settings: Settings, wanted: Wanted, *, by: str | None, json: bool) -> None:
    """Make a run, and say what it waits for; or who made it already."""
    from signalpost.services.campaigns import again, launching

    with door.built(settings) as product:
        desk, database = product.desk, product.database
        wish = wanted.launch(desk)
        with database.reading() as session:
            known = again.run_of(session, launch=wish)
            first = again.launched_by(session, run=known) if known else None
        run = launching.launch(desk, launch=wish, by=_who(by), now=desk.clock(), actor=door.actor())
    if json:
        say.as_json(run_json(run))
    else:
        say.out.print(_launched(run, first), soft_wrap=True)


def _launched(run: Run, first: str | None) -> str:
    """Say how a run stands that is launched. ``first``: who did so before."""
    title = f"[bold]{escape(run.title)}[/bold]"
    already = f"was launched already, by {escape(first)}, and " if first else ""
    if run.status == "awaiting_approval":
        return (
            f"{title} {already or 'is launched and '}waits for approval: {_people(run)}.\n"
            f"[dim]Somebody reads the plan and approves:[/dim] signalpost campaign approve {run.id}"
        )
    status = f"signalpost campaign status {run.id}"
    next_ = f"[dim]A worker of lane marketing sends it:[/dim] {status} --watch"
    if run.status not in LIVE:
        next_ = f"[dim]What came of it:[/dim] {status}"
    return (
        f"{title} {already}is {run.status}: {_people(run)}, "
        f"from {run.scheduled_at:%-d %b %Y, %H:%M} UTC.\n{next_}"
    )


def _people(run: Run) -> str:
    count = run.people if run.people is not None else run.plan.get("people")
    if count is None:
        return "its people are counted when it begins"
    return "1 person" if count == 1 else f"{count:,} people"


def approve(settings: Settings, which: str, *, by: str | None, seen: str | None, yes: bool) -> None:
    """Show the plan of a run, ask, and approve what was shown."""
    from signalpost.services.campaigns import launching
    from signalpost.services.campaigns.plan import Plan

    if yes and seen is None:
        raise BadInputError(
            "With --yes nobody is shown the plan: say with --seen which one was read. Its digest is "
            "at the end of the plan, and in `signalpost campaign status NAME --json`."
        )
    who = _who(by)
    with door.built(settings) as product:
        with product.database.reading() as session:
            run = runs.waiting(session, which=which)
        digest = seen or str(run.plan.get("digest", ""))
        if not yes:
            say.out.print(Markdown(Plan.from_json(run.plan).markdown()))
            typer.confirm(f"Approve {run.title}, {_people(run)}, as {who}?", abort=True)
        run = launching.approve(
            product.desk,
            campaign_run_id=run.id,
            by=who,
            seen=digest,
            now=product.desk.clock(),
            actor=door.actor(),
        )
    say.out.print(
        f"[bold]{escape(run.title)}[/bold] is approved by {escape(who)}. [dim]A worker of lane "
        f"marketing sends it: signalpost campaign status {run.id} --watch[/dim]",
        soft_wrap=True,
    )


def act(
    settings: Settings,
    which: str,
    what: Literal["refuse", "pause", "resume", "cancel"],
    *,
    by: str | None,
    why: str | None = None,
    ask: bool = False,
) -> None:
    """Do something to a run, after asking for what is final, and say what it means for its people."""
    from signalpost.services.campaigns import launching

    do = getattr(launching, what)
    with door.built(settings) as product:
        now, items = product.desk.clock(), 0
        with product.database.reading() as session:
            meant = runs.waiting if what == "refuse" else runs.find
            run = meant(session, which=which)
            if what == "cancel":
                items = inbox.shown_of_run(session, campaign_run_id=run.id, now=now)
        if ask and run.status in LIVE:
            typer.confirm(_cancelling(run, items), abort=True)
        reasons = {"why": why.strip()} if why is not None else {}
        now = product.desk.clock()
        who = {"by": _who(by), "actor": door.actor()}
        run = do(product.desk, campaign_run_id=run.id, now=now, **who, **reasons)
    gone = ", and its items have left the inboxes" if items else ""
    line = f"[bold]{escape(run.title)}[/bold] {_DONE[what]}{gone}. [dim]{run.id}[/dim]"
    say.out.print(line, soft_wrap=True)


def _cancelling(run: Run, items: int) -> str:
    """Ask whether a run is to be cancelled, with what that takes from whom."""
    asked = f"Cancel {run.title} ({run.id})? {_people(run)} in it; whoever is left gets nothing"
    if not items:
        return f"{asked}, for good."
    leave = "1 item leaves the inbox" if items == 1 else f"{items:,} items leave the inboxes"
    return f"{asked}, and {leave} of those who were sent to, for good."
