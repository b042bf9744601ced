"""Replies as people really write them: opt-outs are found, and talk is left alone."""

import os
from pathlib import Path

import pytest

from benchmarks import replies

REAL = os.environ.get("SIGNALPOST_REAL_SMS")  #: a file of real text messages, where there is one


def test_every_opt_out_is_found_however_it_is_written():
    """Recall: each word and sentence, in capitals, quoted, with marks and spaces."""
    lost, told = replies.missed()
    assert lost == []
    assert told > 500


@pytest.mark.skipif(not REAL, reason="SIGNALPOST_REAL_SMS names no file of real text messages")
def test_real_messages_between_people_are_hardly_ever_taken_for_an_order_to_us():
    """Of thousands: no START, no HELP, no "no", at most one opt-out in a thousand."""
    quiet = replies.meanings(Path(REAL), alert_open=False)
    total = sum(quiet.values())
    assert total > 1_000
    assert (quiet["start"], quiet["help"], quiet["yes"], quiet["no"]) == (0, 0, 0, 0)
    assert quiet["stop"] <= total / 1_000
    asked = replies.meanings(Path(REAL), alert_open=True)
    assert asked["no"] == 0, "a wrong no blocks somebody's card"
    assert asked["yes"] <= total / 100
