"""What past events add up to: the cart as it stands, and the question that is open."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain.events import canonical
from signalpost.domain.journey import Recall, days
from signalpost.domain.program import ProgramError
from signalpost.domain.recall import cart, open_question

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def happened(name, **facts):
    return {"name": name, "facts": canonical(name, facts, NOW, "GBP")}


def item(name, quantity=1, price=None):
    return {"name": name, "quantity": quantity, **({"price": price} if price is not None else {})}


def lines(*events):
    return {one["name"]: one["quantity"] for one in cart(events)["items"]}


def test_a_list_says_what_the_whole_cart_holds_and_changes_go_from_there():
    known = [
        happened("cart.updated", items=[item("Cup", 2), item("Tray")]),
        happened("cart.updated", added=item("Cup")),
        happened("cart.updated", removed=item("Tray")),
        happened("cart.updated", removed=item("Never there")),
    ]
    assert lines(*known) == {"Cup": 3}
    assert lines(*known, happened("cart.viewed", products=[item("Bowl")])) == {"Bowl": 1}


def test_an_order_empties_every_cart():
    before = [happened("cart.updated", cart_id=n, items=[item("Cup")]) for n in (1, 2)]
    assert cart([*before, happened("order.placed", order_id="7")])["pieces"] == 0


def test_the_shops_own_total_stands_until_a_change_comes_after_it():
    whole = happened("cart.updated", items=[item("Cup", 2, 5)], total=12)
    assert cart([whole])["total"] == {"amount": "12.00", "currency": "GBP"}
    more = happened("cart.updated", added=item("Tray", 1, "2.50"))
    assert cart([whole, more])["total"] == {"amount": "12.50", "currency": "GBP"}


def test_a_total_is_not_guessed():
    """Without every price, or over several currencies, there is none."""
    assert (
        cart([happened("cart.updated", items=[item("Cup", 1, 5), item("Tray")])])["total"] is None
    )
    dollars = {"amount": "5", "currency": "USD"}
    mixed = [item("Cup", 1, 5), item("Tray", 1, dollars)]
    assert cart([happened("cart.updated", items=mixed)])["total"] is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["added", "removed"]), st.sampled_from("abc"), st.integers(0, 5))
    )
)
def test_whatever_is_added_and_removed_nothing_is_held_less_than_once(changes):
    known = [happened("cart.updated", **{what: item(name, n)}) for what, name, n in changes]
    found = cart(known)
    assert all(one["quantity"] > 0 for one in found["items"])
    assert found["pieces"] == sum(one["quantity"] for one in found["items"])


def test_only_the_last_chat_can_leave_a_question_open():
    asked = happened("chat.ended", question="Which size?", resolved=False)
    solved = happened("chat.ended", question="Which size?", resolved=True)
    assert open_question([solved, asked]) == {"question": "Which size?", "open_questions": 1}
    assert open_question([asked, solved]) == {"question": None, "open_questions": 0}
    assert open_question([]) == {"question": None, "open_questions": 0}


def test_a_long_question_is_cut_and_one_with_a_link_is_not_repeated():
    long = open_question([happened("chat.ended", question="why " * 900, unresolved=True)])
    assert len(long["question"]) <= 500
    for link in ("https://evil.example", "www.evil.example", "go to evil.example/x", "evil.com"):
        asked = happened("chat.ended", question=f"look: {link}", unresolved=True)
        assert open_question([asked]) == {"question": None, "open_questions": 1}


def test_what_cannot_be_recalled_is_refused_with_what_can():
    with pytest.raises(ProgramError, match="cart, open_question"):
        Recall("weather", within=days(1)).arguments()
