"""What a report says the text messages took and cost, by where each of them went, on both databases."""

from decimal import Decimal

import pytest

from signalpost.services.campaigns import texts
from tests.integration.results_harness import Book

#: Two wordings, of which the one in Thai is twice as long.
PLAN = {
    "texts": [
        {"message": "offer", "locale": "en", "people": 3, "each": 1.5, "segments": 4},
        {"message": "offer", "locale": "th", "people": 1, "each": 3.0, "segments": 3},
    ]
}
AMERICAN, BRITISH, GERMAN = "+12065550100", "+442079460100", "+4915112345678"


@pytest.fixture
def book(database):
    return Book(database)


def sent(book, run, address, *, status="delivered", **more) -> None:
    who = book.decided(run, "sent", mail=False)
    book.message(run, who, channel="sms", address=address, status=status, **more)


def test_text_messages_cost_by_the_country_and_the_wording_of_each_that_went(book):
    run = book.run(plan=PLAN)
    for address in (AMERICAN, BRITISH, BRITISH, GERMAN):
        sent(book, run, address)
    sent(book, run, GERMAN, locale="th")
    sent(book, run, AMERICAN, status="rejected")  # nobody took it, and nobody charges for it
    prices = {"US": "0.01", "GB": "0.04", "DE": "0.10", "default": "0.50"}
    prices = {country: Decimal(price) for country, price in prices.items()}
    took = book.results(run, prices=prices).texts
    assert (took.messages, took.segments) == (5, 9)  # 4 of 1.5, and 1 of 3
    assert took.cost == "0.58"  # 1.5 × 0.01 + 3 × 0.04 + (1.5 + 3) × 0.10, rounded to a cent


def test_prices_by_country_need_no_default(book):
    run = book.run(plan=PLAN)
    sent(book, run, GERMAN)
    sent(book, run, BRITISH)
    prices = {"DE": Decimal("0.10"), "GB": Decimal("0.04")}
    found = book.results(run, prices=prices)
    assert (found.texts.cost, found.texts.unpriced) == ("0.21", 0)
    assert "2 text messages, about 3 segments; at about 0.21." in found.markdown()


def test_segments_to_a_country_without_a_price_are_said_to_be_left_out_of_the_cost(book):
    run = book.run(plan=PLAN)
    sent(book, run, GERMAN)
    sent(book, run, AMERICAN, locale="th")
    found = book.results(run, prices={"DE": Decimal("0.10")})
    assert (found.texts.cost, found.texts.unpriced) == ("0.15", 3)
    assert "at about 0.15, without 3 segments to countries that have no price." in found.markdown()
    nowhere = book.results(run, prices={"FR": Decimal("0.10")})
    assert nowhere.texts.cost is None
    assert "no price is set for the countries they go to" in nowhere.markdown()


def test_a_number_that_was_erased_costs_what_an_unknown_country_does(book):
    run = book.run(plan=PLAN)
    sent(book, run, "", locale="und")
    took = book.results(run, prices={"DE": Decimal("0.10"), "default": Decimal("1.00")}).texts
    assert (took.segments, took.cost) == (2, "1.88")  # by the average of both wordings


def test_of_very_many_texts_an_even_sample_says_where_they_went(book):
    run = book.run(plan=PLAN)
    for address in (BRITISH, GERMAN) * 100:
        sent(book, run, address)
    prices = {"GB": Decimal("0.00"), "DE": Decimal("1.00")}

    def took(looked_at):
        with book.database.reading() as session:
            return texts.took(
                session, runs=[run], plans=[PLAN], sent=200, prices=prices, looked_at=looked_at
            )

    whole, sample = took(200), took(100)
    assert (whole.segments, whole.cost) == (300, "150.00")
    assert (sample.messages, sample.segments) == (200, 300)
    assert abs(Decimal(sample.cost or 0) - 150) < 60
    assert took(100) == sample, "the same texts are looked at every time"
