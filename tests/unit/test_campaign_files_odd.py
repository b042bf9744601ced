"""What is allowed in a campaign file and still worth a look, and remedies that a person can follow."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalpost.content import Catalogue
from signalpost.content.campaigns import check, is_warning, load, scaffold
from tests.cli_harness import signalpost

CATALOGUE = Catalogue.load(Path("templates"))
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FILE = """\
name: one
message: purchase_offer
audience: {everyone: true}
channels: {every: [email]}
promotion: {id: P, code: C, ends: 2040-05-31 23:59Z}
facts: {percent: 15}
"""


def odd(folder, text):
    (folder / "one.yaml").write_text(FILE + text)
    campaign = load(folder, CATALOGUE)["one"]
    return [one.rule for one in check(campaign, CATALOGUE, NOW) if is_warning(one)]


@pytest.mark.parametrize(
    ("schedule", "skips"),
    [
        ("cron: 0 10 30 * *", True),
        ("cron: 0 10 15,31 * *", True),
        ("rrule: FREQ=MONTHLY;BYMONTHDAY=29;BYHOUR=10;BYMINUTE=0", True),
        ("rrule: FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=10;BYMINUTE=0", True),
        ("cron: 0 10 28 * *", False),
        ("cron: 0 10 30 1,7 *", False),
        ("cron: 0 10 * * *", False),
        ("cron: 0 10 * * MON", False),
        ("cron: 0 10 L * *", False),
        ("rrule: FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=10;BYMINUTE=0", False),
        ("rrule: FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=31;BYHOUR=10;BYMINUTE=0", False),
    ],
)
def test_a_day_that_some_months_do_not_have_is_told_of(tmp_path, schedule, skips):
    key, _, rule = schedule.partition(": ")
    found = odd(tmp_path, f"schedule: {{{key}: '{rule}'}}\n")
    assert found == (["skips-months"] if skips else [])


def test_the_description_of_a_new_file_is_told_of_until_somebody_writes_one(tmp_path):
    text = scaffold("fresh", "purchase_offer", CATALOGUE)
    (tmp_path / "fresh.yaml").write_text(text)
    [said] = check(load(tmp_path, CATALOGUE)["fresh"], CATALOGUE, NOW)
    assert (said.rule, is_warning(said), said.line) == ("description", True, 3)
    assert odd(tmp_path, "description: Early access for members.\n") == []


def test_a_short_name_is_no_place_and_a_place_is_offered(tmp_path):
    (tmp_path / "one.yaml").write_text(FILE + "schedule: {at: 2030-01-01 10:00, zone: EST}\n")
    [said] = load(tmp_path, CATALOGUE, broken="collect").problems
    assert said.says == "'EST' is no time zone"
    assert "America/New_York" in said.remedy
    assert "did you mean EST" not in said.remedy


def test_a_remedy_is_a_sentence_of_its_own(tmp_path):
    (tmp_path / "one.yaml").write_text("name: one\n" + FILE.partition("\n")[2] + "owners: us\n")
    shown = signalpost(tmp_path, "lint", campaigns=str(tmp_path)).out
    assert ". Did you mean owner?" in shown
    assert "?." not in shown


EXPERIMENT = """\
experiment:
  arms:
    - {{name: a, share: 50%{a}}}
    - {{name: b, share: 50%{b}}}
  measure: {{horizon: 100{measure}}}
"""
EARLY, CONTROL = ", message: early_bird", ", control: true"


@pytest.mark.parametrize(
    ("a", "b", "measure", "rules"),
    [
        ("", EARLY, "", []),
        ("", CONTROL, "", []),
        ("", "", "", ["same-arms"]),
        ("", ", message: purchase_offer", "", ["same-arms"]),
        ("", EARLY, ", alpha: 50%", ["alpha"]),
        ("", EARLY, ", alpha: 0.1%", ["alpha"]),
        ("", EARLY, ", alpha: 10%", []),
        ("", EARLY, ", alpha: 1%", []),
    ],
)
def test_an_experiment_that_teaches_nothing_is_told_of(tmp_path, a, b, measure, rules):
    assert odd(tmp_path, EXPERIMENT.format(a=a, b=b, measure=measure)) == rules


def test_an_experiment_that_teaches_nothing_is_told_of_on_its_own_line(tmp_path):
    text = FILE + EXPERIMENT.format(a="", b="", measure=", alpha: 50%")
    (tmp_path / "one.yaml").write_text(text)
    found = {one.rule: one for one in check(load(tmp_path, CATALOGUE)["one"], CATALOGUE, NOW)}
    lines = text.splitlines()
    assert "name: b" in lines[found["same-arms"].line - 1]
    assert "the arms 'a' and 'b' both send 'purchase_offer'" in found["same-arms"].says
    assert "alpha" in lines[found["alpha"].line - 1]
    assert "between 1% and 10%" in found["alpha"].remedy
