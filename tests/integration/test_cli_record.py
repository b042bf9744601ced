"""``record`` and ``why``: the record in the terminal and as JSON."""

import json
from pathlib import Path

import pytest

from tests.cli_harness import Result, signalpost
from tests.integration.story import Story, open_record, tell


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Story]:
    folder = tmp_path_factory.mktemp("cli")
    story = tell(open_record(folder))
    story.database.close()
    return folder, story


def ask(home: tuple[Path, Story], *words: str) -> Result:
    return signalpost(home[0], *words, database_url=f"sqlite:///{home[0] / 'record.db'}")


@pytest.mark.parametrize("key", ["jane-17", "Jane@mail.example", "+14155550123", "O-5004"])
def test_a_customer_is_shown_by_any_key(home: tuple[Path, Story], key: str) -> None:
    shown = ask(home, "record", key)
    assert shown.code == 0
    assert "Jane Doe" in shown.out
    assert "Did you spend £1,000.00 at XYZ <store>?" in shown.out


def test_the_timeline_is_there_as_json(home: tuple[Path, Story]) -> None:
    found = json.loads(ask(home, "record", home[1].jane, "--json").out)
    assert found["id"] == home[1].jane
    assert found["timeline"][0]["kind"] == "merge"
    newest = json.loads(ask(home, "record", home[1].jane, "--json", "--limit", "2").out)
    assert newest["earlier"] is True
    assert newest["timeline"] == found["timeline"][-2:]


def test_why_says_what_was_decided_and_about_what(home: tuple[Path, Story]) -> None:
    assert "every rule of its purpose allowed it" in ask(home, "why", "jane-17").out
    offer = ask(home, "why", "jane-17", "--about", "early_bird", "--json")
    assert [one["reason"] for one in json.loads(offer.out)["decisions"]] == ["consent_denied"]
    undecided = ask(home, "why", "jane-17", "--about", "pickup_reminder")
    assert (undecided.code, "Nothing has been decided" in undecided.out) == (0, True)


def test_why_refuses_what_is_no_campaign_journey_or_message(home: tuple[Path, Story]) -> None:
    refused = ask(home, "why", "jane-17", "--about", "early_brid")
    assert refused.code == 4, refused
    assert "There is no campaign, journey or message 'early_brid'" in refused.err
    assert "did you mean the message 'early_bird'?" in refused.err
    far = ask(home, "why", "jane-17", "--about", "zzz")
    assert far.code == 4
    assert "early_bird" in far.err
