"""The command line as a person meets it: help, and sentences instead of tracebacks."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from signalpost.cli.reach import reach
from tests.cli_harness import signalpost

#: Below the ports that a system gives out by itself, to the tests beside this one for instance.
PORTS = {"web_port": "20811", "postoffice_port": "20812", "prefect_port": "20813"}


def test_help_lists_every_command_with_what_it_does(tmp_path: Path) -> None:
    shown = signalpost(tmp_path, "--help")
    assert shown.code == 0
    for command in (
        "up", "web", "worker", "postoffice", "migrate", "doctor", "lint", "preview", "event",
        "record", "why", "journeys", "redrive", "merge", "unmerge", "suppress",
    ):  # fmt: skip
        assert f" {command} " in shown.out
    assert "Exit codes" in shown.out


def test_help_needs_no_settings_and_leaves_nothing_behind(tmp_path: Path) -> None:
    assert signalpost(tmp_path, "record", "--help", web_port="nonsense").code == 0
    assert not (tmp_path / "state").exists()


def test_a_wrong_setting_is_one_sentence_and_exit_code_3(tmp_path: Path) -> None:
    result = signalpost(tmp_path, "journeys", web_port="eighty")
    assert (result.code, result.out) == (3, "")
    assert "SIGNALPOST_WEB_PORT is not a whole number" in result.err


def test_a_record_that_is_not_there_yet_is_exit_code_4_with_what_to_do(tmp_path: Path) -> None:
    result = signalpost(tmp_path, "record", "ann")
    assert result.code == 4
    assert "Run `signalpost up`" in result.err
    assert not (tmp_path / "state" / "signalpost.db").exists()


def test_a_web_that_does_not_run_is_exit_code_5_with_what_to_do(tmp_path: Path) -> None:
    result = signalpost(tmp_path, "event", "order.placed", "order_id=7", web_port="1")
    assert result.code == 5
    assert "Start it with `signalpost up`" in result.err


def test_a_database_that_is_away_is_exit_code_5_and_its_password_is_not_shown(
    tmp_path: Path,
) -> None:
    away = "postgresql://me:sesame@127.0.0.1:1/none"
    for command in (["record", "ann"], ["migrate"], ["doctor"]):
        result = signalpost(tmp_path, *command, database_url=away)
        assert result.code in (1, 5)
        assert "sesame" not in result.out + result.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["order.placed", "nonsense"], "'nonsense' is not key=value"),
        (["order.placed", "total:=1,5"], "total is not valid JSON"),
        (["order.placed", 'products=[{"name": "Board"'], "products looks like a JSON list"),
        (["order.placed", "note=[urgent] call"], """'note:="[urgent] call"'"""),
        (["order.placed", "deep=" + "[" * 20_000], "deep looks like a JSON list"),
        (["order.placed", "--json", "[1]"], "must be one JSON object"),
        (["order.placed", "a=1", "a.b=2"], "'a' has a value of its own"),
        (["order.placed", "--file", "no-such-file"], "cannot be read"),
    ],
)
def test_a_signal_that_is_written_wrongly_is_refused_before_it_is_sent(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    result = signalpost(tmp_path, "event", *words)
    assert result.code == 2
    assert sentence in result.err


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("up", "web_port"),
        ("up", "prefect_port"),
        ("web", "web_port"),
        ("postoffice", "postoffice_port"),
    ],
)
def test_a_port_that_is_taken_is_said_before_anything_is_started(
    tmp_path: Path, command: str, setting: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = signalpost(tmp_path, command, **(PORTS | {setting: str(port)}))
    assert result.code == 3
    assert f"Port {port}" in result.err
    assert f"SIGNALPOST_{setting.upper()}" in result.err
    assert not (tmp_path / "state" / "signalpost.db").exists()


def test_an_unknown_lane_or_message_says_what_there_is(tmp_path: Path) -> None:
    lane = signalpost(tmp_path, "worker", "--lane", "fast")
    assert lane.code == 2
    assert "risk" in lane.err
    message = signalpost(tmp_path, "preview", "no_such_message")
    assert message.code == 4
    assert "fraud_alert" in message.err


def test_migrate_makes_the_record_and_says_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert "up to date now" in signalpost(tmp_path, "migrate").out
    assert "was up to date" in signalpost(tmp_path, "migrate").out
    found = signalpost(tmp_path, "record", "nobody")
    assert found.code == 4
    assert "Nobody on the record" in found.err
    for name in ("signalpost.db",):
        assert (tmp_path / "state" / name).stat().st_mode & 0o077 == 0


def test_the_journeys_are_drawn_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "journeys.md"
    assert signalpost(tmp_path, "journeys", "--write", str(page)).code == 0
    assert page.read_text().count("```mermaid\nflowchart TD") == 4


def test_journeys_are_counted_as_json(tmp_path: Path) -> None:
    signalpost(tmp_path, "migrate")
    found = json.loads(signalpost(tmp_path, "journeys", "--json").out)["journeys"]
    assert {one["journey"]: one["inside"] for one in found}["fraud-alert"] == 0
    unknown = signalpost(tmp_path, "journeys", "no-such")
    assert unknown.code == 4
    assert "pickup-follow-up" in unknown.err


def test_preview_shows_a_message_in_a_locale_as_it_would_be_sent(tmp_path: Path) -> None:
    found = signalpost(
        tmp_path, "preview", "fraud_alert", "--channel", "sms", "--locale", "zh-Hant", "--json"
    )
    text = json.loads(found.out)["channels"]["sms"]["text"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_preview_says_which_locale_it_shows_instead_of_one_that_is_not_there(
    tmp_path: Path,
) -> None:
    words = ("preview", "fraud_alert", "--channel", "sms", "--locale")
    none = signalpost(tmp_path, *words, "klingon").out
    assert "There is no locale 'klingon'; en is shown instead." in none
    found = json.loads(signalpost(tmp_path, *words, "fr-CA", "--json").out)
    assert found["notes"] == ["fraud_alert is not written in fr-CA for sms; en is shown instead."]
    assert json.loads(signalpost(tmp_path, *words, "zh-HK", "--json").out)["notes"] == []


def test_lint_names_file_line_and_remedy_and_ends_with_1(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    (templates / "broken").mkdir(parents=True)
    (templates / "brand.toml").write_text('name = "B"\npostal_address = "1"\nwebsite = "https://b"')
    (templates / "broken" / "message.toml").write_text('purpose = "shouting"\n')
    result = signalpost(tmp_path, "lint", templates=str(templates))
    assert result.code == 1
    assert "broken/message.toml:1" in result.out
    problems = json.loads(signalpost(tmp_path, "lint", "--json", templates=str(templates)).out)
    assert problems["problems"][0]["remedy"]


def test_the_projects_own_messages_and_journeys_are_fine(tmp_path: Path) -> None:
    result = signalpost(tmp_path, "lint")
    assert result.code == 0, result


def test_a_process_of_its_own_ends_with_the_same_sentence_and_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "signalpost.cli", "record", "ann"],
        env=os.environ | {"SIGNALPOST_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("✗ There is no record at")
    assert "Traceback" not in done.stderr


def test_the_web_starts_serves_and_stops_when_told(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"SIGNALPOST_HOME": str(tmp_path), "SIGNALPOST_WEB_PORT": str(port)}
    assert signalpost(tmp_path, "migrate", home=str(tmp_path)).code == 0
    web = subprocess.Popen([sys.executable, "-m", "signalpost.cli", "web"], env=os.environ | given)
    try:
        until_ready(f"http://127.0.0.1:{port}/readyz")
        known = {"home": str(tmp_path), "web_port": str(port)}
        ready = ["order.ready_for_pickup", "order_id=7", "user_id=ann"]
        sent = signalpost(tmp_path, "event", *ready, **known)
        assert (sent.code, "ready_for_pickup accepted" in sent.out) == (0, True)
        assert "order.ready_for_pickup" in signalpost(tmp_path, "record", "ann", **known).out
        listed = ["order.placed", "order_id=007", 'products=[{"name":"Board","quantity":1}]']
        assert signalpost(tmp_path, "event", *listed, "user_id=ann", **known).code == 0
        [placed] = [one for one in timeline(tmp_path, known) if one["says"] == "order.placed"]
        assert [one["name"] for one in placed["detail"]["facts"]["items"]] == ["Board"]
        assert placed["detail"]["facts"]["order_id"] == "007"
        wrong = signalpost(tmp_path, "event", "order.placed", write_key="wrong", **known)
        assert wrong.code == 3
        assert "SIGNALPOST_WRITE_KEY" in wrong.err
        refused = signalpost(tmp_path, "event", "not..a..name", **known)
        assert refused.code == 2
    finally:
        web.terminate()
        assert web.wait(20) in (0, -signal.SIGTERM)


def timeline(folder: Path, known: dict[str, str]) -> list[dict]:
    return json.loads(signalpost(folder, "record", "ann", "--json", **known).out)["timeline"]


def until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), reach(url, timeout=2):
            return
        time.sleep(0.05)
    raise AssertionError("the web did not become ready")
