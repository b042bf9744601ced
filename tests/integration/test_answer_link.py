"""Answering by the link of an email: one number, once, whoever asks first; nothing by looking (R-48)."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlmodel import Session, select
from starlette.testclient import TestClient

from flows import JOURNEYS
from signalpost import bootstrap, settings
from signalpost.record import questions
from signalpost.record.cases import Case
from signalpost.record.database import Database
from signalpost.record.enrolments import Enrolment
from signalpost.record.receipts import Answer, Question
from signalpost.testing import Stage
from signalpost.web import links
from signalpost.web.doorkeeper import Doorkeeper
from tests.integration.what_comes_back import NOW, Shop

SUBJECT = {"subject": ["How did we do at ", {"slot": "s0"}, "?"]}


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


def asked(shop: Shop, customer: str, **question: Any) -> tuple[str, str, str]:
    """Ask by email; gives the link, the question's id and the enrolment's."""
    code = question.pop("code", None)
    message = {
        "locale": question.pop("locale", "en"),
        "slots": question.pop("slots", {"s0": "Riga"}),
    }
    question_id, enrolment = shop.question(customer, code=code, name="csat", **question)
    message_id = shop.message(
        customer, enrolment_id=enrolment, message="csat", parts=SUBJECT, **message
    )
    return link(shop, customer, message_id), question_id, enrolment


def link(shop: Shop, customer: str, message_id: str) -> str:
    return f"/links/answer/{shop.token('answer', c=customer, m=message_id)}"


def test_the_page_shows_what_was_asked_and_changes_nothing(shop: Shop) -> None:
    address, question, _ = asked(shop, shop.customer(first_name="Ann"))
    for method in ("GET", "HEAD", "GET"):
        page = shop.client.request(method, address)
        assert page.status_code == 200
    assert "How did we do at Riga?" in page.text
    assert re.findall(r'type="radio" name="value" value="(\d+)"', page.text) == list("12345")
    assert "Ann" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert shop.all(Answer) == []
    assert shop.one(Question, id=question).closed_at is None


def test_an_answer_is_kept_with_its_comment_and_wakes_who_waits(shop: Shop) -> None:
    address, question, enrolment = asked(shop, shop.customer())
    page = shop.client.post(address, data={"value": "2", "comment": "  nobody\r\nat the counter "})
    assert "Thank you, we have your answer" in page.text
    kept = shop.one(Answer)
    assert (kept.question_id, kept.value, kept.channel) == (question, "2", "email")
    assert kept.comment == "nobody\r\nat the counter"
    assert shop.one(Question).outcome == "answered"
    waiting = shop.one(Enrolment, id=enrolment)
    assert (waiting.status, waiting.due_at) == ("active", NOW)
    assert shop.commits == 1


def test_the_first_answer_counts_and_the_next_is_told_that_it_is_closed(shop: Shop) -> None:
    address, _, _ = asked(shop, shop.customer())
    pages = [shop.client.post(address, data={"value": value}) for value in ("5", "1", "5")]
    assert [("closed" in page.text, page.status_code) for page in pages] == [
        (False, 200),
        (True, 200),
        (True, 200),
    ]
    assert shop.one(Answer).value == "5"
    assert shop.commits == 1


def test_an_answer_by_text_message_closes_the_link_too(shop: Shop) -> None:
    address, _, _ = asked(shop, shop.customer())
    shop.text("4")
    shop.client.post(address, data={"value": "1"})
    assert (shop.one(Answer).value, shop.one(Answer).channel) == ("4", "sms")


@pytest.mark.parametrize("value", ["0", "6", "", "three", "5.0", "٣", "-1", "1 OR 1=1", "9" * 500])
def test_what_is_no_number_of_the_scale_is_asked_for_again(shop: Shop, value: str) -> None:
    address, _, _ = asked(shop, shop.customer())
    page = shop.client.post(address, data={"value": value, "comment": "<b>late</b>"})
    assert page.status_code == 400
    assert 'value="5"' in page.text
    assert "&lt;b&gt;late&lt;/b&gt;" in page.text  # what was written is not lost, and no markup
    assert shop.all(Answer) == []


@pytest.mark.parametrize("outcome", ["answered", "expired", "superseded"])
def test_a_closed_question_an_altered_link_and_a_confirmation_look_the_same(
    shop: Shop, outcome: str
) -> None:
    """Nothing can be learnt from the page, and a card is never freed by a link."""
    customer = shop.customer()
    closed, question, _ = asked(shop, customer)
    alert, _, _ = asked(shop, customer, code="4821")
    with shop.database.writing() as session:
        questions.close(session, ids=[question], outcome=outcome, now=NOW)
    nothing = link(shop, customer, shop.message(customer))
    unknown = link(shop, customer, "0197-not-a-message")
    for address in (closed, alert, nothing, unknown, closed[:-3] + "abc", "/links/answer/x"):
        pages = [shop.client.get(address), shop.client.post(address, data={"value": "yes"})]
        pages.append(shop.client.post(address, data={"value": "3"}))
        assert {(page.status_code, page.text) for page in pages} == {(200, pages[0].text)}
        assert "This question is closed" in pages[0].text
    assert shop.all(Answer) == []
    assert shop.commits == 0


def test_the_link_is_for_this_customer_this_purpose_and_thirty_days(shop: Shop) -> None:
    ann, ben = shop.customer(), shop.customer(phone="+12065550102")
    address, _, enrolment = asked(shop, ann)
    message = shop.message(ann, enrolment_id=enrolment, message="csat")
    other = f"/links/answer/{shop.token('agent', c=ann, m=message)}"
    for wrong in (link(shop, ben, message), other):
        shop.client.post(wrong, data={"value": "1"})
    shop.now = NOW + timedelta(days=31)
    shop.client.post(address, data={"value": "1"})
    assert shop.all(Answer) == []
    shop.now = NOW + timedelta(days=29)
    shop.client.post(address, data={"value": "1"})
    assert shop.one(Answer).value == "1"


def test_the_link_of_a_merged_customer_still_answers(shop: Shop) -> None:
    ann, also_ann = shop.customer(), shop.customer(phone="+12065550102")
    address, _, _ = asked(shop, also_ann)
    shop.merge(ann, also_ann)
    shop.client.post(address, data={"value": "3"})
    assert shop.one(Answer).value == "3"


def test_a_message_keeps_the_question_that_it_asked(shop: Shop) -> None:
    """The journey went on and asked another thing: the old link does not answer that."""
    customer = shop.customer()
    address, first, enrolment = asked(shop, customer)
    with shop.database.writing() as session:
        questions.close(session, ids=[first], outcome="superseded", now=NOW)
        row = {"id": "later", "customer_id": customer, "enrolment_id": enrolment, "name": "more"}
        scale = {"kind": "scale", "low": 1, "high": 5, "code": None}
        questions.add(session, rows=[row | scale | {"asked_at": NOW + timedelta(hours=1)}])
    shop.client.post(address, data={"value": "1"})
    assert shop.all(Answer) == []


def test_hostile_words_are_bounded_and_only_words(shop: Shop) -> None:
    hostile = "<script>alert(1)</script>{{7*7}}\x00\u202e'; DROP TABLE answers;--"
    address, _, _ = asked(shop, shop.customer(), slots={"s0": hostile.replace("\x00", "")})
    page = shop.client.get(address)
    assert "<script>" not in page.text
    assert "{{7*7}}" in page.text
    shop.client.post(address, data={"value": "4", "comment": hostile + "x" * 5_000})
    kept = shop.one(Answer).comment
    assert len(kept) == 1_000
    assert "\x00" not in kept
    assert shop.client.post(address, data={"comment": "x" * 70_000}).status_code == 413


@pytest.mark.parametrize(
    ("locale", "lang", "words"),
    [
        ("zh-Hant", "zh-Hant", "送出"),
        ("zh-Hans", "zh-Hans", "提交"),
        ("ru-RU", "ru", "Отправить"),
        ("th", "th", "ส่ง"),
        ("xx-nowhere", "en", "Send"),
    ],
)
def test_the_page_speaks_the_language_of_the_message(
    shop: Shop, locale: str, lang: str, words: str
) -> None:
    address, _, _ = asked(shop, shop.customer(), locale=locale)
    page = shop.client.get(address).text
    assert f'<html lang="{lang}">' in page
    assert words in page


# -- the whole way -----------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path, database_url: str):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def door(stage: Stage, folder: Path) -> TestClient:
    """The pages behind the links that a stage's messages carry."""
    built = bootstrap.build(settings.load(home=folder), clock=stage.clock, journeys=())
    built.database.close()
    api = FastAPI()
    own = replace(built, database=stage.database, desk=stage.desk)
    api.include_router(links.router(own, doorkeeper=Doorkeeper.of(own)))
    return TestClient(api)


def path_in(text: str) -> str:
    [found] = re.findall(r"https?://\S+?(/links/answer/\S+)", text)
    return found


def rows(session: Session, table: Any) -> list[Any]:
    return list(session.exec(select(table)))


def test_a_customer_with_nothing_but_email_answers_2_and_a_service_case_opens(
    stage: Stage, tmp_path: Path
) -> None:
    who: dict[str, Any] = {"user_id": "bo", "email": "bo@example.com"}
    traits = {"timezone": "UTC", "locale": "ru"}
    stage.signal("order.ready_for_pickup", **who, order_id="1", store="Riga", traits=traits)
    stage.run_due()
    stage.signal("order.picked_up", user_id="bo", order_id="1")
    stage.run_for(days=1, hours=4)
    email = stage.sent[-1]
    assert (email.message, email.channel) == ("pickup_csat", "email")
    address = path_in(email.text)
    assert address in email.parts["html"]
    client = door(stage, tmp_path)
    assert email.parts["subject"] in client.get(address).text
    client.post(address, data={"value": "2", "comment": "никого не было"})
    stage.run_due()
    assert stage.messages()[-1] == ("csat_sorry", "email")
    with stage.database.reading() as session:
        [case] = rows(session, Case)
        [answer] = rows(session, Answer)
    assert (case.kind, case.status) == ("service", "open")
    assert (answer.value, answer.channel, answer.comment) == ("2", "email", "никого не было")


def test_a_score_for_a_product_by_email_hands_a_low_one_to_service(
    stage: Stage, tmp_path: Path
) -> None:
    stage.signal(
        "order.placed",
        user_id="bo",
        email="bo@example.com",
        order_id="1",
        products=[{"name": "Tea"}],
        traits={"timezone": "UTC"},
    )
    stage.run_for(days=4)
    thanks = next(one for one in stage.sent if one.message == "purchase_thanks")
    door(stage, tmp_path).post(path_in(thanks.text), data={"value": "1"})
    stage.run_due()
    with stage.database.reading() as session:
        assert [case.reason for case in rows(session, Case)] == ["low score for a product"]
