"""A run while one of its shards is worked on: what is the same for all, and the people of a batch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content import MessageSpec, Variant
from signalpost.content.campaigns import from_definition
from signalpost.content.mailing import Mailing
from signalpost.domain.campaign import Campaign, Personal, release_moment
from signalpost.domain.delivery import Handover
from signalpost.domain.gate import Policy, Proposal
from signalpost.domain.status import UNSENT
from signalpost.domain.vocabulary import Channel, MessageStatus, Purpose
from signalpost.errors import NotFoundError
from signalpost.record import campaigns
from signalpost.services.campaigns.assigning import Side, side, side_of
from signalpost.services.campaigns.judging import expiry, policy_of
from signalpost.services.campaigns.runs import Run
from signalpost.services.desk import Desk


@dataclass(frozen=True)
class ShardClaim:
    """One sender's hold on a shard: ``id`` is the fencing token."""

    id: str
    campaign_run_id: str
    campaign: str
    shard: int


@dataclass(slots=True, eq=False)
class Recipient:
    """One person of a batch."""

    root_id: str
    tries: int
    locale: str | None
    zone: str | None
    attributes: Mapping[str, Any]
    side: Side
    facts: dict[str, Any] = field(default_factory=dict)  #: their own ones only
    earlier: list[RowMapping] = field(default_factory=list)  #: messages of earlier rounds
    drafts: "list[Draft]" = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    hold_until: datetime | None = None
    failure: str | None = None
    reached: list[str] = field(default_factory=list)  #: channels that did it in earlier rounds
    maybe_sent: bool = False  #: their turn may have come before the record was restored
    is_merged: bool = False  #: no root any more: merged into somebody since the freeze

    def take_up(self, message: RowMapping) -> None:
        """Know of a message of an earlier round."""
        self.earlier.append(message)
        if MessageStatus(message["status"]) not in UNSENT:
            self.reached.append(message["channel"])

    @property
    def is_held_out(self) -> bool:
        """The gate let a message pass that is kept from them on purpose."""
        return any(one["outcome"] == "held_out" for one in self.verdicts)

    @property
    def channels(self) -> str:
        """The channels by which a message went to them in any round, as counts name them."""
        if not self.reached and len(self.drafts) < 2:
            return self.drafts[0].channel if self.drafts else ""
        return "+".join(sorted({*self.reached, *(draft.channel for draft in self.drafts)}))


@dataclass(slots=True, eq=False)
class Draft:
    """One message on its way. ``again``: it was written in an earlier round and never handed over."""

    person: Recipient
    customer_id: str  #: a root
    message_id: str
    delivery_id: str
    key: str
    channel: Channel
    address: str
    expires_at: datetime | None
    variant: Variant
    slots: dict[str, str]
    unsubscribe_url: str | None
    purpose: Purpose
    topic: str
    again: bool
    maybe_sent: bool  #: it may have left before the record was restored
    handover: Handover | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that are this person's own."""
        return self.person.facts


class Job:
    """What everybody of a run shares: the pinned campaign, its facts, rules and compiled messages."""

    def __init__(self, desk: Desk, run: Run, campaign: Campaign) -> None:
        self.desk, self.run, self.campaign = desk, run, campaign
        self.policy: Policy = policy_of(campaign, desk.policy)
        self.local_at = datetime.fromisoformat(run.local_at) if run.local_at else None
        offer = campaign.promotion.said() if campaign.promotion else {}
        constant = {k: v for k, v in campaign.facts.items() if not isinstance(v, Personal)}
        # last what the file says: it was reviewed, and what is typed at a launch was not
        self.facts: dict[str, Any] = {**run.facts, **offer, **constant}
        self.personal = {k: v for k, v in campaign.facts.items() if isinstance(v, Personal)}
        self.website = desk.catalogue.brand["website"].rstrip("/")
        self.kept_variants: set[str] = set()  #: on the record already, as far as this sender knows
        self._mailings: dict[tuple[str, Channel], Mailing] = {}
        self._proposals: dict[tuple[str, Channel, datetime], Proposal] = {}

    @classmethod
    def load(cls, desk: Desk, session: Session, *, campaign_run_id: str) -> "Job":
        """Read a run and the version that it is pinned to.

        Raises:
            NotFoundError: there is no such run.
        """
        row = campaigns.run(session, campaign_run_id=campaign_run_id)
        if row is None:
            raise NotFoundError(f"There is no campaign run {campaign_run_id!r}.")
        definition = campaigns.definition(session, version=row["version"]) or {}
        return cls(desk, Run.of(row), from_definition(definition))

    def spec(self, message: str) -> MessageSpec:
        """Give a message's declaration."""
        return self.desk.catalogue[message]

    def mailing(self, message: str, channel: Channel) -> Mailing:
        """Give a message compiled for many on a channel."""
        found = self._mailings.get((message, channel))
        if found is None:
            found = self._mailings[message, channel] = Mailing(
                self.desk.catalogue,
                message,
                channel,
                facts=self.facts,
                personal=frozenset(self.personal),
            )
        return found

    def proposal(self, message: str, channel: Channel, base: datetime) -> Proposal:
        """Say what is to be sent on a channel to whoever was first due at ``base``."""
        key = (message, channel, base)
        found = self._proposals.get(key)
        if found is None:
            spec = self.spec(message)
            found = self._proposals[key] = Proposal(
                message=message,
                purpose=spec.purpose,
                topic=self.campaign.topic,
                channel=channel,
                quiet_hours=spec.quiet_hours,
                repeat_window=spec.repeat_window,
                expires_at=expiry(self.campaign, spec, base),
                cause=self.run.id,
            )
        return found

    def side(self, customer_id: str) -> Side:
        """Say on which side of the experiment a person falls."""
        return side(self.campaign, self.desk.policy, customer_id, self.run.stage)

    def side_of(self, arm: str | None) -> Side:
        """Give the side of somebody who was treated, by the arm that they were given."""
        return side_of(self.campaign, arm, self.run.stage)

    def released(self, tz: ZoneInfo) -> datetime:
        """Give when somebody in this zone is first due."""
        if self.local_at is None:
            return self.run.scheduled_at
        found = self._released.get(tz.key)
        if found is None:
            found = self._released[tz.key] = release_moment(self.local_at, tz)
        return found

    @cached_property
    def _released(self) -> dict[str, datetime]:
        return {}


@dataclass(eq=False)
class Batch:
    """The people of a shard who are decided together, and their messages."""

    people: list[Recipient]
    drafts: list[Draft] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """``outcome:channels:reason`` → people."""
    counted: dict[str, str] = field(default_factory=dict)  #: root id → under which of the counts
    in_flight: str = ""  #: its messages from intent to settling (``record.in_flight``)
    kept: set[str] = field(default_factory=set)  #: variants that this batch puts on the record
    wait_until: datetime | None = None  #: a provider's pace: nobody may go before

    def count(self, person: Recipient, outcome: str, reason: str) -> None:
        """Count a person's outcome, by the channels of all their rounds."""
        self.count_all([person.root_id], outcome, person.channels, reason)

    def count_all(self, people: Sequence[str], outcome: str, channels: str, reason: str) -> None:
        """Count an outcome that some people share."""
        key = f"{outcome}:{channels}:{reason}"
        self.counts[key] += len(people)
        self.counted.update(dict.fromkeys(people, key))

    def uncount(self, person: Recipient) -> None:
        """Take back a person's outcome, if one was counted."""
        key = self.counted.pop(person.root_id, None)
        if key is not None:
            self.counts[key] -= 1
