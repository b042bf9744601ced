"""What the demo touches, and what it must leave alone."""

import os
import subprocess
import sys

import pytest

from signalpost import settings as settings_
from signalpost.demo import theatre
from signalpost.errors import ConfigurationError


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Somebody who has real accounts, a real database, and ports of their own."""
    accounts = {
        "SIGNALPOST_HOME": str(tmp_path / "state"),
        "SIGNALPOST_DATABASE_URL": "postgresql://shop:secret@127.0.0.1/shop",
        "SIGNALPOST_SENDGRID_API_KEY": "SG.real",
        "SIGNALPOST_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "SIGNALPOST_TWILIO_AUTH_TOKEN": "real",
        "SIGNALPOST_TWILIO_SENDER": "+14155550100",
        "SIGNALPOST_HOOKS": '{"block_card": "https://bank.example/block"}',
        "SIGNALPOST_WEB_PORT": "18000",
    }
    for name, value in accounts.items():
        monkeypatch.setenv(name, value)
    return settings_.load()


def test_the_demo_reaches_no_account_and_no_record_of_its_user(given):
    demo = theatre.settings_of(given, delay=0)
    assert demo.local_sendgrid
    assert demo.local_twilio
    assert demo.database_address == f"sqlite:///{demo.home / 'signalpost.db'}"
    assert demo.hook_urls["block_card"].startswith(demo.postoffice_url)
    assert demo.home == given.home.resolve() / "demo"
    assert demo.web_port == 18000


def test_its_processes_hear_nothing_of_them_either(given, monkeypatch):
    demo = theatre.settings_of(given, delay=0)
    around = {"PATH": "/bin", "PREFECT_API_URL": "https://cloud.example", "SIGNALPOST_HOOKS": "{}"}
    theirs = theatre.environment(demo, around)
    assert theirs["PATH"] == "/bin"
    assert "PREFECT_API_URL" not in theirs
    assert "SIGNALPOST_HOOKS" not in theirs
    for name in [name for name in os.environ if name.startswith("SIGNALPOST_")]:
        monkeypatch.delenv(name)
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    assert settings_.load().model_dump() == demo.model_dump()


def test_a_shell_that_reads_its_env_reaches_the_demo_and_no_account(given):
    demo = theatre.settings_of(given, delay=0)
    theatre.wipe(demo)
    asked = "import signalpost.settings as s; print(s.load().model_dump_json())"
    told = subprocess.run(
        ["sh", "-c", f'. "{demo.home / theatre.ENV}"; exec "$0" -c "{asked}"', sys.executable],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == demo.model_dump_json()


def test_it_starts_with_a_campaign_of_its_own(given):
    demo = theatre.settings_of(given, delay=0)
    theatre.wipe(demo)
    assert [one.name for one in demo.campaigns.iterdir()] == ["spring-weekend.yaml"]


def test_each_start_wipes_the_last_demo_and_nothing_else(given):
    demo = theatre.settings_of(given, delay=0)
    theatre.wipe(demo)
    (demo.home / "signalpost.db").write_text("old")
    (given.home / "signalpost.db").write_text("the user's own")
    theatre.wipe(demo)
    assert not (demo.home / "signalpost.db").exists()
    assert (given.home / "signalpost.db").read_text() == "the user's own"


def test_a_folder_that_leads_elsewhere_is_not_wiped(given, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "letter").write_text("keep me")
    given.home.mkdir()
    (given.home / "demo").symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="demo"):
        theatre.wipe(theatre.settings_of(given, delay=0))
    assert (elsewhere / "letter").read_text() == "keep me"


def test_a_system_that_ends_at_once_is_told_with_its_last_words(given):
    demo = theatre.settings_of(given, delay=0)
    theatre.wipe(demo)
    command = (sys.executable, "-c", "print('Port 18000 is taken.'); raise SystemExit(3)")
    with (
        pytest.raises(theatre.DidNotOpenError, match="Port 18000 is taken"),
        theatre.opened(demo, tell=lambda _: None, command=command),
    ):
        pytest.fail("it never opened")
