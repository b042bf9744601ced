"""Who would be sent what, and when: the gate's own rules, asked beforehand for the moment they are due.

What happens between now and then is not known: who unsubscribes tomorrow is still counted today.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.content import MessageSpec
from signalpost.domain.campaign import Campaign
from signalpost.domain.gate import Policy, Proposal, Sent, Standing, judge
from signalpost.domain.vocabulary import Channel, Decision
from signalpost.record import customers
from signalpost.record.campaign_people import Due
from signalpost.services.campaigns.assigning import Side, side
from signalpost.services.campaigns.runs import Launch
from signalpost.services.desk import Desk
from signalpost.services.journeys import gate

_MORNINGS = 4  #: how often somebody is asked again after a night before the plan gives up on them


@dataclass(frozen=True, slots=True)
class Going:
    """One message that would go: on this channel, not before this moment."""

    channel: Channel
    at: datetime
    expires_at: datetime | None


@dataclass(slots=True)
class Judged:
    """One person of the audience, and what would become of them."""

    root_id: str
    zone: str | None
    locale: str | None
    attributes: Mapping[str, Any]
    side: Side
    due: datetime
    standing: Standing = field(default_factory=Standing)
    going: list[Going] = field(default_factory=list)
    reason: str | None = None  #: why nothing goes: the first objection of the gate


def policy_of(campaign: Campaign, policy: Policy) -> Policy:
    """Give the house rules as this campaign keeps them.

    The holdout is not asked at the gate but afterwards (``assigning.side``), so that who is held out
    passed the same gates as who got it.
    """
    caps = policy.caps if campaign.caps is None else campaign.caps
    return replace(policy, caps=caps, holdout=0.0)


def expiry(campaign: Campaign, spec: MessageSpec, due: datetime) -> datetime | None:
    """Give when a message of a campaign is no longer worth sending: too late, or the offer is over."""
    length = campaign.expires_after or spec.expires_after
    ends = [due + length] if length is not None else []
    if campaign.promotion is not None:
        ends.append(campaign.promotion.ends_at)
    return min(ends, default=None)


class Judge:
    """Puts people through the gate for one launch, a batch at a time."""

    def __init__(self, desk: Desk, launch: Launch, due: Due, *, now: datetime) -> None:
        self.desk, self.launch, self.due, self.now = desk, launch, due, now
        self.campaign = launch.campaign
        self.policy = policy_of(launch.campaign, desk.policy)
        self.proposals: dict[tuple[str, Channel, datetime], Proposal] = {}

    def judge(self, session: Session, ids: Sequence[str]) -> list[Judged]:
        """Say what would become of these people."""
        people = self.load(session, ids)
        by_message: dict[str, list[Judged]] = defaultdict(list)
        for person in people:
            by_message[person.side.gate_message].append(person)
        for message, some in by_message.items():
            spec = self.desk.catalogue[message]
            self.stand(session, some, spec)
            for person in some:
                self.decide(person, spec)
        return people

    def load(self, session: Session, ids: Collection[str]) -> list[Judged]:
        """Read who these people are, and when they are due."""
        found = []
        for root, profile in customers.profiles(session, ids).items():
            due = self.due.by_zone.get(profile["zone"], self.due.first)
            found.append(
                Judged(
                    root_id=root,
                    zone=profile["zone"],
                    locale=profile["locale"],
                    attributes=profile["attributes"],
                    side=side(self.campaign, self.desk.policy, root, self.launch.stage),
                    due=due,
                )
            )
        return found

    def stand(self, session: Session, people: Sequence[Judged], spec: MessageSpec) -> None:
        """Gather what the gate must know about these people for this message."""
        standings = gate.standings(
            session,
            people=people,
            spec=spec,
            policy=self.policy,
            default_zone=self.desk.default_zone,
            now=min(self.now, *(person.due for person in people)),
        )
        for person in people:
            person.standing = standings[person.root_id]

    def decide(self, person: Judged, spec: MessageSpec) -> None:
        """Put each chain of the campaign to the gate."""
        for chain in self.campaign.via:
            outcome = self.follow(person, spec, self.order(chain, person))
            if isinstance(outcome, Going):
                person.going.append(outcome)
                sent = person.standing.recent.setdefault(outcome.channel, [])
                sent.append(Sent("planned", outcome.at))
            elif person.reason is None:
                person.reason = outcome

    def follow(self, person: Judged, spec: MessageSpec, channels: Sequence[Channel]) -> Going | str:
        """Find the first channel that the gate allows, waiting for the morning where it says so.

        Gives the reason of the first channel when none is allowed.
        """
        at = max(person.due, self.now)
        reason = "no_channel"
        for _ in range(_MORNINGS):
            reasons = []
            for channel in channels:
                if channel not in spec.channels:
                    reasons.append("not_written_for_channel")
                    continue
                proposal = self.proposal(spec, channel, person.due)
                verdict = judge(proposal, person.standing, self.policy, at)
                if verdict.decision is Decision.SEND:
                    return Going(channel, at, proposal.expires_at)
                reasons.append(verdict.reason)
                if verdict.decision is Decision.HOLD and verdict.until is not None:
                    at = verdict.until
                    break
            else:
                return reasons[0] if reasons else reason
            reason = reasons[0]
        return reason

    def proposal(self, spec: MessageSpec, channel: Channel, due: datetime) -> Proposal:
        """Say what is to be sent; the same for everybody who is due together."""
        key = (spec.name, channel, due)
        found = self.proposals.get(key)
        if found is None:
            found = self.proposals[key] = Proposal(
                message=spec.name,
                purpose=spec.purpose,
                topic=self.campaign.topic,
                channel=channel,
                quiet_hours=spec.quiet_hours,
                repeat_window=spec.repeat_window,
                expires_at=expiry(self.campaign, spec, due),
            )
        return found

    def order(self, chain: Iterable[Channel], person: Judged) -> list[Channel]:
        """Give a chain's channels in the order in which this person's are tried."""
        channels = list(chain)
        wish = person.attributes.get("preferred_channel")
        if self.campaign.preferred and wish in channels:
            channels.sort(key=lambda channel: channel != wish)  # stable: the rest keep their order
        return channels
