"""Each rule of ``signalpost lint`` catches a broken folder, and says file, line and remedy."""

import shutil
from pathlib import Path

import pytest

from signalpost.content import Catalogue, lint, words

TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.fixture
def project(tmp_path):
    """An empty templates folder with the brand and the layouts; ``add`` puts messages into it."""
    folder = tmp_path / "templates"
    shutil.copytree(TEMPLATES / "_layout", folder / "_layout")
    shutil.copy(TEMPLATES / "brand.toml", folder)
    return folder


def add(project, *names):
    for name in names:
        if not (project / name).exists():
            shutil.copytree(TEMPLATES / name, project / name)


def check(project):
    problems = lint(Catalogue.load(project, broken="collect"))
    assert all(p.remedy and p.line >= 1 for p in problems)
    return problems


def edit(path: Path, old: str, new: str) -> None:
    add(path.parents[1] if path.parent.name != "email" else path.parents[2], *_message(path))
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def _message(path: Path) -> list[str]:
    name = path.parent.name if path.parent.name != "email" else path.parents[1].name
    return [] if name.startswith("_") else [name]


def test_a_clean_folder_has_no_problems(project):
    add(project, "fraud_alert", "early_bird", "pickup_ready")
    assert check(project) == []


CASES = [
    # rule, file, what is replaced, by what, line where it is found
    ("facts", "fraud_alert/sms.txt", "{{ amount }}", "a payment", 1),
    ("facts", "fraud_alert/sms.th.txt", "{{ amount }}", "-", 1),
    ("facts", "fraud_alert/in_app.toml", "{{ merchant }}", "a shop", 1),
    ("facts", "fraud_alert/email/body.mjml", "{{ merchant }}", "a shop", 1),
    ("facts", "fraud_alert/email/body.txt", "{{ occurred_at }}", "lately", 1),
    (
        "facts-differ",
        "pickup_ready/sms.txt",
        "{% if opening_hours %} Open {{ opening_hours }}.{% endif %}",
        "",
        1,
    ),
    (
        "facts-differ",
        "early_bird/email/body.txt",
        "Your early access",
        "5% off. Your early access",
        6,
    ),
    ("facts-differ", "pickup_ready/email/body.txt", "Please", "Before 1 May 2024, please", 11),
    ("facts-differ", "pickup_ready/in_app.toml", "Please", "It costs £5. Please", 3),
    ("answer", "pickup_csat/email/body.txt", "{{ links.answer }}", "reply to this email", 1),
    ("answer", "pickup_csat/email/body.ru.mjml", "{{ links.answer }}", "{{ links.home }}", 1),
    ("answer", "fraud_alert/in_app.toml", "OK {{", "{{ links.answer }} OK {{", 9),
    ("sms-length", "pickup_ready/sms.txt", "Please", "Please " * 40, 1),
    ("sms-length", "fraud_alert/sms.txt", "Dear customer", "Dear customer" + " of ours" * 6, 1),
    ("sms-length", "fraud_alert/sms.txt", "Dear customer", "Dear ♥ customer", 1),
    ("security", "fraud_alert/sms.txt", "or open", "see {{ links.agent }} or open", 1),
    ("security", "fraud_alert/sms.txt", "or open", "see larkfield.example/x or open", 1),
    ("security", "fraud_alert/sms.txt", "or open", "call {{ brand.support_phone }} or open", 1),
    ("security", "fraud_alert/sms.txt", "or open", "call us at +44 20 7946 0018 or open", 1),
    ("security", "fraud_alert/sms.txt", "Reply", "Reply immediately", 1),
    ("security", "fraud_alert/sms.ru.txt", "ответьте", "срочно ответьте", 1),
    ("security", "fraud_alert/sms.zh-Hant.txt", "請回覆", "請立即回覆", 1),
    ("security", "fraud_alert/sms.th.txt", "ตอบ OK", "ตอบทันที OK", 1),
    ("security", "fraud_alert/sms.txt", "or open", "get a free gift or open", 1),
    ("security", "fraud_alert/sms.txt", "if yes", "or YES if yes", 1),
    (
        "security",
        "fraud_alert/email/body.mjml",
        "<p>Please open",
        '<p><a href="{{ links.agent }}">Here</a> Please open',
        24,
    ),
    ("security", "fraud_alert/email/body.txt", "Please open", "{{ links.agent }} Please open", 14),
    ("answer", "fraud_alert/sms.ru.txt", "NO {{", "НЕТ {{", 1),
    ("secrets", "fraud_alert/sms.txt", "Reply OK", "Reply with your card number and OK", 1),
    ("secrets", "fraud_alert/in_app.toml", "We noticed", "Enter your PIN. We noticed", 3),
    ("secrets", "fraud_alert/email/body.txt", "Dear", "Send us the one-time\npassword. Dear", 2),
    ("secrets", "fraud_alert/email/body.zh-Hant.txt", "我們發現", "請提供您的卡號。我們發現", 3),
    ("secrets", "fraud_alert/email/body.zh-Hans.txt", "我们发现", "请输入密码。我们发现", 3),
    (
        "secrets",
        "fraud_alert/email/body.ru.txt",
        "Мы заметили",
        "Сообщите номер карты. Мы заметили",
        3,
    ),
    ("secrets", "fraud_alert/email/body.th.txt", "เราพบ", "โปรดแจ้งรหัสผ่าน\n\nเราพบ", 3),
    (
        "secrets",
        "_layout/service_footer.txt",
        "You receive",
        "Confirm your password. You receive",
        2,
    ),
    ("links", "early_bird/sms.txt", "{{ links.agent }}", "https://bit.ly/x", 1),
    ("links", "early_bird/sms.txt", "{{ links.agent }}", "tinyurl.com/x", 1),
    ("links", "early_bird/email/body.txt", "Chat with", "https://evil.example/ Chat with", 10),
    ("links", "early_bird/email/body.txt", "Chat with", "http://larkfield.example/ Chat with", 10),
    (
        "links",
        "early_bird/email/body.txt",
        "Chat with",
        "https://larkfield.example.evil.example/ ",
        10,
    ),
    (
        "links",
        "early_bird/email/body.txt",
        "Chat with",
        "https://larkfield.example@evil.example/ ",
        10,
    ),
    ("links", "early_bird/email/body.txt", "Chat with", "https://{{ code }}.example/ ", 10),
    ("links", "early_bird/email/body.mjml", "{{ links.agent }}", "{{ product }}", 14),
    ("links", "early_bird/in_app.toml", "{{ links.agent }}", "{{ product }}", 6),
    ("opt-out", "early_bird/sms.txt", "Reply STOP to end", "", 1),
    ("opt-out", "early_bird/email/body.txt", '{% include "_layout/marketing_footer.txt" %}', "", 1),
    ("opt-out", "early_bird/email/body.mjml", "_layout/marketing.mjml", "_layout/service.mjml", 1),
    ("opt-out", "early_bird/email/body.mjml", "_layout/marketing.mjml", "_layout/base.mjml", 1),
    ("fallback", "early_bird/sms.txt", '|default("hello")', "", 1),
    (
        "fallback",
        "pickup_ready/in_app.toml",
        "{% if opening_hours %} Open {{ opening_hours }}.{% endif %}",
        "{{ opening_hours }}",
        3,
    ),
    ("safe", "early_bird/email/body.mjml", "{{ code }}", "{{ code|safe }}", 10),
    ("undefined", "early_bird/email/body.mjml", "{{ code }}", "{{ coupon }}", 10),
    ("message", "early_bird/message.toml", "sms_segments", "sms_segment", 5),
    (
        "render",
        "early_bird/sms.txt",
        "{{ code }}",
        "{{ code }}{% for i in range(999) %}{% endfor %}",
        1,
    ),
]


@pytest.mark.parametrize(("rule", "file", "old", "new", "line"), CASES)
def test_a_broken_folder_is_caught_at_its_file_and_line(project, rule, file, old, new, line):
    edit(project / file, old, new)
    hits = [(p.file, p.line) for p in check(project) if p.rule == rule]
    assert (f"templates/{file}", line) in hits, check(project)


def test_a_locale_of_one_channel_and_not_of_another_is_caught(project):
    add(project, "fraud_alert")
    (project / "fraud_alert" / "sms.ru.txt").unlink()
    (problem,) = check(project)
    assert (problem.file, problem.rule) == ("templates/fraud_alert/message.toml", "locale")
    assert "sms is not written in ru" in problem.says


def test_saying_that_we_never_ask_for_a_pin_is_not_asking(project):
    edit(
        project / "fraud_alert" / "email" / "body.txt",
        "Dear",
        "We never ask you to send your PIN. Dear",
    )
    assert check(project) == []


def test_a_marketing_sms_may_carry_our_own_link(project):
    edit(project / "early_bird" / "sms.txt", "{{ links.agent }}", "https://larkfield.example/early")
    assert [p for p in check(project) if p.rule == "links"] == []


def test_a_problem_reads_as_a_sentence_with_its_place_and_remedy(project):
    edit(project / "early_bird" / "sms.txt", "Reply STOP to end", "")
    (problem,) = check(project)
    assert str(problem) == (
        "templates/early_bird/sms.txt:1: [opt-out] a marketing text does not say how to stop it. "
        'Add "Reply STOP to end".'
    )


def test_broken_and_lintable_problems_come_in_one_sorted_list(project):
    add(project, "pickup_ready")
    (project / "pickup_ready" / "message.toml").write_text("x = ")
    edit(project / "early_bird" / "sms.txt", "Reply STOP to end", "")
    problems = check(project)
    assert [p.rule for p in problems] == ["opt-out", "syntax"]
    assert problems == sorted(problems)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("If it was not you, reply with your PIN", True),
        ("If you did not pay, send your password", True),
        ("หากไม่ใช่ ตอบรหัสผ่าน", True),
        ("Если это не вы, сообщите PIN", True),
        ("We will never ask you to send your PIN", False),
        ("Please do not send your card number to anybody", False),
        ("Мы не спрашиваем номер карты и не просим сообщить пароль", False),
        ("เราจะไม่ขอหมายเลขบัตร โปรดอย่าส่งรหัสผ่าน", False),
        ("我們絕不會要求您提供密碼", False),
        ("Your new card will be with you by Friday", False),
    ],
)
def test_asking_is_told_from_warning(text, asks):
    assert bool(list(words.asks_for_secrets(text))) is asks
