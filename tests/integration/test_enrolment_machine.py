"""Claims, leases that run out, failures, resuming and leaving, in any order: nobody gets anything twice.

A state machine is several workers at once, one of which may be stopped in the middle of a step, for
longer than its lease, while another takes its people. At the end everybody has got theirs, or the record
says why not.
"""

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import select

from signalpost.domain.journey import SMS, ExitOn, Journey, Send, WaitFor, days, first
from signalpost.domain.vocabulary import Lane
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Message
from signalpost.services.journeys import resuming
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due, release
from signalpost.testing import Stage

PICKUP = Journey(
    name="pickup",
    lane=Lane.SERVICE,
    starts_on="order.ready_for_pickup",
    key="order_id",
    exits_on=[ExitOn("order.cancelled", reason="cancelled")],
    steps=[
        Send("pickup_ready", via=first(SMS)),
        WaitFor("order.picked_up", within=days(3), otherwise=[]),
    ],
)
UNITS = ("decide", "render", "deliver", "settle", "move")


class Stopped:
    """The units of a worker that is stopped before one of them, for as long as ``meanwhile`` takes."""

    def __init__(self, desk, at, meanwhile):
        self._units, self._at, self._meanwhile = Direct(desk), at, meanwhile

    def __getattr__(self, name):
        async def unit(group):
            if name == self._at:
                self._at = None
                await self._meanwhile()
            return await getattr(self._units, name)(group)

        return unit


class Workers(RuleBasedStateMachine):
    """Some orders, and workers that hold their people."""

    stage: Stage
    numbers = count()
    claims, orders = Bundle("claims"), Bundle("orders")

    def __init__(self):
        super().__init__()
        self.mine, self.cancelled = set(), set()
        self.before = len(self.stage.sent)

    # -- what happens ----------------------------------------------------------------------------

    @rule(target=orders)
    def an_order_is_ready(self):
        number = next(self.numbers)
        order = f"o{number}"
        self.stage.signal(
            "order.ready_for_pickup",
            user_id=f"u{number}",
            phone=f"+1206{5550000 + number}",
            order_id=order,
            store="Harbour",
        )
        self.mine.add(order)
        return order

    @rule(order=orders)
    def an_order_is_cancelled(self, order):
        self.stage.signal("order.cancelled", user_id=f"u{order[1:]}", order_id=order)
        self.cancelled.add(order)

    @rule(order=orders)
    def an_order_is_picked_up(self, order):
        self.stage.signal("order.picked_up", user_id=f"u{order[1:]}", order_id=order)

    @rule(seconds=st.integers(1, 120))
    def time_passes(self, seconds):
        self.stage.clock.now += timedelta(seconds=seconds)

    @rule(target=claims, limit=st.integers(1, 3))
    def a_worker_claims(self, limit):
        held = self._held()
        now = self.stage.clock()
        found = claim_due(self.stage.desk, lane=Lane.SERVICE, now=now, limit=limit)
        after = self._held()
        assert held.items() <= after.items(), "a claim whose lease runs was taken from its holder"
        return multiple(*(claim.id for claim in found))

    @rule(claim=claims, stopped_at=st.sampled_from([None, *UNITS, "request"]))
    def a_worker_works(self, claim, stopped_at):
        """Also with a claim that is long over, and with one it has worked on before."""
        if stopped_at == "request":
            self.stage.outbox.manner = self._while_the_request_is_out
        units = Stopped(self.stage.desk, stopped_at, self._others_take_over)
        asyncio.run(advance(self.stage.desk, claim_id=claim, units=units, run_id=None))

    @rule(claim=consumes(claims))
    def a_worker_fails(self, claim):
        release(self.stage.desk, claim_id=claim, reason="went wrong", now=self.stage.clock())

    @rule()
    def an_operator_resumes_who_is_set_aside(self):
        for one in self._enrolments():
            if one.status == "set_aside":
                with self.stage.database.writing() as session:
                    resuming.resume(session, enrolment_id=one.id, now=self.stage.clock())

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def nobody_gets_anything_twice(self):
        sent = Counter(one.to for one in self.stage.sent[self.before :])
        assert set(sent.values()) <= {1}

    def teardown(self):
        """Everybody comes to an end; who got nothing left, was set aside, or nobody can know."""
        self.stage.outbox.manner = lambda _: None
        self.stage.run_for(days=4)
        self.nobody_gets_anything_twice()
        got = {one.message_id for one in self.stage.sent[self.before :]}
        with self.stage.database.reading() as session:
            written = {one.enrolment_id: one for one in session.exec(select(Message))}
        for one in self._enrolments():
            assert one.status in ("done", "exited", "set_aside")
            assert one.claim_id is None
            message = written.get(one.id)
            reached = message is not None and message.id in got
            unknown = message is not None and message.status == "unknown"
            assert reached or unknown or one.status == "set_aside" or one.key in self.cancelled

    # -- helpers ---------------------------------------------------------------------------------

    def _while_the_request_is_out(self, outgoing):
        """Let others take over between the request and its answer, once; then the provider takes it."""
        del outgoing
        self.stage.outbox.manner = lambda _: None
        other = threading.Thread(target=lambda: asyncio.run(self._others_take_over()))
        other.start()
        other.join()

    async def _others_take_over(self):
        """Time passes beyond every lease, and another worker does all that is due."""
        desk = self.stage.desk
        self.stage.clock.now += desk.lease + timedelta(seconds=1)
        for claim in claim_due(desk, lane=Lane.SERVICE, now=self.stage.clock()):
            await advance(desk, claim_id=claim.id, units=Direct(desk), run_id=None)

    def _enrolments(self):
        with self.stage.database.reading() as session:
            found = session.exec(select(Enrolment)).all()
        return [one for one in found if one.key in self.mine]

    def _held(self):
        now = self.stage.clock()
        return {
            one.id: one.claim_id
            for one in self._enrolments()
            if one.claim_id and one.lease_until and one.lease_until > now
        }


BOUNDED = settings(
    max_examples=25,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Stage(folder=tmp_path_factory.mktemp("workers"), journeys=[PICKUP]) as opened:
        yield opened


def test_nobody_is_lost_and_nobody_gets_anything_twice(stage):
    """Two dozen shifts of workers, up to fourteen turns each."""
    Workers.stage = stage
    run_state_machine_as_test(Workers, settings=BOUNDED)
