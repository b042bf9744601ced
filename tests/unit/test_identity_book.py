"""The book of identities: the same claims lead to the same people, and users never merge by chance."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain.identity import PERSON_KINDS, Book, Claim, Key


def book(known: dict[Key, str | None] | None = None, **users: set[str]) -> Book:
    numbers = count(1)
    return Book(known or {}, users, lambda: f"new-{next(numbers)}")


def claim(*person: Key, joins: bool = False, references: tuple[Key, ...] = ()) -> Claim:
    ordered = sorted(person, key=lambda key: PERSON_KINDS.index(key[0]))
    return Claim(person=ordered, references=list(references), joins=joins)


def test_the_user_id_decides_over_the_email() -> None:
    known: dict[Key, str | None] = {("user_id", "u"): "ann", ("email", "e"): "bob"}
    opened = book(known, ann={"u"}, bob={"b"})
    assert opened.resolve(claim(("user_id", "u"), ("email", "e"))) == "ann"
    assert [(c.customer_id, c.other_id, c.key) for c in opened.conflicts] == [
        ("ann", "bob", ("email", "e"))
    ]


def test_a_new_user_with_somebody_elses_email_is_a_new_person() -> None:
    opened = book({("email", "e"): "bob"}, bob={"b"})
    assert opened.resolve(claim(("user_id", "u"), ("email", "e"))) == "new-1"
    assert len(opened.conflicts) == 1


def test_a_new_user_takes_over_a_visitor_without_user() -> None:
    opened = book({("anonymous_id", "a"): "visitor"})
    assert opened.resolve(claim(("user_id", "u"), ("anonymous_id", "a"))) == "visitor"
    assert opened.new_keys == {("user_id", "u"): "visitor"}
    assert opened.joins == []


def test_a_guests_order_is_known_and_leads_to_nobody_until_claimed() -> None:
    order = ("order_id", "5")
    opened = book()
    opened.keep_for_nobody(order)
    assert opened.knows(order)
    assert opened.owner(order) is None
    assert opened.resolve(claim(references=(order,))) is None
    owner = opened.resolve(claim(("user_id", "u"), references=(order,)))
    assert opened.owner(order) == owner


keys = st.tuples(st.sampled_from(PERSON_KINDS), st.sampled_from("abc"))
claims = st.lists(
    st.tuples(
        st.lists(keys, min_size=1, max_size=4, unique_by=lambda key: key[0]), st.booleans()
    ).map(lambda said: claim(*said[0], joins=said[1])),
    max_size=12,
)


@given(claims)
def test_two_users_are_never_one_person_unless_somebody_says_so(said: list[Claim]) -> None:
    opened = book()
    for one in said:
        opened.resolve(one)
    owners = {
        value: opened.owner(("user_id", value))
        for value in "abc"
        if opened.knows(("user_id", value))
    }
    assert len(set(owners.values())) == len(owners)


@given(claims)
def test_every_key_leads_somewhere_and_always_to_the_same_root(said: list[Claim]) -> None:
    opened = book()
    for one in said:
        owner = opened.resolve(one)
        assert owner is not None
        assert opened.root(owner) == owner
    for key in opened.new_keys:
        owner = opened.owner(key)
        assert owner is not None
        assert opened.resolve(claim(key)) == owner
