"""Reasons in words: also where nothing is known beside the code."""

from collections import Counter

import pytest

from signalpost.domain.reason_words import REASONS, held_out, reason, reason_for_many
from signalpost.services.campaigns.standing import table


@pytest.mark.parametrize("code", [*REASONS, "provider_refuses:429", "missing_fact:store"])
def test_a_sentence_for_many_has_no_gap_in_it(code):
    said = reason_for_many(code)
    for gap in ("…", "{", "\x00", "()"):
        assert gap not in said, (code, said)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("incident", "marketing waits while an incident of theirs lasts"),
        ("duplicate", "the same message was sent not long ago"),
        ("quiet_hours", "it is night where the customer is; it goes out at a later time"),
    ],
)
def test_what_differs_from_one_to_the_next_is_said_in_other_words_or_left_out(code, says):
    assert reason_for_many(code) == reason(code, {}) == says


def test_what_is_known_is_said():
    assert reason("incident", {"incident": "S-204"}) == "marketing waits while S-204 lasts"
    assert reason("provider_refuses:429", {}).endswith("(429)")


def test_the_table_of_a_run_holds_no_code_and_no_gap():
    counts = Counter({("held_out", "", "campaign"): 3, ("skipped", "", "duplicate"): 2})
    assert [row["reason"] for row in table(counts)] == [
        held_out("campaign"),
        "the same message was sent not long ago",
    ]
    assert "kept from" in held_out("campaign")
