"""The message status machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain import status
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass, MessageStatus, ReceiptKind

KINDS = st.lists(st.sampled_from(list(ReceiptKind)), max_size=8)


def run(start: MessageStatus, kinds: list[ReceiptKind]) -> MessageStatus:
    for kind in kinds:
        start = status.apply(start, kind)
    return start


@given(start=st.sampled_from(list(MessageStatus)), kinds=KINDS, data=st.data())
def test_receipts_in_any_order_and_repeated_give_the_same_status(start, kinds, data):
    shuffled = data.draw(st.permutations(kinds + kinds))
    assert run(start, shuffled) == run(start, kinds)


@given(kinds=KINDS, data=st.data())
def test_our_own_answer_may_come_anywhere_between_the_receipts(kinds, data):
    """The callback can arrive before the create call returns."""
    place = data.draw(st.integers(0, len(kinds)))
    early = status.settle(MessageStatus.SENDING, DeliveryStatus.ACCEPTED)
    between = run(MessageStatus.SENDING, kinds[:place])
    between = run(status.settle(between, DeliveryStatus.ACCEPTED), kinds[place:])
    assert between == run(early, kinds)


@given(start=st.sampled_from(list(MessageStatus)), kind=st.sampled_from(list(ReceiptKind)))
def test_a_receipt_only_makes_moves_that_are_allowed(start, kind):
    after = status.apply(start, kind)
    assert after == start or status.allowed(start, after)


@pytest.mark.parametrize(
    ("start", "kinds", "end"),
    [
        ("handed_over", ["delivered", "bounced"], "bounced"),
        ("handed_over", ["bounced", "delivered"], "bounced"),
        ("handed_over", ["delivered", "sent"], "delivered"),
        ("handed_over", ["deferred", "delivered"], "delivered"),
        ("handed_over", ["opened"], "delivered"),
        ("handed_over", ["blocked"], "bounced"),
        ("handed_over", ["complained"], "delivered"),
        ("handed_over", ["unknown"], "handed_over"),
        ("unknown", ["queued"], "handed_over"),
        ("unknown", ["delivered"], "delivered"),
        ("unknown", ["rejected"], "rejected"),
        ("unknown", ["unknown"], "unknown"),
        ("expired", ["delivered"], "delivered"),
        ("sending", ["sent"], "handed_over"),
        ("rejected", ["sent"], "rejected"),
        ("rejected", ["read"], "delivered"),
    ],
)
def test_a_receipt_moves_a_message(start, kinds, end):
    """One row for each move that somebody might ask about."""
    assert run(MessageStatus(start), [ReceiptKind(k) for k in kinds]) == MessageStatus(end)


@pytest.mark.parametrize(
    ("start", "delivery", "fault", "end"),
    [
        ("sending", "accepted", None, "handed_over"),
        ("sending", "rejected", "permanent", "rejected"),
        ("sending", "rejected", "ours", "failed"),
        ("sending", "retry", "transient", "queued"),
        ("sending", "unknown", None, "unknown"),
        ("delivered", "accepted", None, "delivered"),
        ("delivered", "unknown", None, "delivered"),
        ("handed_over", "retry", None, "handed_over"),
        ("unknown", "retry", None, "queued"),
    ],
)
def test_an_attempt_settles_a_message_and_never_undoes_a_receipt(start, delivery, fault, end):
    fault_class = FaultClass(fault) if fault else None
    settled = status.settle(MessageStatus(start), DeliveryStatus(delivery), fault=fault_class)
    assert settled == MessageStatus(end)


def test_every_odd_move_is_possible_and_has_a_sentence():
    for (before, after), sentence in status.ODD.items():
        assert status.allowed(before, after)
        assert sentence.endswith(".")
        assert status.explain(before, after) == sentence


def test_every_status_has_a_rank_of_its_own():
    assert sorted(status.RANK.values()) == list(range(len(MessageStatus)))
