"""What comes by itself around a launch: the next times of other campaigns, which have no run yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from signalpost.content.campaigns import Occurrence, occurred
from signalpost.domain.campaign import Campaign
from signalpost.domain.vocabulary import Purpose
from signalpost.record import campaign_schedules, campaigns
from signalpost.services.campaigns import schedules
from signalpost.services.campaigns.collisions import Other
from signalpost.services.campaigns.judging import policy_of
from signalpost.services.desk import Desk

MOST = 5  #: campaigns whose people are looked up: each takes half a second of a plan for a million
_SPREAD = timedelta(hours=26)  #: over which a time on customers' own clocks comes


@dataclass(frozen=True)
class Coming:
    """The times that may collide, the nearest first; and a sentence for those that are too many."""

    others: list[Other]
    uncounted: list[str]


def around(
    session: Session, desk: Desk, *, campaign: Campaign, moments: Sequence[datetime], now: datetime
) -> Coming:
    """Find what comes so near to a launch that the gate may stop one for the other.

    Of each campaign the nearest time that has no run. ``moments``: when people of the launch are due.
    """
    kept = campaign_schedules.every(session)
    found: list[tuple[timedelta, str, Other]] = []
    for name, other in desk.campaigns.items():
        told = schedules.told_last(kept.get(name))
        reach = _reach(desk, campaign, other)
        if name == campaign.name or told.paused or other.asks or not reach:
            continue  # with facts that somebody has to give, it is refused when its time comes
        times = {
            one.key: one
            for schedule in schedules.counted(other, told)
            for one in occurred(
                schedule,
                since=max(now, moments[0] - reach - _SPREAD),
                until=moments[-1] + reach,
            )
        }
        near = sorted(times.values(), key=lambda one: abs(one.begins_at - moments[0]))
        if at := next(_without_run(session, name, near), None):
            found.append((abs(at.begins_at - moments[0]), name, Other.coming(other, at)))
    found.sort(key=lambda one: one[:2])
    left = ", ".join(name for _, name, _ in found[MOST:])
    says = f"Around that time come by themselves too, and whom they share was not counted: {left}."
    return Coming([one for _, _, one in found[:MOST]], [says] if left else [])


def _reach(desk: Desk, ours: Campaign, theirs: Campaign) -> timedelta:
    """Give how far apart the two may be and the gate still stops one for the other."""
    both = {*ours.messages()} & {*theirs.messages()}
    windows = [desk.catalogue[name].repeat_window for name in both if name in desk.catalogue]
    reach = max((one for one in windows if one is not None), default=timedelta())
    if ours.purpose is Purpose.MARKETING and theirs.purpose is Purpose.MARKETING:
        caps = [cap.period for one in (ours, theirs) for cap in policy_of(one, desk.policy).caps]
        reach = max([reach, *caps])
    return reach


def _without_run(session: Session, name: str, times: Sequence[Occurrence]) -> Iterator[Occurrence]:
    """Leave out what was launched ahead: that is a run, or was cancelled."""
    for one in times:
        if campaigns.run_of(session, campaign=name, occurrence=one.key) is None:
            yield one
