"""Campaigns before they are launched: their files, the plan, and the simulation."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from signalpost.cli import door, say
from signalpost.cli.campaign_status import status_text
from signalpost.cli.write import put
from signalpost.content.campaigns import (
    Occurrence,
    at_wall,
    not_on_the_clock,
    occurrence_at,
    occurrences,
)
from signalpost.domain.audience import filled
from signalpost.domain.campaign import Campaign, Schedule
from signalpost.errors import BadInputError, ConflictError
from signalpost.record import audiences
from signalpost.services.campaigns.runs import Launch
from signalpost.services.desk import Desk
from signalpost.services.reading import campaign_files
from signalpost.services.reading.campaign_files import when
from signalpost.settings import Settings


@dataclass(frozen=True)
class Wanted:
    """What somebody typed about a launch."""

    name: str
    stage: str | None = None
    series: str | None = None
    facts: Sequence[str] = ()
    at: str | None = None
    at_once: bool = False
    test_on: int | None = None

    def launch(self, desk: Desk) -> Launch:
        """Read it; without a time, the campaign's schedule says when, as it counts now.

        Raises:
            NotFoundError: there is no such campaign, or its file is wrong.
            BadInputError: a fact is no key=value, or the time is none.
        """
        from signalpost.services.campaigns import following

        campaign = desk.campaigns[self.name]
        return Launch(
            campaign=campaign,
            stage=self.stage,
            series=self.series,
            facts=put({}, self.facts),
            sample_of=self.test_on,
            **self._when(campaign, following.counted(desk, campaign=campaign), desk.clock()),
        )

    def _when(
        self, campaign: Campaign, counted: Sequence[Schedule], now: datetime
    ) -> dict[str, Any]:
        if self.at is not None and self.at_once:
            raise BadInputError("Give --at or --now, and not both.")
        if self.at is not None:
            return self._at(self.at, campaign.schedule, counted)
        if self.at_once or not counted or self.test_on is not None:
            return {}
        coming = [one for each in counted for one in occurrences(each, after=now, count=1)]
        if not coming:
            raise BadInputError(
                f"The schedule of {self.name} ({', '.join(map(when, counted))}) does not come again. "
                "Say when with --at, or --now to send it at once."
            )
        return _as_scheduled(min(coming, key=lambda one: one.begins_at))

    def _at(self, text: str, schedule: Schedule, counted: Sequence[Schedule]) -> dict[str, Any]:
        """Read a time; one at which the campaign comes anyway is that occurrence, ahead."""
        time = _time(text)
        if not time.tzinfo and (told := not_on_the_clock(schedule, time)):
            raise BadInputError(
                f"{told}. Choose a time outside that night's hour, or say with an offset which one is "
                f"meant, such as {text}+00:00."
            )
        comes = occurrence_at(counted, time) if self.test_on is None else None
        if comes is not None:
            return _as_scheduled(comes)
        if time.tzinfo:
            return {"scheduled_at": time.astimezone(UTC)}
        return {**_as_scheduled(at_wall(schedule, time)), "occurrence": None}


def _as_scheduled(one: Occurrence) -> dict[str, Any]:
    local_at = one.local if one.at is None else None
    return {"occurrence": one.key, "scheduled_at": one.at, "local_at": local_at}


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(
            f"{text!r} is no time; write it like 2026-12-01T10:00, or with an offset: "
            "2026-12-01T10:00+01:00."
        ) from None


# -- files ---------------------------------------------------------------------------------------


def new(settings: Settings, name: str, *, message: str) -> None:
    """Write a campaign file to start from.

    Raises:
        ConflictError: there is a file of that name.
        NotFoundError: there is no such message.
    """
    from signalpost.content import Catalogue
    from signalpost.content.campaigns import scaffold

    catalogue = Catalogue.load(settings.templates, broken="collect")
    path = settings.campaigns / f"{name}.yaml"
    text = scaffold(name, message, catalogue)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConflictError(f"{path} exists already; choose another name, or edit it.") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be written ({error.strerror}).") from None
    say.out.print(
        f"{path} is written. [dim]Fill it in, then: signalpost lint, and "
        f"signalpost campaign plan {escape(name)}[/dim]",
        soft_wrap=True,
    )


def list_campaigns(settings: Settings, *, json: bool) -> None:
    """Print every campaign file with its latest run, and what is wrong with those left out."""
    from signalpost.content.campaigns import Folder

    with door.built(settings) as product, product.database.reading() as session:
        campaigns = Folder(settings.campaigns, product.catalogue).read()
        found = campaign_files.filed(session, campaigns=campaigns, now=product.desk.clock())
    wrong = [str(one) for one in campaigns.problems]
    if json:
        say.as_json({"campaigns": [one.to_json() for one in found], "problems": wrong})
        return
    for problem in wrong:
        say.err.print(escape(problem), soft_wrap=True)
    if not found and not wrong:
        say.out.print(
            f"There is no campaign in {settings.campaigns} yet. "
            "[dim]signalpost campaign new NAME --message M writes one.[/dim]",
            soft_wrap=True,
        )
    elif found:
        say.out.print(_table(found))


def _table(found: Sequence[campaign_files.Filed]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("Campaign", "Sends", "When", "Next", "Latest run"):
        table.add_column(name, overflow="fold")
    for one in found:
        table.add_row(
            f"[bold]{escape(one.campaign.name)}[/bold]",
            escape(", ".join(one.campaign.messages())),
            escape(one.when),
            f"{one.coming.local:%-d %b %Y, %H:%M}" if one.coming else "",
            status_text(one.latest.status) if one.latest else "",
        )
    return table


# -- before it goes ------------------------------------------------------------------------------


def plan(settings: Settings, wanted: Wanted, *, exact: bool, json: bool) -> None:
    """Print what a launch would do; ends with 1 when it would be refused."""
    from signalpost.services.campaigns.plan import make_plan

    with door.built(settings) as product:
        desk = product.desk
        launch, now = wanted.launch(desk), desk.clock()
        found = make_plan(desk, launch=launch, now=now, exact=exact)
        stage = launch.campaign.stage(launch.stage)
        steps: list[audiences.Narrowing] = []
        if (exact or not found.people) and (stage is None or stage.opens):
            with product.database.reading() as session:
                rule = filled(launch.campaign.audience, launch.facts)
                steps = audiences.narrowing(session, rule, now=now)
    if json:
        say.as_json(found.to_json() | {"narrowing": [asdict(one) for one in steps]})
    else:
        say.out.print(Markdown(found.markdown()))
        if steps:
            say.out.print(_narrowing(steps))
        if any(one.depth for one in steps):
            said = "In brackets, beneath a group: how many each member alone would leave."
            say.out.print(f"[dim]{said}[/dim]", soft_wrap=True)
    if found.refusals:
        sys.exit(say.WRONG)


def _narrowing(steps: Sequence[audiences.Narrowing]) -> Table:
    """How many are left clause by clause: where an audience of nobody loses them."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column("The audience, clause by clause", overflow="fold")
    table.add_column("Left", justify="right")
    for one in steps:
        alone = f"({one.remaining:,})" if one.depth else f"{one.remaining:,}"
        table.add_row(f"{'  ' * one.depth}{escape(one.words)}", alone)
    return table
