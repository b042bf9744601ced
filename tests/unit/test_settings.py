"""Settings: which variable is wrong and what to do; keys made once; no secret shown."""

import json
import stat
from pathlib import Path

import pytest

from signalpost import bootstrap
from signalpost.domain.journey import IN_APP, Journey, Send, first
from signalpost.domain.vocabulary import Channel, Lane
from signalpost.errors import ConfigurationError
from signalpost.settings import load


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("web_port", "eighty", "SIGNALPOST_WEB_PORT is not a whole number"),
        ("web_port", "0", "SIGNALPOST_WEB_PORT must be 1 or more"),
        ("prefect_port", "70000", "SIGNALPOST_PREFECT_PORT must be 65535 or less"),
        ("public_url", "shop.example", "SIGNALPOST_PUBLIC_URL is not a web address"),
        ("public_url", "https://u:p@shop.example", "SIGNALPOST_PUBLIC_URL holds a user"),
        ("public_url", "https://shop.example/a b", "SIGNALPOST_PUBLIC_URL holds a space"),
        ("public_url", 'https://shop.example/"x=', "SIGNALPOST_PUBLIC_URL holds a space"),
        ("default_zone", "Mars/Olympus", "SIGNALPOST_DEFAULT_ZONE is not a time zone"),
        ("email_from", "hello", "SIGNALPOST_EMAIL_FROM is not an email address"),
        ("twilio_sender", "call me", "SIGNALPOST_TWILIO_SENDER is not a sender"),
        ("twilio_account_sid", "AC1", "SIGNALPOST_TWILIO_ACCOUNT_SID is not an account sid"),
        ("holdout", "2", "SIGNALPOST_HOLDOUT must be less than 1"),
        ("hooks", {"block_card": "file:///etc/passwd"}, "SIGNALPOST_HOOKS (block_card) is not"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(name: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match="The setting ") as caught:
        load(**{name: value})
    assert sentence in str(caught.value)


def test_every_wrong_setting_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(web_port="x", holdout="y")
    assert str(caught.value).splitlines()[0] == "2 settings are wrong:"


def test_no_error_and_no_repr_shows_a_value_that_may_be_secret(tmp_path: Path) -> None:
    secrets = {"api_key": "sesame-1", "twilio_auth_token": "sesame-2", "link_secrets": "sesame-3"}
    settings = load(home=tmp_path, **secrets, database_url="postgresql://me:sesame-4@db/x")
    assert "sesame" not in repr(settings)
    with pytest.raises(ConfigurationError) as caught:
        load(twilio_account_sid="sesame-5", public_url="sesame-6")
    assert "sesame" not in str(caught.value)


def test_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    first_time = load(home=tmp_path / "state").keys
    assert load(home=tmp_path / "state").keys == first_time
    mode = stat.S_IMODE((tmp_path / "state" / "keys.json").stat().st_mode)
    assert mode == 0o600


def test_a_key_that_is_set_goes_before_the_one_that_was_made(tmp_path: Path) -> None:
    assert load(home=tmp_path, api_key="mine").keys["api_key"] == "mine"
    assert json.loads((tmp_path / "keys.json").read_text())["api_key"] != "mine"


def test_a_key_added_by_a_newer_version_is_made_and_the_others_stay(tmp_path: Path) -> None:
    before = dict(load(home=tmp_path).keys)
    older = {name: key for name, key in before.items() if name != "hook_secret"}
    (tmp_path / "keys.json").write_text(json.dumps(older))
    after = load(home=tmp_path).keys
    assert after["hook_secret"].startswith("whsec_")
    assert {name: after[name] for name in older} == older


def test_damaged_keys_say_which_file_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"keys\.json cannot be read .* Restore"):
        _ = load(home=tmp_path).keys


def test_without_a_vendor_account_everything_goes_to_the_local_post_office(tmp_path: Path) -> None:
    settings = load(home=tmp_path, postoffice_port=9025)
    mail = bootstrap.sendgrid_settings(settings, brand="Brand")
    phone = bootstrap.twilio_settings(settings)
    assert mail.base_url == phone.base_url == "http://127.0.0.1:9025"
    assert mail.senders["marketing"].name == "Brand"
    assert phone.sender is not None


def test_with_an_account_everything_goes_to_the_vendor(tmp_path: Path) -> None:
    settings = load(
        home=tmp_path,
        public_url="https://go.shop.example/",
        sendgrid_api_key="SG.real",
        twilio_account_sid="AC" + "0" * 32,
        twilio_auth_token="t" * 32,
        twilio_sender="+14155550100",
    )
    assert bootstrap.sendgrid_settings(settings, brand="").base_url is None
    phone = bootstrap.twilio_settings(settings)
    assert phone.base_url is None
    assert phone.status_callback == "https://go.shop.example/webhooks/twilio/status"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "without SIGNALPOST_TWILIO_AUTH_TOKEN"),
        ({"twilio_auth_token": "t"}, "set SIGNALPOST_TWILIO_SENDER"),
        ({"twilio_auth_token": "t", "twilio_api_key": "SK" + "0" * 32}, "belong together"),
    ],
)
def test_half_a_twilio_account_is_refused(tmp_path: Path, given: dict, sentence: str) -> None:
    settings = load(home=tmp_path, twilio_account_sid="AC" + "0" * 32, **given)
    with pytest.raises(ConfigurationError, match=sentence):
        bootstrap.twilio_settings(settings)


def _templates(folder: Path) -> Path:
    made = folder / "templates"
    made.mkdir()
    brand = {"name": "Brand", "postal_address": "1 Road", "website": "https://brand.example"}
    (made / "brand.toml").write_text("".join(f'{k} = "{v}"\n' for k, v in brand.items()))
    return made


def test_the_product_is_built_from_settings_and_closed(tmp_path: Path) -> None:
    app = bootstrap.build(load(home=tmp_path, templates=_templates(tmp_path)), journeys=())
    assert set(app.desk.providers) == set(Channel)
    app.database.ping()
    app.close()


def test_a_journey_that_sends_an_unknown_message_is_refused_at_the_start(tmp_path: Path) -> None:
    lost = Journey(
        name="lost", lane=Lane.SERVICE, starts_on="a.b", steps=[Send("nowhere", first(IN_APP))]
    )
    with pytest.raises(ConfigurationError, match="'lost' sends the message 'nowhere'"):
        bootstrap.build(load(home=tmp_path, templates=_templates(tmp_path)), journeys=(lost,))


@pytest.mark.parametrize(
    ("module", "sentence"),
    [("no_such_module", "there is no such module"), ("json", "has no JOURNEYS")],
)
def test_a_missing_journeys_module_says_what_to_set(module: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        bootstrap.load_programs(load(journeys=module))


def test_the_send_window_and_caps_are_read_and_a_wrong_one_says_how_to_write_it(monkeypatch):
    from datetime import time, timedelta

    from signalpost.errors import ConfigurationError
    from signalpost.settings import load

    monkeypatch.setenv("SIGNALPOST_SEND_WINDOW", "09:30-20:00")
    monkeypatch.setenv("SIGNALPOST_MARKETING_CAPS", "1/12h, 3/7d")
    found = load()
    assert (found.send_window.opens, found.send_window.closes) == (time(9, 30), time(20))
    periods = [(cap.count, cap.period) for cap in found.marketing_caps]
    assert periods == [(1, timedelta(hours=12)), (3, timedelta(days=7))]
    for name, wrong in (("SEND_WINDOW", "21:00-08:00"), ("MARKETING_CAPS", "two a day")):
        monkeypatch.setenv(f"SIGNALPOST_{name}", wrong)
        with pytest.raises(ConfigurationError, match=f"SIGNALPOST_{name} is no .*; write it like"):
            load()
        monkeypatch.delenv(f"SIGNALPOST_{name}")
