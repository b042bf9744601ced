"""Every message of a campaign, as somebody would get it."""

from collections.abc import Sequence

from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from signalpost.cli import door, say
from signalpost.cli.write import put, say_notes
from signalpost.domain.reason_words import to_measure
from signalpost.domain.vocabulary import Channel
from signalpost.errors import BadInputError
from signalpost.services.campaigns import previewing
from signalpost.settings import Settings


def preview(
    settings: Settings,
    name: str,
    *,
    customer: str | None,
    stage: str | None,
    series: str | None,
    facts: Sequence[str],
    channel: Channel | None,
    locale: str | None,
    json: bool,
) -> None:
    """Print every message of a campaign as it would be sent, with the campaign's facts."""
    with door.built(settings) as product, product.database.reading() as session:
        campaign = product.desk.campaigns[name]
        if stage is not None and campaign.stage(stage) is None:
            known = ", ".join(one.name for one in campaign.stages) or "none"
            raise BadInputError(f"{name} has no stage {stage!r}; there are: {known}.")
        found = previewing.preview(
            product.desk,
            session,
            campaign=campaign,
            now=product.desk.clock(),
            customer_id=door.find(session, customer) if customer is not None else None,
            stage=stage,
            facts=put({}, facts),
            channel=channel,
            locale=locale,
        )
        catalogue = product.desk.catalogue
        instead = [catalogue.shown_instead(one.message, one.channel, locale) for one in found.shown]
        notes = list(dict.fromkeys(filter(None, instead)))
    if json:
        shown = [one.to_json() for one in found.shown]
        about = {"campaign": name, "series": series, "arm": found.arm, "held_out": found.ghost}
        say.as_json(about | {"notes": notes, "messages": shown})
        return
    say_notes(notes)
    if found.ghost is not None:
        says = to_measure(found.ghost)
        say.out.print(f"[yellow]This customer would get nothing on purpose[/yellow]: {says}.")
    elif found.arm is not None:
        say.out.print(f"This customer falls into the arm [bold]{escape(found.arm)}[/bold].")
    for one in found.shown:
        say.out.print(_panel(one, series))


def _panel(one: previewing.Shown, series: str | None) -> Panel:
    body = Text()
    if one.wrong is not None:
        body.append(f"This customer would be set aside: {one.wrong}\n\n", style="red")
    for part, text in one.parts.items():
        if part != "html" and text:
            body.append(f"{part}\n", style="dim").append(text.strip() + "\n\n")
    if one.samples:
        body.append(f"sample: {', '.join(one.samples)}", style="dim")
    body.rstrip()
    title = " · ".join(filter(None, (one.message, series, one.channel, one.locale)))
    return Panel(body, title=title, title_align="left", border_style="dim", width=88)
