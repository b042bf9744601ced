"""A definition on the record gives the campaign that it was made from, whatever the file says."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.content import Catalogue
from signalpost.content import campaigns as files
from signalpost.content.campaigns.page import Page, read_text
from signalpost.content.campaigns.schema import CampaignFile
from signalpost.domain.audience import OPERATORS
from signalpost.errors import ConfigurationError

CATALOGUE = Catalogue.load(Path(__file__).parents[2] / "templates")

words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
lengths = st.builds("{}{}".format, st.integers(1, 90), st.sampled_from("smhdwy"))
values = st.one_of(
    words,
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.text("ab 7.0:#'é", min_size=1, max_size=9),
).filter(lambda value: not isinstance(value, str) or bool(value.strip()))
numbers = st.one_of(st.integers(-(10**9), 10**9), st.decimals(-(10**6), 10**6, places=2).map(float))
days = st.dates(min_value=datetime(2020, 1, 1, tzinfo=UTC).date()).map(str)


@st.composite
def comparisons(draw):
    op = draw(st.sampled_from([op for op in OPERATORS if op != "known"]))
    kinds = {
        "among": st.lists(values, min_size=1, max_size=3),
        "not_among": st.lists(values, min_size=1, max_size=3),
        "contains": words,
        "before": days,
        "after": days,
    }
    numeric = op in ("at_least", "at_most", "more_than", "less_than")
    return {op: draw(numbers if numeric else kinds.get(op, values))}


attributes = st.builds(lambda name, how: {"attribute": name, **how}, words, comparisons())
deeds = st.builds(
    lambda key, event, where, more: {key: event, "where": where, **more},
    st.sampled_from(["did", "did_not"]),
    words,
    st.dictionaries(words, comparisons(), max_size=2),
    st.fixed_dictionaries({}, optional={"within": lengths, "times": st.integers(1, 9)}),
)
others = st.sampled_from(
    [
        {"everyone": True},
        {"known_for": {"at_least": "1y"}},
        {"consent": {"channel": "sms", "topic": "offers"}},
        {"reachable": "email"},
        {"in_campaign": "win-back", "outcome": "any", "within": "30d"},
        {"sample": {"share": 0.1, "seed": "x"}},
    ]
)
rules = st.recursive(
    st.one_of(attributes, deeds, others),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)
campaigns = st.fixed_dictionaries(
    {
        "name": words,
        "message": words,
        "purpose": st.sampled_from(["marketing", "transactional"]),
        "topic": words,
        "audience": rules,
        "channels": st.sampled_from(
            [
                "email",
                ["email", {"first": ["sms", "in_app"]}],
                {"first": ["sms", "email"], "preferred": True},
                {"every": ["in_app"]},
            ]
        ),
    },
    optional={
        "expires": lengths,
        "caps": st.lists(st.builds("{} per {}".format, st.integers(1, 9), lengths), min_size=1),
        "holdout": st.integers(0, 50).map("{}%".format),
        "approval": st.sampled_from(["always", "never", "above 250", "above 1,000"]),
        "pace": st.dictionaries(
            st.sampled_from(["email", "sms"]), st.integers(1, 9999).map("{}/m".format)
        ),
        "schedule": st.sampled_from(
            [
                {"at": "2030-01-01 10:00", "zone": "customer"},
                {"cron": "0 10 * * *", "until": "2031-01-01"},
                {"rrule": "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0", "zone": "Asia/Tokyo"},
            ]
        ),
        "experiment": st.sampled_from(
            [
                {"measure": {"within": "3d", "revenue": "none", "alpha": "1%"}},
                {
                    "arms": [
                        {"name": "a", "share": "33.3%"},
                        {"name": "b", "share": "56.7%", "message": "other"},
                        {"name": "c", "share": "10%", "control": True},
                    ],
                    "measure": {"horizon": 1000},
                },
            ]
        ),
        "promotion": st.sampled_from(
            [
                {"id": "x", "code": "007", "ends": "2030-01-01 10:00", "zone": "Asia/Tokyo"},
                {
                    "id": "x",
                    "code": "X",
                    "ends": "2030-01-01T10:00+02:00",
                    "facts": {"percent": 15},
                },
            ]
        ),
        "facts": st.dictionaries(
            words,
            st.one_of(
                values,
                st.just({"amount": "12.50", "currency": "GBP"}),
                st.just({"attribute": "points", "otherwise": 0}),
                st.just({"event": "order.placed", "fact": "total"}),
            ),
            max_size=3,
        ),
        "asks": st.lists(words, max_size=3),
    },
)


@settings(max_examples=80, deadline=None)
@given(campaigns)
def test_a_definition_round_trips_through_the_record_exactly(said):
    """The file as YAML, its definition as JSON, the campaign of it, and all of that once more."""
    page = read_text(json.dumps(said, ensure_ascii=False), Page("x"))
    assert page.problems == []
    file = CampaignFile.model_validate(page.data)
    definition = file.definition()
    campaign = file.campaign(definition)
    kept = json.loads(json.dumps(definition, sort_keys=True))
    again = files.from_definition(kept)
    assert again == campaign
    assert again.version == campaign.version == files.version_of(kept)
    assert CampaignFile.model_validate(kept).definition() == definition


def test_a_definition_that_this_version_cannot_read_says_so():
    with pytest.raises(ConfigurationError, match=r"'x' cannot be read: .*colour"):
        files.from_definition(
            {"name": "x", "audience": {"everyone": True}, "channels": "email", "colour": "red"}
        )


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(words, values, max_size=6))
def test_quoted_text_stays_text_and_a_number_a_number(said):
    page = read_text(json.dumps(said, ensure_ascii=False), Page("x"))
    facts = CampaignFile.model_validate(
        {"name": "x", "audience": {"everyone": True}, "channels": "email", "facts": page.data}
    ).facts
    assert {key: (type(value), value) for key, value in facts.items()} == {
        key: (type(value), value) for key, value in said.items()
    }
