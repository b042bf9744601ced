"""The experiment of a campaign: its sides, by intention to treat, and what may be said about them.

Everybody who passed the gates counts where the hash put them, whatever became of their message: also
who was set aside by a fault of ours or refused by a provider afterwards. The house's holdout stands
beside it and is not compared: those people got no other campaign either.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.campaign import Campaign
from signalpost.domain.designs import Design, FixedHorizon, Sequential
from signalpost.domain.statistics import Arm
from signalpost.domain.verdicts import Report, Says, Verdict, judge
from signalpost.record import campaign_orders, campaigns
from signalpost.record import campaign_results as record
from signalpost.record.base import new_id
from signalpost.record.campaign_orders import Success
from signalpost.record.campaign_results import CONTROL, EVERYBODY, HOUSE, Entrants
from signalpost.services.campaigns.reported import Experiment, Figures, Money, Period, Side

#: What an act is called by which a verdict is kept, and who keeps it.
RESULT, KEEPER = "result", "signalpost"
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Ran:
    """One run with the campaign as it was then."""

    row: RowMapping
    campaign: Campaign

    @property
    def id(self) -> str:
        """The run's id."""
        return self.row["id"]

    @property
    def began(self) -> datetime:
        """When its people were frozen."""
        return self.row["started_at"] or self.row["created_at"]

    @property
    def is_over(self) -> bool:
        """Whether nobody comes in any more."""
        return self.row["status"] in ("done", "cancelled")


class Trial:
    """An experiment as the record has it at ``now``.

    ``ran``: the runs that are reported on, in the order in which they began. ``among``: those of the
    campaign that may have decided on somebody before these did, and these.
    """

    def __init__(
        self,
        session: Session,
        *,
        ran: Sequence[Ran],
        among: Sequence[Ran],
        whole_campaign: bool,
        now: datetime,
    ) -> None:
        self.session, self.ran, self.now = session, ran, now
        self.whole_campaign = whole_campaign
        self.campaign = ran[-1].campaign
        measure = self.campaign.measure
        self.success = Success(
            event=measure.event, within=measure.within, revenue=measure.revenue, now=now
        )
        self.ripe_until = now - measure.within
        every = tuple(one.id for one in among)
        self.who = Entrants(
            runs=tuple(one.id for one in ran),
            among=every,
            controls=tuple(sorted({name for one in ran for name in _controls(one.campaign)})),
            holdouts={one.id: one.campaign.holdout for one in ran},
            salt=f"{self.campaign.name}:holdout",
            doubles=record.doubles(session, runs=every),
        )
        self.entered = record.entered(session, who=self.who, until=self.ripe_until)

    # -- who, and since when -------------------------------------------------------------------

    @property
    def since(self) -> datetime | None:
        """When the first came in; None: nobody did."""
        return min((row["first_at"] for row in self.entered), default=None)

    @property
    def last_at(self) -> datetime:
        """When the last came in."""
        return max((row["last_at"] for row in self.entered), default=self.now)

    @property
    def until(self) -> datetime:
        """When the last one's time is over."""
        return self.last_at + self.success.within

    def people(self, name: str = "people") -> dict[str, int]:
        """Count who came in by side."""
        found: dict[str, int] = defaultdict(int)
        for row in self.entered:
            found[row["side"]] += row[name]
        return dict(found)

    def weights(self) -> dict[str, float]:
        """Give the planned share of each side; over several runs, by how many came in with each."""
        by_run: dict[str, int] = defaultdict(int)
        for row in self.entered:
            if row["side"] != HOUSE:
                by_run[row["run"]] += row["people"]
        found: dict[str, float] = defaultdict(float)
        for one in self.ran:
            people = by_run[one.id] if len(self.ran) > 1 else 1
            for side, share in _shares(one.campaign).items():
                found[side] += share * people
        return {side: share for side, share in found.items() if share > 0}

    def design(self) -> Design:
        """Give what was stated before the start."""
        measure = self.campaign.measure
        if measure.horizon is not None:
            return FixedHorizon(people=measure.horizon, alpha=measure.alpha)
        return Sequential(ends_at=self.until if self._is_closed() else None, alpha=measure.alpha)

    def _is_closed(self) -> bool:
        """Whether nobody comes in any more."""
        goes_on = self.whole_campaign and self.campaign.schedule.at is None
        return bool(self.entered) and not goes_on and all(one.is_over for one in self.ran)

    @property
    def counts_ripe_only(self) -> bool:
        """With a fixed horizon only those count whose time to convert is over."""
        return self.campaign.measure.horizon is not None

    # -- what they did -------------------------------------------------------------------------

    def experiment(self) -> Experiment:
        """Put the sides beside each other, and say what is known."""
        ripe = self.ripe_until if self.counts_ripe_only else self.now
        rows = self._spent(ripe)
        currency = main_currency(rows)
        sides = self._sides(rows)
        arms = {side.name: arm_of(side, currency, rows) for side in sides}
        weights = self.weights()
        control = _control(self.campaign, weights)
        kept = self._kept()
        return Experiment(
            event=self.success.event,
            within=in_words(self.success.within),
            design=self._design_in_words(),
            control=control,
            sides=sides,
            currency=currency,
            report=self._judge(arms, weights, control, kept),
            kept=kept,
            measure=self._measure(),
            earlier=self._earlier(),
            is_complete=self._is_closed() and self.now >= self.until,
        )

    def _earlier(self) -> int:
        """Count who passed the gate in one run, and came in with another."""
        if self.whole_campaign:
            return 0
        passed = record.passed(self.session, runs=self.who.runs)
        return passed - sum(row["people"] for row in self.entered)

    def _spent(self, ripe: datetime) -> list[Any]:
        if self.since is None:
            return []
        return campaign_orders.spent(
            self.session,
            who=self.who,
            what=self.success,
            since=self.since,
            ripe=ripe,
            until=self.until,
        )

    def _sides(self, rows: Sequence[Mapping[str, Any]]) -> list[Side]:
        people, ripe = self.people(), self.people("ripe")
        names = [*self.weights(), *(name for name in people if name not in self.weights())]
        names.sort(key=lambda name: (name == HOUSE, name == CONTROL))
        whole = {row["side"]: row for row in rows if row["currency"] is None}
        counted = ripe if self.counts_ripe_only else people
        return [
            Side(
                name=name,
                people=people.get(name, 0),
                ripe=ripe.get(name, 0),
                counted=counted.get(name, 0),
                buyers=whole[name]["people"] if name in whole else 0,
                orders=whole[name]["orders"] if name in whole else 0,
                revenue=revenue_of(row for row in rows if row["side"] == name),
            )
            for name in names
        ]

    def _judge(
        self,
        arms: Mapping[str, Arm],
        weights: Mapping[str, float],
        control: str | None,
        kept: Mapping[str, Verdict],
    ) -> Report | None:
        if not self.entered or set(arms) - {HOUSE} - set(weights):
            return None
        treated = [arms[name] for name in weights if name != control]
        return judge(
            control=arms[control] if control else None,
            treated=treated,
            weights=weights,
            design=self.design(),
            now=self.now,
            earlier=kept,
        )

    def periods(self) -> list[Period]:
        """Compare orders and revenue in equal periods before and after each decision."""
        people = {name: ripe for name, ripe in self.people("ripe").items() if ripe}
        if self.since is None or not people:
            return []
        rows = campaign_orders.before_and_after(
            self.session,
            who=self.who,
            what=self.success,
            since=self.since,
            ripe=self.ripe_until,
            until=self.until,
        )
        found = {(row["side"], row["period"], row["currency"]): row for row in rows}
        currencies = sorted({row["currency"] for row in rows}) or [""]
        nothing = {"buyers": 0, "orders": 0, "revenue": 0}
        return [
            Period(
                group=side,
                period=period,
                people=ripe,
                currency=currency,
                **{
                    name: int(found.get((side, period, currency), nothing)[name])
                    for name in nothing
                },
            )
            for side, ripe in people.items()
            for currency in currencies
            for period in ("before", "after")
        ]

    # -- what was known before -----------------------------------------------------------------

    def _measure(self) -> dict[str, Any]:
        measure = self.campaign.measure
        return {
            "event": measure.event,
            "within": int(measure.within.total_seconds()),
            "horizon": measure.horizon,
            "alpha": measure.alpha,
        }

    def _kept(self) -> dict[str, Verdict]:
        found: dict[str, Verdict] = {}
        for one in self.ran:
            for row in campaigns.acts(self.session, campaign_run_id=one.id):
                said = row["detail"]
                if row["act"] != RESULT or said.get("of") != _of(self.whole_campaign):
                    continue
                if said.get("measure") == self._measure():
                    for arm, verdict in said["verdicts"].items():
                        found.setdefault(arm, Verdict(Says(verdict["says"]), verdict["why"]))
        return found

    def _design_in_words(self) -> str:
        measure = self.campaign.measure
        if measure.horizon is None:
            return "sequential: it may be read at any moment"
        return f"a fixed horizon: {measure.horizon:,} people on every side, their time over"


def keep(session: Session, found: Figures, *, now: datetime) -> None:
    """Write down what is known for the first time, so that a later look does not change it."""
    campaigns.act(
        session,
        row={
            "id": new_id(),
            "campaign_run_id": found.run_ids[-1],
            "act": RESULT,
            "who": KEEPER,
            "detail": {
                "of": _of(found.whole_campaign),
                "measure": dict(found.experiment.measure),
                "verdicts": {
                    arm: {"says": one.says.value, "why": one.why}
                    for arm, one in found.new_verdicts.items()
                },
            },
            "at": now,
        },
    )


def in_words(length: timedelta) -> str:
    """Say a length of time: ``7 days``, ``36 hours``."""
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        number, rest = divmod(int(length.total_seconds()), seconds)
        if not rest:
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return str(length)


def _of(whole_campaign: bool) -> str:
    return "campaign" if whole_campaign else "run"


def _controls(campaign: Campaign) -> list[str]:
    return [arm.name for arm in campaign.arms if arm.message is None]


def _shares(campaign: Campaign) -> dict[str, float]:
    """Give the planned share of each side: who is held out, and the control arm, got nothing alike."""
    rest, whole = 1 - campaign.holdout, sum(arm.share for arm in campaign.arms)
    found = {
        arm.name: rest * arm.share / whole for arm in campaign.arms if arm.message is not None
    } or {EVERYBODY: rest}
    silent = sum(arm.share for arm in campaign.arms if arm.message is None)
    held_out = campaign.holdout + (rest * silent / whole if whole else 0)
    return {**found, CONTROL: held_out}


def _control(campaign: Campaign, weights: Mapping[str, float]) -> str | None:
    """Name what the others are compared with: who got nothing, else the first of several messages."""
    if CONTROL in weights:
        return CONTROL
    first = next((arm.name for arm in campaign.arms), None)
    return first if first in weights and len(weights) > 1 else None


def main_currency(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Name the currency of most orders: the one that revenue is compared in."""
    orders: dict[str, int] = defaultdict(int)
    for row in rows:
        if row["currency"]:
            orders[row["currency"]] += row["orders"]
    return max(sorted(orders), key=lambda one: orders[one], default=None)


def revenue_of(rows: Any) -> Money:
    """Give the revenue of one side's rows, by currency."""
    return {row["currency"]: row["revenue"] for row in rows if row["currency"]}


def arm_of(side: Side, currency: str | None, rows: Sequence[Mapping[str, Any]]) -> Arm:
    """Give a side as the statistics take it."""
    mine = (row for row in rows if (row["side"], row["currency"]) == (side.name, currency))
    money = next(mine, None) if currency else None
    return Arm(
        name=side.name,
        people=side.counted,
        conversions=side.buyers,
        revenue=money["revenue"] if money else 0,
        revenue_squares=money["squares"] if money else 0,
    )
