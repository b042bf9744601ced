"""Consent under any order of opt-ins, opt-outs, STOP, START and imports: the last word counts.

A state machine says things by every door, late and several in one batch, and keeps its own list of what
was said; after each step the record must stand as the list does, and nothing written may ever change.
"""

from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import select

from signalpost.record.consents import Consent
from signalpost.services.inbound import optouts
from signalpost.services.intake import consent, signals
from signalpost.services.intake.signals import Signal
from signalpost.testing import EPOCH, Stage

CHANNELS, TOPICS = ("email", "sms"), ("offers", "news")
WHERE = st.tuples(st.sampled_from(["*", *CHANNELS]), st.sampled_from(["*", *TOPICS]))
MINUTES = st.integers(1, 200)


@dataclass(frozen=True)
class Word:
    """Something the customer said, by themselves."""

    minute: int
    number: int  #: as we heard it
    channel: str
    topic: str
    status: str

    def covers(self, channel, topic):
        return self.channel in (channel, "*") and self.topic in (topic, "*")


class Customer(RuleBasedStateMachine):
    """One customer, and what they ever said."""

    stage: Stage
    everybody = count()

    def __init__(self):
        super().__init__()
        self.said, self.proof, self.minute, self.closed = [], {}, 1000, False
        self.texted = 0  #: the minute of the last STOP or START
        self._pass(0)
        number = next(self.everybody)
        self.name, self.phone = f"u{number}", f"+1206{5550000 + number}"
        known = self.stage.signal("profile.updated", user_id=self.name, phone=self.phone)
        self.who = known.customer_id

    # -- what the customer says ------------------------------------------------------------------

    @rule(words=st.lists(st.tuples(WHERE, st.booleans(), MINUTES), min_size=1, max_size=4))
    def forms_come_together_and_late(self, words):
        """A batch of events; each was said some time ago, so that they come in any order."""
        self._pass(1)
        batch = []
        for (channel, topic), yes, ago in words:
            word = self._word(channel, topic, "granted" if yes else "denied", self._earlier(ago))
            batch.append(
                Signal(
                    message_id=f"{self.name}:{word.number}",
                    source="shop",
                    name="consent.granted" if yes else "consent.withdrawn",
                    occurred_at=self._at(word.minute),
                    body_hash="",
                    identities={"user_id": self.name},
                    properties={"channel": channel, "topic": topic, "wording": "Yes, or no"},
                )
            )
        with self.stage.database.writing() as session:
            signals.accept(
                session,
                signals=batch,
                now=self.stage.clock(),
                react=self.stage.react,
                policy=self.stage.policy,
            )

    @precondition(lambda self: not self.closed)
    @rule()
    def stop(self):
        """STOP closes the number and says no on its channel, whatever was said before."""
        self._pass(1)
        self.before = {topic: self._standing("sms", topic) for topic in TOPICS}
        self.texted = self.minute
        self.stage.reply(self.phone, "STOP")
        self._word("sms", "*", "denied", self.minute)
        self.closed, self.just_stopped = True, len(self.said)

    @precondition(lambda self: self.closed and self.just_stopped == len(self.said))
    @rule()
    def start_right_after(self):
        """START gives back what was granted before the STOP, and nothing else."""
        self._pass(1)
        self.texted = self.minute
        self.stage.reply(self.phone, "START")
        self.closed = False
        for topic, status in self.before.items():
            if status == "granted":
                self._word("sms", topic, "granted", self.minute)

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def the_last_word_counts(self):
        with self.stage.database.reading() as session:
            for channel in CHANNELS:
                for topic in TOPICS:
                    [found] = consent.state(
                        session, customer_ids=[self.who], channel=channel, topic=topic
                    ).values()
                    last = self._standing(channel, topic)
                    assert found == last or self._is_stricter(found, channel, topic), last
            blocked = {key[:2] for key in optouts.in_force(session, [self.phone])}
        assert (("sms", self.phone) in blocked) == self.closed

    @invariant()
    def what_was_written_stays_as_it_was(self):
        with self.stage.database.reading() as session:
            mine = select(Consent).where(Consent.customer_id == self.who)
            rows = {row.id: row.model_dump() for row in session.exec(mine)}
        assert self.proof.items() <= rows.items()
        assert all(row["source"] and row["at"] for row in rows.values())
        self.proof = rows

    # -- the list --------------------------------------------------------------------------------

    def _word(self, channel, topic, status, minute):
        word = Word(minute, len(self.said), channel, topic, status)
        self.said.append(word)
        return word

    def _standing(self, channel, topic):
        covering = [one for one in self.said if one.covers(channel, topic)]
        last = max(covering, key=lambda one: (one.minute, one.number), default=None)
        return last and last.status

    def _is_stricter(self, found, channel, topic):
        """A yes that was said twice is written once: a no between the two, that comes late, counts."""
        covering = [one for one in self.said if one.covers(channel, topic)]
        yes = [one for one in covering if one.status == "granted"]
        late = any(
            no.status == "denied" and no.number > one.number for no in covering for one in yes
        )
        return found == "denied" and late

    def _earlier(self, minutes):
        """Some time ago, but after the last STOP or START: those are heard at once."""
        return max(self.minute - minutes, self.texted + 1)

    def _pass(self, minutes):
        self.minute += minutes
        self.stage.clock.now = self._at(self.minute)

    def _at(self, minute):
        return EPOCH + timedelta(minutes=minute)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Stage(folder=tmp_path_factory.mktemp("consent")) as opened:
        yield opened


def test_the_last_word_counts_whatever_the_order(stage):
    """Forty customers, up to a dozen turns each."""
    Customer.stage = stage
    run_state_machine_as_test(Customer, settings=BOUNDED)


BOUNDED = settings(
    max_examples=30,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
