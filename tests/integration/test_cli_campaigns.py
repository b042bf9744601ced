"""Campaigns from the terminal, from the file to the last person: what is printed and what is kept."""

import asyncio
import io
import json
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from signalpost.clock import set_file
from signalpost.content import Catalogue
from signalpost.content.campaigns import load
from signalpost.domain.campaign import Schedule
from signalpost.record.base import new_id
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.messages import InAppItem, Message
from signalpost.services.campaigns import following, launching, sending
from signalpost.testing import Stage
from tests.cli_harness import Result, signalpost

SPRING = """\
name: spring
description: Fifteen percent in spring.
owner: shop marketing
message: purchase_offer
audience:
  all:
    - attribute: tier
      among: [gold, vip]
channels: {first: [email, in_app]}
holdout: 0%
approval: above 2
promotion: {id: SPRING-26, code: LARK15, ends: 2027-05-31 23:59, zone: UTC, facts: {percent: 15}}
"""
NIGHTLY = SPRING.replace("name: spring", "name: nightly").replace(
    "approval: above 2", "approval: never\nschedule: {at: 2026-03-04 10:00, zone: customer}"
)


@pytest.fixture
def campaigns(tmp_path: Path) -> Path:
    folder = tmp_path / "campaigns"
    folder.mkdir()
    (folder / "spring.yaml").write_text(SPRING)
    (folder / "nightly.yaml").write_text(NIGHTLY)
    return folder


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the project's messages: every command compiles all that there are."""
    folder = tmp_path_factory.mktemp("words") / "templates"
    folder.mkdir()
    shutil.copy("templates/brand.toml", folder)
    for name in ("_layout", "purchase_offer", "win_back"):
        shutil.copytree(Path("templates") / name, folder / name)
    return folder


@pytest.fixture
def stage(tmp_path: Path, campaigns: Path, templates: Path) -> Iterator[Stage]:
    """Five customers: gold ones with consent, one without, and one of no tier."""
    files = load(campaigns, Catalogue.load(templates))
    with Stage(folder=tmp_path, journeys=(), campaigns=files, templates=templates) as opened:
        for number in range(5):
            opened.signal(
                "profile.updated",
                user_id=f"u{number}",
                email=f"u{number}@example.com",
                traits={
                    "first_name": f"Name{number}",
                    "timezone": "UTC",
                    **({"tier": "gold"} if number < 4 else {}),
                    **({"marketing_consent": True} if number < 3 else {}),
                },
            )
        yield opened


@pytest.fixture
def journeys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project without journeys: those of ours send messages that are not copied."""
    (tmp_path / "no_journeys.py").write_text("JOURNEYS = ()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "no_journeys"


@pytest.fixture
def run(stage: Stage, tmp_path: Path, campaigns: Path, templates: Path, journeys: str) -> Any:
    """Run a command on the stage's record, at the stage's time."""

    def command(*words: str) -> Result:
        clock = tmp_path / "clock.json"
        set_file(clock, stage.clock())
        return signalpost(
            tmp_path,
            *words,
            campaigns=str(campaigns),
            templates=str(templates),
            journeys=journeys,
            database_url=f"sqlite:///{tmp_path / 'stage.db'}",
            clock_file=str(clock),
        )

    return command


def launched(run: Any, *words: str) -> dict[str, Any]:
    done = run("campaign", "launch", "spring", "--by", "omar", "--json", *words)
    assert done.code == 0, done
    return json.loads(done.out)


def approved(run: Any) -> str:
    made = launched(run)
    words = ["--by", "maria", "--yes", "--seen", made["digest"]]
    assert run("campaign", "approve", made["id"], *words).code == 0
    return made["id"]


def work(stage: Stage, run_id: str) -> None:
    """Do what a worker of the lane does: start what is approved, and send to whoever is due."""

    async def all_due() -> None:
        while claims := sending.claim_shards(stage.desk, now=stage.clock(), limit=4):
            for claim in claims:
                await sending.send_shard(stage.desk, claim=claim, run_id=None)

    launching.start(stage.desk, campaign_run_id=run_id, now=stage.clock())
    asyncio.run(all_due())


# -- files ---------------------------------------------------------------------------------------


def test_a_new_campaign_is_a_file_that_is_right_as_it_stands_and_is_never_overwritten(
    run: Any, campaigns: Path
) -> None:
    made = run("campaign", "new", "summer", "--message", "purchase_offer")
    assert made.code == 0, made
    text = (campaigns / "summer.yaml").read_text()
    assert text.startswith("#")
    assert "signalpost campaign plan summer" in made.out
    assert run("lint").code == 0
    again = run("campaign", "new", "summer", "--message", "win_back")
    assert (again.code, "exists already" in again.err) == (1, True)
    assert (campaigns / "summer.yaml").read_text() == text


def test_a_new_campaign_of_an_unknown_message_is_refused(run: Any, campaigns: Path) -> None:
    refused = run("campaign", "new", "summer", "--message", "purchase_ofer")
    assert (refused.code, "purchase_offer" in refused.err) == (4, True)
    assert not (campaigns / "summer.yaml").exists()


def test_every_campaign_is_listed_with_when_it_runs_and_its_latest_run(
    run: Any, campaigns: Path
) -> None:
    made = launched(run)
    listed = json.loads(run("campaign", "list", "--json").out)["campaigns"]
    assert [(one["campaign"], one["schedule"]) for one in listed] == [
        ("nightly", "4 Mar 2026, 10:00, each customer's time"),
        ("spring", "by hand"),
    ]
    assert [one["next"] for one in listed] == ["2026-03-04T10:00", None]
    assert listed[1]["latest_run"] == {"id": made["id"], "status": "awaiting_approval"}
    assert "by hand" in run("campaign", "list").out
    (campaigns / "odd.yaml").write_text("name: odd\nmesage: purchase_offer\n")
    shown = run("campaign", "list")
    assert ("spring" in shown.out, "odd.yaml:2" in shown.err) == (True, True)
    problems = json.loads(run("campaign", "list", "--json").out)["problems"]
    assert any("odd.yaml:2" in one for one in problems)


def test_lint_names_file_line_and_remedy_of_a_campaign_that_is_wrong(
    run: Any, campaigns: Path
) -> None:
    (campaigns / "spring.yaml").write_text(SPRING.replace("email, in_app", "email, fax"))
    wrong = run("lint")
    assert wrong.code == 1
    assert "campaigns/spring.yaml:9" in wrong.out
    [problem] = json.loads(run("lint", "--json").out)["problems"]
    assert problem["remedy"]


def test_a_campaign_with_a_broken_file_says_so_and_hides_no_other(
    run: Any, campaigns: Path
) -> None:
    (campaigns / "spring.yaml").write_text(SPRING.replace("message: purchase_offer", "message: x"))
    refused = run("campaign", "plan", "spring")
    assert (refused.code, "spring.yaml:4" in refused.err) == (4, True), refused
    assert run("campaign", "plan", "nightly").code == 0


def test_lint_tells_of_a_campaign_that_is_over_and_stays_green(run: Any, stage: Stage) -> None:
    stage.clock.now = stage.clock.now.replace(month=4)
    late = run("lint")
    assert late.code == 0
    assert "worth a look: 2026-03-04 10:00 is past everywhere" in late.out
    refused = run("campaign", "launch", "nightly", "--by", "omar")
    assert (refused.code, "does not come again" in refused.err) == (2, True)
    refused = run("campaign", "launch", "nightly", "--at", "2026-03-04T10:00", "--by", "omar")
    assert (refused.code, "which is over" in refused.err) == (2, True)


def test_lint_finds_a_misspelt_campaign_and_takes_one_that_may_have_run(
    run: Any, campaigns: Path
) -> None:
    tier = "    - attribute: tier\n      among: [gold, vip]\n"
    for name, code in (("nigthly", 1), ("autumn-25", 0)):
        asks = SPRING.replace(tier, f"{tier}    - not: {{in_campaign: {name}}}\n")
        (campaigns / "spring.yaml").write_text(asks)
        assert run("lint").code == code
        shown = run("campaign", "plan", "spring")
        assert (shown.code, f"There is no campaign {name}" in shown.out) == (1, True), shown


# -- before it goes ------------------------------------------------------------------------------


def test_the_plan_says_who_is_reached_and_who_is_not_and_keeps_nothing(run: Any) -> None:
    shown = run("campaign", "plan", "spring")
    assert shown.code == 0, shown
    assert "3 of 4 people would be written to" in shown.out
    assert "marketing needs the customer's consent" in shown.out
    planned = json.loads(run("campaign", "plan", "spring", "--json").out)
    assert (planned["people"], planned["reached"]) == (4, 3)
    assert "No campaign has been launched yet." in run("campaign", "status").out


def test_a_plan_that_cannot_be_launched_says_why_and_ends_with_1(run: Any, campaigns: Path) -> None:
    nobody = SPRING.replace("[gold, vip]", "[platinum]")
    (campaigns / "spring.yaml").write_text(nobody)
    shown = run("campaign", "plan", "spring")
    assert (shown.code, "cannot be launched" in shown.out) == (1, True), shown
    assert shown.out.splitlines()[-1].split()[-2:] == ["platinum", "0"]
    refused = run("campaign", "launch", "spring", "--by", "omar")
    assert (refused.code, refused.out) == (2, "")
    assert "cannot be launched" in refused.err


def test_without_a_time_the_schedule_of_the_file_says_when(run: Any) -> None:
    planned = json.loads(run("campaign", "plan", "nightly", "--json").out)
    assert planned["local_at"] == "2026-03-04T10:00:00"
    at_once = json.loads(run("campaign", "plan", "nightly", "--now", "--json").out)
    assert at_once["local_at"] is None


def test_the_same_occurrence_is_launched_once(run: Any) -> None:
    words = ["campaign", "launch", "nightly", "--by", "omar", "--json"]
    first, second = (json.loads(run(*words).out) for _ in range(2))
    assert first["occurrence"] == "2026-03-04T10:00"
    assert second["id"] == first["id"]


def test_an_occurrence_that_is_launched_again_says_by_whom_it_was_and_how_it_stands(
    run: Any, campaigns: Path
) -> None:
    words = ["campaign", "launch", "nightly", "--by"]
    assert "nightly is approved: 4 people, from 3 Mar 2026" in run(*words, "omar").out
    again = run(*words, "maria")
    assert again.code == 0, again
    assert "nightly was launched already, by omar, and is approved: 4 people" in again.out
    (campaigns / "nightly.yaml").write_text(NIGHTLY.replace("holdout: 0%", "holdout: 50%"))
    changed = run(*words, "maria")
    assert (changed.code, changed.out) == (1, "")
    assert "The file has changed since" in " ".join(changed.err.split())
    assert run("campaign", "cancel", "nightly", "--by", "omar", "--yes").code == 0
    ended = run(*words, "maria")
    assert (ended.code, ended.out) == (1, "")
    assert "launched by omar, cancelled" in " ".join(ended.err.split())
    assert run(*words, "maria", "--now").code == 0, "the remedy"


def test_a_schedule_that_is_over_is_not_launched_by_mistake(run: Any, stage: Stage) -> None:
    stage.clock.now = stage.clock.now.replace(month=4)
    refused = run("campaign", "launch", "nightly", "--by", "omar")
    assert (refused.code, "does not come again" in refused.err) == (2, True), refused


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["plan", "sprin"], 4, "did you mean 'spring'?"),
        (["plan", "spring", "--at", "tomorrow"], 2, "'tomorrow' is no time"),
        (["plan", "nightly", "--at", "2026-03-05T10:00", "--now"], 2, "not both"),
        (["plan", "spring", "--fact", "percent"], 2, "not key=value"),
        (["preview", "spring", "--stage", "update"], 2, "has no stage 'update'"),
        (["preview", "spring", "--customer", "nobody"], 4, "known by 'nobody'"),
        (["status", "spring"], 4, "There is no run 'spring'"),
        (["launch", "spring", "--by", " "], 2, "Say who you are"),
        (["simulate", "spring", "--from", "monday"], 2, "'monday' is no day"),
        (["launch", "spring", "--fact", "percent=90"], 2, "a launch does not change it"),
        (["preview", "spring", "--fact", "percent=90"], 2, "a launch does not change it"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    run: Any, words: list[str], code: int, sentence: str
) -> None:
    refused = run("campaign", *words)
    assert refused.code == code, refused
    assert sentence in " ".join(refused.err.split())


def test_the_preview_shows_the_campaigns_facts_to_a_sample_person_and_to_a_customer(
    run: Any,
) -> None:
    sample = json.loads(run("campaign", "preview", "spring", "--json").out)["messages"]
    assert [one["channel"] for one in sample] == ["email", "in_app"]
    assert all("LARK15" in str(one["parts"]) for one in sample)
    words = ["campaign", "preview", "spring", "--customer", "u1@example.com", "--channel", "email"]
    [own] = json.loads(run(*words, "--json").out)["messages"]
    assert "Name1" in str(own["parts"])
    assert "LARK15" in run(*words).out
    strange = run(*words, "--locale", "klingon").out
    assert strange.count("There is no locale 'klingon'; en is shown instead.") == 1


def test_a_customer_for_whom_a_message_cannot_be_written_is_told_of_in_the_preview(
    run: Any, campaigns: Path
) -> None:
    text = SPRING.replace("facts: {percent: 15}", "facts: {}")
    text += "facts: {percent: {attribute: discount}}\n"
    (campaigns / "spring.yaml").write_text(text)
    shown = run("campaign", "preview", "spring", "--customer", "u1", "--channel", "email")
    assert "would be set aside: a fact that it must show is missing: percent" in shown.out
    (campaigns / "spring.yaml").write_text(text.replace("discount", "first_name"))
    words = ("--customer", "u1", "--channel", "email", "--series", "INC-7")
    shown = run("campaign", "preview", "spring", *words)
    assert "percent; it has to be: integer from 1 to 100, such as" in " ".join(shown.out.split())
    assert "· INC-7 ·" in shown.out


# -- runs ----------------------------------------------------------------------------------------


def test_a_launch_above_the_bound_waits_for_approval_and_says_how_it_is_given(run: Any) -> None:
    done = run("campaign", "launch", "spring", "--by", "omar")
    [one] = json.loads(run("campaign", "status", "--json").out)["runs"]
    assert "waits for approval: 4 people" in done.out
    assert f"signalpost campaign approve {one['id']}" in done.out
    assert one["status"] == "awaiting_approval"


def test_runs_are_listed_with_whole_names_and_ids_on_a_narrow_terminal(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run("campaign", "launch", "spring", "--by", "omar")
    [one] = json.loads(run("campaign", "status", "--json").out)["runs"]
    lines = run("campaign", "status").out.splitlines()
    assert [line.split()[0] for line in lines] == ["Run", "spring", one["id"]]
    assert "awaiting approval" in lines[1]
    assert max(map(len, lines)) <= 80


def test_an_approval_is_of_the_plan_that_was_seen_and_kept_with_who_gave_it(run: Any) -> None:
    made = launched(run)
    blind = run("campaign", "approve", made["id"], "--yes")
    assert (blind.code, "--seen" in blind.err) == (2, True)
    other = run("campaign", "approve", made["id"], "--yes", "--seen", "another", "--by", "maria")
    assert (other.code, "not the one you saw" in other.err) == (1, True)
    words = ["--yes", "--seen", made["digest"], "--by", "maria"]
    assert "is approved by maria" in run("campaign", "approve", "spring", *words).out
    acts = json.loads(run("campaign", "status", made["id"], "--json").out)["acts"]
    assert [(one["act"], one["who"]) for one in acts] == [
        ("launched", "omar"),
        ("approved", "maria"),
    ]
    assert acts[1]["detail"]["digest"] == made["digest"]


def test_an_approval_shows_the_plan_and_asks_first(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = launched(run)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = run("campaign", "approve", made["id"], "--by", "maria")
    assert asked.code == 1
    assert "3 of 4 people would be written to" in asked.out
    assert "Approve spring, 4 people, as maria?" in asked.out
    shown = json.loads(run("campaign", "status", made["id"], "--json").out)
    assert shown["status"] == "awaiting_approval"
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("campaign", "approve", made["id"], "--by", "maria").code == 0
    assert json.loads(run("campaign", "status", made["id"], "--json").out)["status"] == "approved"


def test_by_name_the_run_that_waits_is_approved_and_not_the_latest(run: Any) -> None:
    waits = launched(run)
    later = run("campaign", "launch", "spring", "--by", "omar", "--test-on", "1", "--json")
    assert json.loads(later.out)["status"] == "approved"
    words = ["--by", "maria", "--yes", "--seen", waits["digest"]]
    done = run("campaign", "approve", "spring", *words)
    assert done.code == 0, done
    status = json.loads(run("campaign", "status", waits["id"], "--json").out)["status"]
    assert status == "approved"


def test_of_several_that_wait_none_is_taken_and_all_are_listed(run: Any) -> None:
    first, second = launched(run), launched(run)
    for words in (["approve", "spring"], ["refuse", "spring", "--reason", "no"]):
        refused = run("campaign", *words, "--by", "maria")
        assert (refused.code, refused.out) == (1, ""), refused
        assert all(f"{one['id']} (spring, launched 2 Mar 2026" in refused.err
                   for one in (first, second))  # fmt: skip
    assert run("campaign", "refuse", first["id"], "--reason", "twice", "--by", "maria").code == 0
    words = ["--by", "maria", "--yes", "--seen", second["digest"]]
    assert run("campaign", "approve", "spring", *words).code == 0


def test_a_run_that_does_not_wait_is_not_shown_and_asked_about(run: Any) -> None:
    run_id = approved(run)
    for which in (run_id, "spring"):
        again = run("campaign", "approve", which, "--by", "maria")
        assert (again.code, again.out) == (1, ""), again
        assert "spring does not wait for approval: it is approved" in again.err


def test_the_plan_of_a_second_launch_says_that_the_first_has_not_begun(run: Any) -> None:
    first = launched(run)
    assert (
        f"Run {first['id']} of the same is awaiting approval"
        in run("campaign", "plan", "spring").out
    )


DAILY = SPRING.replace("name: spring", "name: daily").replace(
    "approval: above 2", "schedule: {cron: '0 10 * * *', zone: Europe/London}"
)


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2026-03-29T01:30", "does not exist in Europe/London; it would become 2026-03-29 02:30"),
        ("2026-10-25T01:30", "comes twice in Europe/London"),
    ],
)
def test_a_time_that_a_change_of_clocks_skips_or_doubles_is_refused_for_a_launch(
    run: Any, campaigns: Path, at: str, says: str
) -> None:
    (campaigns / "daily.yaml").write_text(DAILY)
    for command in ("plan", "launch"):
        refused = run("campaign", command, "daily", "--at", at)
        assert (refused.code, refused.out) == (2, ""), refused
        assert says in " ".join(refused.err.split())
    assert run("campaign", "plan", "daily", "--at", f"{at}+00:00").code == 0
    assert run("campaign", "plan", "daily", "--at", at.replace("T01", "T10")).code == 0


@pytest.mark.parametrize(
    ("at", "occurrence"),
    [
        ("2026-03-05T10:00", "2026-03-05T10:00"),
        ("2026-03-05T10:00+00:00", "2026-03-05T10:00"),
        ("2026-03-30T05:00-04:00", "2026-03-30T10:00"),  # London is an hour ahead of UTC by then
        ("2026-03-30T10:00+00:00", "by hand"),  # eleven on the wall
        ("2026-03-05T11:00", "by hand"),
    ],
)
def test_a_time_at_which_the_schedule_comes_is_its_own_in_whichever_zone_it_is_said(
    run: Any, stage: Stage, campaigns: Path, at: str, occurrence: str
) -> None:
    """Else it went to everybody twice: now by hand, and at its time by the schedule."""
    (campaigns / "daily.yaml").write_text(DAILY)
    made = json.loads(run("campaign", "launch", "daily", "--at", at, "--by", "omar", "--json").out)
    assert made["occurrence"].startswith(occurrence)
    if occurrence == "by hand":
        return
    daily = load(campaigns, stage.desk.catalogue)["daily"]
    due = datetime.fromisoformat(made["scheduled_at"])
    following.follow(stage.desk, campaign=daily, told=None, now=due - timedelta(seconds=1))
    [came] = following.follow(stage.desk, campaign=daily, told=None, now=due)
    assert came.id == made["id"]


@pytest.mark.parametrize(
    ("words", "occurrence"),
    [
        ([], "2026-03-02T11:00"),  # the next time
        (["--at", "2026-03-05T11:00"], "2026-03-05T11:00"),
        (["--at", "2026-03-05T16:00+00:00"], "2026-03-05T11:00"),
        (["--at", "2026-03-05T10:00"], "by hand"),  # the file's own time, which does not come
    ],
)
def test_a_schedule_that_was_changed_in_prefect_says_when_it_is_launched(
    run: Any, stage: Stage, campaigns: Path, words: list[str], occurrence: str
) -> None:
    """Else both went to everybody: what was launched, and what comes."""
    (campaigns / "daily.yaml").write_text(DAILY)
    daily = load(campaigns, stage.desk.catalogue)["daily"]
    eleven = Schedule(cron="0 11 * * *", zone="America/New_York")
    told = following.Told(changed=(eleven,))
    following.follow(stage.desk, campaign=daily, told=told, now=stage.clock())
    made = json.loads(run("campaign", "launch", "daily", "--by", "omar", "--json", *words).out)
    assert made["occurrence"].startswith(occurrence)
    if occurrence != "by hand":
        due = datetime.fromisoformat(made["scheduled_at"])
        assert due.hour == 16
        following.follow(stage.desk, campaign=daily, told=told, now=due - timedelta(seconds=1))
        [*_, came] = following.follow(stage.desk, campaign=daily, told=told, now=due)
        assert came.id == made["id"]


def test_a_refused_run_is_over_and_keeps_the_reason(run: Any) -> None:
    made = launched(run)
    assert (
        run("campaign", "refuse", made["id"], "--reason", "wrong code", "--by", "maria").code == 0
    )
    shown = run("campaign", "status", made["id"]).out
    assert "refused" in shown
    assert "wrong code" in shown


def test_a_run_that_is_sent_shows_progress_outcomes_and_why_for_each_person(
    run: Any, stage: Stage
) -> None:
    run_id = approved(run)
    work(stage, run_id)
    assert len(stage.sent) == 3
    shown = run("campaign", "status", "spring", "--watch").out
    assert "100 %  4 of 4" in shown
    assert "marketing needs the customer's consent, and there is none" in shown
    outcomes = json.loads(run("campaign", "status", run_id, "--json").out)["outcomes"]
    assert [(one["outcome"], one["people"]) for one in outcomes] == [("sent", 3), ("skipped", 1)]
    sent, skipped = run("why", "u0", "--about", "spring"), run("why", "u3", "--about", "spring")
    assert "Sent spring by email" in sent.out
    assert "Did not send spring" in skipped.out
    assert "purchase_offer (spring) by email" in run("record", "u0").out


def test_why_answers_for_whoever_is_outside_the_audience(run: Any, stage: Stage) -> None:
    work(stage, approved(run))
    shown = run("why", "u4", "--about", "spring")
    assert "not in the audience of spring" in shown.out
    assert "✗ tier is one of" in shown.out
    found = json.loads(run("why", "u4", "--about", "spring", "--json").out)
    assert found["decisions"] == []
    assert found["audience"]["in_audience"] is False
    [clause] = found["audience"]["clauses"]
    assert (clause["holds"], bool(clause["value"])) == (False, True)
    inside = json.loads(run("why", "u0", "--about", "spring", "--json").out)
    assert inside["audience"]["in_audience"] is True


def test_why_tells_of_a_campaign_whose_file_is_gone_as_its_run_had_it(
    run: Any, campaigns: Path, stage: Stage
) -> None:
    run_id = approved(run)
    work(stage, run_id)
    (campaigns / "spring.yaml").unlink()
    gone = run("why", "u0", "--about", "spring")
    assert "is in the audience of spring that its run of " in gone.out
    assert "✓ tier is one of" in gone.out
    assert "Sent spring by email" in gone.out
    outside = json.loads(run("why", "u4", "--about", "spring", "--json").out)["audience"]
    assert (outside["in_audience"], bool(outside["as_of"])) == (False, True)
    assert run("why", "u0", "--about", "sprang").code == 4


EITHER = """\
audience:
  any:
    - attribute: tier
      is: {given: tier}
    - all:
        - did: order.returned
        - attribute: tier
          is_not: vip
"""


def test_why_shows_how_clauses_hang_together_and_what_the_run_was_given(
    run: Any, campaigns: Path
) -> None:
    head, _, rest = SPRING.partition("audience:")
    text = head + EITHER + rest[rest.index("channels:") :]
    (campaigns / "closed.yaml").write_text(text.replace("name: spring", "name: closed"))
    before = run("why", "u0", "--about", "closed")
    assert before.code == 0, before
    assert "hangs on what is given at its launch" in before.out
    assert "  ? at least one of these:" in before.out
    assert "    ? tier is (the tier given at the launch)  asked at the launch: tier" in before.out
    assert "    ✗ all of these:\n      ✗ did order.returned at least 1 time" in before.out
    assert run("campaign", "launch", "closed", "--fact", "tier=gold", "--by", "omar").code == 0
    after = run("why", "u0", "--about", "closed")
    assert "is in the audience of closed (with tier gold, given to its run of" in after.out
    assert "  ✓ at least one of these:\n    ✓ tier is gold  tier is gold" in after.out
    found = json.loads(run("why", "u0", "--about", "closed", "--json").out)["audience"]
    assert (found["in_audience"], found["given"]) == (True, {"tier": "gold"})
    assert [(one["depth"], one["group"]) for one in found["clauses"]] == [
        (0, "any"), (1, None), (1, "all"), (2, None), (2, None),
    ]  # fmt: skip


def test_a_plan_shows_what_each_member_of_a_group_leaves(run: Any, campaigns: Path) -> None:
    text = SPRING.replace(
        "    - attribute: tier\n      among: [gold, vip]\n",
        "    - any:\n        - {attribute: tier, is: gold}\n        - did: order.returned\n"
        "    - {attribute: tier, is: nobody}\n",
    )
    (campaigns / "spring.yaml").write_text(text)
    shown = run("campaign", "plan", "spring")
    lines = [line.split() for line in shown.out.splitlines()]
    steps = [line for line in lines if line and line[-1].strip("()").isdigit()]
    assert ["at", "least", "one", "of", "these"] in [line[:-1] for line in steps], shown.out
    assert ["tier", "is", "gold"] in [line[:-1] for line in steps]
    assert "how many each member alone would leave" in shown.out


def test_a_run_is_paused_resumed_and_cancelled_and_each_is_kept_with_who_did_it(
    run: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = approved(run)
    launching.start(stage.desk, campaign_run_id=run_id, now=stage.clock())
    assert "paused" in run("campaign", "pause", run_id, "--by", "ida", "--reason", "typo").out
    assert not sending.claim_shards(stage.desk, now=stage.clock(), limit=4)
    assert "goes on" in run("campaign", "resume", run_id, "--by", "ida").out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = run("campaign", "cancel", "spring", "--by", "ida")
    assert (asked.code, "whoever is left gets nothing, for good" in asked.out) == (1, True)
    assert run("campaign", "status", "spring", "--json").out.count('"cancelled"') == 0
    assert "cancelled" in run("campaign", "cancel", "spring", "--by", "ida", "--yes").out
    late = run("campaign", "resume", run_id, "--by", "ida")
    assert (late.code, "only a paused one" in late.err) == (1, True)
    acts = json.loads(run("campaign", "status", run_id, "--json").out)["acts"]
    assert [one["act"] for one in acts if one["who"] == "ida"] == ["paused", "resumed", "cancelled"]
    assert "the run was cancelled" in run("why", "u0", "--about", "spring").out
    assert stage.sent == []


def test_who_cancels_is_asked_with_how_many_items_leave_the_inboxes(
    run: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = approved(run)
    launching.start(stage.desk, campaign_run_id=run_id, now=stage.clock())

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    none = run("campaign", "cancel", run_id, "--by", "ida")
    assert "inbox" not in none.out, "nothing went, so that nothing leaves an inbox"
    in_the_app(stage, run_id, read=True)
    in_the_app(stage, run_id)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = run("campaign", "cancel", run_id, "--by", "ida")
    assert asked.code == 1
    assert "2 items leave the inboxes of those who were sent to" in asked.out
    done = run("campaign", "cancel", run_id, "--by", "ida", "--yes")
    assert "its items have left the inboxes" in done.out
    assert "in-app items" in " ".join(run("campaign", "cancel", "--help").out.split())


def in_the_app(stage: Stage, run_id: str, *, read: bool = False) -> None:
    """Put an item of the run into the inbox of its first customer."""
    at = stage.clock()
    with stage.database.writing() as session:
        who = session.exec(select(CampaignPerson.customer_id)).first()
        one = Message(
            idempotency_key=new_id(), customer_id=who, campaign_run_id=run_id,
            message="purchase_offer", version="1", channel="in_app", address="u0",
            purpose="marketing", topic="offers", locale="en", status="delivered", created_at=at,
            updated_at=at,
        )  # fmt: skip
        session.add(one)
        session.flush()
        item = InAppItem(message_id=one.id, customer_id=who, created_at=at)
        item.read_at = at if read else None
        session.add(item)


# -- simulation ----------------------------------------------------------------------------------


def test_a_simulation_of_what_was_sent_finds_exactly_that_and_sends_nothing(
    run: Any, stage: Stage
) -> None:
    work(stage, approved(run))
    stage.clock.now += timedelta(days=1)
    words = ["campaign", "simulate", "spring", "--from", "2026-03-01", "--to", "2026-03-02"]
    again = run(*words, "--check")
    assert again.code == 0, again
    assert "Exactly this went." in again.out
    found = json.loads(run(*words, "--json").out)
    assert len(found["sendings"]) == 3
    assert found["difference"]["added"] == found["difference"]["dropped"] == 0
    assert len(stage.sent) == 3


def test_a_simulation_of_a_changed_file_says_whom_it_changes_and_fails_the_check(
    run: Any, stage: Stage, campaigns: Path
) -> None:
    work(stage, approved(run))
    stage.clock.now += timedelta(days=1)
    (campaigns / "spring.yaml").write_text(SPRING.replace("[gold, vip]", "[vip]"))
    changed = run("campaign", "simulate", "spring", "--from", "2026-03-01", "--check")
    assert changed.code == 1, changed
    assert "0 more, 3 fewer" in changed.out


def test_a_period_in_which_nothing_is_recorded_is_refused(run: Any) -> None:
    refused = run("campaign", "simulate", "spring", "--from", "2027-01-01")
    assert (refused.code, "nothing recorded" in refused.err) == (2, True), refused


def test_a_period_that_ends_before_it_begins_is_refused_in_the_days_that_were_typed(
    run: Any,
) -> None:
    words = ["campaign", "simulate", "spring", "--from", "2026-03-12", "--to", "2026-03-02"]
    refused = run(*words)
    assert refused.code == 2, refused
    assert "--from 2026-03-12 comes after --to 2026-03-02" in refused.err
    assert "3 Mar" not in refused.err


@pytest.mark.parametrize("limit", ["lots", "5 %%", "-1", "nan"])
def test_a_limit_that_is_none_is_refused_before_anything_is_played(
    run: Any, tmp_path: Path, limit: str
) -> None:
    refused = run("campaign", "simulate", "spring", "--max-added", limit)
    assert refused.code == 2, refused
    assert "--max-added" in refused.err
    assert "is no limit" in refused.err
    assert not list(tmp_path.glob("**/simulations")), "it was played all the same"


def test_the_past_as_it_happened_is_checked_against_what_was_played_so_too(
    run: Any, stage: Stage
) -> None:
    work(stage, approved(run))
    stage.clock.now += timedelta(days=1)
    words = ["campaign", "simulate", "spring", "--from", "2026-03-01", "--as-it-happened"]
    refused = run(*words, "--check")
    assert refused.code == 2, refused
    assert "there is nothing to check it against; give --against live" in refused.err
    assert run(*words, "--against", "live", "--check").code == 0
    found = json.loads(run(*words, "--json").out)
    assert (found["as_it_happened"], found["difference"]) == (True, None)


def test_a_campaign_that_cannot_be_launched_fails_the_check_whatever_its_limits(
    run: Any, stage: Stage, campaigns: Path
) -> None:
    """Nothing went, nothing would go: but this launch is refused, so that nothing is as before."""
    (campaigns / "spring.yaml").write_text(SPRING.replace("[gold, vip]", "[nobody]"))
    stage.clock.now += timedelta(days=1)
    words = ["campaign", "simulate", "spring", "--from", "2026-03-01", "--to", "2026-03-02"]
    for check in (["--check"], ["--max-added", "0"], ["--check", "--max-added", "100%"]):
        found = run(*words, *check)
        assert found.code == 1, found
        assert "It cannot be launched: refused at 2026-03-01 00:00 UTC: Nobody is in" in found.err
        assert "Exactly this went" not in found.out
    assert run(*words).code == 0, "without a check it is only said"
