"""Locales fall back; facts write themselves in the person's locale and zone."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from signalpost.content import formats
from signalpost.content.locales import fallbacks, normalise


@pytest.mark.parametrize(
    ("tag", "tried"),
    [
        ("zh-Hant-TW", ("zh-Hant-TW", "zh-Hant", "zh", "en")),
        ("zh_TW", ("zh-Hant-TW", "zh-Hant", "zh", "en")),
        ("zh-HK", ("zh-Hant-HK", "zh-Hant", "zh", "en")),
        ("zh-CN", ("zh-Hans-CN", "zh-Hans", "zh", "en")),
        ("zh", ("zh-Hans", "zh", "en")),
        ("ru-KZ", ("ru-KZ", "ru", "en")),
        ("TH", ("th", "en")),
        (None, ("en",)),
        ("", ("en",)),
        ("klingon", ("en",)),
        ("../../etc/passwd", ("en",)),
        ("x" * 10_000, ("en",)),
        ("ru\x00", ("en",)),
    ],
)
def test_a_locale_falls_back_to_its_script_its_language_and_the_default(tag, tried):
    assert fallbacks(tag, "en") == tried


def test_a_locale_that_is_none_is_said_so():
    assert normalise("no such thing") is None


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ("en", "US$1,000.00"),
        ("en-US", "US$1,000.00"),
        ("zh-Hant", "US$1,000.00"),
        ("ru", "1 000,00 $"),
        ("th", "US$1,000.00"),
    ],
)
def test_money_is_written_in_the_locale_and_names_its_dollar(locale, written):
    assert str(formats.Money(Decimal("1000"), "USD", locale)) == written


def test_an_instant_is_written_in_the_persons_zone():
    at = datetime(2023, 5, 4, 20, 30, tzinfo=UTC)
    assert str(formats.Moment(at, "en", ZoneInfo("Asia/Hong_Kong"))) == "5 May 2023, 4:30 am"
    assert str(formats.Moment(at, "en-GB", ZoneInfo("Europe/London"))) == "4 May 2023, 21:30"
    assert str(formats.Moment(at, "zh-Hant", ZoneInfo("Asia/Taipei"))) == "2023年5月5日 凌晨4:30"


def test_short_forms_drop_the_year_the_time_or_empty_cents():
    zone = ZoneInfo("Europe/London")
    at = formats.Moment(datetime(2023, 5, 4, 20, 30, tzinfo=UTC), "en", zone)
    assert str(formats.as_day(at)) == "4 May 2023"
    assert formats.as_clock(at) == "9:30 pm"
    assert formats.short(at) == "4 May"
    assert formats.short(formats.Money(Decimal("1000.00"), "USD", "en")) == "US$1,000"
    assert formats.short(formats.Money(Decimal("1000.50"), "USD", "en")) == "US$1,000.50"


def test_a_day_stays_that_day_in_every_zone():
    assert str(formats.Day(date(2023, 5, 4), "ru")) == "4 мая 2023 г."


def test_numbers_are_grouped_and_still_numbers():
    assert str(formats.Whole.of(12345, "ru")) == "12 345"
    assert formats.Whole.of(12345, "ru") + 1 == 12346
    assert str(formats.Number.of(Decimal("1234.5"), "th")) == "1,234.5"
