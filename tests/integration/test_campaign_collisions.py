"""What a plan says of other campaigns that mean the same people, and the approval of a changed one."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from signalpost.errors import ConflictError
from signalpost.record import campaign_schedules, campaigns
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.plan import Plan
from signalpost.services.campaigns.runs import Launch, Run
from tests.integration.plan_harness import NOW, OFFER, Shop, open_stage

LATER = NOW + timedelta(minutes=30)
LONG = {**OFFER, "ends": "2026-12-31T20:00:00+00:00"}


@pytest.fixture
def shop(tmp_path, database_url):
    with open_stage(tmp_path, database_url=database_url, start=NOW) as stage:
        yield Shop(stage)


@pytest.fixture
def one_shop(tmp_path):
    """On SQLite only: for what does not depend on the database."""
    with open_stage(tmp_path, start=NOW) as stage:
        yield Shop(stage)


def launch(shop: Shop, campaign, **options) -> Run:
    wanted = Launch(campaign=campaign, **options)
    return launching.launch(shop.desk, launch=wanted, by="ann", now=shop.stage.clock())


def approve(shop: Shop, run: Run, *, seen: str | None = None) -> Run:
    return launching.approve(
        shop.desk, campaign_run_id=run.id, by="bo", seen=seen or run.plan["digest"],
        now=shop.stage.clock(),
    )  # fmt: skip


def as_it_is(shop: Shop, run: Run) -> Run:
    with shop.stage.database.reading() as session:
        row = campaigns.run(session, campaign_run_id=run.id)
    assert row is not None
    return Run.of(row)


# -- the same message ------------------------------------------------------------------------------


def test_a_message_that_another_campaign_sends_first_is_used_up(shop):
    """Both say the same within its repeat window: whichever is later reaches nobody."""
    shop.customers([{}] * 30)
    other = shop.campaign(name="fireworks")
    run = shop.run(other, status="awaiting_approval", scheduled_at=LATER)
    plan = shop.plan(shop.campaign(name="clash"))
    [first] = plan.collisions
    assert (first["run"], first["people"]) == (run, 30)
    assert (first["same_here"], first["same_there"], first["here"], first["there"]) == (0, 30, 0, 0)
    assert plan.stopped == 0
    assert "30 would have had the same message before that one" in plan.markdown()
    plan = shop.plan(shop.campaign(name="clash"), scheduled_at=LATER + timedelta(hours=1))
    [later] = plan.collisions
    assert (later["same_here"], later["same_there"]) == (30, 0)
    assert plan.stopped == 30
    assert "30 of them will have had the same message" in plan.markdown()
    assert "30 of them would get nothing after all" in plan.markdown()


def test_the_same_message_collides_on_whatever_channel_and_for_each_arm(one_shop):
    one_shop.customers([{"in_app": True}] * 40)
    other = one_shop.campaign(name="other", message="early_bird", facts=None, channels=["in_app"])
    one_shop.run(other, status="approved")
    arms = [
        {"name": "offer", "share": "50%"},
        {"name": "early", "share": "50%", "message": "early_bird"},
    ]
    plan = one_shop.plan(one_shop.campaign(experiment={"arms": arms}), scheduled_at=LATER)
    [found] = plan.collisions
    assert found["same_here"] == plan.arms["early"] == plan.stopped > 0


def test_another_message_or_one_long_ago_is_no_repetition(one_shop):
    one_shop.customers([{}] * 3)
    early = one_shop.campaign(name="other", message="early_bird", facts=None)
    one_shop.run(early, status="approved")
    plan = one_shop.plan(one_shop.campaign(), scheduled_at=LATER)
    assert "no cap is exceeded" in plan.markdown()
    one_shop.run(one_shop.campaign(name="third"), status="approved")
    far = one_shop.plan(one_shop.campaign(), scheduled_at=NOW + timedelta(days=14))
    assert [one["same_here"] for one in far.collisions] == [0, 0]


def test_who_would_be_over_the_cap_on_two_channels_is_one_person(one_shop):
    had = [NOW - timedelta(hours=1)]
    one_shop.customers([{"had": had, "in_app": True}] * 4)
    every = {"every": ["email", "in_app"]}
    early = one_shop.campaign(name="other", message="early_bird", facts=None, channels=every)
    one_shop.run(early, status="approved")
    tight = one_shop.campaign(channels=every, caps=["1 per 1h"])
    [found] = one_shop.plan(tight, scheduled_at=LATER).collisions
    assert (found["people"], found["here"]) == (4, 4)


def test_what_the_plan_says_is_stopped_is_what_the_send_leaves_out(shop):
    shop.customers([{}] * 20)
    fireworks = launch(shop, shop.campaign(name="fireworks"), scheduled_at=LATER)
    clash = shop.campaign(name="clash")
    [said] = shop.plan(clash).collisions
    counts = shop.send(clash)
    assert sum(people for key, people in counts.items() if key[0] == "sent") == 20
    shop.stage.clock.now = LATER
    launching.start(shop.desk, campaign_run_id=fireworks.id, now=LATER)
    left_out = shop.finish(fireworks.id)
    assert left_out["skipped", "", "duplicate"] == said["same_there"] == 20


# -- approving what has changed --------------------------------------------------------------------


def test_a_plan_that_was_made_before_another_launch_is_shown_again(shop):
    shop.customers([{}] * 30)
    fireworks = launch(shop, shop.campaign(name="fireworks", approval="always"), scheduled_at=LATER)
    clash = launch(shop, shop.campaign(name="clash", approval="always"))
    assert approve(shop, clash).status == "approved", "it goes first and loses nobody"
    with pytest.raises(ConflictError, match=r"clash.*30 of them will have had the same"):
        approve(shop, fireworks)
    now = as_it_is(shop, fireworks)
    assert (now.status, now.plan["stopped"]) == ("awaiting_approval", 30)
    assert now.plan["digest"] != fireworks.plan["digest"]
    assert "Since the plan of 2026-03-02 09:00 UTC" in Plan.from_json(now.plan).warnings[0]
    with pytest.raises(ConflictError, match="look at it again"):
        approve(shop, fireworks)
    assert approve(shop, now).status == "approved", "whoever has seen it may let it go"


def test_customers_who_come_and_go_ask_for_no_second_look(shop):
    shop.customers([{}] * 100)
    run = launch(shop, shop.campaign(approval="always"))
    shop.customers([{}] * 5 + [{"consent": ()}] * 4)
    shop.stage.clock.now = NOW + timedelta(hours=5)
    assert approve(shop, run).status == "approved"
    assert as_it_is(shop, run).plan == run.plan, "what was approved is what was seen"


def test_many_more_people_than_were_seen_ask_for_a_second_look(shop):
    shop.customers([{}] * 20)
    run = launch(shop, shop.campaign(approval="always"))
    shop.customers([{}] * 20)
    with pytest.raises(ConflictError, match="20 people were in the audience, and now 40"):
        approve(shop, run)


def test_a_run_that_is_late_or_waits_for_another_one_can_still_be_approved(one_shop):
    """Its start waits for the other's end; who was meant gets it late."""
    ids = one_shop.customers([{}] * 10)
    campaign = one_shop.campaign(approval="always")
    run = launch(one_shop, campaign)
    going = one_shop.campaign(holdout="10%")
    one_shop.run(going, status="running", people=ids, outcome="sent")
    one_shop.stage.clock.now = NOW + timedelta(hours=3)
    assert approve(one_shop, run).status == "approved"


def test_what_nobody_would_get_any_more_is_not_approved_unseen(one_shop):
    one_shop.customers([{}] * 10)
    run = launch(one_shop, one_shop.campaign(approval="always", expires="2h"))
    one_shop.stage.clock.now = NOW + timedelta(hours=3)
    with pytest.raises(ConflictError, match="10 would be written to, and now 0"):
        approve(one_shop, run)


def test_what_cannot_be_launched_any_more_is_not_approved(one_shop):
    one_shop.customers([{}] * 10)
    run = launch(one_shop, one_shop.campaign(approval="always"))
    one_shop.stage.clock.now = NOW + timedelta(days=30)
    with pytest.raises(ConflictError, match="SPRING-26 ends at"):
        approve(one_shop, run)
    assert as_it_is(one_shop, run).status == "awaiting_approval"


# -- what comes by itself --------------------------------------------------------------------------

TUESDAYS = {"rrule": "FREQ=MONTHLY;BYDAY=1TU;BYHOUR=10;BYMINUTE=0", "zone": "customer"}
TUESDAY = datetime.fromisoformat("2026-04-07T10:00")


def filed(shop: Shop, *campaigns) -> None:
    """Have the product know these files."""
    known = {one.name: one for one in campaigns}
    shop.stage.desk = shop.desk = replace(shop.desk, campaigns=known)


def schedule(shop: Shop, name: str, **said) -> None:
    """Write down what the marketing worker keeps of a campaign's schedule."""
    usual = {"says": [], "from_prefect": False, "paused": False, "followed_until": NOW}
    with shop.stage.database.writing() as session:
        campaign_schedules.keep(session, campaign=name, **{**usual, **said})


def test_a_campaign_that_comes_by_itself_at_the_same_time_collides_before_it_has_a_run(shop):
    gold = {"attribute": "tier", "is": "gold"}
    shop.customers([{"attributes": {"tier": "gold"}}] * 8 + [{}] * 4)
    monthly = shop.campaign(name="win-back", schedule=TUESDAYS, audience=gold, promotion=LONG)
    autumn = shop.campaign(name="autumn", promotion=LONG)
    filed(shop, monthly, autumn)
    plan = shop.plan(autumn, local_at=TUESDAY)
    [found] = plan.collisions
    assert (found["campaign"], found["run"], found["status"]) == ("win-back", None, "scheduled")
    assert found["scheduled_at"] == "2026-04-06T20:00:00+00:00"
    assert (found["people"], found["same_here"], plan.stopped) == (8, 8, 8)
    assert "**win-back** (scheduled, 2026-04-06 20:00 UTC): 8 people in both; 8" in plan.markdown()
    [found] = shop.plan(autumn, local_at=TUESDAY + timedelta(days=16)).collisions
    assert found["scheduled_at"] == "2026-05-04T20:00:00+00:00", "the nearest"
    assert (found["same_here"], found["same_there"]) == (0, 8)


def test_what_prefect_pages_say_of_a_schedule_counts(one_shop):
    """Paused it does not come, and changed it comes at another time."""
    one_shop.customers([{}] * 3)
    other = one_shop.campaign(name="other", schedule={"cron": "0 10 3 * *"})
    filed(one_shop, other)
    assert len(one_shop.plan(one_shop.campaign()).collisions) == 1
    schedule(one_shop, "other", paused=True)
    assert one_shop.plan(one_shop.campaign()).collisions == []
    schedule(one_shop, "other", from_prefect=True, says=[{"cron": "0 9 4 * *", "zone": "UTC"}])
    [found] = one_shop.plan(one_shop.campaign()).collisions
    assert found["scheduled_at"] == "2026-03-04T09:00:00+00:00"


def test_a_time_that_was_launched_ahead_is_counted_once_and_a_cancelled_one_not_at_all(one_shop):
    one_shop.customers([{}] * 3)
    other = one_shop.campaign(name="other", schedule={"at": "2026-03-03 10:00"})
    filed(one_shop, other)
    one_shop.run(other, status="cancelled", occurrence="2026-03-03T10:00")
    assert one_shop.plan(one_shop.campaign()).collisions == []


def test_what_comes_later_than_the_gate_looks_back_or_would_be_refused_is_no_collision(one_shop):
    one_shop.customers([{}] * 3)
    far = one_shop.campaign(name="far", schedule={"at": "2026-03-18 10:00"}, promotion=LONG)
    asked = one_shop.campaign(
        name="asked", schedule={"cron": "0 10 * * *"}, facts=None, asks=["percent"]
    )
    filed(one_shop, far, asked)
    assert one_shop.plan(one_shop.campaign()).collisions == []


def test_of_many_that_come_by_themselves_the_nearest_are_counted_and_the_others_named(one_shop):
    one_shop.customers([{}] * 3)
    hours = [{"cron": f"0 {hour} * * *"} for hour in range(10, 17)]
    daily = [one_shop.campaign(name=f"at-{10 + n}", schedule=one) for n, one in enumerate(hours)]
    filed(one_shop, *daily)
    plan = one_shop.plan(one_shop.campaign())
    assert [one["campaign"] for one in plan.collisions] == [f"at-{n}" for n in range(10, 15)]
    assert any("was not counted: at-15, at-16." in one for one in plan.warnings)


def test_what_comes_again_each_day_is_no_news_to_whoever_approves(one_shop):
    """Its next time is another one tomorrow, and takes the same people."""
    one_shop.customers([{}] * 40)
    daily = one_shop.campaign(name="daily", schedule={"cron": "0 10 * * *"}, promotion=LONG)
    autumn = one_shop.campaign(name="autumn", promotion=LONG, approval="always")
    filed(one_shop, daily, autumn)
    run = launch(one_shop, autumn)
    one_shop.stage.clock.now += timedelta(days=2)
    assert approve(one_shop, as_it_is(one_shop, run)).status == "approved"
