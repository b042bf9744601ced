"""The figures of a report: plain values, which ``report_words`` puts into words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from signalpost.domain.verdicts import Report, Verdict
from signalpost.domain.vocabulary import MessageStatus

#: Money by currency, in minor units. Different currencies are never added up.
Money = Mapping[str, int]
#: Of messages that no provider took.
NEVER_HANDED_OVER = (
    MessageStatus.QUEUED, MessageStatus.SENDING, MessageStatus.REJECTED, MessageStatus.FAILED,
    MessageStatus.EXPIRED,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """So many people had this outcome for this reason; ``open``: nothing is decided yet.

    Over all runs of a campaign each person counts once, by the outcome that says most.
    """

    outcome: str
    reason: str
    people: int


@dataclass(frozen=True, kw_only=True)
class Owed:
    """The orders owed to messages: each to one message of all campaigns, so that none counts twice."""

    buyers: int = 0
    orders: int = 0
    revenue: Money = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ByChannel:
    """What became of the messages on one channel.

    ``came_back``: kind (opened, clicked …) → messages for which a person did it; ``machines``: the same
    for scanners and prefetchers. A message may be among both.
    """

    channel: str
    statuses: Mapping[str, int] = field(default_factory=dict)
    came_back: Mapping[str, int] = field(default_factory=dict)
    machines: Mapping[str, int] = field(default_factory=dict)
    replied: int = 0  #: people who wrote back
    owed: Owed = field(default_factory=Owed)

    @property
    def handed_over(self) -> int:
        """How many messages a provider took, or may have taken."""
        counts = self.statuses.items()
        return sum(number for status, number in counts if status not in NEVER_HANDED_OVER)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The text messages that went: segments as the plan counted them by wording, and their cost."""

    messages: int
    segments: int | None  #: None: the plan did not count them
    cost: str | None  #: by the country of each number; None: none of them has a price
    unpriced: int = 0  #: segments to countries without a price: they are not in the cost


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of the experiment, by intention to treat."""

    name: str
    people: int  #: all who came in
    ripe: int  #: of these, whose time to convert is over
    counted: int  #: of these, who are in the figures here: all, or with a fixed horizon the ripe
    buyers: int
    orders: int
    revenue: Money


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What the campaign changed: the sides beside each other, and the answer."""

    event: str
    within: str
    design: str  #: "fixed horizon of 2,000 people an arm" or "sequential"
    control: str | None
    sides: Sequence[Side]
    currency: str | None  #: the one that revenue is compared in: of most orders
    report: Report | None  #: None: nobody came in, or on no side of the plan
    kept: Mapping[str, Verdict] = field(default_factory=dict)  #: known at an earlier look
    measure: Mapping[str, Any] = field(default_factory=dict)  #: as stated beforehand
    earlier: int = 0
    """Who passed the gate in this run and is not in it: they came in with an earlier one, or turned out
    to be somebody who is in it already."""
    is_complete: bool = False  #: nobody comes in any more, and everybody's time is over

    @property
    def new_verdicts(self) -> dict[str, Verdict]:
        """Arm → what is known for the first time."""
        found = self.report.verdicts if self.report else {}
        return {arm: one for arm, one in found.items() if one.known and arm not in self.kept}


@dataclass(frozen=True, kw_only=True)
class Period:
    """Orders and revenue of one group in one of two equal periods around each person's decision."""

    group: str
    period: str  #: before | after
    people: int
    currency: str
    buyers: int
    orders: int
    revenue: int  #: in minor units


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All of a report."""

    title: str
    campaign: str
    whole_campaign: bool
    run_ids: Sequence[str]
    status: str
    made_at: datetime
    people: int
    outcomes: Sequence[Outcome]
    channels: Sequence[ByChannel]
    owed: Owed
    texts: Texts | None
    experiment: Experiment
    periods: Sequence[Period]

    @property
    def new_verdicts(self) -> dict[str, Verdict]:
        """Arm → what is known for the first time, and is to be kept."""
        return self.experiment.new_verdicts

    def count(self, outcome: str) -> int:
        """Count the people with an outcome."""
        return sum(one.people for one in self.outcomes if one.outcome == outcome)

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON; money is in minor units, by currency."""
        found = asdict(self)
        found["made_at"] = self.made_at.isoformat()
        for one, row in zip(self.channels, found["channels"], strict=True):
            row["handed_over"] = one.handed_over
        return found
