"""Whoever approves a plan reads in it what will be said: the facts, and how each message begins."""

import json

import pytest

from signalpost.content.campaigns import from_definition
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.plan import Plan
from signalpost.services.campaigns.runs import Launch
from tests.integration.plan_harness import NOW, Shop, open_stage


@pytest.fixture
def shop(tmp_path):
    with open_stage(tmp_path, start=NOW) as stage:
        opened = Shop(stage)
        opened.customers([{"phone": "+12065550100", "attributes": {"first_name": "Ludmilla"}}] * 3)
        yield opened


def test_an_approver_reads_the_offer_before_saying_yes(shop):
    campaign = shop.campaign(facts=None, asks=["percent"], approval="always")
    wanted = Launch(campaign=campaign, facts={"percent": 90})
    run = launching.launch(shop.desk, launch=wanted, by="ann", now=NOW)
    page = Plan.from_json(run.plan).markdown()
    assert "| percent | 90 | the launch |" in page
    assert "| code | LARK15 | the promotion |" in page
    assert "| expires_at | 2026-03-20 20:00 UTC | the promotion |" in page
    assert "purchase_offer · email · en" in page
    assert "90" in page.partition("```text")[2]
    other = shop.plan(campaign, facts={"percent": 10})
    assert other.digest != run.plan["digest"]


def test_a_promotion_shows_the_code_that_people_get_whatever_else_its_file_says(shop):
    """A version of another time may say its code twice; what stops the offer is what goes out."""
    said = dict(shop.campaign().definition)
    said["promotion"] = said["promotion"] | {"facts": {"code": "OTHER", "promotion_id": "other"}}
    plan = shop.plan(campaign := from_definition(said))
    shown = {one["name"]: one["value"] for one in plan.facts}
    assert (shown["code"], shown["promotion_id"]) == ("LARK15", "SPRING-26")
    assert "LARK15" in " ".join(plan.says[0]["lines"])
    [refused] = shop.plan(campaign, facts={"code": "THIRD"}).refusals
    assert "says ('LARK15')" in refused


def test_each_message_and_channel_is_shown_as_a_sample_person_reads_it(shop):
    campaign = shop.campaign(
        message="early_bird", channels={"every": ["sms", "email"]}, facts={"product": "Red jacket"}
    )
    plan = shop.plan(campaign)
    shown = {one["channel"]: one["lines"] for one in plan.says}
    assert list(shown) == ["sms", "email"]
    assert "Ann, the Red jacket is yours" in shown["sms"][0]
    assert "Red jacket" in shown["email"][0]
    assert all(len(line) <= 481 for lines in shown.values() for line in lines)
    assert "Ludmilla" not in plan.markdown()
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_an_optional_fact_that_nobody_gives_is_not_made_up(shop):
    incident = shop.campaign(
        name="incident", message="service_notice", promotion=None, facts={"reference": "S-204"},
        purpose="transactional", topic="service", asks=["what", "since", "expected_by"],
    )  # fmt: skip
    told = {"what": "deliveries", "since": "2026-03-02T07:00:00Z"}
    [silent] = shop.plan(incident, facts=told).says
    assert "We do not know yet" in " ".join(silent["lines"])
    [told] = shop.plan(incident, facts=told | {"expected_by": "2026-03-02T19:00:00Z"}).says
    assert "We expect it to be solved by" in " ".join(told["lines"])


def test_what_differs_from_person_to_person_is_a_sample_and_says_so(shop):
    campaign = shop.campaign(facts={"percent": {"attribute": "discount"}})
    plan = shop.plan(campaign)
    assert "| percent | their discount | each customer |" in plan.markdown()
    assert plan.says[0]["samples"] == ["percent"]
    assert "with samples for percent" in plan.markdown()


def test_words_of_a_launch_become_no_part_of_the_page(shop):
    incident = shop.campaign(
        name="incident", message="service_notice", promotion=None, facts={"reference": "S-204"},
        purpose="transactional", topic="service", asks=["what", "since"],
    )  # fmt: skip
    evil = "x | <b>``` # now"
    told = {"what": evil, "since": "2026-03-02T07:00:00Z"}
    page = shop.plan(incident, facts=told).markdown()
    assert "| what | x \\| &lt;b>``` # now | the launch |" in page
    assert page.partition("```text")[2].partition("\n```")[0].count("```") == 0
