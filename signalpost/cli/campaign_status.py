"""How the runs of campaigns stand, and what they brought about."""

import time
from dataclasses import asdict
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from signalpost.cli import door, say
from signalpost.errors import ConfigurationError
from signalpost.services.campaigns.runs import Progress
from signalpost.services.reading import runs as reading
from signalpost.settings import Settings

_EVERY = 1.0  #: seconds between two looks
_WIDTH = 30  #: letters of the bar
_ID = 36  #: letters of a run's id

STATUS_STYLE = {
    "running": "cyan", "done": "green", "paused": "yellow", "awaiting_approval": "yellow",
    "cancelled": "red", "refused": "red", "missed": "red",
}  # fmt: skip
_OUTCOME_STYLE = {"sent": "green", "set_aside": "red", "cancelled": "red", "skipped": "yellow"}


def status(settings: Settings, which: str | None, *, watch: bool, json: bool) -> None:
    """Print one run, or the latest runs of all campaigns."""
    if which is None:
        _print_all(settings, json=json)
    elif json:
        say.as_json(_read(settings, which).to_json())
    elif watch:
        _watch(settings, which)
    else:
        say.out.print(shown(_read(settings, which), now=_now(settings)), soft_wrap=True)


def _now(settings: Settings) -> datetime:
    from signalpost.bootstrap import clock_of

    return clock_of(settings)()


def _read(settings: Settings, which: str) -> reading.RunSheet:
    with door.reading(settings) as session:
        return reading.run_sheet(session, which=which, now=_now(settings))


def _watch(settings: Settings, which: str) -> None:
    found = _read(settings, which)
    if not say.out.is_terminal:
        _log(settings, found)
        return
    with Live(shown(found, now=_now(settings)), console=say.out, auto_refresh=False) as live:
        while not found.has_ended:
            time.sleep(_EVERY)
            found = _read(settings, found.run.id)
            live.update(shown(found, now=_now(settings)), refresh=True)


def _log(settings: Settings, found: reading.RunSheet) -> None:
    """Print a line whenever something has changed, for a log; the whole at the end."""
    last = None
    while not found.has_ended:
        seen = (found.run.status, found.progress.decided)
        if seen != last:
            line = progress_line(found.progress, now=_now(settings))
            say.out.print(f"{_now(settings):%H:%M:%S} {found.run.status}  {line}", soft_wrap=True)
            last = seen
        time.sleep(_EVERY)
        found = _read(settings, found.run.id)
    say.out.print(shown(found, now=_now(settings)), soft_wrap=True)


def _print_all(settings: Settings, *, json: bool) -> None:
    with door.reading(settings) as session:
        found = reading.listed(session, limit=20, now=_now(settings))
    if json:
        say.as_json({"runs": [one.to_json() for one in found]})
        return
    if not found:
        say.out.print("No campaign has been launched yet.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Run", min_width=_ID, overflow="fold")
    table.add_column("Status", no_wrap=True)
    table.add_column("When, and how far", no_wrap=True)
    for one in found:  # two lines each: an id beside everything else leaves a terminal no room
        run = one.run
        far = ""
        if run.people is not None:  # else they are not chosen yet
            far = "1 person" if run.people == 1 else f"{run.people:,} people"
        if run.people:
            far += f", {percent(one.progress)} %"
        table.add_row(
            Text.assemble(run.title, "\n", (run.id, "dim")),
            status_text(run.status),
            f"{run.scheduled_at:%-d %b %Y, %H:%M} UTC\n{far}",
        )
    say.out.print(table)


def status_text(status: str) -> Text:
    """A run's status, in its colour."""
    return Text(status.replace("_", " "), style=STATUS_STYLE.get(status, ""))


def shown(found: reading.RunSheet, *, now: datetime) -> RenderableType:
    """A run as the terminal shows it."""
    run = found.run
    head = Text.assemble((run.title, "bold"), "  ", status_text(run.status), f"  {run.id}")
    if run.reason:
        why = run.reason if " " in run.reason else run.reason.replace("_", " ")
        head.append(f"  {why}", style="yellow" if run.status == "running" else "dim")
    done = [f"{one.act} by {one.who}, {one.at:%-d %b %Y, %H:%M} UTC" for one in found.acts]
    parts: list[RenderableType] = [head, Text(" · ".join(done), style="dim")]
    if run.people is not None:
        parts += [Text(progress_line(found.progress, now=now)), *_waiting(found), _outcomes(found)]
    else:
        parts.append(Text(f"Scheduled for {run.scheduled_at:%-d %b %Y, %H:%M} UTC; not begun."))
    return Group(*parts)


def progress_line(progress: Progress, *, now: datetime) -> str:
    """Say how far a run is in one line; a part is called whole only when nobody is left."""
    full = percent(progress) * _WIDTH // 100
    bar = "█" * full + "░" * (_WIDTH - full)
    line = f"{bar} {percent(progress)} %  {progress.decided:,} of {progress.people:,}"
    if progress.eta is not None:
        left = timedelta(seconds=round((progress.eta - now).total_seconds()))
        line += f"  {reading.rate(progress.per_second)}  done in {left}"
    return line


def percent(progress: Progress) -> int:
    """How far a run is, rounded down: 99.9 is not done."""
    return int(min(progress.share, 1.0) * 100)


def _waiting(found: reading.RunSheet) -> list[Text]:
    due = found.progress.next_due
    if not found.waiting or due is None or found.has_ended:
        return []
    when = f"{due:%-d %b %Y, %H:%M} UTC"
    people = f"{found.waiting:,} wait" if found.waiting > 1 else "1 waits"
    return [Text(f"{people}; somebody is due at {when}", style="dim")]


def _outcomes(found: reading.RunSheet) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    for _ in range(3):
        table.add_column(overflow="fold")
    for one in found.outcomes:
        style = _OUTCOME_STYLE.get(one.outcome, "")
        by = f"by {one.channels}" if one.channels else ""
        outcome = Text(one.outcome.replace("_", " "), style=style)
        table.add_row(f"{one.people:,}", outcome, by, Text(one.says))
    return table


def report(settings: Settings, which: str, *, all_runs: bool, csv: bool, json: bool) -> None:
    """Print what a run brought about; an answer that is known for the first time is kept."""
    from signalpost.services.campaigns import results

    with door.built(settings) as product:
        now = product.desk.clock()
        found = results.look(
            product.desk,
            which=which,
            whole_campaign=all_runs,
            now=now,
            prices=product.desk.sms_prices or None,
        )
    if json:
        say.as_json(found.to_json())
    elif csv:
        say.out.print(found.csv(), end="", markup=False, highlight=False, soft_wrap=True)
    else:
        say.out.print(Markdown(found.markdown(base_url=settings.base_url)))


def holdout(settings: Settings, *, days: int, json: bool) -> None:
    """Print what all marketing campaigns together bring about.

    Raises:
        ConfigurationError: nobody is held out by this house.
    """
    from signalpost.services.campaigns import house_holdout, report_markdown

    share = settings.holdout
    if not share:
        raise ConfigurationError(
            "Nobody is kept from all marketing, so there is nothing to compare with. Set "
            "SIGNALPOST_HOLDOUT to a share such as 0.02; it counts from the next campaign on."
        )
    with door.built(settings) as product, product.database.reading() as session:
        found = house_holdout.house_holdout(
            session, share=share, within=timedelta(days=days), now=product.desk.clock()
        )
    if json:
        say.as_json(asdict(found))
    else:
        say.out.print(Markdown(report_markdown.house(found)))
