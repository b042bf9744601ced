"""What is read of a run: everybody once, examples that are what they stand beside, words that agree."""

from __future__ import annotations

from datetime import timedelta

import pytest

from signalpost.services.campaigns import looking
from signalpost.services.intake import identity
from signalpost.services.reading import runs as reading
from signalpost.services.reading.timeline import timeline
from signalpost.testing import Stage
from tests.integration.campaign_engine import block, campaign, go, launched, notice, people, send
from tests.integration.results_harness import Book


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=(), database_url=database_url) as opened:
        yield opened


def told(stage, customer: str) -> list[str]:
    """What a customer's timeline says of campaigns."""
    with stage.database.reading() as session:
        entries = timeline(session, customer_id=customer).entries
    return [one.says for one in entries if one.kind == "campaign"]


def test_a_run_is_told_once_of_somebody_who_was_merged_since_it_began(stage):
    """Three records that turn out to be one person: one decision about them, not three."""
    kept, *others = people(stage, 3)
    launched(stage, campaign())
    with stage.database.writing() as session:
        for other in others:
            identity.merge(session, kept=kept, merged=other, reason="operator", now=stage.clock())
    send(stage)
    for customer in (kept, *others):
        [says] = told(stage, customer)
        assert says.startswith("Sent spring by email")


def test_examples_are_of_the_channel_that_they_stand_beside(stage):
    """Who got a text is no example of those who got an email."""
    people(stage, 4)
    block(stage, ["+12065500000", "+12065500001"], channel="sms")
    run_id = go(stage, notice(channels={"first": ["sms", "email"]}))
    by_channel = {}
    with stage.database.reading() as session:
        found = reading.run_sheet(session, which=run_id, now=stage.clock())
    for one in found.outcomes:
        by_channel[one.channels] = set(one.examples)
    emailed = {one.message_id for one in stage.sent if one.channel == "email"}
    assert len(emailed) == 2
    assert {len(some) for some in by_channel.values()} == {2}
    assert not by_channel["email"] & by_channel["SMS"]


def test_one_person_is_and_several_are(stage):
    """The report's sentences agree with their numbers."""
    book = Book(stage.database)
    run_id = book.run(holdout="50%")
    book.decided(run_id, "held_out", "campaign")
    assert "Sent to 0 of 1 person. 1 was held out on purpose" in book.results(run_id).markdown()
    book.decided(run_id, "held_out", "campaign")
    assert "2 were held out on purpose" in book.results(run_id).markdown()


def test_what_has_ended_long_ago_is_not_looked_at_again(stage):
    """The worker looks at a run until nobody can buy in time any more."""
    people(stage, 2)
    run_id = go(stage, campaign())
    now = stage.clock()
    assert [run.id for run, _ in looking.look_at_all(stage.desk, now=now)] == [run_id]
    assert list(looking.look_at_all(stage.desk, now=now + timedelta(days=60))) == []
