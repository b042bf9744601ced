"""``doctor``: it looks at everything, names what is wrong, and says what to do."""

import json
from pathlib import Path

from tests.cli_harness import signalpost

PORTS = {"web_port": "1", "postoffice_port": "2", "prefect_port": "3"}


def checks(folder: Path, **settings: str) -> dict[str, dict]:
    result = signalpost(folder, "doctor", "--json", **(PORTS | settings))
    listed = json.loads(result.out)
    wrong = any(check["state"] == "wrong" for check in listed["checks"])
    assert result.code == (1 if wrong else 0)
    assert listed["ok"] is not wrong
    return {check["name"]: check for check in listed["checks"]}


def test_a_fresh_installation_is_not_wrong_only_not_started(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert found["record"]["state"] == "warn"
    assert found["web"]["remedy"] == "`signalpost up` starts it."
    for name in ("settings", "state", "messages", "journeys", "SendGrid", "Twilio", "time zones"):
        assert found[name]["state"] == "ok", found[name]


def test_a_wrong_setting_ends_the_examination_with_its_sentence(tmp_path: Path) -> None:
    found = checks(tmp_path, holdout="7")
    assert list(found) == ["settings"]
    assert "SIGNALPOST_HOLDOUT must be less than 1" in found["settings"]["says"]


def test_a_misspelt_setting_is_noticed(tmp_path: Path) -> None:
    assert (
        "SIGNALPOST_WEB_PROT is not a setting" in checks(tmp_path, web_prot="1")["settings"]["says"]
    )


def test_half_a_vendor_account_is_wrong(tmp_path: Path) -> None:
    found = checks(
        tmp_path,
        sendgrid_api_key="not-a-key",
        twilio_account_sid="AC" + "0" * 32,
        twilio_auth_token="t" * 32,
    )
    assert found["SendGrid"]["state"] == found["Twilio"]["state"] == "wrong"
    assert "SIGNALPOST_TWILIO_SENDER" in found["Twilio"]["says"]
    assert "not-a-key" not in json.dumps(found)
    assert "block_card" in found["hooks"]["says"]  # no post office stands in any more


def test_keys_that_others_may_read_are_noticed(tmp_path: Path) -> None:
    checks(tmp_path)
    (tmp_path / "state" / "keys.json").chmod(0o644)
    assert checks(tmp_path)["state"]["remedy"].startswith("chmod go-rwx")


def test_missing_templates_and_journeys_are_wrong(tmp_path: Path) -> None:
    found = checks(tmp_path, templates=str(tmp_path / "none"), journeys="no_such_module")
    assert found["messages"]["state"] == found["journeys"]["state"] == "wrong"
    assert "SIGNALPOST_JOURNEYS" in found["journeys"]["says"]
