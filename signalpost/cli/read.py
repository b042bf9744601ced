"""Reading the record: timelines, decisions, journeys."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.markup import escape
from rich.table import Table
from rich.text import Text
from sqlmodel import Session

from signalpost.cli import door, say
from signalpost.domain.campaign import Campaign
from signalpost.domain.diagram import mermaid as mermaid_
from signalpost.domain.local_time import zone
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import campaigns, enrolments
from signalpost.services.reading import commands, overview, sheet
from signalpost.services.reading.audience import Standing, standing
from signalpost.services.reading.timeline import Entry
from signalpost.settings import Settings

_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "quiet": "dim", "plain": ""}


def record(settings: Settings, customer: str, *, json: bool, limit: int) -> None:
    """Print a customer's timeline."""
    with door.reading(settings) as session:
        found = sheet.sheet(session, customer_id=door.find(session, customer), limit=limit)
    if json:
        entries = [entry.to_json() for entry in found.timeline.entries]
        say.as_json(found.to_json() | {"timeline": entries, "earlier": found.timeline.earlier})
        return
    tz = zone(found.who.root.zone or "") or ZoneInfo("UTC")
    say.out.print(f"[bold]{escape(found.name or 'Unnamed customer')}[/bold]  {found.id}")
    keys = ", ".join(f"{one.kind} {one.value}" for one in found.who.identities)
    say.out.print(f"[dim]{escape(keys)}[/dim]", soft_wrap=True)
    _print_standing(found)
    say.out.print()
    if found.timeline.earlier:
        say.out.print("[dim]There is more before; use --limit.[/dim]")
    say.out.print(_table(found.timeline.entries, tz))
    say.out.print(f"[dim]Times are those of {tz}.[/dim]")


def _print_standing(found: sheet.Sheet) -> None:
    """What is going on, and the command for what waits for an operator."""
    for run in found.running:
        line = f"In [bold]{run.enrolment.journey}[/bold]: {escape(run.step)}"
        _with_command(line, commands.redrive(run.enrolment.id) if run.is_set_aside else None)
    for case in found.open_cases:
        say.out.print(
            f"[red]{case.kind} case[/red] with {escape(case.assignee)}: {escape(case.reason)}"
        )
    for merge in found.merges:
        _with_command(
            f"Merged with {merge.merged_id}: {escape(merge.reason)}", commands.unmerge(merge.id)
        )
    for conflict in found.conflicts:
        line = f"[yellow]{escape(f'{conflict.kind} {conflict.value}')} is somebody else's[/yellow]"
        _with_command(line, commands.merge(found.id, found.other_of(conflict)))


def _with_command(line: str, command: str | None) -> None:
    says = f"{line}  [dim]{escape(command)}[/dim]" if command else line
    say.out.print(says, soft_wrap=True)


def _table(entries: Sequence[Entry], tz: tzinfo) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for entry in entries:
        says = Text(entry.says, style=_STYLES[entry.tone])
        if entry.kind in ("message", "reply") and entry.text:
            shown = entry.text.get("text") or entry.text.get("body") or ""
            head = entry.text.get("subject") or entry.text.get("title")
            says.append("\n" + "\n".join(filter(None, (head, shown.strip()))), style="cyan")
        table.add_row(
            entry.at.astimezone(tz).strftime("%Y-%m-%d %H:%M:%S"),
            entry.kind.replace("_", " "),
            says,
        )
    return table


def why(settings: Settings, customer: str, *, about: str | None, json: bool) -> None:
    """Print a customer's decisions with their reasons; about a campaign, also its audience."""
    from signalpost.bootstrap import clock_of
    from signalpost.services.reading.why import why as explain

    with door.reading(settings) as session:
        customer_id = door.find(session, customer)
        found = explain(session, customer_id=customer_id, about=about)
        place = standing(
            session,
            campaigns=_campaigns(settings, about),
            about=about,
            customer_id=customer_id,
            now=clock_of(settings)(),
        )
        if about is not None and not found and place is None:
            _insist_on_name(session, settings, about)
    if json:
        decisions = [one.to_json() for one in found]
        audience = place and place.to_json()
        say.as_json({"customer_id": customer_id, "decisions": decisions, "audience": audience})
        return
    if place is not None:
        _print_place(place)
    if not found:
        say.out.print("Nothing has been decided about this.")
    for one in found:
        style = _OUTCOME_STYLES.get(one.outcome, "")
        line = Text(f"{one.at:%Y-%m-%d %H:%M:%S}  ", style="dim")
        say.out.print(line.append(one.says, style=style or "default"), soft_wrap=True)


def _insist_on_name(session: Session, settings: Settings, about: str) -> None:
    """Insist that there is, or was, something of this name that could be decided about.

    Raises:
        NotFoundError: it is no campaign, journey or message.
    """
    from signalpost.bootstrap import load_programs
    from signalpost.content.campaigns.part import nearest

    known = {
        "campaign": [one.stem for one in settings.campaigns.glob("*.yaml")],
        "journey": list(load_programs(settings)),
        "message": [one.name for one in settings.templates.glob("[!_.]*") if one.is_dir()],
    }
    if any(about in names for names in known.values()):
        return
    if campaigns.runs(session, campaign=about, limit=1):
        return
    if enrolments.journey_known(session, journey=about):
        return
    near = {kind: one for kind, names in known.items() if (one := nearest(about, names))}
    if near:
        remedy = f"did you mean the {' or the '.join(f'{k} {one!r}' for k, one in near.items())}?"
    else:
        remedy = "; ".join(
            f"{kind}s: {', '.join(sorted(names)) or 'none'}" for kind, names in known.items()
        )
    raise NotFoundError(f"There is no campaign, journey or message {about!r}; {remedy}")


_OUTCOME_STYLES: Mapping[str, str] = dict.fromkeys(
    ["skip", "hold", "not_entered", "skipped", "open"], "yellow"
)


def _campaigns(settings: Settings, about: str | None) -> Mapping[str, Campaign]:
    """The campaigns as their files are, read only when one may be asked about."""
    from signalpost.content import Catalogue
    from signalpost.content.campaigns import load

    if about is None or not (settings.campaigns / f"{about}.yaml").is_file():
        return {}
    return load(
        settings.campaigns, Catalogue.load(settings.templates, broken="collect"), broken="collect"
    )


def _print_place(place: Standing) -> None:
    style = "green" if place.is_meant else "yellow"
    say.out.print(Text(place.says, style=style), soft_wrap=True)
    for clause in place.clauses:
        mark, colour = _MARKS[clause.holds]
        words = f" {clause.words}{':' if clause.joins else ''}"
        line = Text.assemble(("  " * (1 + clause.depth), ""), (mark, colour), words)
        say.out.print(line.append(f"  {clause.value}".rstrip(), style="dim"), soft_wrap=True)
    say.out.print()


_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}


def draw(settings: Settings, path: Path) -> None:
    """Write a page with the diagram of every journey; needs no record."""
    from signalpost.bootstrap import load_programs

    programs = load_programs(settings)
    page = ["# Journeys\n\nDrawn by `signalpost journeys --write` from the journeys that run.\n"]
    for name, program in sorted(programs.items()):
        starts = " or ".join(f"`{event}`" for event in program.starts_on)
        head = f"## {name}\n\nLane `{program.lane}`, starts on {starts}.\n"
        page.append(f"{head}\n```mermaid\n{mermaid_(program)}```\n")
    try:
        path.write_text("\n".join(page))
    except OSError as error:
        raise BadInputError(f"{path} cannot be written ({error.strerror}).") from None
    say.out.print(f"{len(programs)} journeys are drawn in {path}.")


def journeys(settings: Settings, name: str | None, *, mermaid: bool, json: bool) -> None:
    """Print journeys with their people."""
    from signalpost.bootstrap import load_programs

    programs = load_programs(settings)
    if name is not None and name not in programs:
        known = ", ".join(sorted(programs)) or "none"
        raise NotFoundError(f"There is no journey {name!r}; there are: {known}.")
    chosen = {key: one for key, one in programs.items() if name in (None, key)}
    with door.reading(settings) as session:
        found = overview.journeys(session, programs=chosen)
    if json:
        say.as_json({"journeys": [one.to_json() for one in found]})
        return
    for one in found:
        if mermaid:
            say.out.print(one.diagram, markup=False, soft_wrap=True)
        else:
            _print_journey(one)


def _print_journey(one: overview.JourneyCount) -> None:
    done, left = one.statuses.get("done", 0), one.statuses.get("exited", 0)
    say.out.print(
        f"[bold]{one.name}[/bold] ({one.lane}) starts on {' or '.join(one.starts_on)}: "
        f"{one.inside} inside, {done} done, {left} left early"
    )
    for step in one.steps:
        way = f"{step.way}: " if step.way else ""
        here = f"  [bold cyan]{step.people}[/bold cyan]" if step.people else ""
        says = escape(f"{'  ' * (1 + step.depth // 2)}{way}{step.says}")
        say.out.print(f"{says}{here}")
    if one.elsewhere:
        say.out.print(f"  [dim]{one.elsewhere} on an older version[/dim]")
    say.out.print()
