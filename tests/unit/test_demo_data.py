"""The demo's slice of real baskets, and the people made up for it."""

from collections import Counter
from datetime import UTC, date, timedelta

import phonenumbers
import pytest

from signalpost.demo import baskets, crowd, people, story, world
from signalpost.domain.events import canonical
from signalpost.web import segment


@pytest.fixture(scope="module")
def slice_():
    return baskets.load()


@pytest.fixture(scope="module")
def shown(slice_):
    return crowd.gather(slice_, first_day=story.FIRST_DAY, days=story.DAYS)


def test_the_slice_is_small_and_says_whose_it_is():
    files = [one for one in baskets.DATA.iterdir() if one.suffix == ".gz"]
    assert sum(one.stat().st_size for one in files) < 200_000
    said = (baskets.DATA / "ATTRIBUTION.md").read_text()
    assert "The Complete Journey" in said
    assert "MIT" in said
    assert "CC0" in said
    assert all(one.name in said for one in files)


def test_the_slice_holds_whole_weeks_of_some_hundred_households(slice_):
    assert len(slice_.by_household()) >= 200
    days = {basket.at.date() for basket in slice_.baskets}
    assert len(days) == 21
    assert slice_.first_day == min(days)
    assert slice_.first_day.weekday() == 0
    assert [one.at for one in slice_.baskets] == sorted(one.at for one in slice_.baskets)


def test_every_basket_has_goods_that_cost_something(slice_):
    for basket in slice_.baskets:
        assert basket.lines
        assert all(line.name and line.quantity >= 1 and line.value > 0 for line in basket.lines)
        assert basket.total == sum(line.value for line in basket.lines)


def test_the_same_crowd_does_the_same_whenever_it_is_gathered(slice_, shown):
    again = crowd.gather(slice_, first_day=story.FIRST_DAY, days=story.DAYS)
    assert again == shown


def test_weekdays_stay_what_they_were(slice_, shown):
    """Monday's basket of 2017 is Monday's basket of the story, at the same hour of the household."""
    known = {f"B-{one.number}": one for one in slice_.baskets}
    for one in shown.happenings:
        if one.event == "Order Completed":
            local = one.at.astimezone(one.person.tz).replace(tzinfo=None)
            was = known[one.properties["order_id"]].at
            assert (local.weekday(), local.time()) == (was.weekday(), was.time())


def test_everybody_is_invented_and_nobody_can_be_reached(shown):
    for person in [*people.CAST, *shown.members]:
        assert person.email.endswith("@example.com")
        if person.phone is None:
            continue
        number = phonenumbers.parse(person.phone)
        national = str(number.national_number)
        fiction = (
            national[3:8] == "55501" if number.country_code == 1 else national[:7] == "7700900"
        )
        assert fiction, person.phone


def test_no_two_people_share_an_address(shown):
    everybody = [*people.CAST, *shown.members]
    for key in ("user_id", "email", "phone"):
        found = Counter(getattr(one, key) for one in everybody if getattr(one, key))
        assert max(found.values()) == 1, key


def test_the_crowd_is_mixed(shown):
    members = shown.members
    assert {one.consent for one in members} == {True, False, None}
    assert any(one.phone is None for one in members)
    assert len({one.zone for one in members}) >= 4
    assert {"ru", "zh-Hant", "th"} & {one.locale for one in members}
    vips = [one for one in members if one.tier == "vip"]
    assert vips
    assert all(one.agent and one.consent and one.phone for one in vips)


def test_each_happening_is_an_event_that_the_shop_could_send(shown):
    """It goes over Segment's wire and comes out as ours, with every fact that it needs."""
    names = Counter()
    for one in shown.happenings:
        item = world.track(
            one.event, one.properties, message_id=one.message_id, at=one.at, person=one.person
        )
        signal = segment.read(item, kind=None, sent_at=None, now=one.at)
        assert signal.problem is None
        assert signal.occurred_at == one.at
        facts = canonical(signal.name, signal.properties, one.at)
        names[signal.name] += 1
        if signal.name == "order.placed":
            assert facts["total"]["amount"] == one.properties["total"]
            assert facts["product"]
    assert names["order.placed"] > 50
    assert names["promotion.redeemed"] > 5


def test_beats_are_told_in_the_hours_of_those_they_happen_to(shown):
    """The clocks go forward in Chicago on 8 March: ten o'clock is then five hours before UTC's."""
    beats = story.beats(shown)
    assert min(beat.at for beat in beats) <= min(one.at for one in shown.happenings)
    assert max(beat.at for beat in beats) < story.END
    answer = next(beat for beat in beats if beat.says.startswith("Ann answers"))
    assert answer.at.isoformat() == "2026-03-08T15:12:00+00:00"
    assert answer.at.tzinfo is UTC
    assert date(2026, 3, 2) + timedelta(days=10) == story.END.date()


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["was it you? Reply OK 4821 if yes, NO 4821 if not"], "4821"),
        (["OK 1111", "что-то ещё: NO 2222"], "2222"),
    ],
)
def test_a_customer_reads_the_code_in_the_newest_text(texts, code):
    assert world.answer_code(texts) == code


def test_a_customer_who_was_asked_nothing_has_no_code():
    with pytest.raises(world.UnansweredError):
        world.answer_code(["Your order is ready."])


def test_a_link_ends_where_the_sentence_goes_on():
    text = "Chat with us: http://127.0.0.1:8000/links/agent/abc.def-1 Reply STOP to end"
    assert world.links_in(text) == ["http://127.0.0.1:8000/links/agent/abc.def-1"]
