"""What a simulation's diff sees: every message pairs with one other, whenever they went."""

from datetime import timedelta

import pytest

from signalpost.simulation.comparing import compare
from signalpost.simulation.outcome import Outcome, Sending
from signalpost.testing import EPOCH

HOUR = timedelta(hours=1)
ONE = Sending("ann", "spring", "offer", "email", EPOCH, None, "words")
LATER, OTHER = ONE._replace(at=EPOCH + HOUR), ONE._replace(words="other words")


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ([ONE], [ONE], {}),
        ([ONE, ONE], [ONE, ONE], {}),
        ([ONE, OTHER], [OTHER, ONE], {}),
        # twice at one moment is once too often, and the other way round
        ([ONE], [ONE, ONE], {"added": 1}),
        ([ONE, ONE], [ONE], {"dropped": 1}),
        ([], [ONE, ONE], {"added": 2}),
        ([ONE, LATER], [ONE, ONE], {"moved": 1}),
        ([ONE, ONE, LATER], [ONE, LATER, LATER], {"moved": 1}),
        ([ONE, LATER], [LATER], {"dropped": 1}),
        ([ONE], [LATER], {"moved": 1}),
        ([ONE, ONE], [ONE, OTHER], {"reworded": 1}),
        ([ONE], [ONE._replace(customer_id="bob")], {"added": 1, "dropped": 1}),
    ],
)
def test_each_message_pairs_with_one_other(before, after, found):
    diff = compare(Outcome(before), Outcome(after))
    kinds = ("added", "dropped", "moved", "reworded")
    assert {kind: n for kind in kinds if (n := len(getattr(diff, kind)))} == found
    assert diff.is_empty == (not found)
