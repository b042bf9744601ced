"""An audience reads as a marketer would say it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Consent,
    Did,
    Everyone,
    InCampaign,
    Not,
    Reachable,
    Rule,
    Sample,
    Tenure,
    Unless,
    Where,
)
from signalpost.domain.audience_words import clause_in_words, in_words

DAYS_90 = timedelta(days=90)


def test_a_whole_audience_is_an_indented_list() -> None:
    rule = All(
        (
            Attribute("tier", "among", ("gold", "vip")),
            AnyOf((Reachable("email"), All((Reachable("in_app"), Consent("in_app", "*"))))),
            Not(AnyOf((Did("order.returned"), InCampaign("win-back")))),
            Not(Attribute("country", "is", "FR")),
        )
    )
    assert in_words(rule) == [
        "Everybody of whom all of this is true:",
        "  - tier is one of gold, vip",
        "  - at least one of:",
        "    - can be reached by email",
        "    - all of:",
        "      - can be reached in the app",
        "      - agreed to marketing in the app",
        "  - none of:",
        "    - did order.returned at least 1 time",
        "    - was sent the campaign win-back",
        "  - not: country is FR",
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Everyone(), "everybody"),
        (AnyOf(()), "nobody"),
        (Attribute("birthday", "known"), "birthday is known"),
        (Attribute("orders", "more_than", 1e16), "orders is more than 10000000000000000"),
        (Attribute("member", "is", True), "member is yes"),
        (Tenure(at_least=timedelta(days=1)), "known to us for at least 1 day"),
        (Tenure(less_than=timedelta(hours=36)), "known to us for less than 36 hours"),
        (Consent("sms", "offers"), "agreed to marketing by SMS about offers"),
        (Did("order.placed", times=2, at_most=2), "did order.placed exactly 2 times"),
        (Did("order.placed", times=2, at_most=4), "did order.placed 2 to 4 times"),
        (
            Did("order.placed", times=0, at_most=0, within=DAYS_90),
            "did order.placed not once in the last 90 days",
        ),
        (
            Did(
                "order.placed",
                (Where("store", "is", "Harbour"), Where("items.sku", "contains", "tea")),
                sum_of="total",
                total_at_least=12.5,
                total_at_most=100,
                last_before=DAYS_90,
            ),
            (
                "did order.placed (where store is Harbour and items.sku contains tea) at least 1 time,"
                " with total adding up to at least 12.5 and at most 100,"
                " the last time at least 90 days ago"
            ),
        ),
        (
            Did(
                "order.ready",
                (Where("store", "is", "Harbour"),),
                within=DAYS_90,
                unless=Unless(
                    ("order.picked_up", "order.cancelled"),
                    "order_id",
                    (Where("store", "is", "Harbour"),),
                ),
            ),
            (
                "did order.ready (where store is Harbour) with no order.picked_up or order.cancelled"
                " (where store is Harbour) of the same order_id at least 1 time in the last 90 days"
            ),
        ),
        (
            InCampaign("fault", outcome="any", within=DAYS_90, series="i-7"),
            "was decided on by the campaign fault (series i-7) in the last 90 days",
        ),
        (Sample(0.125, "s"), "is in a random 12.5000% of customers (seed s)"),
        (Sample(0.1, "s"), "is in a random 10% of customers (seed s)"),
    ],
)
def test_each_clause_is_one_line(rule: Rule, expected: str) -> None:
    assert clause_in_words(rule) == expected


@pytest.mark.parametrize("rule", [All(()), Everyone(), Not(Not(Everyone())), AnyOf(())])
def test_every_rule_can_be_said(rule: Rule) -> None:
    assert in_words(rule)[0].startswith("Everybody")
