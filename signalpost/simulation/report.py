"""A simulation of one campaign as somebody reads it: what would go, when, why not, and what is new."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from signalpost.content.campaigns import from_definition
from signalpost.domain.campaign import Campaign
from signalpost.domain.reason_words import channel_name, reason_for_many
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import campaigns
from signalpost.services.desk import Desk
from signalpost.services.intake.signals import SignalPolicy
from signalpost.simulation.comparing import Diff, compare
from signalpost.simulation.outcome import Outcome
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
    refused: Sequence[str] = ()
    against: str | None = None
    diff: Diff | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether it is different from what it is compared with."""
        return self.diff is not None and not self.diff.is_empty

    def exceeds(self, limits: Mapping[str, str]) -> list[str]:
        """Say what exceeds the limits; without limits, any difference does."""
        if self.diff is None:
            return []
        if limits:
            return self.diff.exceeds(limits)
        return ["It is not the same."] if self.differs else []

    def to_json(self) -> dict[str, Any]:
        """Give all of it as plain JSON values: ids, never an address or a word."""
        return {
            "campaign": self.campaign,
            "version": self.version,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "made_at": self.made_at.isoformat(),
            "seconds": dict(self.seconds),
            "refused": list(self.refused),
            "reasons": [
                {"cause": cause, "outcome": outcome, "reason": why, "people": people}
                for (cause, outcome, why), people in self.outcome.reasons().most_common()
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
            *[f"- Refused at {said}" for said in self.refused],
            *self._reasons(),
            *self._curve(),
            *(self._differences() if self.diff is not None else []),
        ]
        return "\n".join(lines) + "\n"

    def _reasons(self) -> list[str]:
        rows = ["", "| outcome | why | people |", "|---|---|---:|"]
        for (cause, outcome, why), people in self.outcome.reasons().most_common():
            rows.append(f"| {self._named(cause, outcome)} | {_why(outcome, why)} | {people:,} |")
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
            same = "Exactly this went." if self.against == "record" else "No difference."
            return [*lines, same]
        lines.append(
            f"{len(diff.added):,} more, {len(diff.dropped):,} fewer, {len(diff.moved):,} at another "
            f"time, {len(diff.reworded):,} in other words; {diff.of:,} before."
        )
        for sign, some in (("+", diff.added), ("−", diff.dropped)):
            lines += [
                f"- {sign} {one.message} by {channel_name(one.channel)} to {one.customer_id}, "
                f"{_moment(one.at)}"
                for one in some[:_EXAMPLES]
            ]
        if diff.reasons:
            lines += ["", "| outcome | why | before | after |", "|---|---|---:|---:|"]
        for (cause, outcome, why), (before, after) in sorted(diff.reasons.items()):
            named = self._named(cause, outcome)
            lines.append(f"| {named} | {_why(outcome, why)} | {before:,} | {after:,} |")
        return lines


def _why(outcome: str, code: str) -> str:
    return "" if outcome in ("held_out", "waiting") else reason_for_many(code)


def _moment(at: datetime) -> str:
    return f"{at:%-d %b %Y, %H:%M} UTC"


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
    policy: SignalPolicy | None = None,
) -> Simulation:
    """Play one campaign on a recorded period, and compare it.

    ``against``: ``record`` (what really went), ``live`` (the version launched last, played too), or
    the path of a simulation's file. ``everything``: play journeys and other campaigns as well, and
    do not take them as recorded.

    Raises:
        BadInputError: the period is none, or the file is no simulation.
        NotFoundError: there is no such file, or no version was launched yet.
    """
    if since >= until:
        raise BadInputError("The period ends before it begins; give --from before --to.")
    seconds: dict[str, float] = {}
    cast = _cast(desk, campaign, everything=everything)
    found = played(
        desk, cast=cast, since=since, until=until, policy=policy, told=seconds.__setitem__
    )
    before = _before(desk, cast, campaign, since, until, against, policy)
    return Simulation(
        campaign=campaign.name,
        version=campaign.version,
        since=since,
        until=until,
        made_at=now,
        outcome=found.outcome,
        refused=found.refused,
        against=against,
        diff=compare(before, found.outcome),
        seconds={what: round(took, 3) for what, took in seconds.items()},
    )


def _cast(desk: Desk, campaign: Campaign, *, everything: bool) -> Cast:
    if not everything:
        return Cast(campaigns={campaign.name: campaign}, launched={campaign.name})
    others = {name: desk.campaigns[name] for name in desk.campaigns}
    return Cast(
        campaigns={**others, campaign.name: campaign},
        launched={campaign.name},
        programs=desk.programs,
    )


def _before(
    desk: Desk,
    cast: Cast,
    campaign: Campaign,
    since: datetime,
    until: datetime,
    against: str,
    policy: SignalPolicy | None,
) -> Outcome:
    if against == "record":
        return went(desk, cast=cast, since=since, until=until)
    if against == "live":
        live = _live(desk, campaign.name)
        old = Cast(
            campaigns={**cast.campaigns, campaign.name: live},
            launched=cast.launched,
            programs=cast.programs,
        )
        return played(desk, cast=old, since=since, until=until, policy=policy).outcome
    return _kept(Path(against))


def _live(desk: Desk, name: str) -> Campaign:
    with desk.database.reading() as session:
        runs = campaigns.runs(session, campaign=name, limit=1)
        definition = campaigns.definition(session, version=runs[0]["version"]) if runs else None
    if definition is None:
        raise NotFoundError(f"No run of {name} is on the record, so no version of it is live yet.")
    return from_definition(definition)


def _kept(path: Path) -> Outcome:
    try:
        return Outcome.from_json(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no simulation in {path}; `--out {path}` writes one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path} is no file of a simulation ({type(error).__name__})."
        ) from None
