"""What is typed at a launch adds to the reviewed file where it asks for that, and changes nothing."""

import pytest

from signalpost.domain.vocabulary import Channel
from signalpost.errors import BadInputError
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.people import Job
from signalpost.services.campaigns.previewing import preview
from signalpost.services.campaigns.runs import Launch
from tests.integration.plan_harness import NOW, Shop, open_stage

SERIES = {
    "name": "incident",
    "message": None,
    "promotion": None,
    "purpose": "transactional",
    "topic": "service",
    "facts": {"reference": "S-204"},
    "audience": {"attribute": "store", "is": {"given": "store"}},
    "asks": ["what", "since", "resolved_at", "expected_by"],
    "stages": [
        {"name": "first", "message": "service_notice", "opens": True},
        {"name": "clear", "message": "service_all_clear", "closes": True},
    ],
}
WHAT, SINCE = "deliveries in Leeds", "2026-03-02T06:00:00Z"
FIRST = {"what": WHAT, "since": SINCE, "store": "Riverside"}
CLEAR = {"what": WHAT, "since": SINCE, "resolved_at": SINCE}


@pytest.fixture
def shop(tmp_path):
    with open_stage(tmp_path, start=NOW) as stage:
        opened = Shop(stage)
        opened.customers([{"attributes": {"store": "Riverside"}}] * 3)
        yield opened


def refused(shop, campaign, facts, **more):
    """Give why plan, launch and preview say no: all three say the same."""
    plan = shop.plan(campaign, facts=facts, **more)
    wanted = Launch(campaign=campaign, facts=facts, **more)
    with pytest.raises(BadInputError) as launched:
        launching.launch(shop.desk, launch=wanted, by="ann", now=NOW)
    with pytest.raises(BadInputError) as previewed, shop.desk.database.reading() as session:
        preview(
            shop.desk, session, campaign=campaign, now=NOW, stage=more.get("stage"), facts=facts
        )
    for one in (launched, previewed):
        assert plan.refusals[0] in str(one.value)
    return plan.refusals


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("percent", 90, "The fact 'percent' is what"),
        ("code", "FREE", "('LARK15'), and a launch does not change it"),
        ("promotion_id", "other", "('SPRING-26'), and a launch does not change it"),
        ("expires_at", "2030-01-01T00:00:00Z", "'expires_at' is what"),
        ("anything", "x", "Nothing asks for the fact 'anything'"),
    ],
)
def test_a_launch_does_not_change_what_the_file_says(shop, name, value, says):
    [why] = refused(shop, shop.campaign(), {name: value})
    assert says in why
    assert "spring.yaml" in why


@pytest.mark.parametrize("percent", [0, 101, -15])
def test_an_integer_out_of_its_bounds_is_refused(shop, percent):
    campaign = shop.campaign(facts=None, asks=["percent"])
    why = refused(shop, campaign, {"percent": percent})
    assert f"is {percent}, which is not of the type integer from 1 to 100" in why[0]


def test_a_misspelt_fact_is_refused_with_the_one_that_was_meant(shop):
    campaign = shop.campaign(**SERIES)
    [why] = refused(shop, campaign, FIRST | {"expectedby": SINCE}, stage="first", series="S")
    assert "Nothing asks for the fact 'expectedby': did you mean expected_by?" in why
    both = refused(
        shop, campaign, {"wat": WHAT, "since": SINCE, "store": "x"}, stage="first", series="S"
    )
    assert "did you mean what?" in both[0]
    assert both[1] == "Give these facts with the launch: what."


def test_what_another_stage_says_is_refused_for_this_one(shop):
    campaign = shop.campaign(**SERIES)
    [why] = refused(shop, campaign, FIRST | {"resolved_at": SINCE}, stage="first", series="S")
    assert "'first' does not show the fact 'resolved_at' (it is in: clear)" in why
    plan = shop.plan(campaign, facts=CLEAR | {"store": "Riverside"}, stage="clear", series="S")
    assert any("'store' finds the people of a series" in one for one in plan.refusals)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (
            {"since": "monday"},
            "'since' is 'monday', which is not of the type datetime; write it li",
        ),
        ({"since": "2026-03-02T06:00"}, "not of the type datetime"),
        ({"what": ["a", "b"]}, "'what' is ['a', 'b'], which is not of the type text"),
        ({"store": ["Riverside"]}, "'store' is ['Riverside'], which is not of the type text"),
    ],
)
def test_a_fact_that_is_not_of_its_type_is_refused_with_an_example(shop, facts, says):
    campaign = shop.campaign(**SERIES)
    [why] = refused(shop, campaign, FIRST | facts, stage="first", series="S")
    assert says in why


def test_a_field_of_a_form_that_was_left_empty_is_no_fact(shop):
    campaign = shop.campaign(**SERIES)
    left = {"resolved_at": None, "expected_by": ""}
    plan = shop.plan(campaign, facts=FIRST | left, stage="first", series="S")
    assert (plan.refusals, plan.reached) == ([], 3)


def test_whatever_a_run_was_kept_with_the_file_has_the_last_word(shop):
    """A run that was launched before this was refused sends what was reviewed."""
    campaign = shop.campaign()
    run_id = shop.run(campaign, status="approved", facts={"percent": 90, "code": "FREE"})
    with shop.desk.database.reading() as session:
        job = Job.load(shop.desk, session, campaign_run_id=run_id)
    assert (job.facts["percent"], job.facts["code"]) == (15, "LARK15")
    assert job.mailing("purchase_offer", Channel.EMAIL)


def test_whom_a_fact_only_leaves_out_need_not_exist(shop):
    """Those who have bought what nobody has bought yet."""
    by = {"did_not": "order.placed", "where": {"product": {"given": "product"}}}
    campaign = shop.campaign(audience={"all": [{"everyone": True}, by]})
    plan = shop.plan(campaign, facts={"product": "Harbour jacket"})
    assert (plan.refusals, plan.reached) == ([], 3)


def test_a_value_that_no_customer_has_is_refused(shop):
    campaign = shop.campaign(audience={"attribute": "store", "is": {"given": "store"}})
    assert shop.plan(campaign, facts={"store": "Riverside"}).refusals == []
    [why] = shop.plan(campaign, facts={"store": "Riversid"}).refusals
    assert "The fact 'store' is 'Riversid', and nothing on the record fits it" in why
