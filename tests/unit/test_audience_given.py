"""A fact in an audience that whoever launches gives: the store that is closed."""

from signalpost.content.campaigns import asked, from_definition
from signalpost.domain.audience import All, AnyOf, Attribute, Did, Given, Not, Where, filled, givens

STORE = Did("order.placed", where=(Where("store", "is", Given("store")),))


def test_a_rule_names_what_it_waits_for():
    rule = AnyOf((STORE, Not(All((Attribute("tier", "among", (Given("tier"), "vip")), STORE)))))
    assert givens(rule) == ["store", "tier"]


def test_what_was_given_takes_its_place_everywhere():
    rule = AnyOf((STORE, Not(Attribute("tier", "among", (Given("tier"), "vip")))))
    told = filled(rule, {"store": "Riverside", "tier": "gold"})
    assert givens(told) == []
    assert told.rules[0].where == (Where("store", "is", "Riverside"),)
    assert told.rules[1].rule.value == ("gold", "vip")


def test_what_was_not_given_stays_open_and_equals_nothing():
    told = filled(STORE, {})
    assert givens(told) == ["store"]
    assert told.where[0].value == "(the store given at the launch)"


def test_a_file_asks_for_what_its_audience_needs():
    campaign = from_definition(
        {
            "name": "closed",
            "message": "service_notice",
            "purpose": "transactional",
            "topic": "service",
            "audience": {"did": "order.placed", "where": {"store": {"given": "store"}}},
            "channels": {"first": ["sms"]},
        }
    )
    assert "store" in campaign.asks
    assert givens(campaign.audience) == ["store"]


def test_only_the_stage_that_finds_the_people_asks_for_it():
    from pathlib import Path

    from signalpost.content import Catalogue
    from signalpost.content.campaigns import load

    catalogue = Catalogue.load(Path("templates"))
    notice = load(Path("deployments/campaigns"), catalogue)["service-notice"]
    assert "store" in {one.name for one in asked(notice, catalogue, stage="first")}
    assert "store" not in {one.name for one in asked(notice, catalogue, stage="update")}
