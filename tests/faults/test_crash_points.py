"""The places at which a process can be made to die: by name, by turn, by chance, and not at all."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from signalpost import crash_points
from signalpost.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
PLACED = re.compile(r'reach\("([a-z_.]+)"\)|writ(?:ing|ten)="([a-z_.]+)"')
PASSES = """
from signalpost.crash_points import reach
for place in ("send.intended", "send.left", "send.intended"):
    reach(place)
    print(place, flush=True)
"""


def run(wishes):
    return subprocess.run(
        [sys.executable, "-c", PASSES],
        env={"SIGNALPOST_CRASH_AT": wishes},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_dies_where_it_is_told_to_and_the_turn_it_is_told_to():
    ended = run("send.intended#2")
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["send.intended", "send.left"]
    assert "SIGKILL at send.intended" in ended.stderr


def test_without_a_wish_a_place_is_an_empty_function():
    assert run("").returncode == 0
    assert crash_points._pass_by("send.intended") is None


@pytest.mark.parametrize("wishes", ["send.intented", "send.intended#0", "send.left~2", "nowhere.*"])
def test_a_wish_that_names_no_place_is_refused_with_a_sentence(wishes):
    with pytest.raises(ConfigurationError, match="names no place"):
        crash_points.Executioner(wishes)


def test_the_same_seed_has_a_process_die_at_the_same_place():
    ends = {run("send.*~0.5@11").stdout for _ in range(2)}
    assert len(ends) == 1


def test_every_place_that_is_described_is_in_the_code_and_the_other_way_round():
    placed = {
        name
        for file in (ROOT / "signalpost").rglob("*.py")
        if file.name != "crash_points.py"
        for found in PLACED.findall(file.read_text())
        for name in found
        if name
    }
    assert placed == crash_points.POINTS
