"""A series opens once for each person, goes on to those who were told, and ends when it is closed."""

from collections import Counter
from datetime import timedelta

import pytest

from signalpost.errors import BadInputError, ConflictError
from signalpost.record.campaigns import CampaignPerson
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.plan import make_plan
from signalpost.services.campaigns.runs import Launch
from signalpost.services.reading.why import why
from signalpost.services.redriving.campaigns import take_up
from signalpost.simulation import simulate
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    adds_up,
    audit,
    campaign,
    go,
    notice,
    outcomes,
    people,
    refuses,
    rows,
    send,
    the_run,
)

STAGES = [
    {"name": "first", "message": "service_notice", "opens": True},
    {"name": "update", "message": "service_update"},
    {"name": "clear", "message": "service_all_clear", "closes": True},
]
TOLD = {"what": "deliveries", "since": "2026-03-02T06:00:00Z", "reference": "S"}
FACTS = {
    "first": TOLD,
    "update": TOLD | {"news": "half of the vans are out"},
    "clear": TOLD | {"resolved_at": "2026-03-02T08:00:00Z"},
}
EMAIL = {"every": ["email"]}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url) as opened:
        yield opened


def incident(**more):
    asks = sorted({*FACTS["update"], *FACTS["clear"]})
    return notice(
        message=None, stages=STAGES, holds_back_marketing=True, facts={}, asks=asks,
        channels=EMAIL, **more,
    )  # fmt: skip


def wanted(name, *, of=None, series="S-1", **more):
    return {
        "wanted": of or incident(), "stage": name, "series": series, "facts": FACTS[name], **more
    }  # fmt: skip


def tell(stage, name, **more):
    """Launch a stage and send it to whoever is due now; gives the run's id."""
    given = wanted(name, **more)
    return go(stage, given.pop("wanted"), **given)


def plan(stage, name, **more):
    given = wanted(name, **more)
    launch = Launch(campaign=given.pop("wanted"), **given)
    return make_plan(stage.desk, launch=launch, now=stage.clock.now)


def approved(stage, name, **more):
    given = wanted(name, **more)
    launch = Launch(campaign=given.pop("wanted"), **given)
    return launching.launch(stage.desk, launch=launch, by="ann", now=stage.clock.now)


def start(stage, run):
    return launching.start(stage.desk, campaign_run_id=run.id, now=stage.clock.now)


def reasons(stage, run_id):
    return Counter((one.outcome, one.reason) for one in people_of(stage, run_id))


def people_of(stage, run_id):
    return rows(stage, CampaignPerson, campaign_run_id=run_id)


def but_one(one):
    return refuses(one) if one.address == "u0@example.com" else None


def redrive(stage, run_id, ids):
    with stage.database.writing() as session:
        return take_up(session, campaign_run_id=run_id, people=ids, now=stage.clock.now)


def sent(stage):
    return Counter(one.message for one in stage.sent)


# -- opened once -----------------------------------------------------------------------------------


def test_an_opening_that_is_launched_again_tells_only_whom_it_has_not_told(stage):
    people(stage, 3)
    tell(stage, "first")
    people(stage, 2, first=10)
    planned = plan(stage, "first")
    assert (planned.refusals, planned.people, planned.reached) == ([], 5, 2)
    assert [(one["reason"], one["people"]) for one in planned.excluded] == [("told_already", 3)]
    assert "an earlier run of the series has told the customer" in planned.markdown()
    again = tell(stage, "first")
    assert reasons(stage, again) == {("sent", "allowed"): 2, ("skipped", "told_already"): 3}
    assert Counter(Counter(one.to for one in stage.sent).values()) == {1: 5}
    audit(stage, again)
    assert plan(stage, "update").people == 5
    other = tell(stage, "first", series="S-2")
    assert reasons(stage, other) == {("sent", "allowed"): 5}


def test_of_two_openings_that_mean_somebody_the_one_launched_first_tells_them(stage):
    people(stage, 2)
    first, second = approved(stage, "first"), approved(stage, "first")
    start(stage, second)
    start(stage, first)
    send(stage)
    assert reasons(stage, first.id) == {("sent", "allowed"): 2}
    assert reasons(stage, second.id) == {("skipped", "told_already"): 2}
    assert sent(stage) == {"service_notice": 2}


def test_whom_our_own_fault_kept_from_the_first_notice_is_told_by_the_next(stage):
    ids = people(stage, 3)
    stage.outbox.manner = but_one
    first = tell(stage, "first")
    assert Counter(one.outcome for one in people_of(stage, first)) == {"sent": 2, "set_aside": 1}
    stage.outbox.manner = lambda _: None
    again = tell(stage, "first")
    assert reasons(stage, again) == {("sent", "allowed"): 1, ("skipped", "told_already"): 2}
    assert redrive(stage, first, ids) == 1
    send(stage)
    assert Counter(one.outcome for one in people_of(stage, first)) == {"sent": 2, "set_aside": 1}
    assert Counter(Counter(one.to for one in stage.sent).values()) == {1: 3}
    adds_up(stage, first)


# -- closed for good -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["first", "update", "clear"])
def test_after_the_closing_stage_every_stage_is_refused_with_a_remedy(stage, name):
    people(stage, 2)
    tell(stage, "first")
    tell(stage, "update")
    tell(stage, "update")
    closing = tell(stage, "clear")
    planned = plan(stage, name)
    [why] = planned.refusals
    assert f"The series 'S-1' is over: its stage 'clear' began with the run {closing}" in why
    assert "with another --series" in why
    with pytest.raises(BadInputError, match="is over"):
        tell(stage, name)
    offer = go(stage, campaign())
    assert reasons(stage, offer) == {("sent", "allowed"): 2}
    assert sent(stage) == {
        "service_notice": 2, "service_update": 4, "service_all_clear": 2, "purchase_offer": 2
    }  # fmt: skip


@pytest.mark.parametrize("name", ["first", "update", "clear"])
def test_a_stage_that_was_launched_before_the_series_closed_does_not_begin_after_it(stage, name):
    people(stage, 2)
    tell(stage, "first")
    people(stage, 1, first=10)
    late = approved(stage, name)
    tell(stage, "clear")
    before = len(stage.sent)
    with pytest.raises(ConflictError, match="is over"):
        start(stage, late)
    run = the_run(stage, late.id)
    assert (run.status, "is over" in run.reason) == ("refused", True)
    send(stage)
    assert len(stage.sent) == before
    offer = go(stage, campaign())
    assert reasons(stage, offer) == {("sent", "allowed"): 3}


def test_whoever_still_waits_for_an_earlier_stage_is_not_told_after_the_all_clear(stage):
    people(stage, 2)
    tell(stage, "first")
    waiting = approved(stage, "update")
    start(stage, waiting)
    tell(stage, "clear")
    assert reasons(stage, waiting.id) == {("skipped", "series_over"): 2}
    assert sent(stage) == {"service_notice": 2, "service_all_clear": 2}
    adds_up(stage, waiting.id)


def test_a_closing_stage_that_was_cancelled_or_tried_on_a_few_closes_nothing(stage):
    people(stage, 3)
    tell(stage, "first")
    tell(stage, "clear", sample_of=1)
    assert plan(stage, "update").refusals == []
    offer = go(stage, campaign())
    assert {one.outcome for one in people_of(stage, offer)} == {None}
    closing = approved(stage, "clear")
    launching.cancel(stage.desk, campaign_run_id=closing.id, by="ann", now=stage.clock.now)
    assert plan(stage, "update").refusals == []


# -- really told -----------------------------------------------------------------------------------


def test_a_following_stage_goes_to_those_to_whom_the_opening_one_was_sent(stage):
    people(stage, 3)
    stage.outbox.manner = but_one
    tell(stage, "first")
    stage.outbox.manner = lambda _: None
    tell(stage, "clear")
    cleared = {one.to for one in stage.sent if one.message == "service_all_clear"}
    assert cleared == {"u1@example.com", "u2@example.com"}


def test_a_series_of_which_nobody_was_sent_anything_goes_on_with_nobody(stage):
    people(stage, 2)
    stage.outbox.manner = refuses
    first = tell(stage, "first")
    [why] = plan(stage, "clear").refusals
    assert why.startswith("Nobody was sent the stage 'first' of 'S-1'")
    assert f"`signalpost campaign status {first}` says why" in why


def test_an_opening_that_was_cancelled_half_way_is_followed_for_those_it_had_told(stage):
    people(stage, 2)
    tell(stage, "first")
    people(stage, 2, first=10)
    second = approved(stage, "first")
    start(stage, second)
    launching.cancel(stage.desk, campaign_run_id=second.id, by="ann", now=stage.clock.now)
    planned = plan(stage, "clear")
    assert (planned.people, planned.warnings) == (2, [])


def test_a_plan_says_who_waits_for_their_first_notice_still(stage):
    people(stage, 2)
    tell(stage, "first")
    people(stage, 3, first=10)
    start(stage, approved(stage, "first"))
    assert any(
        "5 still wait for the stage 'first'; they do not get this one, nor the first one" in one
        for one in plan(stage, "clear").warnings
    )


def test_why_explains_to_somebody_that_they_had_been_told(stage):
    [one] = people(stage, 1)
    tell(stage, "first")
    tell(stage, "first")
    with stage.database.reading() as session:
        said = [found.says for found in why(session, customer_id=one, about="notice")]
    assert said[0].startswith("Sent notice · first · S-1")
    assert "an earlier run of the series has told the customer of it" in said[1]


def test_a_series_that_is_played_again_says_the_same_to_the_same_people(tmp_path):
    """Also its second opening, and the update that came too late."""
    of = incident()
    with Stage(folder=tmp_path, campaigns={of.name: of}) as stage:
        since = stage.clock.now
        people(stage, 3)
        stage.clock.now += timedelta(minutes=1)
        tell(stage, "first")
        stage.clock.now += timedelta(minutes=1)
        tell(stage, "first")
        late = approved(stage, "update")
        stage.clock.now += timedelta(minutes=1)
        tell(stage, "clear")
        with pytest.raises(ConflictError):
            start(stage, late)
        stage.clock.now += timedelta(hours=1)
        until = stage.clock.now
        played = simulate(stage.desk, campaign=of, since=since, until=until, now=until)
        assert (len(played.outcome.sendings), played.differs) == (6, False)


# -- marketing meanwhile ---------------------------------------------------------------------------


def test_marketing_is_held_back_only_from_those_who_know_of_the_incident(stage):
    people(stage, 3)
    stage.outbox.manner = but_one
    tell(stage, "first")
    stage.outbox.manner = lambda _: None
    offer = go(stage, campaign())
    assert {one.to for one in stage.sent if one.message == "purchase_offer"} == {"u0@example.com"}
    assert reasons(stage, offer)[("sent", "allowed")] == 1


def test_a_second_opening_lets_nobody_go_whom_the_first_has_told(stage):
    people(stage, 2)
    tell(stage, "first")
    tell(stage, "first")
    offer = go(stage, campaign())
    assert reasons(stage, offer) == {(None, None): 2}
    assert outcomes(stage, offer) == {}


def test_another_campaigns_all_clear_ends_only_its_own_incident(stage):
    people(stage, 2)
    tell(stage, "first")
    other = incident(name="other")
    tell(stage, "first", of=other)
    tell(stage, "clear", of=other)
    offer = go(stage, campaign())
    assert reasons(stage, offer) == {(None, None): 2}
