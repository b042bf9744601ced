"""The pace that a campaign keeps, in whichever second one looks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain.pace import Pace

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def sent(pace, delays, *, until=None):
    """Send batches, each so late after it may go; gives (when, how many)."""
    free_at, now, batches = START, START, []
    for delay in delays:
        now = max(now, free_at) + timedelta(seconds=delay)
        if until is not None and now > until:
            break
        batches.append((now, pace.batch))
        free_at = pace.free_again(free_at=free_at, messages=pace.batch, now=now)
    return batches


@given(
    per_second=st.floats(0.01, 20_000),
    delays=st.lists(
        st.one_of(st.just(0.0), st.floats(0, 0.2), st.floats(0, 30)), min_size=2, max_size=200
    ),
    length=st.floats(0.01, 60),
)
def test_no_stretch_of_time_holds_more_than_the_pace_and_one_batch(per_second, delays, length):
    """However late the senders come, wherever the stretch begins."""
    pace = Pace(per_second)
    batches = sent(pace, delays)
    window = timedelta(seconds=length)
    allowed = per_second * length + per_second / 10 + 1
    for first, _ in batches:
        inside = sum(number for at, number in batches if first <= at < first + window)
        assert inside <= allowed + 1e-3 * per_second + 1e-6


@given(per_second=st.floats(1, 5_000), late=st.floats(0, 0.04))
def test_small_delays_do_not_add_up(per_second, late):
    """Who comes some milliseconds late each time still keeps the pace over ten seconds."""
    pace = Pace(per_second)
    batches = sent(pace, [late] * 250_000, until=START + 10 * SECOND)
    total = sum(number for _, number in batches)
    assert total >= 0.98 * per_second * 10 - pace.batch - 1


def test_a_slow_pace_sends_one_at_a_time():
    """Sixty an hour: one each minute, never two."""
    times = [at for at, _ in sent(Pace(1 / 60), [0] * 5)]
    assert [b - a for a, b in pairwise(times)] == [timedelta(minutes=1)] * 4


def test_a_fast_pace_goes_in_batches_of_a_twentieth_of_a_second():
    """So that a thousand messages do not need a thousand transactions."""
    assert (Pace(10).batch, Pace(100).batch, Pace(8000).batch) == (1, 5, 400)
