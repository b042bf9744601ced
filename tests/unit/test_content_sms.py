"""SMS length and fitness, against the tables of GSM 03.38 and Twilio's segment rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.content import sms_segments, to_gsm
from signalpost.content.sms import one_line, without_controls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 0, 1)),
        ("a" * 160, ("GSM-7", 160, 1)),
        ("a" * 161, ("GSM-7", 161, 2)),
        ("a" * 306, ("GSM-7", 306, 2)),
        ("a" * 307, ("GSM-7", 307, 3)),
        ("€" * 80, ("GSM-7", 160, 1)),
        ("€" * 81, ("GSM-7", 162, 2)),
        ("я" * 70, ("UCS-2", 70, 1)),
        ("я" * 71, ("UCS-2", 71, 2)),
        ("a" * 70 + "’", ("UCS-2", 71, 2)),
        ("😀" * 35, ("UCS-2", 70, 1)),
        ("😀" * 36, ("UCS-2", 72, 2)),
        ("{}[]~^|\\", ("GSM-7", 16, 1)),
    ],
)
def test_length_is_counted_as_carriers_bill_it(text, expected):
    assert sms_segments(text) == expected


def test_an_escaped_character_is_never_split_over_two_segments():
    """152 letters and a two-septet sign at the seam: the sign moves to the second segment."""
    assert sms_segments("a" * 152 + "€" + "a" * 152) == ("GSM-7", 306, 3)


def test_smart_quotes_dashes_and_odd_spaces_become_gsm_characters():
    assert to_gsm("“It’s” 5\u202fpm – fine…") == '"It\'s" 5 pm - fine...'
    assert sms_segments(to_gsm("“It’s” 5\u202fpm – fine…"))[0] == "GSM-7"


def test_what_gsm_cannot_write_is_left_as_it_is():
    assert to_gsm("星巴克") == "星巴克"


@given(st.text())
def test_cleaned_text_holds_no_controls_and_no_bidi_overrides(text):
    clean = without_controls(text)
    assert not set(clean) & set("\x00\r\x1b\u202e\u2066\u2069\u200f\u2028")


@given(st.text())
def test_one_line_is_one_line(text):
    clean = one_line(text)
    assert len(clean.splitlines()) <= 1
    assert clean == one_line(clean)
