"""The audiences of the campaigns that ship find whom their descriptions promise."""

import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest

from signalpost.content import Catalogue
from signalpost.content import campaigns as files
from signalpost.domain.audience import filled
from signalpost.record import audiences
from signalpost.services.campaigns.plan import make_plan
from signalpost.services.campaigns.runs import Launch
from signalpost.services.intake import identity
from signalpost.testing import Stage

ROOT = Path(__file__).parents[2]
CATALOGUE = Catalogue.load(ROOT / "templates")
SHIPPED = files.load(ROOT / "deployments" / "campaigns", CATALOGUE)
JACKET, COAT = {"name": "Harbour Jacket", "price": 80}, {"name": "Wool coat", "price": 200}
TOLD = {"what": "deliveries", "since": "2026-03-02T06:00:00Z", "reference": "S-204"}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(
        folder=tmp_path, journeys=(), campaigns=SHIPPED, database_url=database_url
    ) as opened:
        yield opened


def come(stage, who, name, **known):
    """Let an event of a customer come in, whom we know by email."""
    stage.signal(name, user_id=who, email=f"{who}@example.com", **known)


def member(stage, who, tier="gold"):
    come(stage, who, "profile.updated", traits={"tier": tier} if tier else {})


def meant(stage, name, **facts):
    """Name the people in a campaign's audience."""
    with stage.database.reading() as session:
        rule = filled(SHIPPED[name].audience, facts)
        dialect = session.get_bind().dialect.name
        ids = session.execute(audiences.members(rule, now=stage.clock.now, dialect=dialect))
        found = set(ids.scalars())
        known = {who: identity.find(session, kind="user_id", value=who) for who in "abcdef"}
    return {who for who, id_ in known.items() if id_ in found}


def test_early_access_is_for_members_whose_orders_hold_a_jacket_that_they_kept(stage):
    for who in "abcd":
        member(stage, who)
    member(stage, "e", tier=None)
    for who in "abce":
        come(stage, who, "order.placed", order_id=f"{who}1", items=[JACKET, COAT])
    come(stage, "d", "order.placed", order_id="d1", items=[COAT])
    come(stage, "b", "order.returned", order_id="b1", items=[JACKET])
    come(stage, "c", "order.returned", order_id="c1", items=[COAT])
    come(stage, "f", "profile.updated", traits={"tier": "vip"})
    for number in (1, 2):
        come(stage, "f", "order.placed", order_id=f"f{number}", items=[JACKET])
    come(stage, "f", "order.returned", order_id="f1", items=[JACKET])  # and keeps the other
    stage.clock.now += timedelta(days=400)
    assert meant(stage, "vip-early-access") == {"a", "c", "f"}


def test_a_delivery_notice_concerns_late_deliveries_from_the_place_that_is_given(stage):
    come(stage, "a", "delivery.late", order_id="a1", store="Riverside")
    come(stage, "b", "delivery.late", order_id="b1", store="Hillside")
    come(stage, "c", "order.ready_for_pickup", order_id="c1", store="Riverside")
    assert meant(stage, "service-notice", store="Riverside") == {"a"}
    assert meant(stage, "service-notice", store="Riversid") == set()
    assert meant(stage, "service-notice") == set()


def test_a_store_notice_concerns_orders_that_wait_at_the_store(stage):
    come(stage, "a", "order.ready_for_pickup", order_id="a1", store="Riverside")
    come(stage, "b", "order.ready_for_pickup", order_id="b1", store="Riverside")
    come(stage, "b", "order.picked_up", order_id="b1", store="Riverside")
    come(stage, "c", "order.ready_for_pickup", order_id="c1", store="Hillside")
    come(stage, "d", "delivery.late", order_id="d1", store="Riverside")
    for order in ("e1", "e2"):
        come(stage, "e", "order.ready_for_pickup", order_id=order, store="Riverside")
    come(stage, "e", "order.picked_up", order_id="e1")  # and e2 waits still
    come(stage, "f", "order.ready_for_pickup", order_id="f1", store="Riverside")
    come(stage, "f", "order.cancelled", order_id="f1")
    assert meant(stage, "store-notice", store="Riverside") == {"a", "e"}
    assert meant(stage, "store-notice", store="Hillside") == {"c"}


def plan(stage, name, **facts):
    launch = Launch(campaign=SHIPPED[name], stage="first", series="S-204", facts=TOLD | facts)
    return make_plan(stage.desk, launch=launch, now=stage.clock.now)


@pytest.mark.parametrize("name", ["service-notice", "store-notice"])
def test_a_store_that_no_event_has_is_refused_by_its_name(stage, name):
    come(stage, "a", "delivery.late", order_id="a1", store="Riverside")
    come(stage, "a", "order.ready_for_pickup", order_id="a1", store="Riverside")
    assert plan(stage, name, store="Riverside").refusals == []
    [why] = plan(stage, name, store="riverside").refusals
    assert "The fact 'store' is 'riverside', and nothing on the record fits it" in why
    assert "capital letters count" in why


def test_a_launch_to_nobody_says_in_its_refusal_which_clause_leaves_nobody(stage):
    come(stage, "a", "delivery.late", order_id="a1", store="Riverside")
    stage.clock.now += timedelta(days=10)
    [why] = plan(stage, "service-notice", store="Riverside").refusals
    assert why.startswith(
        "Nobody is in the audience: of 1 customers nobody is left by the clause “"
    )
    assert "delivery.late" in why


def test_the_commands_of_a_series_in_the_documentation_give_all_that_each_stage_asks_for():
    text = (ROOT / "docs/adding-a-campaign.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^signalpost campaign launch (service-notice --stage.*)$", text, re.M)
    assert len(lines) == 3
    for line in lines:
        name, _, stage, *words = shlex.split(line)
        given = {w.split("=")[0] for w, before in zip(words[1:], words, strict=False)
                 if before == "--fact"}  # fmt: skip
        needed = files.asked(SHIPPED[name], CATALOGUE, stage=stage)
        assert {one.name for one in needed if one.required} <= given
        assert given <= {one.name for one in needed}
