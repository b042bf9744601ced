"""Where the browser is, and what to do when there is none."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

#: As root, and without calling home: this machine's network may refuse it.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium of this machine.

    Without one the browser tests are skipped, since a fresh machine has none; where
    SIGNALPOST_REQUIRE_BROWSER is set, as in CI, that is a failure.
    """
    named = os.environ.get("CHROMIUM")
    found = named or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None and os.environ.get("SIGNALPOST_REQUIRE_BROWSER"):
        pytest.fail("there is no Chromium, and SIGNALPOST_REQUIRE_BROWSER asks for one")
    if found is None:
        pytest.skip("there is no Chromium on this machine; set CHROMIUM to its path")
    return found
