"""Deciding who is sent what: the gate's verdicts, written down with the messages they allow."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content import MessageSpec
from signalpost.domain.gate import Proposal, Sent, Verdict, judge
from signalpost.domain.vocabulary import Channel, Decision, MessageStatus, Purpose
from signalpost.record import customers, decisions, enrolments, events, messages
from signalpost.record.base import new_id
from signalpost.services.desk import Desk
from signalpost.services.journeys import gate, questions
from signalpost.services.journeys.people import Draft, Group, Person
from signalpost.services.protocol import transaction

#: Statuses after which the next channel of the chain is tried.
_WENT_WRONG = (MessageStatus.REJECTED, MessageStatus.FAILED, MessageStatus.BOUNCED)
#: Of somebody still at their step: put off by a provider, and then refused by the gate.
_CLOSED = (MessageStatus.QUEUED, MessageStatus.EXPIRED)


def decide(desk: Desk, group: Group, *, now: datetime) -> None:
    """Put every person's message through the gate; write decisions and allowed messages.

    One transaction: the caps are counted in it, and what it allows counts from then on. What is
    found already written (a retry, or a run after a crash) is taken up, never written twice.
    """
    spec = desk.catalogue[group.node.args["message"]]
    group.drafts = []  # a try that failed half-way left its drafts, and its transaction was undone
    with transaction(desk, writing="send.deciding", written="send.decided") as session:
        customers.lock_customers(session, {person.root_id for person in group.people})
        group.keep(enrolments.still_held(session, claim_id=group.claim_id, until=now + desk.lease))
        if not group.people:
            return
        Planner(desk, session, group, spec, now).run()


class Planner:
    """The deciding of one group: gathers what is needed once, then goes person by person."""

    def __init__(
        self, desk: Desk, session: Session, group: Group, spec: MessageSpec, now: datetime
    ) -> None:
        self.desk, self.session, self.group = desk, session, group
        self.spec, self.now = spec, now
        self.rows: list[dict[str, Any]] = []
        self.lost: list[str] = []
        self.unneeded: list[tuple[str, str]] = []

    def run(self) -> None:
        """Decide for everyone and write it down."""
        group, node = self.group, self.group.node
        happened = _already_happened(self.session, group)
        written = by_chain(
            messages.of_enrolments(
                self.session, enrolment_ids=[person.id for person in group.people]
            )
        )
        # The claim is ours, so their sender died before it could settle, whatever is decided below.
        self.lost = [
            row["id"]
            for rows in written.values()
            for row in rows
            if row["status"] == MessageStatus.SENDING
        ]
        group.standings = gate.standings(
            self.session,
            people=group.people,
            spec=self.spec,
            policy=self.desk.policy,
            default_zone=self.desk.default_zone,
            now=self.now,
        )
        for person in group.people:
            if person.set_aside:  # in an earlier round of this step: an operator must look first
                continue
            person.hold_until, person.retrying = None, False
            if event := happened.get(person.id):
                self.note(
                    person, None, Verdict(Decision.SKIP, "already_happened", {"event": event})
                )
                continue
            for number, chain in enumerate(node.args["via"]):
                self.plan_chain(
                    person, number, chain, written.get((person.id, node.id, number), [])
                )
        self.write()

    def plan_chain(
        self, person: Person, number: int, chain: Mapping[str, Any], earlier: Sequence[RowMapping]
    ) -> None:
        """Decide on the first channel of the chain that is allowed and has not been tried."""
        put_off = [one for one in earlier if one["status"] in _CLOSED]
        expires_at = min((one["expires_at"] for one in put_off if one["expires_at"]), default=None)
        queued = [one for one in put_off if one["status"] == MessageStatus.QUEUED]
        tried, unknown, done = set(), False, False
        for row in earlier:
            status = MessageStatus(row["status"])
            if status is MessageStatus.SENDING:  # given up, see ``run``
                status = MessageStatus.UNKNOWN
            done |= not (status in _CLOSED or went_wrong(status, self.spec.purpose))
            tried.add(row["channel"])
            unknown |= status is MessageStatus.UNKNOWN
        if done:  # perhaps since the next channel was decided on, which is not needed then
            self.unneeded += [(row["id"], "went_on") for row in queued]
            return
        if any(self.resume(person, row) for row in queued):
            return
        for channel in in_order(chain, person):
            if channel not in tried and self.propose(
                person, number, channel, again=bool(tried), unknown=unknown, expires_at=expires_at
            ):
                return

    def propose(
        self,
        person: Person,
        number: int,
        channel: Channel,
        *,
        again: bool,
        unknown: bool,
        expires_at: datetime | None,
    ) -> bool:
        """Put one channel to the gate; say whether the chain ends here.

        ``again``: another channel did not work; ``unknown``: nobody knows whether it did;
        ``expires_at``: when what was put off is too late, by this channel as well.
        """
        standing = self.group.standings[person.root_id]
        if channel not in self.spec.channels:
            self.note(person, channel, Verdict(Decision.SKIP, "not_written_for_channel"))
            return False
        proposal = self.proposal(person, channel, expires_at)
        verdict = judge(proposal, standing, self.desk.policy, self.now)
        if verdict.decision is Decision.SKIP:
            self.note(person, channel, verdict)
            return False
        if verdict.decision is Decision.HOLD:
            self.note(person, channel, verdict)
            self.hold(person, verdict)
            return True
        if again:
            perhaps_twice = {"possible_duplicate": True} if unknown else {}
            verdict = Verdict(Decision.SEND, "next_channel", perhaps_twice, address=verdict.address)
        draft = Draft(
            message_id=new_id(),
            key=f"{person.id}:{self.group.node.id}:{number}:{channel}",
            person=person,
            proposal=proposal,
            address=verdict.address or "",
            expires_at=proposal.expires_at,
        )
        self.group.drafts.append(draft)
        standing.recent.setdefault(channel, []).append(Sent(draft.message_id, self.now))
        standing.repeats[person.id] = self.now
        self.note(person, channel, verdict, draft)
        return True

    def resume(self, person: Person, row: RowMapping) -> bool:
        """Take up a message of an earlier round if it is still allowed; true: the chain ends here."""
        standing = self.group.standings[person.root_id]
        channel = Channel(row["channel"])
        proposal = self.proposal(person, channel, expires_at=row["expires_at"])
        standing.recent[channel] = [
            one for one in standing.recent.get(channel, []) if one.message_id != row["id"]
        ]
        verdict = judge(proposal, standing, self.desk.policy, self.now)
        draft = Draft(
            message_id=row["id"],
            key=row["idempotency_key"],
            person=person,
            proposal=proposal,
            address=verdict.address or row["address"],
            expires_at=row["expires_at"],
        )
        if verdict.decision is Decision.SEND:
            self.group.drafts.append(draft)
            return True
        self.note(person, channel, verdict, draft)
        if verdict.decision is Decision.HOLD:
            self.hold(person, verdict)
            return True
        self.unneeded.append((row["id"], verdict.reason))
        return False

    def proposal(
        self, person: Person, channel: Channel, expires_at: datetime | None = None
    ) -> Proposal:
        """Say what is to be sent to this person on this channel."""
        spec = self.spec
        if expires_at is None and spec.expires_after is not None:
            expires_at = person.since + spec.expires_after
        return Proposal(
            message=spec.name,
            purpose=spec.purpose,
            topic=spec.topic,
            channel=channel,
            quiet_hours=spec.quiet_hours,
            repeat_window=spec.repeat_window,
            expires_at=expires_at,
            cause=person.id,
        )

    def hold(self, person: Person, verdict: Verdict) -> None:
        """Have the person come back when the gate says so; the earliest of several times."""
        until = verdict.until or self.now
        person.hold_until = min(person.hold_until or until, until)

    def note(
        self, person: Person, channel: Channel | None, verdict: Verdict, draft: Draft | None = None
    ) -> None:
        """Keep a verdict for the record and count it for the operator."""
        self.group.count(self.spec.name, channel, verdict.decision, verdict.reason)
        self.rows.append(
            decisions.decision(
                customer_id=person.customer_id,
                enrolment_id=person.id,
                event_id=person.context.get("event_id"),
                message_id=draft.message_id if draft else None,
                kind="gate",
                subject=self.spec.name,
                channel=channel,
                outcome=verdict.decision,
                reason=verdict.reason,
                detail=dict(verdict.detail),
                run_id=self.group.run_id,
                at=self.now,
            )
        )

    def write(self) -> None:
        """Write messages, decisions and open questions."""
        session, now = self.session, self.now
        messages.give_up_lost(session, message_ids=self.lost, now=now)
        messages.close_unsent(session, rows=self.unneeded, now=now)
        messages.plan(session, rows=[self.row(draft) for draft in self.group.drafts])
        if self.group.node.kind == "ask":
            questions.ask(session, group=self.group, spec=self.spec, now=now)
        decisions.write(session, rows=self.rows)

    def row(self, draft: Draft) -> dict[str, Any]:
        """Make the message's row, as it is before it is rendered."""
        return {
            "id": draft.message_id,
            "idempotency_key": draft.key,
            "customer_id": draft.person.customer_id,
            "enrolment_id": draft.person.id,
            "cause_id": draft.person.context.get("event_id"),
            "message": self.spec.name,
            "version": self.spec.version,
            "channel": draft.channel.value,
            "address": draft.address,
            "purpose": self.spec.purpose.value,
            "topic": self.spec.topic,
            "locale": draft.person.locale or self.spec.default_locale,
            "status": MessageStatus.QUEUED.value,
            "facts": {},
            "slots": {},
            "run_id": self.group.run_id,
            "created_at": self.now,
            "updated_at": self.now,
            "expires_at": draft.expires_at,
        }


def in_order(chain: Mapping[str, Any], person: Person) -> list[Channel]:
    """Give the channels of a chain in the order in which this person is tried on them."""
    channels = [Channel(name) for name in chain["channels"]]
    wish = person.attributes.get("preferred_channel")
    if chain["preferred"] and wish in channels:
        channels.sort(key=lambda channel: channel != wish)  # stable: the rest keep their order
    return channels


def went_wrong(status: MessageStatus, purpose: Purpose) -> bool:
    """Say whether a message that ended so leaves its chain undone.

    Nobody knows whether an unknown one arrived. An alert is worth saying twice; nothing else is.
    """
    return status in _WENT_WRONG or (
        status is MessageStatus.UNKNOWN and purpose is Purpose.SECURITY
    )


def by_chain(rows: Iterable[RowMapping]) -> dict[tuple[str, str, int], list[RowMapping]]:
    """Put messages under their enrolment, step and number of the chain, as their keys say."""
    found: dict[tuple[str, str, int], list[RowMapping]] = defaultdict(list)
    for row in rows:
        enrolment, step, number, _ = row["idempotency_key"].split(":")
        found[enrolment, step, int(number)].append(row)
    return found


def _already_happened(session: Session, group: Group) -> dict[str, str]:
    """Find whose message is overtaken by an event that is already known; gives the event's name."""
    names = group.node.args["unless"]
    if not names:
        return {}
    known = events.of_people(
        session, roots={person.root_id for person in group.people}, names=names
    )
    found = {}
    for person in group.people:
        for event in known.get(person.root_id, ()):
            if person.concerned_by(event):
                found[person.id] = event["name"]
                break
    return found
