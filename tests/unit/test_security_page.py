"""SECURITY.md names files and tests that are there, and settings that exist."""

import re
from pathlib import Path

from signalpost.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_file_and_test_that_is_named_is_there() -> None:
    named = re.findall(r"`((?:signalpost|tests|docs)/[\w/.]+)`", PAGE)
    assert len(named) > 40
    assert [one for one in named if not (ROOT / one).exists()] == []


def test_every_page_that_is_linked_is_there() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)", PAGE)
    assert linked
    assert [one for one in linked if not (ROOT / one).exists()] == []


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"SIGNALPOST_([A-Z_]+)", PAGE)) - {"TEST_ADVISORIES"}
    assert {name for name in named if name.lower() not in Settings.model_fields} == set()
