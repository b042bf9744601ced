"""From facts to texts: one context a person, slots, and nobody else's message when one breaks."""

import json
import time
from pathlib import Path

import pytest
from jinja2.exceptions import SecurityError

from signalpost.content import Catalogue, MissingFact, RenderFailed, Slot, Variant, fill, to_gsm
from signalpost.content.engine import HTML, TEXT
from signalpost.domain.vocabulary import Channel
from signalpost.errors import ConfigurationError, NotFoundError

TEMPLATES = Path(__file__).parents[2] / "templates"
FACTS = {
    "merchant": "XYZ store",
    "amount": {"amount": "1000.00", "currency": "USD"},
    "occurred_at": "2023-05-04T06:30:00+00:00",
    "answer_code": "4821",
}


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load(TEMPLATES)


def context(catalogue, name="fraud_alert", facts=FACTS, locale="en", **given):
    about = {
        "customer": {},
        "brand": {},
        "links": catalogue.sample_links(),
        "zone": "Asia/Hong_Kong",
    }
    return catalogue.context(name, facts=facts, locale=locale, **{**about, **given})


def small(tmp_path: Path, body: str, toml: str = "", name: str = "sms.txt") -> Catalogue:
    """Return a catalogue of one message with one body."""
    (tmp_path / "brand.toml").write_text(
        'name = "B"\nwebsite = "https://b.example"\npostal_address = "1 Road"\n'
        'domains = ["b.example"]\n'
    )
    folder = tmp_path / "m"
    folder.mkdir()
    declared = 'purpose = "transactional"\ntopic = "t"\n' + toml
    (folder / "message.toml").write_text(declared)
    (folder / name).write_text(body, "utf-8")
    return Catalogue.load(tmp_path)


def shown(catalogue: Catalogue, facts=None, customer=None) -> str:
    variant = catalogue.variant("m", Channel.SMS, "en")
    given = context(catalogue, "m", facts or {}, customer=customer or {})
    return variant.render(given)["text"]


def test_only_slots_are_rendered_and_filling_gives_the_full_text(catalogue):
    variant = catalogue.variant("fraud_alert", Channel.SMS, "en")
    slots = variant.slots(context(catalogue))
    assert sorted(slots.values()) == ["4 May 2023", "4821", "Larkfield", "US$1,000.00", "XYZ store"]
    assert fill(variant.parts, slots)["text"] == (
        "Dear customer, was US$1,000.00 at XYZ store on 4 May 2023 you? Reply OK 4821 if yes, "
        "NO 4821 if not, or open the Larkfield app."
    )


def test_the_same_expression_shares_a_slot_within_html_and_within_text(catalogue):
    variant = catalogue.variant("fraud_alert", Channel.EMAIL, "en")
    html = [p.name for p in variant.parts["html"] if isinstance(p, Slot)]
    assert len(html) > len(set(html))
    assert not set(html) & {p.name for p in variant.parts["text"] if isinstance(p, Slot)}


def test_a_variant_kept_as_json_reads_back_the_text_as_sent(catalogue):
    variant = catalogue.variant("fraud_alert", Channel.EMAIL, "zh-Hant")
    slots = variant.slots(context(catalogue, locale="zh-Hant"))
    kept = json.loads(json.dumps(variant.to_json()))
    again = Variant.from_json(kept)
    assert fill(again.parts, slots) == fill(kept["parts"], slots) == fill(variant.parts, slots)
    assert again.id == variant.id
    assert "XYZ" not in json.dumps(kept)
    with pytest.raises(ConfigurationError):
        again.slots({})


def test_ids_and_versions_are_stable_over_loads_and_change_with_the_words(tmp_path):
    first, again = Catalogue.load(TEMPLATES), Catalogue.load(TEMPLATES)
    for name in first.names():
        assert first[name].version == again[name].version
        for channel in first[name].channels:
            assert first.variant(name, channel, "en").id == again.variant(name, channel, "en").id
    one = small(tmp_path, "Hello")
    (tmp_path / "m" / "sms.txt").write_text("Hello!")
    two = Catalogue.load(tmp_path)
    assert one["m"].version != two["m"].version
    assert one.variant("m", Channel.SMS, "en").id != two.variant("m", Channel.SMS, "en").id


@pytest.mark.parametrize(
    ("asked", "got"),
    [("zh-TW", "zh-Hant"), ("zh_CN", "zh-Hans"), ("ru-RU", "ru"), ("fr", "en"), ("%%%", "en")],
)
def test_the_nearest_locale_is_used(catalogue, asked, got):
    assert catalogue.variant("fraud_alert", Channel.SMS, asked).locale == got


def test_values_are_written_in_the_language_of_the_text_around_them(catalogue):
    """A French customer of an English-only message reads English dates in an English text."""
    text = catalogue.preview("fraud_alert", Channel.SMS, "fr")["text"]
    assert "US$1,000.00" in text
    assert "4 May 2023" in text


def test_unknown_messages_and_channels_are_named(catalogue):
    with pytest.raises(NotFoundError, match="no message 'nope'"):
        catalogue["nope"]
    with pytest.raises(NotFoundError, match="not written for whatsapp"):
        catalogue.variant("fraud_alert", Channel.WHATSAPP, "en")


@pytest.mark.parametrize("fact", sorted(FACTS))
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_required_fact_stops_that_message_and_is_named(catalogue, fact, value):
    with pytest.raises(MissingFact) as caught:
        context(catalogue, facts={**FACTS, fact: value})
    assert caught.value.reason == f"missing_fact:{fact}"


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("amount", "1000"),
        ("amount", {"amount": "lots", "currency": "USD"}),
        ("amount", {"amount": "NaN", "currency": "USD"}),
        ("amount", {"amount": "1e400", "currency": "USD"}),
        ("amount", {"amount": True, "currency": "USD"}),
        ("amount", {"amount": "1", "currency": "dollars"}),
        ("amount", {"amount": "1", "currency": None}),
        ("amount", {"amount": "1"}),
        ("amount", []),
        ("occurred_at", "2023-05-04T06:30:00"),
        ("occurred_at", "yesterday"),
        ("occurred_at", 1683181800),
        ("merchant", {"name": "X"}),
        ("merchant", "x" * 501),
        ("merchant", "\x00\u202e"),
        ("answer_code", "48 21"),
        ("answer_code", "<b>"),
    ],
)
def test_a_fact_of_the_wrong_type_is_refused_without_showing_its_value(catalogue, fact, value):
    with pytest.raises(MissingFact) as caught:
        context(catalogue, facts={**FACTS, fact: value})
    assert caught.value.reason == f"bad_fact:{fact}"
    assert str(value) not in str(caught.value).replace(caught.value.expected, "")
    assert "such as" in caught.value.expected, "the form it has to have, by the folder's own sample"
    assert caught.value.expected in str(caught.value)


@pytest.mark.parametrize("amount", ["1000.00", 1000, 1000.0])
def test_amounts_may_come_as_text_or_numbers(catalogue, amount):
    facts = {**FACTS, "amount": {"amount": amount, "currency": "USD"}}
    text = catalogue.variant("fraud_alert", Channel.SMS, "en").render(
        context(catalogue, facts=facts)
    )
    assert "US$1,000.00" in text["text"]


HOSTILE = [
    "{{7*7}}",
    "{% for x in range(10**9) %}",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "Ann\r\nBcc: evil@evil.example",
    "\u202egnihsihp",
    "{{slot}} -s0- s0",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("channel", [Channel.EMAIL, Channel.SMS, Channel.IN_APP])
def test_hostile_values_come_out_inert(catalogue, value, channel):
    facts = {"order_id": "A-1", "product": value}
    given = context(catalogue, "purchase_thanks", facts, customer={"first_name": value})
    text = catalogue.variant("purchase_thanks", channel, "en").render(given)
    whole = "".join(text.values())
    assert "49" not in whole
    assert not set(whole) & set("\r\u202e\x00")
    assert not any("\n" in text.get(part, "") for part in ("subject", "title", "action_label"))
    assert "<script" not in text.get("html", "")
    assert "<img src=x" not in text.get("html", "")


def test_text_parts_are_not_escaped_and_html_is(catalogue):
    facts = {**FACTS, "merchant": "Marks & Spencer <London>"}
    text = catalogue.variant("fraud_alert", Channel.EMAIL, "en").render(
        context(catalogue, facts=facts)
    )
    assert "Marks & Spencer <London>" in text["text"]
    assert "Marks &amp; Spencer &lt;London&gt;" in text["html"]
    assert "Marks & Spencer <London>" in text["subject"]


def test_a_merchant_called_like_a_link_is_no_link_in_a_security_message(catalogue):
    facts = {**FACTS, "merchant": "https://evil.example/login"}
    text = catalogue.variant("fraud_alert", Channel.SMS, "en").render(
        context(catalogue, facts=facts)
    )
    assert "://" not in text["text"]
    assert "evil dot example/login" in text["text"]


def test_smart_quotes_in_a_value_do_not_double_the_price_of_an_sms(catalogue):
    facts = {**FACTS, "merchant": "Joe’s “Diner”"}
    text = catalogue.variant("fraud_alert", Channel.SMS, "en").render(
        context(catalogue, facts=facts)
    )
    assert 'Joe\'s "Diner"' in text["text"]


def test_a_name_that_is_an_advertisement_is_left_out(catalogue):
    given = context(
        catalogue,
        "pickup_ready",
        {"order_id": "A-1", "store": "S"},
        customer={"first_name": "WIN at www.evil.example"},
    )
    text = catalogue.variant("pickup_ready", Channel.EMAIL, "en").render(given)["text"]
    assert "evil" not in text
    assert "Hello there," in text


def test_an_optional_fact_may_be_absent_and_is_false_in_a_condition(tmp_path):
    toml = '[facts.hours]\ntype = "text"\nrequired = false\nsample = "9-5"\n'
    made = small(tmp_path, "Ready.{% if hours %} Open {{ hours }}.{% endif %}", toml)
    assert shown(made) == "Ready."
    assert shown(made, {"hours": "9-17"}) == "Ready. Open 9-17."


def test_an_absent_value_that_is_shown_names_itself(tmp_path):
    made = small(tmp_path, "Hi {{ customer.first_name }}")
    with pytest.raises(MissingFact) as caught:
        shown(made)
    assert caught.value.reason == "missing_fact:first_name"


def test_a_template_that_breaks_on_one_persons_values_says_where_and_not_what(tmp_path):
    toml = '[facts.n]\ntype = "text"\nsample = "5"\n'
    made = small(tmp_path, "One\n{% if n > 3 %}many{% endif %}", toml)
    with pytest.raises(RenderFailed) as caught:
        shown(made, {"n": "secret"})
    assert caught.value.reason == "render_failed"
    assert "/m/sms.txt:2" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    ["{% for i in range(1000000000) %}x{% endfor %}", "{% for i in range(101) %}x{% endfor %}"],
)
def test_an_endless_loop_ends_at_once(tmp_path, body):
    made = small(tmp_path, body)
    started = time.process_time()
    with pytest.raises(RenderFailed):
        shown(made)
    assert time.process_time() - started < 1


def test_output_is_bounded(tmp_path):
    toml = '[facts.rows]\ntype = "list"\nsample = ["a"]\n'
    body = "{% for a in rows %}{% for b in rows %}" + "x" * 500 + "{% endfor %}{% endfor %}"
    made = small(tmp_path, body, toml)
    with pytest.raises(RenderFailed):
        shown(made, {"rows": ["a"] * 500})


def test_lists_write_their_money_and_skip_what_is_empty(tmp_path):
    toml = '[facts.rows]\ntype = "list"\nsample = ["a"]\n'
    body = "{% for r in rows %}{{ r.name }} {{ r.price }} {{ r.size|default('-') }};{% endfor %}"
    rows = [{"name": "Tea", "price": {"amount": 3.5, "currency": "GBP"}, "size": ""}]
    assert shown(small(tmp_path, body, toml), {"rows": rows}) == "Tea £3.50 -;"


def test_a_link_in_a_fact_leads_to_the_brand_or_nowhere(tmp_path):
    toml = '[facts.page]\ntype = "url"\nsample = "https://b.example/x"\n'
    made = small(tmp_path, "See {{ page }}", toml)
    assert shown(made, {"page": "https://shop.b.example/y"}) == "See https://shop.b.example/y"
    for bad in (
        "http://b.example",
        "https://evil.example",
        "https://b.example@evil.example/",
        "javascript:x",
    ):
        with pytest.raises(MissingFact):
            shown(made, {"page": bad})


@pytest.mark.parametrize("bad", ["\u202egpj.exe", "\x1b[2J", "a b", "<b>", "&x"])
def test_a_link_that_would_have_to_be_cleaned_is_none(tmp_path, bad):
    """Links are the one thing that templates show as it is."""
    made = small(tmp_path, "See {{ links.home }}")
    given = context(made, "m", {}, links={"home": f"https://b.example/{bad}"})
    with pytest.raises(MissingFact):
        made.variant("m", Channel.SMS, "en").render(given)


def test_preview_is_the_same_text_as_a_send_of_the_sample_facts(catalogue):
    spec = catalogue["fraud_alert"]
    facts = {name: fact.sample for name, fact in spec.facts.items()}
    for channel in spec.channels:
        given = context(catalogue, facts=facts, customer={"first_name": "Ann"}, zone=None)
        sent = catalogue.variant("fraud_alert", channel, "en").render(given)
        assert catalogue.preview("fraud_alert", channel, "en") == sent


def test_rendering_a_typical_email_takes_under_a_fifth_of_a_millisecond(catalogue):
    """The budget is 0.1 ms on a quiet machine; the bound here leaves room for a noisy one."""
    variant = catalogue.variant("early_bird", Channel.EMAIL, "en")
    facts = {n: f.sample for n, f in catalogue["early_bird"].facts.items()}
    given = context(catalogue, "early_bird", facts)
    variant.slots(given)
    started = time.process_time()
    for _ in range(500):
        variant.slots(given)
    assert (time.process_time() - started) / 500 < 0.0002


def test_a_product_with_an_endless_description_does_not_stop_the_confirmation(catalogue):
    items = [
        {"name": "Tea", "quantity": 2, "text": "x" * 9000, "price": float("nan"), "size": None}
    ]
    sample = {n: f.sample for n, f in catalogue["order_confirmation"].facts.items()}
    facts = {**sample, "items": items}
    text = catalogue.preview("order_confirmation", Channel.EMAIL, facts=facts)["text"]
    assert "- 2 x Tea" in text


def test_slots_and_static_text_give_what_jinja_gives_for_the_whole(catalogue):
    """Two ways to one text: our pieces, and the template rendered in one go."""
    for name in catalogue.names():
        for path in sorted((TEMPLATES / name).glob("sms*.txt")):
            locale = path.name[len("sms.") : -len(".txt")] or "en"
            facts = {n: f.sample for n, f in catalogue[name].facts.items()}
            given = context(catalogue, name, facts, locale=locale, customer={"first_name": "Ann"})
            whole = TEXT.from_string(path.read_text("utf-8")).render(given).strip()
            pieces = catalogue.variant(name, Channel.SMS, locale).render(given)["text"]
            assert pieces in (whole, to_gsm(whole))


def test_a_warm_catalogue_has_rendered_everything(catalogue):
    catalogue.warm()
    started = time.process_time()
    catalogue.preview("fraud_alert", Channel.SMS, "th")
    assert time.process_time() - started < 0.05


@pytest.mark.parametrize("env", [TEXT, HTML])
@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ range.__globals__ }}",
        "{{ rows.append(1) }}",
    ],
)
def test_what_gets_past_the_check_of_templates_is_stopped_when_it_runs(env, attack):
    """Two walls: the linter refuses these in a file, and the sandbox refuses to run them."""
    with pytest.raises((MissingFact, SecurityError)):
        env.from_string(attack).render(rows=[])
