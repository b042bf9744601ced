"""How a report reads: plain words first, money as money, and no markup from what people wrote."""

import csv
import io
import json
from datetime import UTC, datetime

from signalpost.services.campaigns.reported import (
    ByChannel,
    Experiment,
    Outcome,
    Owed,
    Period,
    Side,
    Texts,
)
from signalpost.services.campaigns.results import Results

AT = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
NOTHING = Experiment(
    event="order.placed", within="7 days", design="sequential", control=None, sides=[],
    currency=None, report=None,
)  # fmt: skip


def results(**more):
    return Results(
        **{
            "title": "spring-sale", "campaign": "spring-sale", "whole_campaign": False,
            "run_ids": ["01a2012c-b920-7378-adc2-683f9b49fdbf"], "status": "done", "made_at": AT,
            "people": 100_000, "outcomes": [], "channels": [], "owed": Owed(), "texts": None,
            "experiment": NOTHING, "periods": [], **more,
        }
    )  # fmt: skip


def test_it_begins_with_what_is_known_and_who_got_it():
    found = results(
        outcomes=[
            Outcome(outcome="sent", reason="allowed", people=84_120),
            Outcome(outcome="skipped", reason="no_consent", people=12_034),
            Outcome(outcome="held_out", reason="campaign", people=3_846),
        ]
    )
    lines = [line for line in found.markdown().splitlines() if line]
    assert lines[0] == "# What spring-sale brought about"
    assert lines[1] == "**Not yet known: nobody has passed the gate so far.**"
    assert lines[2].startswith("Sent to 84,120 of 100,000 people. Not sent to 12,034 (12,034: ")
    assert lines[2].endswith("3,846 were held out on purpose, to measure by.")


def test_money_is_said_in_its_own_unit_and_never_added_up_over_currencies():
    owed = Owed(buyers=2, orders=3, revenue={"USD": 123_450, "JPY": 900, "KWD": 1_234})
    found = results(channels=[ByChannel(channel="email", statuses={"delivered": 9}, owed=owed)])
    assert "1,234.50 USD, 900 JPY, 1.234 KWD" in found.markdown()


def test_machines_stand_beside_people_and_not_among_them():
    email = ByChannel(
        channel="email", statuses={"delivered": 9, "handed_over": 2, "bounced": 1, "deferred": 1},
        came_back={"opened": 4, "clicked": 1}, machines={"opened": 7},
    )  # fmt: skip
    found = results(channels=[email]).markdown()
    assert "| 13 | 9 | 1 | 0 | 0 | 1 deferred | 4 + 7 | 1 | 0 | 0 | 0 |" in found
    assert "after + by machines" in found


def test_text_messages_cost_nothing_that_nobody_priced():
    assert "no price is set" in results(texts=Texts(messages=9, segments=12, cost=None)).markdown()
    assert "about 0.12" in results(texts=Texts(messages=9, segments=12, cost="0.12")).markdown()


def test_what_people_wrote_becomes_no_markup_and_no_formula():
    side = Side(name="<b>|=1", people=1, ripe=1, counted=1, buyers=0, orders=0, revenue={})
    found = results(
        title="a <script>\n# b",
        experiment=Experiment(**{**vars(NOTHING), "sides": [side]}),
        periods=[
            Period(group="=1+1", period="after", people=1, currency="USD", buyers=1, orders=1,
                   revenue=250)
        ],
    )  # fmt: skip
    page = found.markdown()
    assert not any(one in page for one in ("<script>", "<b>", "\n# b"))
    [head, row] = csv.reader(io.StringIO(found.csv()))
    assert dict(zip(head, row, strict=True))["group"] == "'=1+1"
    assert dict(zip(head, row, strict=True))["revenue"] == "2.50"


def test_it_links_to_the_page_of_its_run_when_it_is_told_where():
    url = "http://127.0.0.1:8000/campaigns/01a2012c-b920-7378-adc2-683f9b49fdbf"
    assert url in results().markdown(base_url="http://127.0.0.1:8000")
    assert "](" not in results().markdown()


def test_it_is_json():
    found = json.loads(json.dumps(results().to_json()))
    assert found["made_at"] == AT.isoformat()
    assert found["experiment"]["report"] is None
