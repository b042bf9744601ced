"""What the demo reads of the record: whether everything is at rest, what is new, what became of whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlmodel import col

from signalpost.demo.people import Person
from signalpost.domain.vocabulary import Channel, MessageStatus
from signalpost.record import campaign_people, customers, enrolments
from signalpost.record.campaigns import CampaignRun, CampaignShard
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from signalpost.record.messages import Message
from signalpost.services.desk import Desk
from signalpost.services.reading.entries import Entry
from signalpost.services.reading.timeline import timeline

_ON_THE_WAY = (MessageStatus.SENDING, MessageStatus.HANDED_OVER, MessageStatus.DEFERRED)


@dataclass(frozen=True)
class News:
    """What was decided and sent since somebody last looked."""

    messages: Sequence[Message]
    decisions: Sequence[DecisionRow]

    @property
    def customer_ids(self) -> set[str]:
        """Whom it is about."""
        return {row.customer_id for row in (*self.messages, *self.decisions)}

    @property
    def refusals(self) -> list[DecisionRow]:
        """Messages that the gate skipped or held."""
        return [
            row for row in self.decisions if row.kind == "gate" and row.outcome in ("skip", "hold")
        ]


class Reading:
    """Reads the record, and writes nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ids: dict[str, str] = {}
        self._last = {"message": "", "decision": ""}

    # -- at rest? ------------------------------------------------------------------------------

    def unrest(self, now: datetime) -> list[str]:
        """Say what is not at rest: people who are due or held by a worker, and what is on its way."""
        late = select(func.count()).where(
            or_(col(Enrolment.due_at) <= now, col(Enrolment.claim_id).is_not(None))
        )
        on_the_way = select(func.count()).where(
            col(Message.status).in_(_ON_THE_WAY), col(Message.channel) != Channel.IN_APP
        )
        to_begin = select(func.count()).where(
            col(CampaignRun.status) == "approved", col(CampaignRun.scheduled_at) <= now
        )
        to_send = select(func.count()).where(
            or_(col(CampaignShard.due_at) <= now, col(CampaignShard.claim_id).is_not(None))
        )
        with self._desk.database.reading() as session:
            found = {
                "people are due": session.scalar(late.select_from(Enrolment)),
                "messages wait for a receipt": session.scalar(on_the_way.select_from(Message)),
                "campaigns are to begin": session.scalar(to_begin.select_from(CampaignRun)),
                "shards are to be sent": session.scalar(to_send.select_from(CampaignShard)),
            }
        return [f"{count} {what}" for what, count in found.items() if count]

    def next_due(self, people: Sequence[Person]) -> datetime | None:
        """Give when the next of these people, or of a campaign's, is due.

        Each of a campaign's people has a moment of their own. The clock stops at every one of them, as
        a real one passes through them: so the record says what a simulation of it finds.
        """
        roots = [root for person in people if (root := self.customer_id(person))]
        with self._desk.database.reading() as session:
            rows = enrolments.open_of(session, roots=roots)
            wave = campaign_people.next_due(session)
        return min(filter(None, [wave, *(row["due_at"] for row in rows)]), default=None)

    # -- what is new ---------------------------------------------------------------------------

    def news(self) -> News:
        """Give what was decided and sent since this was last asked."""
        with self._desk.database.reading() as session:
            messages = session.scalars(
                select(Message).where(col(Message.id) > self._last["message"]).order_by(Message.id)
            ).all()
            decisions = session.scalars(
                select(DecisionRow)
                .where(col(DecisionRow.id) > self._last["decision"])
                .order_by(DecisionRow.id)
            ).all()
        for name, rows in (("message", messages), ("decision", decisions)):
            if rows:
                self._last[name] = rows[-1].id
        return News(messages, decisions)

    # -- who -----------------------------------------------------------------------------------

    def customer_id(self, person: Person) -> str | None:
        """Give a person's customer id, once the shop has told of them."""
        if person.user_id not in self._ids:
            key = ("user_id", person.user_id)
            with self._desk.database.reading() as session:
                found = customers.led_to(session, [key]).get(key)
            if found is None:
                return None
            self._ids[person.user_id] = found
        return self._ids[person.user_id]

    def timeline(self, person: Person) -> Sequence[Entry]:
        """Give everything that happened with a person, oldest first."""
        customer_id = self.customer_id(person)
        if customer_id is None:
            return ()
        with self._desk.database.reading() as session:
            return timeline(session, customer_id=customer_id, limit=2000).entries

    # -- everything, for the final reckoning ---------------------------------------------------

    def all_messages(self) -> Sequence[Message]:
        """Give every message."""
        with self._desk.database.reading() as session:
            return session.scalars(select(Message).order_by(Message.id)).all()

    def all_events(self) -> Sequence[Event]:
        """Give every event."""
        with self._desk.database.reading() as session:
            return session.scalars(select(Event).order_by(Event.id)).all()

    def all_enrolments(self) -> Sequence[Enrolment]:
        """Give every enrolment."""
        with self._desk.database.reading() as session:
            return session.scalars(select(Enrolment).order_by(Enrolment.id)).all()
