"""The plan of a launch: who would get what, who would not and why, when, and what stands in the way."""

import pytest

from signalpost.services.campaigns.plan import Plan
from tests.integration.plan_harness import NOW, Shop, open_stage


@pytest.fixture
def shop(tmp_path, database_url):
    with open_stage(tmp_path, database_url=database_url, start=NOW) as stage:
        yield Shop(stage)


def excluded(plan: Plan) -> dict[str, int]:
    return {one["reason"]: one["people"] for one in plan.excluded}


def examples(plan: Plan, reason: str) -> list[str]:
    return next(one["examples"] for one in plan.excluded if one["reason"] == reason)


def test_everybody_is_reached_or_left_out_or_held_out(shop):
    shop.customers([{} for _ in range(40)] + [{"email": False} for _ in range(5)])
    plan = shop.plan(shop.campaign(holdout="25%"))
    assert plan.exact
    assert plan.people == 45
    assert plan.reached + sum(plan.held_out.values()) == 40
    assert plan.held_out["campaign"] > 0
    assert excluded(plan) == {"no_contact_point": 5}
    assert plan.channels == {"email": plan.reached}
    assert plan.refusals == []
    print(plan.markdown())
