"""The shipped messages, as their readers see them."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalpost.content import Catalogue, lint, sms_segments
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.record.base import new_id
from signalpost.services.links import Links

TEMPLATES = Path(__file__).parents[2] / "templates"
CATALOGUE = Catalogue.load(TEMPLATES)
VARIANTS = [
    (name, channel, locale)
    for name in CATALOGUE.names()
    for channel in sorted(CATALOGUE[name].channels)
    for locale in sorted(CATALOGUE[name].locales[channel])
]
FIVE = {"en", "zh-Hant", "zh-Hans", "ru", "th"}


def test_the_shipped_messages_pass_the_linter():
    assert lint(CATALOGUE) == []


def test_every_message_of_the_first_journeys_is_there():
    assert set(CATALOGUE.names()) >= {
        *("order_confirmation", "purchase_thanks", "purchase_offer", "early_bird"),
        *("pickup_ready", "pickup_reminder", "pickup_last_reminder", "pickup_csat"),
        *("csat_thanks", "csat_sorry", "fraud_alert", "fraud_cleared", "fraud_confirmed"),
    }


def test_every_message_of_the_example_campaigns_is_there():
    assert set(CATALOGUE.names()) >= {
        *("spring_promotion", "win_back", "win_back_plain", "cart_reminder"),
        *("service_notice", "service_update", "service_all_clear"),
    }


@pytest.mark.parametrize(("name", "channel", "locale"), VARIANTS)
def test_every_variant_renders_to_clean_text(name, channel, locale):
    """Nothing unrendered, no double spaces or empty brackets, no exclamation mark storms."""
    for part, text in CATALOGUE.preview(name, channel, locale).items():
        assert text.strip() or part.startswith("action_")
        assert "{{" not in text
        assert "{%" not in text
        assert "!!" not in text
        if part != "html":
            assert not re.search(
                r"[^\n] {2,}|\n{3,}| [,.](\s|$)|\.\.(\s|$)|None|Undefined", text
            ), text
    assert channel in CATALOGUE[name].channels


SPOKEN = ["fraud_alert", "fraud_cleared", "fraud_confirmed", "pickup_csat"]
FAULTS = ["service_notice", "service_update", "service_all_clear"]


@pytest.mark.parametrize("name", SPOKEN + FAULTS)
def test_the_required_languages_are_written_on_every_channel(name):
    assert all(tags >= FIVE for tags in CATALOGUE[name].locales.values())


def sms(facts=None, locale="en", name="fraud_alert"):
    return CATALOGUE.preview(name, Channel.SMS, locale, facts=facts)["text"]


def test_the_fraud_sms_says_what_sc05_says_and_asks_for_answers_that_mean_nothing_else():
    text = sms()
    for words in (
        "Dear customer",
        "XYZ store",
        "US$1,000.00",
        "4 May 2023",
        "OK 4821",
        "NO 4821",
        "app",
    ):
        assert words in text
    assert "http" not in text
    assert "YES" not in text
    assert "Ann" not in text


def test_the_fraud_sms_is_one_segment_also_with_a_long_merchant_and_amount():
    facts = {
        "merchant": "M" * 40,
        "amount": {"amount": "1000.00", "currency": "USD"},
        "occurred_at": "2023-05-24T14:30:00Z",
    }
    assert sms_segments(sms(facts))[0] == "GSM-7"
    assert sms_segments(sms(facts))[2] == 1
    assert sms_segments(sms({**facts, "merchant": "“" + "M" * 90}))[2] == 1


@pytest.mark.parametrize("locale", sorted(FIVE))
def test_answers_stay_in_latin_letters_in_every_language(locale):
    for channel in (Channel.SMS, Channel.IN_APP, Channel.EMAIL):
        text = "".join(CATALOGUE.preview("fraud_alert", channel, locale).values())
        assert "OK 4821" in text
        assert "NO 4821" in text


@pytest.mark.parametrize("locale", sorted(FIVE))
@pytest.mark.parametrize("name", ["fraud_alert", "fraud_cleared", "fraud_confirmed"])
def test_security_emails_hold_no_link(name, locale):
    html = CATALOGUE.preview(name, Channel.EMAIL, locale)["html"]
    body = html[html.index("<body") :]
    assert "<a " not in body
    assert "href" not in body
    assert "http" not in body
    assert "http" not in CATALOGUE.preview(name, Channel.EMAIL, locale)["text"]


def test_the_in_app_mirror_leads_to_the_assigned_agent():
    mirror = CATALOGUE.preview("fraud_alert", Channel.IN_APP, "en")
    assert mirror["action_url"] == CATALOGUE.sample_links()["agent"]
    without = CATALOGUE.preview("fraud_alert", Channel.IN_APP, "en", links={})
    assert without["action_url"] == "https://larkfield.example"


@pytest.mark.parametrize("locale", sorted(FIVE))
def test_the_denial_is_confirmed_with_the_promised_date_and_the_advice_of_sc05(locale):
    for channel in CATALOGUE["fraud_confirmed"].channels:
        text = "".join(CATALOGUE.preview("fraud_confirmed", channel, locale).values())
        assert "2023" in text
        assert "11" in text
    if locale == "en":
        email = CATALOGUE.preview("fraud_confirmed", Channel.EMAIL, "en")["text"]
        assert "suspended your card" in email
        assert "11 May 2023" in email
        assert "other payments that you did not authorise" in email
        assert "Open our app yourself and ask us there" in email


BARE = [
    (name, channel)
    for name in ("order_confirmation", "purchase_thanks", "early_bird")
    for channel in sorted(CATALOGUE[name].channels)
]


@pytest.mark.parametrize(("name", "channel"), BARE)
def test_an_order_of_which_only_the_number_is_known_reads_well(name, channel):
    """No total, no items, no product: nothing stands empty, and every sentence is whole."""
    nothing = {"total": None, "items": [], "product": None}
    facts = {fact: nothing[fact] for fact in nothing if fact in CATALOGUE[name].facts}
    for part, text in CATALOGUE.preview(name, channel, "en", facts=facts, customer={}).items():
        if part != "html":
            assert not re.search(
                r"[^\n] {2,}|\n{3,}| [,.:?](\s|$)|\.\.|None|Total|the (has|is|for|was)\b|£", text
            ), text
            assert not re.search(r"\.[A-Z]|:-", text), text
        else:
            assert "Total" not in text
            assert "<li>" not in text


def test_the_lists_of_a_confirmation_stand_on_lines_of_their_own():
    for channel, part in ((Channel.IN_APP, "body"), (Channel.EMAIL, "text")):
        lines = CATALOGUE.preview("order_confirmation", channel, "en")[part].splitlines()
        assert "- 1 x Walnut serving board" in lines


ASKING = [
    (name, locale)
    for name in ("pickup_csat", "purchase_thanks")
    for locale in sorted(CATALOGUE[name].locales[Channel.EMAIL])
]


@pytest.mark.parametrize(("name", "locale"), ASKING)
def test_an_email_that_asks_for_a_number_has_the_link_to_give_it_by(name, locale):
    """R-48: a reply to the email reaches nobody, so it is not asked for."""
    email = CATALOGUE.preview(name, Channel.EMAIL, locale)
    link = CATALOGUE.sample_links()["answer"]
    assert f'href="{link}"' in email["html"]
    assert link in email["text"]
    assert not re.search("reply|отв.*на это письмо|回复|回覆|ตอบกลับ", email["text"].lower())


def test_one_promotion_is_the_same_on_every_channel():
    """SC-08: the same code, percentage and expiry by email and in-app."""
    for channel in (Channel.EMAIL, Channel.IN_APP):
        text = "".join(CATALOGUE.preview("purchase_offer", channel, "en").values())
        for fact in ("LARK15", "15%", "31 May 2023"):
            assert fact in text


def test_early_access_carries_the_personal_chat_link_on_every_channel():
    for channel in CATALOGUE["early_bird"].channels:
        text = "".join(CATALOGUE.preview("early_bird", channel, "en").values())
        assert CATALOGUE.sample_links()["agent"] in text


@pytest.mark.parametrize("name", ["spring_promotion", "win_back", "win_back_plain"])
def test_a_campaigns_promotion_is_the_same_on_every_channel(name):
    """SC-08, R-40: one code, percentage and expiry, and the same personal fact."""
    code = CATALOGUE[name].facts["code"].sample
    personal = "Walnut serving board" if name == "spring_promotion" else "14 Aug 2022"
    for channel in CATALOGUE[name].channels:
        text = "".join(CATALOGUE.preview(name, channel, "en").values())
        for fact in (code, "15%", "31 May 2023", personal):
            assert fact in text


OPTIONAL = [
    (name, channel, locale)
    for name, channel, locale in VARIANTS
    if name in (*FAULTS, "spring_promotion", "win_back", "win_back_plain", "cart_reminder")
]


@pytest.mark.parametrize(("name", "channel", "locale"), OPTIONAL)
def test_what_may_be_missing_leaves_no_gap(name, channel, locale):
    """Nobody knows how long a fault takes, what was last bought or asked: it still reads well."""
    nothing = {fact.name: None for fact in CATALOGUE[name].facts.values() if not fact.required}
    said = CATALOGUE.preview(name, channel, locale, facts=nothing, customer={})
    for part, text in said.items():
        if part != "html":
            assert not re.search(r"[^\n] {2,}|\n{3,}| [,.:?](\s|$)|\.\.|None|\"\"", text), text
        assert "Undefined" not in text


def test_an_honest_notice_says_when_it_knows_and_says_when_it_does_not():
    """SC-30: the earlier and the more honest."""
    for channel in CATALOGUE["service_notice"].channels:
        known = "".join(CATALOGUE.preview("service_notice", channel, "en").values())
        assert "4 May 2023, 5:30 pm" in known
        facts = {"expected_by": None}
        unknown = "".join(CATALOGUE.preview("service_notice", channel, "en", facts=facts).values())
        assert "We do not know yet how long it will take" in unknown


def test_a_reminder_of_a_cart_holds_the_cart_and_the_open_question_on_every_channel():
    """SC-01: who comes back to the shop need not explain anything again."""
    for channel in CATALOGUE["cart_reminder"].channels:
        text = "".join(CATALOGUE.preview("cart_reminder", channel, "en").values())
        for fact in ("Harbour trainers", "£89.00", "£94.50", "Do the trainers run small?"):
            assert fact in text
        assert CATALOGUE.sample_links()["agent"] in text


def test_a_text_about_a_full_cart_names_its_first_item_and_counts_the_others():
    items = [{"name": f"Plate number {n}", "quantity": n} for n in range(1, 31)]
    facts = {"items": items, "question": "x" * 300}
    text = CATALOGUE.preview("cart_reminder", Channel.SMS, "en", facts=facts)["text"]
    assert "1 x Plate number 1 and 29 more" in text
    assert sms_segments(text)[2] <= CATALOGUE["cart_reminder"].sms_segments


def test_a_personal_link_of_a_sample_is_as_long_as_a_real_one():
    """Else the linter and the plan would count too few segments."""
    at = datetime(2026, 3, 2, tzinfo=UTC)
    links = Links(base_url=CATALOGUE.brand["website"], secrets=("a secret of the tests",))
    real = links.url("agent", now=at, c=new_id(), m=new_id())
    assert len(CATALOGUE.sample_links()["agent"]) == len(real)


def test_every_message_can_be_written_to_somebody_of_whom_only_the_facts_are_known():
    for name, channel, locale in VARIANTS:
        links = {k: v for k, v in CATALOGUE.sample_links().items() if k != "home"}
        text = CATALOGUE.preview(name, channel, locale, customer={}, links=links)
        assert "Ann" not in " ".join(text.values())


def test_marketing_says_how_to_leave_and_who_writes():
    for name, channel, locale in VARIANTS:
        if CATALOGUE[name].purpose is Purpose.MARKETING and channel is Channel.EMAIL:
            text = CATALOGUE.preview(name, channel, locale)["text"]
            assert CATALOGUE.brand["postal_address"] in text
            assert CATALOGUE.sample_links()["unsubscribe"] in text
