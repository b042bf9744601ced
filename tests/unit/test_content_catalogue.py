"""A message folder is read whole: every problem with its file, line and remedy; good ones stay."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.content import Catalogue, ContentError, lint
from signalpost.domain.vocabulary import Channel, Purpose

TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.fixture
def project(tmp_path):
    """A templates folder with the brand, the layouts and two of the shipped messages."""
    folder = tmp_path / "templates"
    for name in ("_layout", "pickup_ready", "early_bird"):
        shutil.copytree(TEMPLATES / name, folder / name)
    shutil.copy(TEMPLATES / "brand.toml", folder)
    return folder


def found(project):
    """Return the problems as (file, line, rule, words)."""
    problems = Catalogue.load(project, broken="collect").problems
    assert all(p.says and p.remedy for p in problems)
    return [(p.file, p.line, p.rule, p.says) for p in problems]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_a_folder_declares_its_purpose_facts_windows_and_question():
    catalogue = Catalogue.load(TEMPLATES)
    csat = catalogue["pickup_csat"]
    assert csat.purpose is Purpose.TRANSACTIONAL
    assert csat.repeat_window == timedelta(days=7)
    assert csat.expires_after == timedelta(days=3)
    assert csat.quiet_hours
    assert csat.question is not None
    assert (csat.question.kind, csat.question.low, csat.question.high) == ("scale", 1, 5)
    assert csat.channels == {Channel.SMS, Channel.EMAIL}
    assert csat.locales[Channel.SMS] == {"en", "zh-Hant", "zh-Hans", "ru", "th"}
    assert catalogue["early_bird"].quiet_hours
    assert not catalogue["fraud_alert"].quiet_hours
    assert catalogue["fraud_alert"].sender == "security"
    assert len(csat.version) == 16


def test_a_broken_folder_does_not_hide_the_good_ones(project):
    (project / "early_bird" / "message.toml").write_text("purpose = ")
    catalogue = Catalogue.load(project, broken="collect")
    assert catalogue.names() == ["pickup_ready"]
    assert catalogue.preview("pickup_ready", Channel.SMS, "en")
    assert [(p.file, p.line, p.rule) for p in catalogue.problems] == [
        ("templates/early_bird/message.toml", 1, "syntax")
    ]


def test_every_problem_is_listed_not_only_the_first(project):
    edit(project / "early_bird" / "sms.txt", "{{ code }}", "{{ kode }}")
    edit(project / "pickup_ready" / "in_app.toml", "{{ store }}", "{{ store }")
    with pytest.raises(ContentError) as caught:
        Catalogue.load(project)
    assert "early_bird/sms.txt:1" in str(caught.value)
    assert "pickup_ready/in_app.toml:3" in str(caught.value)
    assert len(caught.value.problems) == 2


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ContentError, match="no templates folder"):
        Catalogue.load(tmp_path / "nowhere", broken="collect")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('purpose = "marketing"', 'purpose = "spam"', 2, "cannot be 'spam'"),
        ('purpose = "marketing"', 'purpos = "marketing"', 2, "'purpos' is not a key"),
        ('topic = "offers"', "topic = 5", 3, "'topic' is not text"),
        ('repeat_window = "14d"', 'repeat_window = "fortnight"', 4, "not a length of time"),
        ("sms_segments = 3", "sms_segments = 99", 5, "not between 1 and 10"),
        ("sms_segments = 3", "quiet_hours = false", 5, "always respects quiet hours"),
        ("sms_segments = 3", 'sender = "boss"', 5, "no sender stream 'boss'"),
        ('type = "text"', 'type = "string"', 16, "no known type"),
        ('type = "text"', 'type = "money"', 16, "no sample, or one that is no money"),
        ('type = "text"', 'type = "text"\nlow = 1', 16, "has bounds and is no integer"),
        ('type = "text"', 'type = "integer"\nlow = "1"', 18, "'low' is not a whole number"),
        ('type = "text"', 'type = "integer"\nlow = 2\nhigh = 1', 16, "its low above its high"),
        ("[facts.product]", "[facts.customer]", 16, "cannot be the name of a fact"),
        ("[facts.product]", "[facts.product]\nrequird = true", 17, "'requird' is not a key"),
        ("sms_segments = 3", 'question = { kind = "essay" }', 1, "neither a confirm nor a scale"),
    ],
)
def test_a_mistake_in_message_toml_is_found_at_its_line(project, old, new, line, words):
    edit(project / "early_bird" / "message.toml", old, new)
    hits = [f for f in found(project) if words in f[3]]
    assert [(f[0], f[1]) for f in hits] == [("templates/early_bird/message.toml", line)]


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("Hi {{ kode }}", 1, "'kode' is not a declared fact"),
        ("Hi\n{{ customer.shoe_size }}", 2, "customer.shoe_size is not known"),
        ("Hi {{ code|safe }}", 1, "unescaped"),
        ("Hi {{ code|shout }}", 1, "no filter 'shout'"),
        ("Hi {% if code is prime %}{% endif %}", 1, "no test 'prime'"),
        ("Hi\n\n{{ code", 3, "unexpected end of template"),
        ("{% set x = 1 %}", 1, "the tag 'assign' is not allowed"),
        ("{% macro m() %}{% endmacro %}", 1, "the tag 'macro' is not allowed"),
        ("{% import 'x' as y %}", 1, "the tag 'import' is not allowed"),
        ("{% autoescape false %}{{ code }}{% endautoescape %}", 1, "escaping must not be switched"),
        ("{{ code.upper() }}", 1, "calls are not allowed"),
        ("{{ code.__class__ }}", 1, "names that start with _"),
        ("{{ 'x' * 1000000000 }}", 1, "no sums"),
        ("{{ 9 ** 9 ** 9 }}", 1, "no sums"),
        ("{{ '%999999999d' % 1 }}", 1, "no sums"),
        ("{% include 'other/secret.txt' %}", 1, "not a file of the templates folder"),
        ("{% include '../../../etc/passwd' %}", 1, "not a file of the templates folder"),
        ("{% include 'a\x00b.txt' %}", 1, "not a file of the templates folder"),
        ("{% include code %}", 1, "need a fixed file name"),
        (
            "{% if code %}{% include '_layout/service_footer.txt' %}{% endif %}",
            1,
            "inside if or for",
        ),
        ("{{ " + "(" * 3000 + ")" * 3000 + " }}", 1, "nested too deep"),
        (
            "{% for a in code %}{% for b in code %}{% for c in code %}" + "{% endfor %}" * 3,
            1,
            "more than two deep",
        ),
    ],
)
def test_what_a_template_may_not_do_is_found_at_its_line(project, body, line, words):
    (project / "early_bird" / "sms.txt").write_text(body)
    hits = [f for f in found(project) if words in f[3]]
    assert [(f[0], f[1]) for f in hits] == [("templates/early_bird/sms.txt", line)]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (
            "<mj-text>",
            "{% if code %}<mj-text>x</mj-text>{% endif %}\n<mj-text>",
            4,
            "MJML elements",
        ),
        ("<mj-text>", "{% if code %}x{% endif %}\n<mj-text>", 4, "stands directly in <mj-column>"),
        ("<mj-text>", "{{ code }}\n<mj-text>", 4, "stands directly in <mj-column>"),
        ("<mj-text>", "<mj-txt>hi</mj-txt>\n<mj-text>", 4, "<mj-txt> is no MJML element"),
        ("</mj-text>", "<b></mj-text>", 1, "does not parse"),
        ("<mj-text>", "<mj-text>qz00000zq", 1, "stands for slots"),
        ("<mj-text>", "<mj-text><style>p { color: {{ code }} }</style>", 4, "a style holds"),
    ],
)
def test_what_mjml_cannot_carry_is_found_at_its_line(project, old, new, line, words):
    edit(project / "early_bird" / "email" / "body.mjml", old, new)
    hits = [f for f in found(project) if words in f[3]]
    assert [(f[0], f[1]) for f in hits] == [("templates/early_bird/email/body.mjml", line)]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("sms.html", "no place in a message folder"),
        ("email/body.html", "no place in a message folder"),
        ("sms.Klingon-!.txt", "no place in a message folder"),
        ("whatsapp.ru.txt", "whatsapp is not written in en"),
        ("email/subject.ru.txt", "email in ru has no body.mjml"),
    ],
)
def test_a_file_without_a_place_or_without_its_fellows_is_named(project, file, words):
    (project / "early_bird" / file).write_text("Hello")
    assert any(words in f[3] for f in found(project))


def test_files_that_are_no_text_are_named(project):
    (project / "early_bird" / "sms.txt").write_bytes(b"\xff\xfe\x00")
    (project / "pickup_ready" / "sms.txt").write_text("x" * 300_000)
    says = {f[0]: f[3] for f in found(project)}
    assert says["templates/early_bird/sms.txt"] == "the file is not UTF-8"
    assert "longer than" in says["templates/pickup_ready/sms.txt"]


def test_a_subject_or_label_stays_on_one_line(project):
    (project / "early_bird" / "email" / "subject.txt").write_text("One\nTwo")
    assert any("more than one line" in f[3] for f in found(project))


def test_in_app_needs_a_title_a_body_and_a_whole_action(project):
    (project / "early_bird" / "in_app.toml").write_text('title = "T"\naction_label = "Go"\nx = 1\n')
    says = " ".join(f[3] for f in found(project))
    assert "'body' is missing" in says
    assert "both action_label and action_url" in says
    assert "'x' is not a part" in says


def test_a_translated_layout_is_used_where_there_is_one(project):
    (project / "_layout" / "marketing_footer.ru.txt").write_text(
        "-- по-русски {{ links.unsubscribe }}"
    )
    for name in ("subject.txt", "body.mjml", "body.txt"):
        stem, _, ending = name.partition(".")
        email = project / "early_bird" / "email"
        shutil.copy(email / name, email / f"{stem}.ru.{ending}")
    catalogue = Catalogue.load(project)
    assert "по-русски" in catalogue.preview("early_bird", Channel.EMAIL, "ru")["text"]
    assert "по-русски" not in catalogue.preview("early_bird", Channel.EMAIL, "en")["text"]


BITS = (
    "{{ }} {% %} {# #} if for in endif endfor code |default ( ) [ ] ' \" . \n \0 1 <mj-text> "
    "</mj-text> < > é \u202e include extends block set * safe {%raw%} loop( _x -%} = <!-- --> is not"
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    words=st.lists(st.sampled_from(BITS.split(" ")), max_size=12),
    file=st.sampled_from(["sms.txt", "in_app.toml", "email/body.mjml"]),
)
def test_no_nonsense_in_a_file_breaks_the_loading_of_the_others(tmp_path_factory, words, file):
    folder = tmp_path_factory.mktemp("nonsense") / "templates"
    for name in ("_layout", "pickup_ready", "early_bird"):
        shutil.copytree(TEMPLATES / name, folder / name)
    shutil.copy(TEMPLATES / "brand.toml", folder)
    (folder / "early_bird" / file).write_text(" ".join(words), "utf-8")
    catalogue = Catalogue.load(folder, broken="collect")
    assert "pickup_ready" in catalogue.names()
    lint(catalogue)
