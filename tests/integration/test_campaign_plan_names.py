"""Names that nobody on the record has: the plan says so, since the linter cannot know."""

import dataclasses

import pytest

from signalpost.content.campaigns import Folder
from signalpost.record import audience_names
from tests.integration.plan_harness import NOW, Shop, open_stage

STAFF = {"is_staff": True, "points": 7}


@pytest.fixture
def shop(tmp_path, database_url):
    with open_stage(tmp_path, database_url=database_url, start=NOW) as stage:
        shop = Shop(stage)
        shop.customers([{"attributes": STAFF}, {}, {}])
        stage.signal("order.placed", user_id="ann", order_id="7", total="12.50", gift_wrap=True)
        stage.signal("loan.repaid", user_id="ann", amount=12, branch="Leeds")
        yield shop


_OF_NAMES = ("Nobody has", "No event", "None of the newest", "There is no event")


def warned(shop, **said):
    plan = shop.plan(shop.campaign(**said))
    return [one for one in plan.warnings if one.startswith(_OF_NAMES)]


def test_an_attribute_that_nobody_has_is_named_with_the_one_that_was_meant(shop):
    """In `not:` it would mean everybody, staff among them."""
    [said] = warned(shop, audience={"not": {"attribute": "is_staf", "is": True}})
    assert said == (
        "Nobody has the attribute is_staf; did you mean is_staff? A rule about it holds for nobody, "
        "and its opposite for everybody."
    )


@pytest.mark.parametrize("name", ["is_staff", "points", "locale", "zone"])
def test_an_attribute_that_somebody_has_is_not(shop, name):
    assert warned(shop, audience={"not": {"attribute": name, "known": True}}) == []


def test_a_fact_from_an_attribute_that_nobody_has_is_named(shop):
    facts = {"percent": {"attribute": "pionts", "otherwise": 15}}
    assert warned(shop, facts=facts) == ["Nobody has the attribute pionts; did you mean points?"]


@pytest.fixture
def members(shop):
    for tier, locale in (("silver", "en-GB"), ("gold", "de-AT"), ("gold", "en-GB"), ("vip", None)):
        shop.customers([{"attributes": {"tier": tier, "town": [tier, "x"]}, "locale": locale}] * 20)
    return shop


def test_what_a_household_shares_is_not_named_in_a_plan(shop):
    """Prefect shows plans, and so does a CI's log."""
    home = {"home": "14 Elm Street", "last_name": "Nguyen-Okafor"}
    shop.customers([{"attributes": home}] * 19)
    for name, value in (("home", "unknown"), ("last_name", "Nguyen")):
        [said] = warned(shop, audience={"not": {"attribute": name, "is": value}})
        assert said.startswith(f"Nobody has the {name} {value!r}. ")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"attribute": "tier", "among": ["Silver", "gold"]}, ["'Silver'; did you mean silver?"]),
        ({"attribute": "tier", "is_not": "GOLD"}, ["'GOLD'; did you mean gold?"]),
        ({"attribute": "locale", "is": "en"}, ["'en'; did you mean en-GB?"]),
        ({"attribute": "zone", "is": "Asia/Tokyo"}, ["'Asia/Tokyo'"]),
        ({"attribute": "tier", "is": "platinum"}, ["'platinum'; there are, for instance, gold, "]),
        ({"attribute": "town", "is": "gold"}, []),
        ({"attribute": "town", "is": "Gold"}, ["'Gold'; did you mean gold?"]),
        ({"attribute": "tier", "contains": "OLD"}, []),
        ({"attribute": "points", "is": 8}, []),
    ],
)
def test_a_value_that_nobody_has_is_named_with_those_that_may_be_meant(members, rule, says):
    """Small and capital letters differ, and a language is not all of its countries."""
    told = warned(members, audience={"any": [{"everyone": True}, {"not": rule}]})
    assert len(told) == len(says)
    assert all(said in one for said, one in zip(says, told, strict=True)), told
    assert all(one.endswith("and its opposite for everybody.") for one in told)


def test_what_one_person_has_is_not_given_away(members):
    """A plan is shown in Prefect, too."""
    members.customers([{"attributes": {"last_name": "Winterbottom"}}])
    [told] = warned(members, audience={"not": {"attribute": "last_name", "is": "Winterbotom"}})
    assert told.startswith("Nobody has the last_name 'Winterbotom'. A rule")


def test_a_value_of_somebody_who_is_not_among_the_newest_is_there(shop):
    shop.customers([{"attributes": {"tier": "gold"}}])
    shop.customers([{"attributes": {"tier": "vip"}}] * audience_names.LOOKED_AT)
    assert warned(shop, audience={"attribute": "tier", "among": ["gold", "vip"]}) == []


def test_an_event_of_which_there_is_none_is_named(shop):
    audience = {"not": {"did": "loan.repayed"}}
    [said] = warned(shop, audience=audience)
    assert said.startswith("There is no event loan.repayed on the record")


@pytest.mark.parametrize(
    ("audience", "says"),
    [
        (
            {"not": {"did": "loan.repaid", "where": {"brnch": "Leeds"}}},
            "No event loan.repaid on the record has brnch; did you mean branch?",
        ),
        (
            {
                "any": [
                    {"everyone": True},
                    {"did": "loan.repaid", "sum_of": "amnt", "total_at_least": 5},
                ]
            },
            "No event loan.repaid on the record has amnt; did you mean amount?",
        ),
        ({"not": {"did": "loan.repaid", "where": {"branch": "Leeds"}}}, None),
        ({"not": {"did": "order.placed", "where": {"gift_wrap": True}}}, None),
        ({"not": {"did": "order.placed", "where": {"coupon": "X"}}}, None),  # a fact that we know
    ],
)
def test_a_property_that_no_event_of_the_name_has_is_named(shop, audience, says):
    assert warned(shop, audience=audience) == ([says] if says else [])


def test_revenue_that_no_event_has_is_named(shop):
    measure = {"event": "order.placed", "within": "7d", "revenue": "tootal", "horizon": 20}
    said = warned(shop, holdout="10%", experiment={"measure": measure})
    assert said == ["No event order.placed on the record has tootal; did you mean total?"]


def test_a_campaign_with_neither_a_file_nor_a_run_is_refused(shop):
    """In `not:` it would mean everybody; one that has run needs no file any more."""
    wanted = shop.campaign(audience={"not": {"in_campaign": "autum"}})
    [said] = shop.plan(wanted).refusals
    assert said == (
        "There is no campaign autum, no file of it and no run on the record. A rule about it holds for "
        "nobody, and its opposite for everybody."
    )
    shop.run(shop.campaign(name="autum"), status="done")
    assert shop.plan(wanted).refusals == []
    itself = shop.campaign(audience={"not": {"in_campaign": "spring"}})
    assert shop.plan(itself).refusals == []


def test_a_campaign_whose_file_came_after_the_process_read_them_is_there(shop, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    shop.desk = dataclasses.replace(shop.desk, campaigns=Folder(folder, shop.desk.catalogue))
    wanted = shop.campaign(audience={"not": {"in_campaign": "autumn"}})
    assert "There is no campaign autumn" in shop.plan(wanted).refusals[0]
    (folder / "autumn.yaml").write_text("name: autumn")
    assert shop.plan(wanted).refusals == []


def test_an_empty_record_says_nothing_of_names(tmp_path):
    with open_stage(tmp_path, start=NOW) as stage:
        assert warned(Shop(stage), audience={"attribute": "is_staf", "is": True}) == []


def test_the_hours_of_a_plan_say_in_which_zone_they_are(shop):
    assert "Messages by hour, in UTC:" in shop.plan(shop.campaign()).markdown()
