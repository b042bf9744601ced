"""What a run could tell at best: the smallest lift that so many people on each side would show."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from math import ceil

from sqlmodel import Session

from signalpost.domain.campaign import Campaign, Schedule
from signalpost.domain.designs import detectable_lift
from signalpost.domain.verdicts import FEWEST_PEOPLE
from signalpost.record import campaign_orders
from signalpost.services.campaigns.foreseeing import Judged
from signalpost.services.campaigns.measuring import in_words
from signalpost.services.campaigns.reach import Tally
from signalpost.services.campaigns.runs import Launch


class Outlook:
    """How many of those who would be in the experiment did what is measured, as long as it lasts."""

    def __init__(self, campaign: Campaign, now: datetime) -> None:
        self.campaign, self.now = campaign, now
        self.asked = self.did = 0

    def look(self, session: Session, people: Sequence[Judged]) -> None:
        """Count these people, of a campaign that compares anybody."""
        if not self.campaign.holdout and not self.campaign.arms:
            return
        measure = self.campaign.measure
        ids = [one.who.root_id for one in people if one.going and one.who.side.ghost != "global"]
        self.asked += len(ids)
        self.did += campaign_orders.did(
            session, ids=ids, event=measure.event, since=self.now - measure.within, until=self.now
        )

    def says(self, tally: Tally, whole: Callable[[float], int]) -> str:
        """Say which lift could be told; empty: nobody is compared, or too few did it to know.

        At best: looking at any moment asks for more people, and who came in with an earlier run does
        not count again. ``whole``: gives the people of the audience that a number of the judged is.
        """
        control, treated = self._sides(tally, whole)
        if self.did < FEWEST_PEOPLE or self.did == self.asked or not control or not min(treated):
            return ""
        measure, rate = self.campaign.measure, self.did / self.asked
        lift = None
        if min(control, *treated) >= FEWEST_PEOPLE:
            lift = detectable_lift(
                base_rate=rate,
                control=control,
                treated=min(treated),
                alpha=measure.alpha,
                comparisons=len(treated),
            )
        told = "no lift at all" if lift is None else f"a lift of {lift:.0%} or more"
        return (
            f"At best, this run can tell {told} from chance: {min(treated):,} people beside "
            f"{control:,}, and {rate:.1%} of them did {measure.event} in the last "
            f"{in_words(measure.within)}."
        )

    def warnings(
        self, tally: Tally, whole: Callable[[float], int], launch: Launch
    ) -> Iterator[str]:
        """Say that a side will not have the people of the horizon, and what would help.

        A test on a few is not meant to be decided.
        """
        campaign, horizon = self.campaign, self.campaign.measure.horizon
        compares = campaign.holdout > 0 or campaign.arms
        if horizon is None or not compares or launch.sample_of is not None:
            return
        control, treated = self._sides(tally, whole)
        people = min(control, *treated)
        if people >= horizon:
            return
        yield (
            f"Of the experiment the smallest side gets {people:,} people, and its horizon is "
            f"{horizon:,}. {_when(campaign.schedule, people, horizon)} A larger holdout or audience "
            "helps, or a shorter horizon, as long as nothing has gone."
        )

    def _sides(self, tally: Tally, whole: Callable[[float], int]) -> tuple[int, list[int]]:
        """Give the people of the side that is compared with, and of those that are compared."""
        arms = [
            whole(tally.arms[arm.name]) for arm in self.campaign.arms if arm.message is not None
        ]
        if self.campaign.holdout or any(arm.message is None for arm in self.campaign.arms):
            silent = whole(tally.ghosts["campaign"] + tally.ghosts["control"])
            return silent, arms or [whole(tally.reached)]
        return (arms[0], arms[1:]) if len(arms) > 1 else (0, [0])


def _when(schedule: Schedule, people: int, horizon: int) -> str:
    """Say when a side would have the people of the horizon."""
    if schedule.at is not None:
        return "Nobody else comes in, so it will never be known."
    runs = f"at least {ceil(horizon / people):,}" if people else "very many"
    needs = f"{runs} such runs, and who comes in again counts once"
    if schedule.cron or schedule.rrule:
        return f"It takes {needs}."
    return f"From this run alone it will not be known; it takes {needs}."
