"""Replies: found their writer, kept once, and answered by what was asked."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from signalpost.record.base import new_id
from signalpost.record.cases import CaseEntry
from signalpost.record.consents import Consent, Suppression
from signalpost.record.database import Database
from signalpost.record.enrolments import Enrolment
from signalpost.record.receipts import Answer, Question, Reply
from tests.integration.what_comes_back import ANN, NOW, Shop, addresses_blocked

STOPPED = {("sms", ANN, "all", "stop")}


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


def said(response: Any) -> list[str]:
    """What we text back."""
    assert response.status_code == 200
    return [one.text or "" for one in ElementTree.fromstring(response.text).iter("Message")]


def consent(shop: Shop, customer: str, topic: str, status: str, **rest: Any) -> None:
    at = rest.pop("at", NOW - timedelta(days=1))
    known = {"channel": "sms", "source": "form", "at": at, "recorded_at": at} | rest
    shop.add(Consent(customer_id=customer, topic=topic, status=status, **known))


def standing(shop: Shop, topic: str) -> str | None:
    rows = sorted(shop.all(Consent), key=lambda row: (row.at, row.id))
    return next((row.status for row in reversed(rows) if row.topic in (topic, "*")), None)


# --- answers ---


@pytest.mark.parametrize(("body", "value"), [("OK 4821", "yes"), ("no 4821", "no"), ("NO", "no")])
def test_an_answer_closes_its_question_and_wakes_who_waits(
    shop: Shop, body: str, value: str
) -> None:
    customer = shop.customer()
    question, enrolment = shop.question(customer)
    assert said(shop.text(body)) == []
    answer = shop.one(Answer)
    assert (answer.question_id, answer.value, answer.channel) == (question, value, "sms")
    assert shop.one(Question).outcome == "answered"
    woken = shop.one(Enrolment, id=enrolment)
    assert (woken.status, woken.due_at) == ("active", NOW)
    reply = shop.one(Reply)
    assert (reply.customer_id, reply.question_id, reply.body) == (customer, question, body)
    assert shop.commits == 1


def test_a_score_is_kept_with_its_comment(shop: Shop) -> None:
    customer = shop.customer()
    shop.question(customer, code=None, name="pickup_csat")
    shop.text("2, the queue was long")
    answer = shop.one(Answer)
    assert (answer.value, answer.name) == ("2", "pickup_csat")
    assert "queue" in answer.comment
    assert shop.one(Enrolment).status == "active"


def test_the_first_answer_wins_and_a_second_is_told_so(shop: Shop) -> None:
    shop.question(shop.customer())
    shop.text("OK 4821")
    [told] = said(shop.text("NO 4821"))
    assert "closed" in told
    assert shop.one(Answer).value == "yes"
    assert {row.meaning for row in shop.all(Reply)} == {"yes", "wrong_code"}


def test_two_answers_at_the_same_moment_leave_one(shop: Shop) -> None:
    shop.question(shop.customer())
    threads = [
        threading.Thread(target=shop.text, args=(body,))
        for body in ("OK 4821", "NO 4821", "OK 4821", "NO 4821")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shop.all(Reply)) == 4
    assert len(shop.all(Answer)) == 1
    assert shop.commits == 1


def test_a_late_answer_to_an_old_case_never_answers_a_new_one(shop: Shop) -> None:
    customer = shop.customer()
    shop.question(customer, code="1111", closed_at=NOW, outcome="expired")
    shop.question(customer, code="4821")
    [told] = said(shop.text("OK 1111"))
    assert "closed" in told
    assert shop.all(Answer) == []
    assert shop.one(Question, code="4821").closed_at is None


def test_an_answer_after_the_case_is_closed_is_recorded_and_answers_nothing(shop: Shop) -> None:
    shop.question(shop.customer(), closed_at=NOW, outcome="expired")
    shop.text("OK 4821")
    shop.text("yes")
    assert shop.all(Answer) == []
    assert len(shop.all(Reply)) == 2


def test_a_replayed_reply_changes_nothing_and_is_not_answered_again(shop: Shop) -> None:
    shop.customer()
    assert len(said(shop.text("STOP", MessageSid="SM1"))) == 1
    assert said(shop.text("STOP", MessageSid="SM1")) == []
    assert len(shop.all(Reply)) == 1
    assert len(shop.all(Suppression)) == 1


def test_an_unclear_reply_asks_back_at_most_twice_and_shows_on_the_case(shop: Shop) -> None:
    customer = shop.customer(locale="ru-RU")
    _, enrolment = shop.question(customer)
    case = shop.case(customer, enrolment)
    answers = [said(shop.text("maybe yes, maybe no?")) for _ in range(3)]
    assert [len(one) for one in answers] == [1, 1, 0]
    assert "OK 4821" in answers[0][0]
    assert "Ответьте" in answers[0][0]
    notes = shop.all(CaseEntry, case_id=case)
    assert [note.what for note in notes] == ["note"] * 3
    assert shop.one(Question).closed_at is None


def test_two_open_alerts_ask_for_the_code(shop: Shop) -> None:
    customer = shop.customer()
    shop.question(customer, code="4821")
    shop.question(customer, code="7733")
    [told] = said(shop.text("no"))
    assert "4821" in told
    assert "7733" in told
    shop.text("no 7733")
    assert shop.one(Question, code="7733").outcome == "answered"
    assert shop.one(Question, code="4821").closed_at is None


def test_free_text_is_kept_on_the_record_and_answered_by_nobody(shop: Shop) -> None:
    customer = shop.customer()
    assert said(shop.text("Where is my parcel?")) == []
    reply = shop.one(Reply)
    assert (reply.customer_id, reply.meaning) == (customer, "text")


# --- who wrote ---


def test_the_writer_of_a_merged_record_is_the_whole_person(shop: Shop) -> None:
    kept, merged = shop.customer(phone=None), shop.customer()
    question, _ = shop.question(merged)
    shop.merge(kept, merged)
    shop.text("OK 4821")
    assert shop.one(Reply).customer_id == kept
    assert shop.one(Answer).question_id == question


def test_of_several_at_one_number_the_one_who_was_asked_wrote(shop: Shop) -> None:
    shop.customer()
    asked = shop.customer()
    shop.question(asked)
    shop.text("hello there")
    shop.text("OK 4821")
    assert {row.customer_id for row in shop.all(Reply)} == {asked}
    assert shop.one(Answer).customer_id == asked


def test_of_several_at_one_number_the_one_written_to_last_wrote(shop: Shop) -> None:
    early, late = shop.customer(), shop.customer()
    for customer, hours in ((late, 1), (early, 5)):
        shop.message(customer, channel="sms", address=ANN, at=NOW - timedelta(hours=hours))
    shop.text("thanks a lot")
    assert shop.one(Reply).customer_id == late


def test_a_reply_that_might_be_anybodys_is_kept_with_a_note(shop: Shop) -> None:
    shop.customer()
    shop.customer()
    shop.text("thanks a lot")
    reply = shop.one(Reply)
    assert reply.customer_id is None
    assert "several customers" in reply.raw["signalpost"]["note"]


def test_a_stranger_may_stop_us_too(shop: Shop) -> None:
    assert len(said(shop.text("STOP"))) == 1
    assert shop.one(Reply).customer_id is None
    assert addresses_blocked(shop.all(Suppression)) == STOPPED


# --- STOP, START, HELP ---


@pytest.mark.parametrize("body", ["STOP", "stopall", "Please stop texting me", "unsubscribe"])
def test_stop_closes_the_channel_at_once_with_one_plain_confirmation(shop: Shop, body: str) -> None:
    """C11: by any words a person would use; one confirmation; no marketing in it."""
    customer = shop.customer()
    consent(shop, customer, "offers", "granted")
    [told] = said(shop.text(body))
    assert "no more messages" in told
    assert said(shop.text(body)) == []
    assert addresses_blocked(shop.all(Suppression)) == STOPPED
    denied = shop.one(Consent, status="denied")
    assert (denied.customer_id, denied.channel, denied.topic) == (customer, "sms", "*")
    assert denied.wording == body


def test_stop_inside_an_open_alert_still_stops(shop: Shop) -> None:
    shop.question(shop.customer())
    shop.text("STOP")
    assert addresses_blocked(shop.all(Suppression)) == STOPPED
    assert shop.all(Answer) == []


def test_what_twilio_has_answered_we_do_not_answer_again(shop: Shop) -> None:
    shop.customer()
    assert said(shop.text("STOP", OptOutType="STOP")) == []
    assert said(shop.text("HELP", OptOutType="HELP")) == []
    assert addresses_blocked(shop.all(Suppression)) == STOPPED


def test_help_is_answered_also_to_those_who_opted_out(shop: Shop) -> None:
    shop.customer()
    shop.text("STOP")
    [told] = said(shop.text("HELP"))
    assert "Larkfield" in told
    assert "+44 20 7946 0018" in told


def test_start_restores_what_was_granted_right_before_the_stop(shop: Shop) -> None:
    customer = shop.customer()
    consent(shop, customer, "offers", "granted")
    consent(shop, customer, "news", "denied")
    shop.text("STOP")
    assert standing(shop, "offers") == "denied"
    shop.now += timedelta(hours=1)
    assert len(said(shop.text("START"))) == 1
    assert addresses_blocked(shop.all(Suppression)) == set()
    assert standing(shop, "offers") == "granted"
    assert standing(shop, "news") == "denied"
    assert said(shop.text("START")) == []


def test_start_does_not_restore_what_was_denied_after_the_stop(shop: Shop) -> None:
    customer = shop.customer()
    consent(shop, customer, "offers", "granted")
    shop.text("STOP")
    shop.now += timedelta(hours=1)
    consent(shop, customer, "offers", "denied", at=shop.now)
    shop.text("START")
    assert standing(shop, "offers") == "denied"


def test_start_grants_nothing_that_was_never_granted(shop: Shop) -> None:
    shop.customer()
    shop.text("START")
    shop.text("STOP")
    shop.now += timedelta(hours=1)
    shop.text("START")
    assert [row.status for row in shop.all(Consent)] == ["denied"]


def test_a_channel_granted_whole_comes_back_with_its_exceptions(shop: Shop) -> None:
    customer = shop.customer()
    consent(shop, customer, "*", "granted", at=NOW - timedelta(days=3))
    consent(shop, customer, "news", "denied", at=NOW - timedelta(days=2))
    shop.text("STOP")
    shop.now += timedelta(hours=1)
    shop.text("START")
    assert standing(shop, "offers") == "granted"
    assert standing(shop, "news") == "denied"


def test_start_does_not_open_a_number_that_is_dead(shop: Shop) -> None:
    shop.customer()
    dead = {"channel": "sms", "address": ANN, "scope": "all", "reason": "bad_address"}
    shop.add(Suppression(id=new_id(), **dead, active=True, source="twilio", at=NOW))
    shop.text("STOP")
    shop.now += timedelta(hours=1)
    shop.text("START")
    assert addresses_blocked(shop.all(Suppression)) == {("sms", ANN, "all", "bad_address")}
    last = max(shop.all(Suppression), key=lambda row: (row.at, row.id))
    assert last.active


def test_yes_in_an_open_alert_is_an_answer_and_no_consent(shop: Shop) -> None:
    """YES is an opt-in word of Twilio's; inside a fraud dialogue it only answers."""
    customer = shop.customer()
    consent(shop, customer, "offers", "granted")
    shop.text("STOP")
    shop.now += timedelta(hours=1)
    shop.question(customer)
    shop.text("YES")
    assert shop.one(Answer).value == "yes"
    assert standing(shop, "offers") == "denied"
    assert addresses_blocked(shop.all(Suppression)) == STOPPED


def test_someone_who_opted_out_is_not_asked_back(shop: Shop) -> None:
    customer = shop.customer()
    shop.text("STOP")
    shop.question(customer)
    assert said(shop.text("maybe yes, maybe no?")) == []


def test_stop_on_whatsapp_leaves_text_messages_alone(shop: Shop) -> None:
    shop.customer()
    shop.text("STOP", sender=f"whatsapp:{ANN}")
    assert addresses_blocked(shop.all(Suppression)) == {("whatsapp", ANN, "all", "stop")}
    assert shop.one(Reply).customer_id is not None


def test_our_texts_speak_the_customers_language(shop: Shop) -> None:
    shop.customer(locale="zh-TW")
    [told] = said(shop.text("STOP"))
    assert "START" in told
    assert "不會再" in told


def test_hostile_text_is_kept_as_it_came_and_breaks_nothing(shop: Shop) -> None:
    shop.customer()
    for body in ("<Message>x</Message>", "'; DROP TABLE replies; --", "a\x00b", "😀" * 800, ""):
        assert shop.text(body).status_code == 200
    assert len(shop.all(Reply)) == 5
