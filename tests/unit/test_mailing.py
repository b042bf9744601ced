"""A message to many says to each what it would say to them alone, to the letter."""

from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.content import Catalogue, MissingFact, RenderFailed
from signalpost.content.facts import FactType
from signalpost.content.mailing import Mailing
from signalpost.domain.text import fill, parts_from_json, parts_to_json

ZONES = [ZoneInfo(name) for name in ("UTC", "Asia/Kathmandu", "America/New_York", "Europe/London")]
NASTY = [
    "",
    " ",
    "<b>&amp;",
    "{{ 7 * 7 }}",
    "a\nb",
    "\u202e",
    "–",
    "%(x)s",
    "Ünï",
    "😀",
    "'\"",
    "x" * 90,
]


@lru_cache(maxsize=1)
def catalogue():
    return Catalogue.load(Path("templates"))


def everything():
    """Every shipped message on every channel, in every locale that it is written in, and one more."""
    known = catalogue()
    return [
        (name, channel, locale)
        for name in known.names()
        for channel in sorted(known[name].channels)
        for locale in [*sorted(known[name].locales[channel]), "fr-CA", None]
    ]


words = st.one_of(st.sampled_from(NASTY), st.text(max_size=12))
times = st.datetimes(
    datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2031-01-01")
).map(lambda at: at.replace(tzinfo=timezone(timedelta(hours=2))).isoformat())


def value_of(fact):
    """Give values of a fact: good ones, and some that are none of its type."""
    good = {
        FactType.INTEGER: st.integers(-5, 10**7),
        FactType.DATETIME: times,
        FactType.TEXT: words,
        FactType.CODE: words,
    }.get(fact.type, st.nothing())
    return st.one_of(st.just(fact.sample), good, st.sampled_from([None, "", 3, "nonsense", [1]]))


@st.composite
def mailings(draw, name):
    """Give a message by a channel, which facts are personal, and two people who get it."""
    channel, locale = draw(st.sampled_from([kind[1:] for kind in everything() if kind[0] == name]))
    facts = catalogue()[name].facts
    personal = frozenset(draw(st.sets(st.sampled_from(sorted(facts))))) if facts else frozenset()
    shared = {fact: draw(value_of(facts[fact])) for fact in facts if fact not in personal}
    people = [
        {
            "zone": draw(st.sampled_from(ZONES)),
            "customer": draw(st.dictionaries(st.sampled_from(["first_name", "tier"]), words)),
            "links": draw(st.sampled_from([catalogue().sample_links(), {}, {"home": "no link"}])),
            "facts": {fact: draw(value_of(facts[fact])) for fact in sorted(personal)},
        }
        for _ in range(2)
    ]
    return channel, locale, personal, shared, people


def said(make):
    try:
        return make()
    except MissingFact:
        return "a fact is missing"  # of two that are, either may be named
    except RenderFailed as error:
        return error.reason


@pytest.mark.parametrize("name", catalogue().names())
def test_a_mailing_says_to_each_what_a_single_message_says(name):
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mailings(name))
    def holds(drawn):
        channel, locale, personal, shared, people = drawn
        mailing = Mailing(catalogue(), name, channel, facts=shared, personal=personal)
        alone = catalogue().variant(name, channel, locale)
        for person in people:

            def by_mailing(person=person):
                variant, slots = mailing.slots(locale=locale, **person)
                kept = parts_from_json(parts_to_json(variant.parts))  # as the record keeps it
                return fill(kept, slots)

            def by_itself(person=person):
                context = catalogue().context(
                    name,
                    facts={**shared, **person["facts"]},
                    customer=person["customer"],
                    brand={},
                    links=person["links"],
                    locale=locale,
                    zone=person["zone"],
                )
                return alone.render(context)

            assert said(by_mailing) == said(by_itself)

    holds()


def test_a_mailing_of_samples_is_the_preview():
    for name, channel, locale in everything():
        samples = {fact.name: fact.sample for fact in catalogue()[name].facts.values()}
        mailing = Mailing(catalogue(), name, channel, facts=samples)
        variant, slots = mailing.slots(
            locale=locale,
            zone=UTC,
            customer={"first_name": "Ann"},
            links=catalogue().sample_links(),
            facts={},
        )
        assert fill(variant.parts, slots) == catalogue().preview(name, channel, locale)


def test_what_is_the_same_for_everybody_is_carried_once():
    offer = {
        "percent": 15,
        "code": "LARK15",
        "expires_at": "2026-05-31T22:59:00Z",
        "promotion_id": "S",
    }
    mailing = Mailing(catalogue(), "purchase_offer", "email", facts=offer)
    links = catalogue().sample_links()
    ann, bo = (
        mailing.slots(locale="en", zone=UTC, customer={"first_name": n}, links=links, facts={})
        for n in ("Ann", "Bo")
    )
    assert ann[0] is bo[0]
    assert "LARK15" in str(ann[0].parts)
    assert "LARK15" not in str(ann[1])
    assert {key for key in ann[1] if ann[1][key] != bo[1][key]}
