"""Reports from the terminal: what is printed, and that an answer is kept by having been read."""

import csv
import io
import json
import shutil
from datetime import timedelta
from typing import Any

import pytest

from signalpost.clock import set_file
from signalpost.testing import Stage
from tests.cli_harness import signalpost
from tests.integration.results_harness import NOON, Book

MEASURE = {"event": "order.placed", "within": "7d", "revenue": "total", "horizon": 20}


@pytest.fixture
def book(tmp_path) -> Any:
    with Stage(folder=tmp_path) as stage:
        yield Book(stage.database, stage.desk)


@pytest.fixture
def run(tmp_path, book, monkeypatch) -> Any:
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "templates").mkdir()
    shutil.copy("templates/brand.toml", tmp_path / "templates")
    (tmp_path / "no_journeys.py").write_text("JOURNEYS = ()\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def command(*words: str, days: float = 8, **more: str) -> Any:
        set_file(tmp_path / "clock.json", NOON + timedelta(days=days))
        return signalpost(
            tmp_path,
            *words,
            campaigns=str(tmp_path / "campaigns"),
            templates=str(tmp_path / "templates"),
            journeys="no_journeys",
            database_url=f"sqlite:///{tmp_path / 'stage.db'}",
            clock_file=str(tmp_path / "clock.json"),
            **more,
        )

    return command


@pytest.fixture
def made(book) -> str:
    """A run in which all of 20 who were treated bought, and none of 20 who were held out."""
    made = book.run(holdout="50%", experiment={"measure": MEASURE})
    for _ in range(20):
        book.order(book.decided(made, "sent"), "2.50", at=NOON + timedelta(hours=1))
        book.decided(made, "held_out", "campaign")
    return made


def test_a_report_says_what_is_known_and_keeps_it(run, book, made):
    early = run("campaign", "report", "spring", days=3)
    assert early.code == 0, early
    assert "Not yet known: nobody's 7 days to convert are over." in " ".join(early.out.split())
    first = run("campaign", "report", made)
    assert "People in treated converted more often" in " ".join(first.out.split())
    for _ in range(20):
        book.order(book.decided(made, "held_out", "campaign"), at=NOON + timedelta(hours=1))
        book.decided(made, "sent")
    again = run("campaign", "report", made, days=9)
    assert "it stands" in " ".join(again.out.split())
    assert "it stands" not in " ".join(run("campaign", "report", made, "--all-runs").out.split())


def test_orders_before_and_after_come_as_a_table_for_a_spreadsheet(run, made):
    done = run("campaign", "report", made, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert {(row["group"], row["period"]): row["revenue"] for row in rows} == {
        ("treated", "before"): "0.00", ("treated", "after"): "50.00",
        ("held out", "before"): "0.00", ("held out", "after"): "0.00",
    }  # fmt: skip


def test_a_report_is_json_too(run, made):
    found = json.loads(run("campaign", "report", made, "--json").out)
    assert found["experiment"]["report"]["comparisons"][0]["verdict"]["says"] == "higher"
    assert found["owed"] == {"buyers": 20, "orders": 20, "revenue": {"USD": 5000}}


def test_the_houses_holdout_is_told_of_when_there_is_one(run, made):
    refused = run("campaign", "holdout")
    assert (refused.code != 0, "SIGNALPOST_HOLDOUT" in refused.err) == (True, True), refused
    told = run("campaign", "holdout", holdout="0.02")
    assert told.code == 0, told
    assert "What all marketing campaigns together bring about" in told.out
