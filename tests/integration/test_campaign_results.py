"""A report's figures, against a record that was written by hand, on both databases."""

from datetime import timedelta

import pytest

from signalpost.domain.assignment import share
from signalpost.services.campaigns.house_holdout import house_holdout
from tests.integration.results_harness import NOON, Book, sides

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def book(database):
    return Book(database)


def test_everybody_who_passed_the_gate_counts_on_their_side_and_nobody_else(book):
    run = book.run(holdout="20%")
    for outcome, reason in (
        ("sent", "allowed"),
        ("set_aside", "refused:550"),  # refused after it was decided: still of those to be treated
        ("set_aside", "missing_fact:code"),
        ("held_out", "campaign"),
        ("held_out", "global"),
        ("skipped", "no_consent"),
        ("cancelled", "cancelled"),
        (None, None),
    ):
        book.decided(run, outcome, reason)
    refused = book.decided(run, "skipped", "no_address", tries=1)  # email refused it, and no sms
    book.message(run, refused, status="rejected")
    found = book.results(run)
    people = {name: side[0] for name, side in sides(found).items()}
    assert people == {"treated": 4, "held out": 1, "house holdout": 1}
    assert {(one.outcome, one.reason): one.people for one in found.outcomes} == {
        ("sent", "allowed"): 1,
        ("set_aside", "refused:550"): 1,
        ("set_aside", "missing_fact:code"): 1,
        ("held_out", "campaign"): 1,
        ("held_out", "global"): 1,
        ("skipped", "no_consent"): 1,
        ("skipped", "no_address"): 1,
        ("cancelled", "cancelled"): 1,
        ("open", ""): 1,
    }


def test_whose_deciding_broke_counts_where_the_hash_would_have_put_them(book):
    run = book.run(holdout="50%")
    who = [book.decided(run, "set_aside", "decide_failed:KeyError") for _ in range(12)]
    ghosts = sum(share("spring:holdout", one) < 0.5 for one in who)
    people = {name: side[0] for name, side in sides(book.results(run)).items()}
    assert people == {"treated": 12 - ghosts, "held out": ghosts}


def test_an_order_counts_after_the_decision_and_within_the_window_to_the_microsecond(book):
    run = book.run()
    instant = timedelta(microseconds=1)
    at = NOON + timedelta(microseconds=999_999)
    for moment, counts in (
        (at - HOUR, False),
        (at, False),
        (at + instant, True),
        (at + 7 * DAY, True),
        (at + 7 * DAY + instant, False),
    ):
        who = book.decided(run, "sent", at=at)
        before = sides(book.results(run, days=20))["treated"][1]
        book.order(who, at=moment)
        after = sides(book.results(run, days=20))["treated"][1]
        assert after - before == counts, moment


def test_a_person_converts_once_and_their_orders_add_up_currency_by_currency(book):
    run = book.run()
    one = book.decided(run, "sent")
    book.order(one, "10.10", at=NOON + HOUR)
    book.order(one, "0.05", at=NOON + DAY)
    book.order(one, "1200", "JPY", at=NOON + DAY)
    book.order(one, "1.234", "KWD", at=NOON + DAY)
    book.order(one, None, at=NOON + DAY)
    ghost = book.decided(run, "held_out", "campaign")
    book.order(ghost, "99.99", at=NOON + HOUR)
    assert sides(book.results(run)) == {
        "treated": (1, 1, 5, {"USD": 1015, "JPY": 1200, "KWD": 1234}),
        "held out": (1, 1, 1, {"USD": 9999}),
    }
    assert book.results(run).experiment.currency == "USD"


def test_an_order_that_is_told_of_twice_counts_once_and_when_it_was_told_first(book):
    run = book.run()
    one, other = book.decided(run, "sent"), book.decided(run, "sent")
    book.order(one, at=NOON + HOUR, order_id="A")
    book.order(one, at=NOON + DAY, order_id="A")
    book.order(other, at=NOON - HOUR, order_id="B")
    book.order(other, at=NOON + HOUR, order_id="B")  # bought before we wrote: no success of ours
    assert sides(book.results(run))["treated"] == (2, 1, 1, {"USD": 1000})


def test_what_is_nobodys_order_does_not_count(book):
    run = book.run()
    one = book.decided(run, "sent")
    for status in ("guest", "parked", "conflict"):
        book.order(one, at=NOON + HOUR, status=status)
    book.order(one, at=NOON + HOUR, name="order.cancelled")
    assert sides(book.results(run))["treated"] == (1, 0, 0, {})


def test_who_was_merged_counts_as_one_person_with_the_orders_of_both(book):
    run = book.run()
    first = book.decided(run, "held_out", "campaign", at=NOON)
    second = book.decided(run, "sent", at=NOON + HOUR)
    book.merge(second, into=first)
    outside = book.customer()
    book.merge(outside, into=first)
    book.order(second, "1.00", at=NOON + 2 * HOUR)
    book.order(outside, "2.00", at=NOON + 3 * HOUR)
    assert sides(book.results(run)) == {
        "treated": (0, 0, 0, {}),
        "held out": (1, 1, 2, {"USD": 300}),
    }


def test_an_order_is_owed_to_the_last_message_before_it_that_arrived_and_to_no_other(book):
    first, second = book.run("spring"), book.run("summer", at=NOON + DAY)
    one = book.decided(first, "sent")
    book.decided(second, "sent", who=one, at=NOON + DAY)
    book.order(one, "1.00", at=NOON + HOUR)  # between the two
    book.order(one, "2.00", at=NOON + 2 * DAY)  # after both
    other = book.decided(first, "sent")
    book.decided(second, "set_aside", "refused:550", who=other, at=NOON + DAY)
    book.message(second, other, at=NOON + DAY, status="bounced")
    book.order(other, "4.00", at=NOON + 2 * DAY)  # the second one never arrived
    spring, summer = book.results(first), book.results(second)
    assert (spring.owed.buyers, spring.owed.orders, spring.owed.revenue) == (2, 2, {"USD": 500})
    assert (summer.owed.buyers, summer.owed.orders, summer.owed.revenue) == (1, 1, {"USD": 200})
    assert spring.channels[0].owed == spring.owed
    # The comparison asks another question: what they bought since, whoever wrote meanwhile.
    assert sides(spring)["treated"] == (2, 2, 3, {"USD": 700})


def test_two_channels_of_one_run_share_an_order_by_whoever_came_last(book):
    run = book.run()
    one = book.decided(run, "sent")
    book.message(run, one, channel="sms", at=NOON + HOUR)
    book.order(one, "1.00", at=NOON + 2 * HOUR)
    found = {one.channel: one.owed.orders for one in book.results(run).channels}
    assert found == {"email": 0, "sms": 1}
    assert book.results(run).owed.orders == 1


def test_machines_are_counted_apart_from_people(book):
    run = book.run()
    by_scanner, by_both, bounced = (
        book.message(run, book.decided(run, "set_aside"), status=status)
        for status in ("delivered", "delivered", "bounced")
    )
    book.receipt(by_scanner, "clicked", machine=True)
    book.receipt(by_scanner, "clicked", machine=True)
    book.receipt(by_both, "clicked", machine=True)
    book.receipt(by_both, "clicked")
    book.receipt(by_both, "clicked")
    book.receipt(by_both, "unsubscribed")
    book.receipt(bounced, "bounced")
    [email] = book.results(run).channels
    assert email.statuses == {"delivered": 2, "bounced": 1}
    assert email.came_back == {"clicked": 1, "unsubscribed": 1}
    assert email.machines == {"clicked": 2}
    assert "| 1 + 2 |" in book.results(run).markdown()


def test_replies_count_people_on_the_channel_they_were_written_to(book):
    run = book.run()
    one = book.decided(run, "set_aside")
    book.message(run, one, channel="sms")
    book.reply(one, at=NOON - HOUR)
    book.reply(one, channel="whatsapp", at=NOON + HOUR)
    assert book.results(run).channels[0].replied == 0
    book.reply(one, at=NOON + HOUR)
    book.reply(one, at=NOON + DAY)
    assert book.results(run).channels[0].replied == 1


def test_before_and_after_are_equal_periods_of_whose_time_is_over(book):
    run = book.run()
    one, ghost = book.decided(run, "sent"), book.decided(run, "held_out", "campaign")
    late = book.decided(run, "sent", at=NOON + 5 * DAY)  # whose week is not over on day 10
    book.order(one, "1.00", at=NOON - 6 * DAY)
    book.order(one, "9.00", at=NOON - 8 * DAY)
    book.order(one, "2.00", at=NOON + 6 * DAY)
    book.order(ghost, "4.00", at=NOON - HOUR)
    book.order(late, "8.00", at=NOON + 6 * DAY)
    found = book.results(run)
    assert {(p.group, p.period): (p.people, p.buyers, p.orders, p.revenue) for p in found.periods} == {
        ("treated", "before"): (1, 1, 1, 100),
        ("treated", "after"): (1, 1, 1, 200),
        ("held out", "before"): (1, 1, 1, 400),
        ("held out", "after"): (1, 0, 0, 0),
    }  # fmt: skip
    assert "treated,after,1,1,1,2.00,USD" in found.csv().splitlines()


def test_over_all_runs_a_person_counts_from_their_first_decision(book):
    first, second = book.run(), book.run(at=NOON + DAY)
    again = book.decided(first, "sent")
    book.decided(second, "sent", who=again, at=NOON + DAY)
    new = book.decided(second, "held_out", "campaign", at=NOON + DAY)
    skipped_first = book.decided(first, "skipped", "no_consent")
    book.decided(second, "sent", who=skipped_first, at=NOON + DAY)
    book.order(again, at=NOON + HOUR)
    book.order(again, at=NOON + 7 * DAY + HOUR)  # in the second run's week, not in their first
    book.order(new, at=NOON + 2 * DAY)
    assert sides(book.whole(days=20)) == {
        "treated": (2, 1, 1, {"USD": 1000}),
        "held out": (1, 1, 1, {"USD": 1000}),
    }
    assert sides(book.results(second, days=20)) == {  # alone: who came in with it
        "treated": (1, 0, 0, {}),
        "held out": (1, 1, 1, {"USD": 1000}),
    }
    whole = book.whole(days=20)
    assert whole.people == 3, "each person once"
    assert {(one.outcome, one.reason): one.people for one in whole.outcomes} == {
        ("sent", "allowed"): 2,
        ("held_out", "campaign"): 1,
    }
    assert "Sent to 2 of 3 people, over 2 runs together; each counts once." in whole.markdown()


def test_a_run_that_was_launched_ahead_takes_nobody_from_the_one_that_went_first(book):
    """What counts is when somebody was decided on: a later run changes no figure of an earlier one."""
    ahead = book.run(at=NOON + 50 * DAY)  # launched first, for in seven weeks
    at_once = book.run()
    two = [book.decided(at_once, "sent"), book.decided(at_once, "held_out", "campaign")]
    merged = book.decided(at_once, "sent")
    for who in (*two, merged):
        book.order(who, at=NOON + HOUR)
    before = sides(book.results(at_once, days=40))
    assert before == {
        "treated": (2, 2, 2, {"USD": 2000}),
        "held out": (1, 1, 1, {"USD": 1000}),
    }
    book.decided(ahead, "sent", who=two[0], at=NOON + 50 * DAY)
    book.decided(ahead, "held_out", "campaign", who=two[1], at=NOON + 50 * DAY)
    book.merge(merged, into=book.decided(ahead, "sent", at=NOON + 50 * DAY))
    new = book.decided(ahead, "sent", at=NOON + 50 * DAY)
    book.order(new, at=NOON + 51 * DAY)
    assert sides(book.results(at_once, days=60)) == before
    assert book.results(at_once, days=60).experiment.earlier == 0
    assert sides(book.results(ahead, days=60)) == {
        "treated": (1, 1, 1, {"USD": 1000}),
        "held out": (0, 0, 0, {}),
    }
    whole = book.whole(days=60)
    assert sides(whole) == {
        "treated": (3, 3, 3, {"USD": 3000}),
        "held out": (1, 1, 1, {"USD": 1000}),
    }
    assert whole.run_ids == [at_once, ahead]


def test_over_all_runs_the_latest_reason_is_that_of_the_run_that_went_last(book):
    ahead = book.run(at=NOON + DAY)
    who = book.decided(book.run(), "skipped", "no_consent")
    book.decided(ahead, "skipped", "consent_denied", who=who, at=NOON + DAY)
    assert [one.reason for one in book.whole(days=20).outcomes] == ["consent_denied"]


def test_of_somebody_who_needed_several_rounds_the_first_message_is_the_first_decision(book):
    """They were put off by a provider, and decided on again after a run that began later."""
    first, second = book.run(), book.run(at=NOON + DAY)
    who = book.decided(first, "sent", at=NOON + 2 * DAY, mail=False, tries=1)
    book.message(first, who, at=NOON)
    book.decided(second, "sent", who=who, at=NOON + DAY)
    assert sides(book.results(first))["treated"][0] == 1
    assert sides(book.results(second))["treated"][0] == 0


def test_over_all_runs_a_person_counts_by_the_outcome_that_says_most(book):
    first, second = book.run(), book.run(at=NOON + DAY)
    for before, after in (
        (("sent", "allowed"), ("skipped", "frequency_cap")),
        (("held_out", "campaign"), ("skipped", "no_consent")),
        (("skipped", "no_consent"), (None, None)),
        (("skipped", "no_consent"), ("skipped", "consent_denied")),
        (("cancelled", "cancelled"), ("skipped", "no_consent")),
    ):
        who = book.decided(first, *before)
        book.decided(second, *after, who=who, at=NOON + DAY)
    merged = book.decided(first, "skipped", "no_consent")
    book.merge(merged, into=book.decided(second, "sent", at=NOON + DAY))
    found = book.whole(days=20)
    assert {(one.outcome, one.reason): one.people for one in found.outcomes} == {
        ("sent", "allowed"): 2,
        ("held_out", "campaign"): 1,
        ("open", ""): 1,
        ("skipped", "consent_denied"): 1,
        ("skipped", "no_consent"): 1,
    }
    assert found.people == 6


def test_a_run_whose_people_all_came_in_before_says_so(book):
    """They passed the gate, or are held out again: what it changed is measured in their first run."""
    first, second = book.run(), book.run(at=NOON + DAY)
    for outcome, reason in (("sent", "allowed"), ("held_out", "campaign")):
        who = book.decided(first, outcome, reason)
        book.decided(second, outcome, reason, who=who, at=NOON + DAY)
    said = book.results(second).markdown()
    assert "nobody has passed the gate" not in said
    assert "It cannot be known from this run alone: all 2 people who passed the gate" in said
    assert "1 was held out on purpose" in said
    book.decided(second, "sent", at=NOON + DAY)
    assert "2 more passed the gate in this run and had come in" in book.results(second).markdown()
    assert "had come in" not in book.whole().markdown()


def test_nobody_is_a_report_too(book):
    run = book.run()
    found = book.results(run)
    assert found.markdown().splitlines()[2] == (
        "**Not yet known: nobody has passed the gate so far.**"
    )
    book.decided(run, "skipped", "no_consent")
    assert "Not sent to 1" in book.results(run).markdown()


def test_the_houses_holdout_is_measured_over_all_campaigns_from_the_first_one_on(book):
    first, second = book.run("spring"), book.run("summer", at=NOON + DAY)
    sent = book.decided(first, "sent")
    book.decided(second, "sent", who=sent, at=NOON + DAY)
    ghost = book.decided(first, "held_out", "campaign")  # of one campaign: not of the house
    held_out = book.decided(second, "held_out", "global", at=NOON + DAY)
    notice = book.run("notice", purpose="transactional", holdout="0%")
    book.decided(notice, "sent")
    for who in (sent, ghost, held_out):
        book.order(who, "1.00", at=NOON + 2 * DAY)
        book.order(who, "2.00", at=NOON + 28 * DAY + HOUR)
    with book.database.reading() as session:
        found = house_holdout(session, share=0.05, now=NOON + 40 * DAY)
    assert [(s.name, s.people, s.buyers, s.orders, dict(s.revenue)) for s in found.sides] == [
        ("everybody else", 2, 2, 2, {"USD": 200}),
        ("house holdout", 1, 1, 2, {"USD": 300}),
    ]
    assert found.report is not None
    assert found.report.sample_ratio.expected == {
        "house holdout": pytest.approx(0.15), "everybody else": pytest.approx(2.85),
    }  # fmt: skip


def test_of_two_campaigns_at_once_the_house_counts_from_the_one_that_decided_first(book):
    """The one that began first may come to somebody last: at their own morning, or after a pause."""
    slow, quick = book.run("spring"), book.run("summer", at=NOON + HOUR)
    who = book.decided(quick, "sent", at=NOON + 2 * HOUR)
    book.decided(slow, "sent", who=who, at=NOON + DAY)
    book.order(who, "1.00", at=NOON + 3 * HOUR)
    with book.database.reading() as session:
        found = house_holdout(session, share=0.05, now=NOON + 40 * DAY)
    assert [(s.name, s.people, s.buyers) for s in found.sides] == [
        ("everybody else", 1, 1),
        ("house holdout", 0, 0),
    ]
