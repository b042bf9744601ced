"""``doctor`` and campaigns: a file that is wrong, and one that is over."""

import json
import shutil
from pathlib import Path

from signalpost.clock import set_file
from signalpost.testing import EPOCH
from tests.cli_harness import signalpost

SPRING = """\
name: spring
message: purchase_offer
audience: {everyone: true}
channels: email
promotion: {id: SPRING-26, code: LARK15, ends: 2026-03-05 23:59, zone: UTC, facts: {percent: 15}}
"""


def campaigns(folder: Path, text: str, *, days: int = 0) -> dict[str, str]:
    """What a doctor says of a project with one message and one campaign."""
    (folder / "campaigns").mkdir(exist_ok=True)
    templates = folder / "templates"
    for name in ("_layout", "purchase_offer"):
        shutil.copytree(Path("templates") / name, templates / name, dirs_exist_ok=True)
    shutil.copy("templates/brand.toml", templates)
    (folder / "campaigns" / "spring.yaml").write_text(text)
    set_file(folder / "clock.json", EPOCH.replace(day=EPOCH.day + days))
    given = {name: str(folder / name) for name in ("campaigns", "templates")}
    given |= {"clock_file": str(folder / "clock.json"), "web_port": "1"}
    listed = json.loads(signalpost(folder, "doctor", "--json", **given).out)
    return next(check for check in listed["checks"] if check["name"] == "campaigns")


def test_a_doctor_names_the_campaigns_or_what_is_wrong_with_one(tmp_path: Path) -> None:
    assert campaigns(tmp_path, SPRING)["says"] == "spring"
    broken = campaigns(tmp_path, SPRING.replace("purchase_offer", "purchase_ofer"))
    assert broken["state"] == "wrong"
    assert "campaigns/spring.yaml:2" in broken["says"]


def test_a_campaign_whose_offer_is_over_is_nothing_to_see_a_doctor_about(tmp_path: Path) -> None:
    late = campaigns(tmp_path, SPRING, days=20)
    assert (late["state"], late["says"]) == ("ok", "spring")


def test_a_time_that_does_not_exist_is_worth_a_look(tmp_path: Path) -> None:
    gap = (
        f"{SPRING.replace('2026-03-05', '2026-04-05')}schedule: {{at: 2026-03-29 01:30, zone: %s}}"
    )
    late = campaigns(tmp_path, gap % "Europe/London")
    assert late["state"] == "warn"
    assert "does not exist" in late["says"]
