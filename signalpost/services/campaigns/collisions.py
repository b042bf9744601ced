"""Other campaigns that mean the same people: whose messages would use up the caps, or be the same."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.content import campaigns as files
from signalpost.content.campaigns import Occurrence
from signalpost.domain.audience import filled
from signalpost.domain.campaign import Campaign, release_moment
from signalpost.domain.gate import Policy, Proposal, Sent, Standing, frequency_cap, repeat
from signalpost.domain.local_time import zone
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.record import audiences, campaign_plans
from signalpost.services.campaigns.assigning import side
from signalpost.services.campaigns.foreseeing import Going, Judged
from signalpost.services.campaigns.judging import policy_of
from signalpost.services.desk import Desk

SCHEDULED = "scheduled"  #: the status of what comes by itself, and has no run yet


@dataclass(frozen=True)
class Other:
    """Another run that can still send something, or the next time of a schedule."""

    id: str  #: of the run, else of the time
    campaign: Campaign
    stage: str | None
    status: str
    scheduled_at: datetime
    local_at: datetime | None
    frozen: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Other":
        """Make it from its row."""
        local_at = row["local_at"]
        campaign = files.from_definition(row["definition"])
        return cls(
            id=row["id"],
            campaign=replace(campaign, audience=filled(campaign.audience, row["facts"])),
            stage=row["stage"],
            status=row["status"],
            scheduled_at=row["scheduled_at"],
            local_at=datetime.fromisoformat(local_at) if local_at else None,
            frozen=row["frozen"],
        )

    @classmethod
    def coming(cls, campaign: Campaign, at: Occurrence) -> "Other":
        """Make it from the time of a campaign that comes by itself."""
        return cls(
            id=f"{campaign.name} {at.key}",
            campaign=replace(campaign, audience=filled(campaign.audience, {})),
            stage=None,
            status=SCHEDULED,
            scheduled_at=at.begins_at,
            local_at=at.local if at.at is None else None,
            frozen=False,
        )

    def due(self, person: Judged, now: datetime) -> datetime:
        """Give when this person is due in it."""
        known = zone(person.who.zone) if self.local_at and person.who.zone else None
        due = release_moment(self.local_at, known) if self.local_at and known else self.scheduled_at
        return max(due, now)


@dataclass(frozen=True)
class Planned:
    """A message that another run would send to somebody we look at."""

    run: str
    message: str
    channel: Channel
    at: datetime
    policy: Policy
    is_marketing: bool


#: What becomes of people in both, as ``Collisions`` says.
EFFECTS = ("same_here", "same_there", "here", "there", "held_back")


class Collisions:
    """Counts, for each other run, whom it shares with this one and what the two do to each other.

    ``people``: in both. ``same_here``: they will have had our message, within its repeat window, by it;
    ``here``: our message would find the cap used up, by it or with it. ``same_there``, ``there``: so
    would its message, by ours. ``held_back``: it would hold our promotion back.
    """

    def __init__(self, desk: Desk, campaign: Campaign, others: Sequence[Other], now: datetime):
        self.desk, self.now, self.campaign = desk, now, campaign
        self.policy = policy_of(campaign, desk.policy)
        self.is_marketing = campaign.purpose is Purpose.MARKETING
        self.others = [one for one in others if self.is_marketing or self.says_the_same(one)]
        self.looked_at = 0
        self.stopped = 0  #: people to whom nothing of ours would go after all
        self.found: dict[str, Counter[str]] = defaultdict(Counter)

    def says_the_same(self, other: Other) -> bool:
        """Tell whether a message of both does not come again within a time."""
        both = {*self.campaign.messages()} & {*other.campaign.messages()}
        return any(self.window(message) for message in both)

    def window(self, message: str) -> timedelta | None:
        """Give within how long a message does not come again."""
        return (
            self.desk.catalogue[message].repeat_window if message in self.desk.catalogue else None
        )

    def look(self, session: Session, people: Sequence[Judged]) -> None:
        """Look at these people, of whom some would be sent something."""
        self.looked_at += len(people)
        going = {one.who.root_id: one for one in people if one.gets}
        planned: dict[str, list[Planned]] = defaultdict(list)
        for other in self.others:
            for customer in self.shared(session, other, list(going)):
                self.found[other.id]["people"] += 1
                planned[customer] += self.would_send(other, going[customer])
        for customer, theirs in planned.items():
            self.weigh(going[customer], theirs)

    def shared(self, session: Session, other: Other, ids: Sequence[str]) -> set[str]:
        """Find those of these people whom the other run means and has not decided on."""
        if not ids:
            return set()
        if other.frozen:
            return campaign_plans.open_among(session, campaign_run_id=other.id, ids=ids)
        return audiences.among(session, other.campaign.audience, ids=ids, now=self.now)

    def would_send(self, other: Other, person: Judged) -> list[Planned]:
        """Give what it would send: by the first channel of each chain for which there is an address."""
        campaign = other.campaign
        if self.is_marketing and campaign.holds_back_marketing:
            self.found[other.id]["held_back"] += 1
        message = side(campaign, self.desk.policy, person.who.root_id, other.stage).message
        if message is None:
            return []
        policy, at = policy_of(campaign, self.desk.policy), other.due(person, self.now)
        marketing = campaign.purpose is Purpose.MARKETING
        found = []
        for chain in campaign.via:
            channel = next((one for one in chain if one in person.standing.addresses), None)
            if channel is not None:
                found.append(Planned(other.id, message, channel, at, policy, marketing))
        return found

    def weigh(self, person: Judged, theirs: Sequence[Planned]) -> None:
        """Count where one of the two would come too late; each person once, by however many channels."""
        found: set[tuple[str, str]] = set()
        stopped = 0
        for ours in person.going:
            here = self.here(person, ours, theirs)
            stopped += bool(here)
            found |= here or self.there(person, ours, theirs)
        for run, effect in found:
            self.found[run][effect] += 1
        self.stopped += stopped == len(person.going)

    def here(self, person: Judged, ours: Going, theirs: Sequence[Planned]) -> set[tuple[str, str]]:
        """Say by which runs the gate would stop our message."""
        before = [one for one in theirs if one.at <= ours.at]
        same = {(one.run, "same_here") for one in before if self.repeated(person, one, ours.at)}
        used = [one for one in before if one.is_marketing and one.channel is ours.channel]
        if same or not used or not self.is_marketing:
            return same
        sent = [*_sent(person, ours.channel), *(Sent(one.run, one.at) for one in used)]
        over = capped(ours.channel, sent, self.policy, ours.at)
        return {(one.run, "here") for one in used} if over else set()

    def there(self, person: Judged, ours: Going, theirs: Sequence[Planned]) -> set[tuple[str, str]]:
        """Say of which runs the gate would stop a message because of ours."""
        found: set[tuple[str, str]] = set()
        sent = [*_sent(person, ours.channel), Sent("planned", ours.at)]
        for one in theirs:
            if one.at <= ours.at:
                continue
            counts = self.is_marketing and one.is_marketing and one.channel is ours.channel
            if self.repeated(person, one, ours.at):
                found.add((one.run, "same_there"))
            elif counts and capped(ours.channel, sent, one.policy, one.at):
                found.add((one.run, "there"))
        return found

    def repeated(self, person: Judged, theirs: Planned, at: datetime) -> bool:
        """Say whether the gate would find the later of the two messages to be the earlier one again."""
        if theirs.message != person.who.side.gate_message:
            return False
        proposal = Proposal(
            message=theirs.message, purpose=self.campaign.purpose, topic="", channel=theirs.channel,
            repeat_window=self.window(theirs.message),
        )  # fmt: skip
        first, then = sorted((theirs.at, at))
        return repeat(proposal, Standing(repeats={"other": first}), self.policy, then) is not None

    def to_json(self, people: int) -> list[dict[str, Any]]:
        """Name the others that mean the same people, of whom there are so many in all."""
        return [
            {
                "run": one.id if one.status != SCHEDULED else None,
                "campaign": one.campaign.name,
                "status": one.status,
                "scheduled_at": one.scheduled_at.isoformat(),
                **{
                    key: self.whole(self.found[one.id][key], people) for key in ("people", *EFFECTS)
                },
            }
            for one in self.others
            if one.id in self.found
        ]

    def whole(self, number: int, people: int) -> int:
        """Give the people of the audience that a number of those looked at stands for."""
        return round(number * people / self.looked_at) if self.looked_at else 0


def _sent(person: Judged, channel: Channel) -> list[Sent]:
    recent = person.standing.recent.get(channel, [])
    return [one for one in recent if one.message_id != "planned"]


def capped(channel: Channel, sent: list[Sent], policy: Policy, at: datetime) -> bool:
    """Say whether the gate would find the cap of a channel reached."""
    proposal = Proposal(message="", purpose=Purpose.MARKETING, topic="", channel=channel)
    return frequency_cap(proposal, Standing(recent={channel: sent}), policy, at) is not None
