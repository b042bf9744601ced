"""The campaign commands as a person meets them: help, and a progress line that is true."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signalpost.cli.campaign_status import progress_line
from signalpost.domain.campaign import Schedule
from signalpost.services.campaigns.runs import Progress
from signalpost.services.reading.campaign_files import when
from signalpost.services.reading.runs import rate
from tests.cli_harness import signalpost

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_help_lists_every_campaign_command_with_what_it_does(tmp_path: Path) -> None:
    shown = signalpost(tmp_path, "campaign", "--help")
    assert shown.code == 0
    for command in (
        "new", "list", "plan", "preview", "simulate", "launch", "approve", "refuse", "pause",
        "resume", "cancel", "status", "report",
    ):  # fmt: skip
        assert f" {command} " in shown.out
    whole = signalpost(tmp_path, "--help").out
    assert " campaign " in whole
    assert " deploy " in whole


def test_without_a_record_a_campaign_command_says_what_to_do(tmp_path: Path) -> None:
    for words in (["status"], ["plan", "spring"], ["launch", "spring"], ["pause", "spring"]):
        result = signalpost(tmp_path, "campaign", *words)
        assert result.code == 4
        assert "Run `signalpost up`" in result.err


def test_deploying_while_prefect_is_away_is_exit_code_5_with_what_to_do(tmp_path: Path) -> None:
    """In a process of its own: Prefect reads its settings once, when it is imported."""
    result = subprocess.run(
        [sys.executable, "-m", "signalpost.cli", "deploy"],
        env=os.environ | {"SIGNALPOST_HOME": str(tmp_path), "SIGNALPOST_PREFECT_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 5, result
    assert "Prefect does not answer" in result.stderr
    assert "Traceback" not in result.stderr


def progress(people: int, decided: int, eta: datetime | None = None) -> Progress:
    return Progress(
        people=people,
        decided=decided,
        counts=Counter(),
        next_due=None,
        per_second=1234.5,
        eta=eta,
    )


def test_a_run_is_whole_only_when_nobody_is_left() -> None:
    assert " 99 %  99,999 of 100,000" in progress_line(progress(100_000, 99_999), now=NOW)
    assert " 100 %  100,000 of 100,000" in progress_line(progress(100_000, 100_000), now=NOW)


def test_the_rate_is_said_only_while_there_is_an_end_to_foresee() -> None:
    soon = progress(10, 5, NOW + timedelta(seconds=65))
    assert progress_line(soon, now=NOW).endswith("1,234 a second  done in 0:01:05")
    assert "second" not in progress_line(progress(10, 5), now=NOW)


@pytest.mark.parametrize(
    ("per_second", "says"), [(8123.4, "8,123 a second"), (0.2, "12 a minute"), (0.001, "4 an hour")]
)
def test_a_slow_run_is_not_said_to_stand_still(per_second: float, says: str) -> None:
    assert rate(per_second) == says


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        (Schedule(), "by hand"),
        (Schedule(cron="0 10 * * MON", zone="Europe/Paris"), "cron 0 10 * * MON, Europe/Paris"),
        (
            Schedule(at=datetime(2026, 12, 1, 10), zone="customer"),  # noqa: DTZ001 - on the wall
            "1 Dec 2026, 10:00, each customer's time",
        ),
        (
            Schedule(rrule="FREQ=YEARLY", until=datetime(2027, 1, 2, tzinfo=UTC).date()),
            "FREQ=YEARLY, UTC, until 2 Jan 2027",
        ),
    ],
)
def test_a_schedule_is_said_in_a_few_words(schedule: Schedule, says: str) -> None:
    assert when(schedule) == says
