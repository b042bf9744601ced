"""What has been kept for long enough goes; what is in use stays, however old it is."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from flows import JOURNEYS
from signalpost.domain.vocabulary import MessageStatus
from signalpost.record.base import metadata
from signalpost.services import retention
from signalpost.services.campaigns import runs
from signalpost.services.reading.timeline import timeline
from signalpost.services.retention import Keep
from signalpost.testing import Stage
from tests.integration.campaign_engine import campaign, go, people

YEAR = timedelta(days=365)
ANN = {"user_id": "ann", "phone": "+12065550100", "email": "ann@example.com"}
BO = {"user_id": "bo", "phone": "+12065550101", "email": "bo@example.com"}
TABLES = (
    "events",
    "messages",
    "deliveries",
    "receipts",
    "receipt_keys",
    "decisions",
    "campaign_people",
    "in_app_items",
)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def sizes(stage):
    """How many rows each table has."""
    with stage.database.reading() as session:
        return Counter(
            {
                name: session.execute(
                    select(func.count()).select_from(metadata.tables[name])
                ).scalar_one()
                for name in TABLES
            }
        )


def picked_up(stage, who, order):
    """A journey from its first message to its end."""
    stage.signal("order.ready_for_pickup", **who, order_id=order)
    stage.run_due()
    stage.signal("order.picked_up", **who, order_id=order)
    stage.run_for(days=30)


def prune(stage, **more):
    return retention.prune(
        stage.database, keep=Keep(events=YEAR, messages=YEAR), now=stage.clock(), **more
    )


def test_what_is_old_goes_and_what_is_young_stays(stage):
    picked_up(stage, ANN, "1")
    people(stage, 3, first=10)
    old_run = go(stage, campaign())
    old = sizes(stage)
    stage.run_for(days=300)
    assert not prune(stage), "nothing is a year old"
    assert sizes(stage) == old
    stage.run_for(days=100)
    picked_up(stage, BO, "2")
    young = sizes(stage) - old
    gone = prune(stage, together=2)  # so small that it takes many steps
    assert sizes(stage) == young
    assert gone == old
    assert not prune(stage), "and nothing is left to do"
    with stage.database.reading() as session:
        kept = runs.progress(session, campaign_run_id=old_run, now=stage.clock())
    assert kept.counts[("sent", "email", "allowed")] == 3, "the counts of a run stay"


def test_a_journey_that_goes_on_keeps_what_belongs_to_it(stage):
    stage.signal("order.ready_for_pickup", **ANN, order_id="1")
    stage.run_due()
    [row] = _open_enrolments(stage)
    before = sizes(stage)
    stage.clock.now += timedelta(days=400)
    prune(stage)
    after = sizes(stage)
    assert after["messages"] == before["messages"] > 0
    assert after["decisions"] == before["decisions"] > 0
    stage.signal("order.picked_up", **ANN, order_id="1")
    stage.run_due()
    assert _open_enrolments(stage) != [row], "it still knows what it waited for"


def _open_enrolments(stage):
    enrolments = metadata.tables["enrolments"]
    query = select(enrolments.c.id, enrolments.c.step).where(
        enrolments.c.journey == "pickup-follow-up", enrolments.c.ended_at.is_(None)
    )
    with stage.database.reading() as session:
        return session.execute(query).all()


@pytest.mark.parametrize("status", MessageStatus)
def test_what_may_yet_be_sent_or_settled_stays_and_anything_else_goes(stage, status):
    picked_up(stage, ANN, "1")
    messages = metadata.tables["messages"]
    with stage.database.writing() as session:
        session.execute(messages.update().values(status=status.value))
    before = sizes(stage)
    stage.clock.now += timedelta(days=400)
    prune(stage)
    open_ = status in (MessageStatus.QUEUED, MessageStatus.SENDING, MessageStatus.UNKNOWN)
    assert sizes(stage)["messages"] == (before["messages"] if open_ else 0)


def test_a_parked_event_stays_until_it_is_dealt_with(stage):
    stage.signal("order.picked_up", order_id="nobody-knows-it")
    stage.clock.now += timedelta(days=400)
    prune(stage)
    assert sizes(stage)["events"] == 1


def test_an_old_event_that_comes_again_after_it_went_starts_nothing(stage):
    """Its id is forgotten by then; that it is old is not."""
    said = {**ANN, "order_id": "1", "message_id": "shop-1"}
    happened = stage.clock()
    stage.signal("order.ready_for_pickup", **said)
    stage.run_for(days=60)
    stage.clock.now += timedelta(days=400)
    prune(stage)
    sent = len(stage.sent)
    stage.signal("order.ready_for_pickup", **said, at=happened)
    stage.run_due()
    assert len(stage.sent) == sent


def test_a_preview_counts_and_deletes_nothing(stage):
    picked_up(stage, ANN, "1")
    stage.clock.now += timedelta(days=400)
    before = sizes(stage)
    said = retention.preview(stage.database, keep=Keep(messages=YEAR), now=stage.clock())
    assert sizes(stage) == before
    assert {"messages": said["messages"], "decisions": said["decisions"]} == {
        "messages": before["messages"],
        "decisions": before["decisions"],
    }


def test_it_can_be_ended_between_two_steps_and_begun_again(stage):
    picked_up(stage, ANN, "1")
    stage.clock.now += timedelta(days=400)
    asked = iter([False, True])
    first = prune(stage, together=1, stop=lambda: next(asked, True))
    assert sum(first.values()) < sum(sizes(stage).values())
    prune(stage)
    assert sizes(stage)["messages"] == 0


def test_the_timeline_of_somebody_without_a_past_can_be_read(stage):
    picked_up(stage, ANN, "1")
    stage.clock.now += timedelta(days=400)
    prune(stage)
    enrolments = metadata.tables["enrolments"]
    with stage.database.reading() as session:
        who = session.execute(select(enrolments.c.customer_id)).scalars().first()
        assert who is not None
        assert timeline(session, customer_id=who)
