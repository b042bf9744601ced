"""Other live campaigns that mean the same people, and whose messages would use up the caps."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.content import campaigns as files
from signalpost.domain.audience import filled
from signalpost.domain.campaign import Campaign, release_moment
from signalpost.domain.gate import Policy, Proposal, Sent, Standing, frequency_cap
from signalpost.domain.local_time import zone
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.record import audiences, campaign_plans
from signalpost.services.campaigns.assigning import side
from signalpost.services.campaigns.foreseeing import Judged
from signalpost.services.campaigns.judging import policy_of
from signalpost.services.desk import Desk


@dataclass(frozen=True)
class Other:
    """Another run that can still send something."""

    id: str
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

    def due(self, person: Judged, now: datetime) -> datetime:
        """Give when this person is due in it."""
        known = zone(person.who.zone) if self.local_at and person.who.zone else None
        due = release_moment(self.local_at, known) if self.local_at and known else self.scheduled_at
        return max(due, now)


@dataclass(frozen=True)
class Planned:
    """A message that another run would send to somebody we look at."""

    run: str
    channel: Channel
    at: datetime
    policy: Policy
    topic: str


class Collisions:
    """Counts, for each other run, whom it shares with this one and whose caps the two exceed.

    ``people``: in both. ``here``: our message would find the cap used up, by it or with it. ``there``:
    its message would. ``held_back``: it would hold our promotion back.
    """

    def __init__(self, desk: Desk, campaign: Campaign, others: Sequence[Other], now: datetime):
        self.desk, self.others, self.now = desk, others, now
        self.policy = policy_of(campaign, desk.policy)
        self.campaign = campaign
        self.looked_at = 0
        self.found: dict[str, Counter[str]] = defaultdict(Counter)

    def look(self, session: Session, people: Sequence[Judged]) -> None:
        """Look at these people, of whom some would be sent something."""
        self.looked_at += len(people)
        if not self.others or self.campaign.purpose is not Purpose.MARKETING:
            return
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
        if campaign.purpose is not Purpose.MARKETING:
            if campaign.holds_back_marketing:
                self.found[other.id]["held_back"] += 1
            return []
        if side(campaign, self.desk.policy, person.who.root_id, other.stage).message is None:
            return []
        policy, at = policy_of(campaign, self.desk.policy), other.due(person, self.now)
        found = []
        for chain in campaign.via:
            channel = next((one for one in chain if one in person.standing.addresses), None)
            if channel is not None:
                found.append(Planned(other.id, channel, at, policy, campaign.topic))
        return found

    def weigh(self, person: Judged, theirs: Iterable[Planned]) -> None:
        """Count where one of the two would come too late for the cap."""
        for ours in person.going:
            same = [one for one in theirs if one.channel is ours.channel]
            sent = [
                one
                for one in person.standing.recent.get(ours.channel, [])
                if one.message_id != "planned"
            ]
            before = [one for one in same if one.at <= ours.at]
            if before and capped(
                ours.channel, [*sent, *(Sent(one.run, one.at) for one in before)],
                self.policy, ours.at,
            ):  # fmt: skip
                for run in {one.run for one in before}:
                    self.found[run]["here"] += 1
            for one in same:
                if one.at > ours.at and capped(
                    ours.channel, [*sent, Sent("planned", ours.at)], one.policy, one.at
                ):
                    self.found[one.run]["there"] += 1


def capped(channel: Channel, sent: list[Sent], policy: Policy, at: datetime) -> bool:
    """Say whether the gate would find the cap of a channel reached."""
    proposal = Proposal(message="", purpose=Purpose.MARKETING, topic="", channel=channel)
    return frequency_cap(proposal, Standing(recent={channel: sent}), policy, at) is not None
