"""The campaign of the demo: its file, and who has a part in it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalpost.content import Catalogue
from signalpost.content.campaigns import lint, load
from signalpost.demo import baskets, crowd, marketing, story

LAUNCH = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def shown():
    return crowd.gather(baskets.load(), first_day=story.FIRST_DAY, days=story.DAYS)


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load(Path("templates"))


def test_its_file_is_right_on_the_day_it_is_launched(catalogue):
    campaigns = load(marketing.FILES, catalogue)
    assert lint(campaigns, catalogue, LAUNCH) == []


def test_it_needs_approval_and_holds_some_people_out(catalogue):
    campaign = load(marketing.FILES, catalogue)[marketing.CAMPAIGN]
    assert campaign.approval.above == 0
    assert 0 < campaign.holdout < 0.5
    assert campaign.promotion
    assert campaign.promotion.ends_at > LAUNCH


def test_whoever_will_hear_nothing_more_had_agreed_and_is_meant_by_it(shown):
    """They shopped in these days, but not on the day before; else nobody would have to refuse them."""
    gone = story.leaver(shown)
    assert gone.consent
    orders = [
        one.at
        for one in shown.happenings
        if one.person == gone and one.event == "Order Completed" and one.at < LAUNCH
    ]
    assert orders
    assert (LAUNCH - max(orders)).days >= 1


def test_no_till_reports_between_the_plan_and_the_last_of_its_people(shown):
    """So the plan can be held to what was sent."""
    between = [
        one for one in shown.happenings if -30 < (one.at - LAUNCH).total_seconds() / 60 <= 60
    ]
    assert between == []


def test_it_is_night_for_some_and_day_for_others_when_it_is_launched(shown):
    clocks = {LAUNCH.astimezone(one.tz).hour for one in shown.members if one.consent}
    assert min(clocks) < 8 <= max(clocks)
