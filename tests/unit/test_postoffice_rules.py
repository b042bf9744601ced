"""The rules of the local post office, without a network."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

from signalpost.errors import ConfigurationError
from signalpost.postoffice import new_sendgrid_keypair
from signalpost.postoffice.mail_rules import check_mail
from signalpost.postoffice.mail_text import links_of, one_click_url, render_mail
from signalpost.postoffice.phone import opt_out_type, twiml_messages
from signalpost.postoffice.segments import count_segments, encoding
from signalpost.postoffice.signing import EventSigner, twilio_signature
from signalpost.postoffice.sms_rules import check_sms

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def mail(**changes):
    return {
        "from": {"email": "shop@shop.example"},
        "personalizations": [{"to": [{"email": "ann@example.com"}]}],
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello"}],
        **changes,
    }


def to(*addresses, **more):
    return [{"to": [{"email": address}], **more} for address in addresses]


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),  # each costs two septets
        ("€" * 81, 2),
        ("€" * 153, 3),  # 76 pairs fit a joined segment: an escape is never cut
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),  # 33 pairs fit a joined segment: a surrogate pair is never cut
        ("it’s" + "a" * 66, 1),
        ("it’s" + "a" * 67, 2),  # one curly quote turns the lot into UCS-2
    ],
)
def test_segments_are_counted_as_a_carrier_does(body, segments):
    assert count_segments(body) == segments


def test_the_alphabet_decides_the_encoding():
    assert encoding("Ünd {€}") == "GSM-7"
    assert encoding("“quoted”") == "UCS-2"


def test_a_plain_mail_is_accepted():
    assert check_mail(mail(), now=0) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": to(*(f"p{n}@example.com" for n in range(1001)))}, "personalizations"),
        ({"personalizations": [{"to": []}]}, "personalizations.0.to"),
        ({"personalizations": to("not an address")}, "personalizations.0.to.0.email"),
        ({"personalizations": to("a@example.com", "invalid@example.com")},
         "personalizations.1.to.0.email"),
        ({"personalizations": to("a@example.com", "A@Example.com")}, "personalizations.1"),
        ({"personalizations": to("a@example.com", custom_args={"a": 1})},
         "personalizations.0.custom_args.a"),
        ({"personalizations": to("a@example.com", substitutions={"-a-": "x" * 10_001})},
         "personalizations.0.substitutions"),
        ({"custom_args": {"a": "é" * 5000}}, "custom_args"),
        ({"from": None}, "from.email"),
        ({"from": {"email": "jürgen@shop.example"}}, "from.email"),
        ({"subject": ""}, "subject"),
        ({"subject": "Hi\r\nBcc: all@example.com"}, "subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": [{"type": "text/html", "value": "a"}, {"type": "text/plain", "value": "a"}]},
         "content"),
        ({"headers": {"Subject": "Other"}}, "headers.Subject"),
        ({"headers": {"X-A": "a\r\nBcc: all@example.com"}}, "headers.X-A"),
        ({"headers": "X-A: b"}, "headers"),
        ({"categories": [str(n) for n in range(11)]}, "categories"),
        ({"categories": ["a", "a"]}, "categories"),
        ({"send_at": 72 * 3600 + 1}, "send_at"),
        ({"asm": {"group_id": "7"}}, "asm.group_id"),
        ({"reply_to": {"email": "a@example.com"}, "reply_to_list": [{"email": "b@example.com"}]},
         None),
        ({"mail_settings": {"bypass_list_management": {"enable": True},
                            "bypass_spam_management": {"enable": True}}},
         "mail_settings.bypass_list_management"),
    ],
)  # fmt: skip
def test_sendgrids_limits_refuse_the_whole_request(changes, field):
    found = check_mail(mail(**changes), now=0)
    assert field in [one["field"] for one in found]
    assert all(set(one) == {"message", "field", "help"} for one in found)


@pytest.mark.parametrize(
    "wild", [None, 1, "x", [], {"personalizations": [1]}, {"personalizations": {}}]
)
def test_a_mail_of_any_shape_is_refused_and_not_stumbled_over(wild):
    assert check_mail(wild, now=0)


def test_a_thousand_people_are_checked_quickly():
    people = to(*(f"p{n}@example.com" for n in range(1000)), substitutions={"-n-": "x"})
    begun = time.perf_counter()
    assert check_mail(mail(personalizations=people), now=0) == []
    assert time.perf_counter() - begun < 0.2


def test_substitutions_hold_in_subject_and_content_and_once_only():
    request = mail(
        subject="Hi -name-",
        content=[
            {"type": "text/plain", "value": "-name- owes -sum-"},
            {"type": "text/html", "value": "<p>-name-</p>"},
        ],
        personalizations=to("a@example.com", substitutions={"-name-": "-sum-", "-sum-": "5"}),
    )
    seen = render_mail(request=request, index=0)
    assert (seen["subject"], seen["text"], seen["html"]) == (
        "Hi -sum-",
        "-sum- owes 5",
        "<p>-sum-</p>",
    )


def test_one_click_needs_both_headers():
    link = {"List-Unsubscribe": "<mailto:u@shop.example>, <https://shop.example/u/1>"}
    post = {"list-unsubscribe-post": "List-Unsubscribe=One-Click"}
    assert one_click_url(link) is None
    assert one_click_url({**link, **post}) == "https://shop.example/u/1"
    assert one_click_url({"List-Unsubscribe": "<javascript:alert(1)>", **post}) is None


def test_only_web_links_can_be_clicked():
    html = '<a href="https://a.example/1">a</a><a href="javascript:alert(1)">b</a><a>c</a>'
    assert links_of(html, None) == ["https://a.example/1"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"To": ""}, 21604),
        ({"To": "0155 123"}, 21211),
        ({"To": "+15005550001"}, 21211),
        ({"To": "+15005550009"}, 21614),
        ({"From": ""}, 21603),
        ({"From": "", "MessagingServiceSid": "MG" + "a" * 32}, None),
        ({"From": "SHOP"}, None),
        ({"From": "+1; drop"}, 21212),
        ({"From": "+14155550123"}, 21266),
        ({"From": "whatsapp:+12025550100"}, 21910),
        ({"To": "whatsapp:+14155550123", "From": "whatsapp:+12025550100"}, None),
        ({"To": "messenger:1234567", "From": "messenger:76543"}, None),
        ({"MessagingServiceSid": "MG1"}, 21701),
        ({"Body": ""}, 21602),
        ({"Body": "a" * 1600}, None),
        ({"Body": "a" * 1601}, 21617),
        ({"StatusCallback": "not a url"}, 21609),
        ({"ValidityPeriod": "0"}, 21624),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ValidityPeriod": "36000"}, None),
        ({"ContentSid": "HX1"}, 21655),
        ({"ContentSid": "HX" + "b" * 32, "ContentVariables": "no"}, 21656),
        ({"ContentSid": "HX" + "b" * 32, "ContentVariables": '{"1":"a"}', "Body": ""}, None),
        ({"ScheduleType": "fixed"}, 35118),
        ({"ScheduleType": "fixed", "MessagingServiceSid": "MG" + "a" * 32}, 35111),
        ({"ScheduleType": "fixed", "MessagingServiceSid": "MG" + "a" * 32,
          "SendAt": (NOW + timedelta(minutes=5)).isoformat()}, 35114),
    ],
)  # fmt: skip
def test_twilios_codes_say_why_a_message_is_refused(changes, code):
    fields = {"To": "+14155550123", "From": "+12025550100", "Body": "Hello", **changes}
    refused = check_sms(fields, [], now=NOW)
    assert (refused and refused.code) == code


def test_a_refusal_is_twilios_error_object():
    refused = check_sms({"To": "+14155550123", "From": "+12025550100"}, [], now=NOW)
    assert refused is not None
    assert refused.body() == {
        "code": 21602,
        "message": "Message body is required.",
        "more_info": "https://www.twilio.com/docs/errors/21602",
        "status": 400,
    }


@pytest.mark.parametrize(
    ("body", "opted_out", "kind"),
    [
        (" stop ", False, "STOP"),
        ("Revoke", False, "STOP"),
        ("please stop texting me", False, None),
        ("START", True, "START"),
        ("yes", True, "START"),
        ("YES", False, None),  # an answer, not an opt-in
        ("help", True, "HELP"),
        ("OK 4821", False, None),
    ],
)
def test_only_the_bare_word_is_a_keyword(body, opted_out, kind):
    assert opt_out_type(body, opted_out=opted_out) == kind


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ("<Response><Message>Thanks</Message></Response>", ["Thanks"]),
        ("<Response><Message><Body>Thanks &amp; bye</Body></Message></Response>", ["Thanks & bye"]),
        ("<Response/>", []),
        ("", []),
        ("<html><p>Oops</html>", []),
        ('<!DOCTYPE a [<!ENTITY b "c">]><Response><Message>&b;</Message></Response>', []),
    ],
)
def test_twiml_says_what_is_answered(answer, texts):
    assert twiml_messages(answer) == texts


def test_the_sdks_own_validators_accept_our_signatures():
    private, public = new_sendgrid_keypair()
    headers = EventSigner(private).headers(b'[{"event":"open"}]\r\n')
    assert EventWebhook(public).verify_signature(
        '[{"event":"open"}]\r\n',
        headers["X-Twilio-Email-Event-Webhook-Signature"],
        headers["X-Twilio-Email-Event-Webhook-Timestamp"],
    )
    fields = {"To": "+14155550123", "Body": "Grüße & 'quotes'", "Empty": ""}
    url = "https://hooks.example.com/tw?s=1&m=a%2Fb"
    signature = twilio_signature(token="secret", url=url, fields=fields)
    assert RequestValidator("secret").validate(url, fields, signature)


def test_a_key_that_is_no_key_is_named_as_such():
    with pytest.raises(ConfigurationError, match="PEM"):
        EventSigner("nonsense")
    assert load_pem_private_key(new_sendgrid_keypair()[0].encode(), None)


def test_no_page_names_another_host():
    """The page works without the internet: nothing in it is fetched from elsewhere."""
    room = Path(__file__).parents[2] / "signalpost" / "postoffice"
    for file in [*room.glob("templates/*"), *room.glob("static/page.*")]:
        assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", file.read_text())
