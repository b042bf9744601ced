"""A simulation of one campaign as somebody reads it: what would go, when, why not, and what is new."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from signalpost.content.campaigns import from_definition
from signalpost.domain.campaign import Campaign
from signalpost.domain.reason_words import channel_name, shared_reason
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import campaigns
from signalpost.services.desk import Desk
from signalpost.services.intake.signals import SignalPolicy
from signalpost.simulation import imported
from signalpost.simulation.comparing import Diff, compare
from signalpost.simulation.outcome import Outcome, Refusal, Sending
from signalpost.simulation.period import Cast
from signalpost.simulation.simulating import played, went

#: What a simulation can be compared with, beside the file of another one.
AGAINST = ("record", "live")
_HOURS = 48
_BAR = 40
_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """One campaign, played on a recorded period, beside what it is compared with."""

    campaign: str
    version: str
    since: datetime
    until: datetime
    made_at: datetime
    outcome: Outcome
    refused: Sequence[Refusal] = ()  #: launches that the plan refused
    refused_before: frozenset[str] = frozenset()
    """Of these, those that were refused for the same reason in what it is compared with, as text."""
    launches: int = 1  #: how many the period has; none: nothing was played
    as_it_happened: bool = False  #: what was told too late to act on counted from when it happened
    told_later: int = 0  #: customers with a past that was told later, and so is not played
    against: str | None = None
    diff: Diff | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether it is different from what it is compared with."""
        return self.diff is not None and not self.diff.is_empty

    @property
    def newly_refused(self) -> Sequence[Refusal]:
        """Launches that are refused now, and were not in what it is compared with."""
        return [one for one in self.refused if str(one) not in self.refused_before]

    def exceeds(self, limits: Mapping[str, str]) -> list[str]:
        """Say what exceeds the limits; without limits, any difference does.

        A launch that is refused now always does, whatever the limits: the campaign cannot go.
        """
        said = [
            f"It cannot be launched: refused at {one} `signalpost campaign plan {self.campaign}`"
            f" says more.{f' {self._untold()}' if self.told_later else ''}"
            for one in self.newly_refused
        ]
        if self.diff is not None and limits:
            return said + self.diff.exceeds(limits)
        return said + (["It is not the same."] if self.differs else [])

    def to_json(self) -> dict[str, Any]:
        """Give all of it as plain JSON values: ids, never an address or a word."""
        people = self.outcome.people()
        return {
            "campaign": self.campaign,
            "version": self.version,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "made_at": self.made_at.isoformat(),
            "seconds": dict(self.seconds),
            "launches": self.launches,
            "as_it_happened": self.as_it_happened,
            "told_later": self.told_later,
            "refused": [str(one) for one in self.refused],
            "newly_refused": [str(one) for one in self.newly_refused],
            "reasons": [
                {
                    "cause": cause,
                    "outcome": outcome,
                    "reason": why,
                    "people": people[cause, outcome, why],
                    "decisions": decisions,
                }
                for (cause, outcome, why), decisions in self.outcome.reasons().most_common()
            ],
            "curve": [
                {"hour": hour.isoformat(), "channel": channel, "messages": count}
                for (hour, channel), count in sorted(self.outcome.curve().items())
            ],
            "against": self.against,
            "difference": self.diff.to_json() if self.diff else None,
            **self.outcome.to_json(),
        }

    def write(self, path: Path) -> None:
        """Keep the whole of it in a file, to be compared with later.

        Raises:
            BadInputError: the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(orjson.dumps(self.to_json()))
        except OSError as error:
            raise BadInputError(f"{path} cannot be written ({error.strerror}).") from None

    def markdown(self) -> str:
        """Say it to a reader."""
        lines = [
            f"# {self.campaign}, simulated",
            f"From {_moment(self.since)} to {_moment(self.until)}. Nothing was sent.",
            "",
            f"**{len(self.outcome.sendings):,} messages** would have gone.",
            "",
            *([_AS_IT_HAPPENED] if self.as_it_happened else []),
            *([] if self.launches else [_NO_LAUNCH]),
            *self._refusals(),
            *(["", self._untold()] if self.told_later else []),
            *self._reasons(),
            *self._curve(),
            *(self._differences() if self.diff is not None else []),
        ]
        return "\n".join(lines) + "\n"

    def _refusals(self) -> list[str]:
        before = {
            "record": "The record says the same of this launch.",
            "live": "The version that was launched last is refused alike.",
        }.get(self.against or "", "It was refused alike in what it is compared with.")
        return [
            f"- Refused at {one}{f' {before}' if str(one) in self.refused_before else ''}"
            for one in self.refused
        ]

    def _untold(self) -> str:
        who = "1 customer" if self.told_later == 1 else f"{self.told_later:,} customers"
        return (
            f"Of {who} a past was told only afterwards, as by an import, and is not played: nobody knew "
            "it then. With `--as-it-happened` it counts from when it happened."
        )

    def _reasons(self) -> list[str]:
        """Count people, each once in a row; with decisions beside them where somebody had several."""
        people, decisions = self.outcome.people(), self.outcome.reasons()
        several = people != decisions
        rows = ["", "| outcome | why | people |", "|---|---|---:|"]
        if several:
            rows = ["", "| outcome | why | people | decisions |", "|---|---|---:|---:|"]
        for key, count in decisions.most_common():
            cause, outcome, why = key
            more = f" {count:,} |" if several else ""
            said = f"{self._named(cause, outcome)} | {shared_reason(outcome, why)}"
            rows.append(f"| {said} | {people[key]:,} |{more}")
        return rows

    def _named(self, cause: str, outcome: str) -> str:
        """Name an outcome, and whose it is when more than the campaign was played."""
        said = outcome.replace("_", " ")
        return said if cause == self.campaign else f"{cause}: {said}"

    def _curve(self) -> list[str]:
        hours: Counter[datetime] = Counter()
        channels: Counter[str] = Counter()
        for (hour, channel), count in self.outcome.curve().items():
            hours[hour] += count
            channels[channel] += count
        if not hours:
            return []
        most = max(hours.values())
        shown = sorted(hours.items())[:_HOURS]
        by = ", ".join(f"{count:,} by {channel_name(one)}" for one, count in channels.most_common())
        lines = ["", f"When, by the hour (UTC); {by}:", "", "```"]
        for hour, count in shown:
            bar = "█" * max(1, round(count / most * _BAR))
            lines.append(f"{hour:%d %b %H:00} {count:>9,} {bar}")
        left = len(hours) - len(shown)
        return [*lines, "```", *([f"… and {left} hours more."] if left else [])]

    def _differences(self) -> list[str]:
        diff = self.diff
        if diff is None:
            return []
        lines = ["", f"## Beside {_title(self.against)}", ""]
        if diff.is_empty:
            return [*lines, self._same(diff)]
        lines.append(
            f"{len(diff.added):,} more, {len(diff.dropped):,} fewer, {len(diff.moved):,} at another "
            f"time, {len(diff.reworded):,} in other words; {diff.of:,} before."
        )
        lines += _examples(diff)
        if diff.reasons:
            lines += ["", "| outcome | why | decisions before | after |", "|---|---|---:|---:|"]
        for (cause, outcome, why), (before, after) in sorted(diff.reasons.items()):
            named = self._named(cause, outcome)
            lines.append(f"| {named} | {shared_reason(outcome, why)} | {before:,} | {after:,} |")
        return lines

    def _same(self, diff: Diff) -> str:
        if self.newly_refused:
            return (
                "Nothing went, and nothing could have gone: this launch is refused now, and was not "
                "before."
            )
        if not diff.of:
            return "Nothing went, and nothing would have gone."
        return "Exactly this went." if self.against == "record" else "No difference."


_AS_IT_HAPPENED = (
    "Played as it happened: what was imported counts from when it happened, though nobody had told it "
    "then. What really went knew less, so it is not compared with that.\n"
)
_NO_LAUNCH = (
    "Nothing was played: no launch of it is on record in this period, and its schedule has no time in"
    " it. So nothing is checked by it; give a period with a launch by --from and --to."
)


def _examples(diff: Diff) -> list[str]:
    """Give some messages of each kind of difference, so that one can look them up."""
    kinds = [
        [f"+ {_message(one)}, {_moment(one.at)}" for one in diff.added],
        [f"− {_message(one)}, {_moment(one.at)}" for one in diff.dropped],
        [
            f"at another time: {_message(one)}, {_second(one.at)} → {_second(after.at)}"
            for one, after in diff.moved
        ],
        [f"in other words: {_message(one)}, {_moment(one.at)}" for one, _ in diff.reworded],
    ]
    lines = []
    for some in kinds:
        lines += [f"- {one}" for one in some[:_EXAMPLES]]
        if len(some) > _EXAMPLES:
            lines.append(f"- … and {len(some) - _EXAMPLES:,} more of these")
    return lines


def _message(one: Sending) -> str:
    return f"{one.message} by {channel_name(one.channel)} to {one.customer_id}"


def _moment(at: datetime) -> str:
    return f"{at:%-d %b %Y, %H:%M} UTC"


def _second(at: datetime) -> str:
    """Say a moment to the second: of two that differ, the minute may be the same."""
    return f"{at:%-d %b %Y, %H:%M:%S} UTC"


def _title(against: str | None) -> str:
    names = {"record": "what really went", "live": "the version that was launched last"}
    return names.get(against or "", f"the simulation in {against}")


def simulate(
    desk: Desk,
    *,
    campaign: Campaign,
    since: datetime,
    until: datetime,
    now: datetime,
    against: str = "record",
    everything: bool = False,
    as_it_happened: bool = False,
    policy: SignalPolicy | None = None,
) -> Simulation:
    """Play one campaign on a recorded period, and compare it.

    ``against``: ``record`` (what really went), ``live`` (the version launched last, played too), or
    the path of a simulation's file. ``everything``: play journeys and other campaigns as well, and
    do not take them as recorded. ``as_it_happened``: take what was told too late to act on, as when a
    history is imported, as told when it happened; what really went is then nothing to compare with.

    Raises:
        BadInputError: the period is none, or the file is no simulation.
        NotFoundError: there is no such file, or no version was launched yet.
    """
    if since >= until:
        raise BadInputError("The period ends before it begins; give --from before --to.")
    seconds: dict[str, float] = {}
    cast = _cast(desk, campaign, everything=everything, as_it_happened=as_it_happened)
    found = played(
        desk, cast=cast, since=since, until=until, policy=policy, told=seconds.__setitem__
    )
    before = _before(desk, cast, campaign, since, until, against, policy)
    known = _refused_before(desk, campaign.name, found.refused) if against == "record" else None
    return Simulation(
        campaign=campaign.name,
        version=campaign.version,
        since=since,
        until=until,
        made_at=now,
        outcome=found.outcome,
        refused=found.refused,
        launches=found.launches,
        as_it_happened=as_it_happened,
        told_later=0
        if as_it_happened
        else imported.told_later(desk.database, since=since, until=until),
        refused_before=before.refused if known is None else known,
        against=against if before.outcome is not None else None,
        diff=compare(before.outcome, found.outcome) if before.outcome is not None else None,
        seconds={what: round(took, 3) for what, took in seconds.items()},
    )


def _cast(desk: Desk, campaign: Campaign, *, everything: bool, as_it_happened: bool) -> Cast:
    others = {name: desk.campaigns[name] for name in desk.campaigns} if everything else {}
    return Cast(
        campaigns={**others, campaign.name: campaign},
        launched={campaign.name},
        programs=desk.programs if everything else None,
        as_it_happened=as_it_happened,
    )


@dataclass(frozen=True)
class _Before:
    """What a simulation is compared with; ``outcome`` is None where nothing compares."""

    outcome: Outcome | None
    refused: frozenset[str] = frozenset()


def _before(
    desk: Desk,
    cast: Cast,
    campaign: Campaign,
    since: datetime,
    until: datetime,
    against: str,
    policy: SignalPolicy | None,
) -> _Before:
    if against == "record":  # what really went was decided by what was known then
        real = None if cast.as_it_happened else went(desk, cast=cast, since=since, until=until)
        return _Before(real)
    if against == "live":
        live = _live(desk, campaign.name)
        old = replace(cast, campaigns={**cast.campaigns, campaign.name: live})
        found = played(desk, cast=old, since=since, until=until, policy=policy)
        return _Before(found.outcome, frozenset(map(str, found.refused)))
    return _kept(Path(against), as_it_happened=cast.as_it_happened)


def _refused_before(desk: Desk, name: str, refused: Sequence[Refusal]) -> frozenset[str]:
    """Give the refusals that the record knows too: the same time of its schedule, the same reason."""
    if not refused:
        return frozenset()
    with desk.database.reading() as session:
        rows = campaigns.runs(session, campaign=name, statuses=("refused",))
    known = {row["occurrence"]: row["reason"] or "" for row in rows}
    return frozenset(str(one) for one in refused if one.why in known.get(one.occurrence, ""))


def _live(desk: Desk, name: str) -> Campaign:
    with desk.database.reading() as session:
        runs = campaigns.runs(session, campaign=name, limit=1)
        definition = campaigns.definition(session, version=runs[0]["version"]) if runs else None
    if definition is None:
        raise NotFoundError(f"No run of {name} is on the record, so no version of it is live yet.")
    return from_definition(definition)


def _kept(path: Path, *, as_it_happened: bool) -> _Before:
    try:
        data = orjson.loads(path.read_bytes())
        kept = _Before(Outcome.from_json(data), frozenset(data["refused"]))
        alike = bool(data.get("as_it_happened")) == as_it_happened
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no simulation in {path}; `--out {path}` writes one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path} is no file of a simulation ({type(error).__name__})."
        ) from None
    if not alike:
        raise BadInputError(
            f"{path} was played {'without' if as_it_happened else 'with'} --as-it-happened; play both "
            "alike."
        )
    return kept
