"""Telling the story on the terminal, as it happens."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from signalpost.demo.people import Person
from signalpost.demo.reading import News
from signalpost.domain.reason_words import reason_for_many
from signalpost.domain.vocabulary import Channel
from signalpost.services.campaigns import report_words
from signalpost.services.campaigns.plan import Plan
from signalpost.services.campaigns.reported import Figures
from signalpost.services.reading.entries import Entry
from signalpost.services.reading.runs import RunSheet
from signalpost.services.reading.why import channel_name

_MARKS = {Channel.SMS: "SMS", Channel.EMAIL: "mail", Channel.IN_APP: "app"}
_LONGEST = 240
#: What of a timeline is worth a line, besides messages; the rest is on the record's pages.
_TOLD = ("case", "hook_call", "suppression", "journey")
_OUTCOMES = {"held_out": "held out", "skipped": "not sent", "set_aside": "set aside"}
_COLOURS = {"good": "green", "bad": "red", "warn": "yellow", "quiet": "bright_black"}


class Teller:
    """Writes what happens in plain words, under the virtual date."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._day = ""
        self._hour = ""

    def say(self, text: str, *, style: str | None = None) -> None:
        """Say something that is no part of the story."""
        self.console.print(text, style=style, highlight=False)

    def time(self, now: datetime) -> None:
        """Begin a moment: the day when it is a new one."""
        day = f"{now:%A %-d %B %Y}"
        if day != self._day:
            self._day = day
            self.console.print()
            self.console.rule(f"[bold]{day}[/]", align="left", style="bright_black")
        self._hour = f"{now:%H:%M}"

    def _line(self, text: str) -> None:
        self.console.print(f"[cyan]{self._hour:>5}[/]  {text}", highlight=False, soft_wrap=True)
        self._hour = ""

    def happens(self, text: str) -> None:
        """Tell what somebody did."""
        self._line(f"[bold]{escape(text)}[/]")

    def to_person(self, person: Person, entry: Entry) -> None:
        """Tell what was sent to somebody with a part in the story, and what became of them."""
        if entry.kind == "message":
            self._message(person, entry)
            return
        colour = _COLOURS.get(entry.tone, "white")
        self._line(f"       [{colour}]{person.called}: {escape(_short(entry.says))}[/]")

    def _message(self, person: Person, entry: Entry) -> None:
        text = entry.text
        words = text.get("title") or text.get("subject") or text.get("text") or ""
        mark = _MARKS.get(Channel(entry.channel or "sms"), entry.channel or "")
        name = entry.says.partition(" by ")[0]
        self._line(
            f"    → [magenta]{mark:<4}[/] {person.called}: [bright_black]{name}[/] "
            f"{escape(_short(words))}"
        )

    def to_crowd(self, news: News, cast: Mapping[str, Person]) -> None:
        """Tell in one line what was sent to everybody else, and in one why others got nothing."""
        sent = [row for row in news.messages if row.customer_id not in cast]
        if sent:
            people = len({row.customer_id for row in sent})
            what = Counter(f"{row.message} by {channel_name(row.channel)}" for row in sent)
            head = f"{counted(len(sent), 'message')} to {counted(people, 'household')}"
            self._line(f"    → {head}: {_counted(what)}")
        left = [row for row in news.refusals if row.customer_id not in cast]
        if left:
            why = Counter(f"{row.subject} {row.outcome}: {row.reason}" for row in left)
            self._line(f"       [bright_black]not sent: {_counted(why)}[/]")

    def plan(self, plan: Plan) -> None:
        """Tell what a plan says first: who is meant, how many get it, who does not and why."""
        meant = "; ".join(line.strip(" -") for line in plan.audience[1:])
        held_out = sum(plan.held_out.values())
        why = Counter({reason_for_many(one["reason"]): one["people"] for one in plan.excluded})
        self._line(f"       {plan.people} people are meant: {escape(meant)}")
        are = "is" if held_out == 1 else "are"
        self._line(f"       {plan.reached} would get it, {held_out} {are} held out to measure by")
        if why:
            self._line(f"       {why.total()} would not: {_counted(why)}")

    def of_campaign(self, sheet: RunSheet) -> None:
        """Tell how a campaign's run stands."""
        sums = Counter[str]()
        for one in sheet.outcomes:
            sums[_OUTCOMES.get(one.outcome, one.outcome)] += one.people
        said = ", ".join(f"{number} {name}" for name, number in sums.items())
        due = sheet.progress.next_due
        wait = f"; it is night still for {sheet.waiting}" if due else ""
        self._line(f"       [green]{escape(sheet.run.title)}[/]: {said}{wait}")

    def report(self, found: Figures) -> None:
        """Tell what a campaign brought about so far."""
        said = [*report_words.sums(found), *report_words.verdicts(found.experiment)]
        self.console.print(f"\n[bold]{escape(found.title)}[/]: {escape(' '.join(said))}")

    def reckoning(self, checks: Sequence[tuple[str, bool, str]]) -> None:
        """Show what was promised and whether it holds."""
        table = Table(show_header=False, title="What the journeys say, and whether it is so")
        for sentence, holds, found in checks:
            mark = "[green]✓[/]" if holds else "[bold red]✗[/]"
            told = escape(sentence) if holds else f"{escape(sentence)}\n[red]{escape(found)}[/]"
            table.add_row(mark, told)
        self.console.print()
        self.console.print(table)

    def pages(self, pages: Iterable[tuple[str, str]]) -> None:
        """Show the pages to open."""
        self.console.print()
        self.console.print("[bold]Pages to open[/]")
        for name, address in pages:
            self.console.print(
                f"  {name:<28} [link={address}]{address}[/]", highlight=False, soft_wrap=True
            )


def worth_telling(entry: Entry) -> bool:
    """Whether an entry of a timeline is told on the terminal."""
    if entry.kind == "decision":
        return entry.tone in ("warn", "bad")
    return entry.kind == "message" or entry.kind in _TOLD


def counted(count: int, thing: str) -> str:
    """Say how many: ``1 basket``, ``2 baskets``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _counted(what: Counter[str]) -> str:
    return escape(", ".join(f"{count} × {name}" for name, count in what.most_common(4)))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
