"""Who would be sent what, and when: the gate's own rules, asked beforehand for the moment they are due.

What happens between now and then is not known: who unsubscribes tomorrow is still counted today.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session

from signalpost.content import MessageSpec, MissingFact, RenderFailed, Variant
from signalpost.domain.gate import Sent, Standing, judge
from signalpost.domain.text import fill
from signalpost.domain.vocabulary import Channel, Decision
from signalpost.record.campaign_people import Due
from signalpost.services.campaigns.deciding import left_out, load
from signalpost.services.campaigns.judging import home, why_not
from signalpost.services.campaigns.people import Job, Recipient
from signalpost.services.journeys import gate

_MORNINGS = 4  #: how often somebody is asked again after a night before the plan gives up on them
_RENDERED = 40  #: texts of one wording that are rendered where everybody's facts are the same


@dataclass(frozen=True, slots=True)
class Going:
    """One message that would go: on this channel, not before this moment.

    ``text``: an SMS as this person would read it, when it was rendered.
    """

    channel: Channel
    at: datetime
    expires_at: datetime | None
    variant: Variant
    text: str | None = None


@dataclass(slots=True)
class Judged:
    """One person of the audience, and what would become of them."""

    who: Recipient
    due: datetime
    standing: Standing = field(default_factory=Standing)
    going: list[Going] = field(default_factory=list)
    failure: str | None = None  #: why their words cannot be made
    reason: str | None = None  #: why nothing goes (``judging.why_not``)

    @property
    def gets(self) -> bool:
        """Whether they are sent something."""
        return bool(self.going) and self.who.side.ghost is None


class Judge:
    """Puts people through the gate for one launch, a batch at a time."""

    def __init__(self, job: Job, due: Due, *, now: datetime) -> None:
        self.job, self.due, self.now = job, due, now
        self.rendered: dict[str, int] = defaultdict(int)

    def judge(self, session: Session, ids: Sequence[str]) -> list[Judged]:
        """Say what would become of these people."""
        people = load(session, self.job, dict.fromkeys(ids, 0))
        out = left_out(session, self.job, people)
        by_message: dict[str, list[Judged]] = defaultdict(list)
        judged = [Judged(who, self.due_of(who)) for who in people]
        for person in judged:
            by_message[person.who.side.gate_message].append(person)
        for message, some in by_message.items():
            spec = self.job.spec(message)
            self.stand(session, some, spec)
            for person in some:
                person.reason = out.get(person.who.root_id)
                if person.reason is None:
                    self.decide(person, spec)
        return judged

    def due_of(self, who: Recipient) -> datetime:
        """Give when a person is frozen to be due."""
        return self.due.by_zone.get(who.zone or "", self.due.first)

    def stand(self, session: Session, people: Sequence[Judged], spec: MessageSpec) -> None:
        """Gather what the gate must know about these people for this message."""
        standings = gate.standings(
            session,
            people=[person.who for person in people],
            spec=spec,
            policy=self.job.policy,
            default_zone=self.job.desk.default_zone,
            now=self.now,
        )
        for person in people:
            person.standing = standings[person.who.root_id]

    def decide(self, person: Judged, spec: MessageSpec) -> None:
        """Put each chain of the campaign to the gate."""
        base = self.job.released(self.home(person))
        person.due = max(person.due, base, self.now)
        objections: list[str] = []
        for chain in self.job.campaign.via:
            channels = self.job.campaign.order(chain, person.who.attributes)
            outcome = self.follow(person, spec, base, channels)
            if isinstance(outcome, Going):
                person.going.append(outcome)
                sent = person.standing.recent.setdefault(outcome.channel, [])
                sent.append(Sent("planned", outcome.at))
            else:
                objections += outcome
        person.reason = person.failure or why_not(objections)

    def follow(
        self, person: Judged, spec: MessageSpec, base: datetime, channels: Sequence[Channel]
    ) -> Going | list[str]:
        """Find the first channel that the gate allows, waiting for the morning where it says so.

        Gives each channel's objection when none is allowed.
        """
        at, reasons = person.due, list[str]()
        for _ in range(_MORNINGS):
            reasons = []
            for channel in channels:
                if channel not in spec.channels:
                    reasons.append("not_written_for_channel")
                    continue
                proposal = self.job.proposal(spec.name, channel, base)
                verdict = judge(proposal, person.standing, self.job.policy, at)
                if verdict.decision is Decision.SEND:
                    return self.words(person, spec, channel, at, proposal.expires_at)
                reasons.append(verdict.reason)
                if verdict.decision is Decision.HOLD and verdict.until is not None:
                    at = verdict.until
                    break
            else:
                break
        return reasons

    def words(
        self,
        person: Judged,
        spec: MessageSpec,
        channel: Channel,
        at: datetime,
        expires_at: datetime | None,
    ) -> Going | list[str]:
        """Find the wording; render it where a fact of this person's own could be missing.

        Where everybody's facts are the same, the first texts of each wording stand for all of it.
        """
        who, job = person.who, self.job
        variant = job.desk.catalogue.variant(spec.name, channel, who.locale)
        if who.side.ghost is not None:
            return Going(channel, at, expires_at, variant)
        if not job.personal and self.rendered[variant.id] >= _RENDERED:
            return Going(channel, at, expires_at, variant)
        self.rendered[variant.id] += 1
        try:
            variant, slots = job.mailing(spec.name, channel).slots(
                locale=who.locale,
                zone=self.home(person),
                customer=who.attributes,
                links=self.links(who),
                facts=who.facts,
            )
        except (MissingFact, RenderFailed) as error:
            person.failure = error.reason
            return [error.reason]
        text = fill(variant.parts, slots)["text"] if channel is Channel.SMS else None
        return Going(channel, at, expires_at, variant, text)

    def home(self, person: Judged) -> ZoneInfo:
        """Give the zone of a person's wall clock."""
        return home(person.standing, person.who.zone, self.job.desk.default_zone)

    def links(self, who: Recipient) -> Mapping[str, str]:
        """Give links as long as those of the send: the length of a text depends on them."""
        return self.job.desk.links.for_message(
            customer_id=who.root_id,
            message_id=who.root_id,
            topic=self.job.campaign.topic,
            website=self.job.website,
            order_id=None,
            now=self.now,
        )
