"""One batch of a run: gate, words and intent in one transaction, with everybody's decision.

Here the promises of the send protocol (``services.protocol``) are kept for a thousand people at
once: what this transaction commits is decided, counted by the caps and about to be handed over; what it
does not commit has not happened.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.content import MessageSpec, MissingFact, RenderFailed
from signalpost.domain.campaign import Personal, after_quiet_hours
from signalpost.domain.gate import SEND, Proposal, Sent, Standing, judge
from signalpost.domain.pace import Pace
from signalpost.domain.vocabulary import Channel, Decision, MessageStatus
from signalpost.record import campaign_people, customers, events, lost_windows, restraint
from signalpost.record.base import new_id
from signalpost.services.campaigns import series
from signalpost.services.campaigns.judging import home
from signalpost.services.campaigns.people import Batch, Draft, Job, Recipient, ShardClaim
from signalpost.services.campaigns.writing import write
from signalpost.services.desk import Desk
from signalpost.services.journeys import gate
from signalpost.services.journeys.planning import went_wrong
from signalpost.services.protocol import transaction

TOGETHER = 1_000  #: people decided at once: what SendGrid takes in one request
#: People decided together while others wait for SQLite's one writer, as fraud alerts do: short turns.
TOGETHER_IN_COMPANY = 200


@dataclass(frozen=True)
class Ended:
    """Why a sender stops with its shard."""

    why: str  #: nobody due | paused | lost


def decide(
    desk: Desk, job: Job, claim: ShardClaim, *, now: datetime, flow_run: str | None
) -> Batch | Ended:
    """Decide the next people of a shard and write down what is about to be handed over."""
    with transaction(
        desk, writing="send.intending", written="send.intended", courteous=True
    ) as session:
        status = campaign_people.still_held(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            claim_id=claim.id,
            until=now + desk.lease,
        )
        if status != "running":
            return Ended("lost" if status is None else "paused")
        most = TOGETHER_IN_COMPANY if desk.database.in_company else TOGETHER
        limit, wait_until = _room(session, job, now, most=most)
        if not limit:
            return Batch([], wait_until=wait_until)
        due = campaign_people.due_people(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            now=now,
            limit=limit,
        )
        if not due:
            return Ended("nobody due")
        customers.lock_customers(session, due)
        batch = Batch(load(session, job, due))
        _follow_merges(session, job, batch)
        _decide_all(session, job, batch, now)
        write(session, job, batch, claim, now=now, flow_run=flow_run)
        _charge(session, job, batch, now)
        return batch


def _room(session: Session, job: Job, now: datetime, *, most: int) -> tuple[int, datetime | None]:
    """Say how many may go now at the campaign's pace; else, when."""
    limit = most
    for channel, per_second in sorted(job.campaign.pace.items()):
        free = restraint.free_at(session, channel=channel, now=now)
        if free > now:
            return 0, free
        limit = min(limit, Pace(per_second).batch)
    return limit, None


def _charge(session: Session, job: Job, batch: Batch, now: datetime) -> None:
    for channel, per_second in sorted(job.campaign.pace.items()):
        going = sum(draft.channel == channel for draft in batch.drafts)
        if going:
            restraint.charge(
                session, channel=channel, messages=going, per_second=per_second, now=now
            )


def load(session: Session, job: Job, due: dict[str, int]) -> list[Recipient]:
    """Read who these people are, and what earlier rounds left of theirs."""
    profiles = customers.profiles(session, due)
    nobody: dict[str, Any] = {"locale": None, "zone": None, "attributes": {}}
    people = []
    for root, tries in due.items():
        profile = profiles.get(root, nobody)
        people.append(
            Recipient(
                root_id=root,
                is_merged=root not in profiles,
                tries=tries,
                locale=profile["locale"],
                zone=profile["zone"],
                attributes=profile["attributes"],
                side=job.side(root),
            )
        )
    _take_up(session, job, {person.root_id: person for person in people if person.tries})
    personal_facts(session, job, people)
    _after_a_restore(session, job, people)
    return people


def _take_up(session: Session, job: Job, people: dict[str, Recipient]) -> None:
    """Read what earlier rounds left of these people's, and of those whose place they have taken."""
    if not people:
        return
    family = customers.families(session, people)
    arms = campaign_people.arms(session, campaign_run_id=job.run.id, people=[*family])
    for row in campaign_people.messages_of(session, campaign_run_id=job.run.id, people=[*family]):
        customer = row["customer_id"]
        owner = customer if customer in arms else family[customer]
        if owner in people:
            people[owner].take_up(row)
    for id_, person in people.items():
        person.side = job.side_of(arms[id_])  # what they were given stays, whoever they are now


def _after_a_restore(session: Session, job: Job, people: Sequence[Recipient]) -> None:
    """Mark whose turn may have come in the time that a restored record knows nothing of."""
    lost = lost_windows.latest(session)
    if lost is None or not lost.may_have_done(due=job.run.scheduled_at):
        return
    early = campaign_people.due_until(
        session,
        campaign_run_id=job.run.id,
        people=[person.root_id for person in people],
        until=lost.until,
    )
    for person in people:
        person.maybe_sent = person.root_id in early


def _follow_merges(session: Session, job: Job, batch: Batch) -> None:
    """Have the place of somebody merged since the freeze taken by whom they were merged into.

    Who has taken a place is asked in a later batch, by all that is known of them, with what earlier
    rounds left; one who has a place of their own gets no second.
    """
    gone = [person for person in batch.people if person.is_merged]
    roots = customers.roots(session, [person.root_id for person in gone]) if gone else {}
    moved = set()
    for person in gone:
        root = roots.get(person.root_id, person.root_id)
        if root != person.root_id and campaign_people.give_place(
            session, campaign_run_id=job.run.id, of=person.root_id, to=root
        ):
            moved.add(person.root_id)
        else:
            person.verdicts.append(_verdict(None, "skip", "merged", into=root))
    batch.people = [person for person in batch.people if person.root_id not in moved]


def personal_facts(session: Session, job: Job, people: Sequence[Recipient]) -> None:
    """Read the facts that are each person's own: from an attribute, or their latest event of a name."""
    names = {one.name for one in job.personal.values() if one.source == "event"}
    known = (
        events.of_people(session, roots=[p.root_id for p in people], names=names) if names else {}
    )
    for person in people if job.personal else ():
        latest = {row["name"]: row["facts"] for row in known.get(person.root_id, ())}
        person.facts = {
            fact: value
            for fact, source in job.personal.items()
            if (value := _fact(source, person, latest)) is not None
        }


def _fact(source: Personal, person: Recipient, latest: dict[str, dict[str, Any]]) -> Any:
    if source.source == "attribute":
        found = person.attributes.get(source.name)
    else:
        found = latest.get(source.name, {}).get(source.property or "")
    return source.otherwise if found is None else found


def _decide_all(session: Session, job: Job, batch: Batch, now: datetime) -> None:
    by_message: dict[str, list[Recipient]] = defaultdict(list)
    for person in batch.people:
        by_message[person.side.gate_message].append(person)
    out = left_out(session, job, batch.people)
    for message, people in by_message.items():
        spec = job.spec(message)
        standings = gate.standings(
            session,
            people=people,
            spec=spec,
            policy=job.policy,
            default_zone=job.desk.default_zone,
            now=now,
        )
        for person in people:
            standing = standings[person.root_id]
            if person.verdicts:  # merged: their place is taken
                continue
            if reason := out.get(person.root_id):
                person.verdicts.append(_verdict(None, "skip", reason))
                continue
            try:
                _Deciding(job, person, standing, spec, now).run()
            except Exception as error:  # one person's data: nobody else waits for it
                person.drafts = []
                person.failure = f"decide_failed:{type(error).__name__}"
    batch.drafts = [draft for person in batch.people for draft in person.drafts]


def left_out(session: Session, job: Job, people: Sequence[Recipient]) -> dict[str, str]:
    """Give who gets nothing whatever the gate says, with the reason."""
    over = dict.fromkeys(redeemed(session, job, people), "already_redeemed")
    return over | series.left_out(session, job, people)


def redeemed(session: Session, job: Job, people: Sequence[Recipient]) -> set[str]:
    """Find who has redeemed the promotion, on whatever channel they learnt of it (R-40)."""
    offer = job.campaign.promotion
    if offer is None:
        return set()
    family = customers.families(session, [person.root_id for person in people])
    took = restraint.redeemers(session, customers=[*family], promotion_id=offer.id, code=offer.code)
    return {family[customer] for customer in took}


def _verdict(channel: Channel | None, outcome: str, reason: str, **detail: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"channel": channel, "outcome": outcome, "reason": reason}
    return found | ({"detail": detail} if detail else {})


class _Deciding:
    """The deciding of one person: every chain, by the first of its channels that the gate allows."""

    def __init__(
        self, job: Job, person: Recipient, standing: Standing, spec: MessageSpec, now: datetime
    ) -> None:
        self.job, self.person, self.standing = job, person, standing
        self.message, self.spec, self.now = spec.name, spec, now
        self.home = home(standing, person.zone, job.desk.default_zone)
        self.base = job.released(self.home)

    def run(self) -> None:
        """Decide, and write the words of what goes."""
        if self.base > self.now:  # their own wall clock is not there yet
            self.person.hold_until = self.base
            self.person.verdicts.append(
                _verdict(None, "hold", "local_time", until=self.base.isoformat())
            )
            return
        for number, chain in enumerate(self.job.campaign.via):
            self.follow(number, self.job.campaign.order(chain, self.person.attributes))
            if self.person.is_held_out:
                # Anybody else would have been written to by now, whatever waits: they count from here.
                self.person.hold_until = None
                return

    def follow(self, number: int, channels: Iterable[Channel]) -> None:
        """Decide on the first channel of a chain that is allowed and has not been tried."""
        tried, queued = set(), None
        for row in self.person.earlier:
            if row["idempotency_key"].split(":")[2] != str(number):
                continue
            status = MessageStatus(row["status"])
            if status is MessageStatus.QUEUED:
                queued = row
            elif went_wrong(status, self.spec.purpose):
                tried.add(row["channel"])
            else:
                return  # this chain has done its work
        if queued is not None:
            channel = Channel(queued["channel"])
            self.forget(channel, queued["id"])
            if self.propose(number, channel, again=queued["id"]):
                return
            tried.add(channel)
        for channel in channels:
            if channel not in tried and self.propose(number, channel):
                return

    def forget(self, channel: Channel, message_id: str) -> None:
        """Leave a message that was put off out of what the caps count: it is the one in question."""
        recent = self.standing.recent.get(channel, [])
        recent[:] = [sent for sent in recent if sent.message_id != message_id]

    def propose(self, number: int, channel: Channel, again: str | None = None) -> bool:
        """Put one channel to the gate; say whether the chain ends here."""
        person = self.person
        if channel not in self.spec.channels:
            person.verdicts.append(_verdict(channel, "skip", "not_written_for_channel"))
            return False
        proposal = self.job.proposal(self.message, channel, self.base)
        verdict = judge(proposal, self.standing, self.job.policy, self.now)
        if verdict.decision is SEND:
            if person.side.ghost is not None:
                person.verdicts.append(_verdict(channel, "held_out", person.side.ghost))
            else:
                self.draft(number, proposal, verdict.address or "", again)
            return True
        person.verdicts.append(
            _verdict(channel, verdict.decision.value, verdict.reason, **verdict.detail)
        )
        if verdict.decision is Decision.SKIP:
            return False
        until = verdict.until or self.now
        if verdict.reason == "quiet_hours":
            until = after_quiet_hours(until, self.job.run.id, person.root_id)
            if proposal.expires_at is not None and until >= proposal.expires_at:
                until = verdict.until or self.now
        person.hold_until = min(person.hold_until or until, until)
        return True

    def draft(self, number: int, proposal: Proposal, address: str, again: str | None) -> None:
        """Render one message and put it on its way."""
        job, person, channel = self.job, self.person, proposal.channel
        message_id = again or new_id()
        links = job.desk.links.for_message(
            customer_id=person.root_id,
            message_id=message_id,
            topic=proposal.topic,
            website=job.website,
            order_id=None,
            now=self.now,
            counted=proposal.is_marketing_mail,
        )
        try:
            variant, slots = job.mailing(self.message, channel).slots(
                locale=person.locale,
                zone=self.home,
                customer=person.attributes,
                links=links,
                facts=person.facts,
            )
        except (MissingFact, RenderFailed) as error:
            self.fail(channel, error.reason)
            return
        person.drafts.append(
            Draft(
                person=person,
                customer_id=person.root_id,
                message_id=message_id,
                delivery_id=new_id(),
                key=f"{job.run.id}:{person.root_id}:{number}:{channel}",
                channel=channel,
                address=address,
                expires_at=proposal.expires_at,
                variant=variant,
                slots=slots,
                unsubscribe_url=links["unsubscribe"] if proposal.is_marketing_mail else None,
                purpose=proposal.purpose,
                topic=proposal.topic,
                again=again is not None,
                maybe_sent=person.maybe_sent,
            )
        )
        self.standing.recent.setdefault(channel, []).append(Sent(message_id, self.now))

    def fail(self, channel: Channel, reason: str) -> None:
        """Note that this person's words could not be made; another chain may still work."""
        self.person.failure = reason
        self.person.verdicts.append(_verdict(channel, "set_aside", reason))
