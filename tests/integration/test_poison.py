"""Somebody whose data breaks every batch they are in is parked, and nobody waits long for that."""

import asyncio
from datetime import timedelta

import pytest
from sqlmodel import select

from flows import JOURNEYS
from signalpost.record.enrolments import Enrolment
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due, release
from signalpost.testing import Stage

POISON = "7"


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


class Breaking(Direct):
    """The units, as a bug would have them: one person's data breaks the whole batch."""

    async def decide(self, group):
        if any(person.key == POISON for person in group.people):
            raise ZeroDivisionError
        await super().decide(group)


def work(stage):
    """What the worker of the lane does with whoever is due."""
    for claim in claim_due(stage.desk, lane="service", now=stage.clock()):
        units = Breaking(stage.desk)
        try:
            asyncio.run(advance(stage.desk, claim_id=claim.id, units=units, run_id=None))
        except ZeroDivisionError:
            release(stage.desk, claim_id=claim.id, reason="it breaks", now=stage.clock())


def enrolments(stage):
    with stage.database.reading() as session:
        return list(session.exec(select(Enrolment)))


def test_its_neighbours_are_served_within_half_a_minute_and_it_is_parked_after_six_tries(stage):
    """F18: 59 of 60 get theirs once; the 60th is set aside where an operator sees it."""
    for number in range(60):
        stage.signal(
            "order.ready_for_pickup", user_id=f"u{number}", order_id=str(number), store="Leeds"
        )
    began = stage.clock.now
    while len(stage.sent) < 59 and stage.clock.now < began + timedelta(seconds=30):
        work(stage)
        stage.clock.now += timedelta(seconds=1)
    assert len({one.to for one in stage.sent}) == len(stage.sent) == 59
    stage.clock.now += timedelta(hours=1)
    for _ in range(6):
        work(stage)
        stage.clock.now += timedelta(hours=1)
    [poison] = [one for one in enrolments(stage) if one.key == POISON]
    assert (poison.status, poison.reason, poison.attempts) == ("set_aside", "it breaks", 6)
    assert len(stage.sent) == 59
