"""The pages and the JSON of campaigns: what a run's operator sees; nothing there changes anything."""

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from signalpost.domain.access import Scope
from signalpost.record.campaigns import CampaignAct, CampaignRun
from signalpost.services.access import keys
from signalpost.services.campaigns import report_words, results
from tests.integration import campaign_story
from tests.integration.campaign_story import Runs
from tests.integration.pages_harness import KEY, Site, open_site
from tests.integration.results_harness import Book

LATE_SPRING = """\
name: late-spring
description: Late in spring.
message: purchase_offer
audience: {everyone: true}
channels: [email]
promotion: {id: LATE-26, code: LARK15, ends: 2027-05-31 23:59, zone: UTC, facts: {percent: 15}}
"""
HTML = {"accept": "text/html,application/xhtml+xml"}
BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Runs]]:
    with open_site(tmp_path_factory.mktemp("site")) as site:
        yield site, campaign_story.write(site.product.database, customer_id=site.story.jane)


@pytest.fixture
def runs(told: tuple[Site, Runs]) -> Runs:
    return told[1]


@pytest.fixture
def stranger(told: tuple[Site, Runs]) -> TestClient:
    return TestClient(told[0].app, follow_redirects=False, headers=HTML)


@pytest.fixture
def reader(stranger: TestClient) -> TestClient:
    assert stranger.post("/login", data={"key": KEY}).status_code == 303
    return stranger


@pytest.fixture
def program(told: tuple[Site, Runs]) -> TestClient:
    return TestClient(told[0].app, headers=BEARER)


def pages(runs: Runs) -> list[str]:
    run = f"/campaigns/{runs.running}"
    return [
        "/campaigns",
        run,
        f"{run}/results",
        f"{run}/progress",
        f"{run}/people",
        f"/campaigns/{runs.done}",
    ]


def test_a_stranger_sees_no_campaign(stranger: TestClient, runs: Runs) -> None:
    for page in pages(runs):
        answer = stranger.get(page)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={page}")
    for path in ("/v1/campaigns", f"/v1/campaigns/{runs.running}"):
        assert stranger.get(path).status_code == 401


def test_a_marketer_sees_who_got_it_by_id_and_is_led_to_no_customer(
    told: tuple[Site, Runs], stranger: TestClient, runs: Runs
) -> None:
    site = told[0]
    now = site.product.desk.clock()
    with site.product.database.writing() as session:
        made = keys.make(session, name="mia", scopes=[Scope.MARKETER], actor="cli:ann", now=now)
    assert stranger.post("/login", data={"key": made.token}).status_code == 303
    for page in pages(runs):
        shown = stranger.get(page)
        assert shown.status_code == 200
        assert 'href="/customers' not in shown.text
    people = stranger.get(f"/campaigns/{runs.running}/people?outcome=sent").text
    assert site.story.jane in people
    assert stranger.get(f"/customers/{site.story.jane}").status_code == 403


def test_the_list_shows_every_run_with_how_far_it_is(reader: TestClient, runs: Runs) -> None:
    page = reader.get("/campaigns").text
    assert f'href="/campaigns/{runs.running}"' in page
    assert "66 %" in page
    assert "awaiting approval" in page
    assert "service-notice · all-clear · INC-7" in page


def test_the_list_shows_the_files_as_they_are_and_what_is_wrong_with_the_others(
    told: tuple[Site, Runs], reader: TestClient, program: TestClient
) -> None:
    folder = told[0].product.settings.campaigns
    folder.mkdir()
    try:
        (folder / "late-spring.yaml").write_text(LATE_SPRING)
        assert '<td class="strong">late-spring</td>' in reader.get("/campaigns").text
        (folder / "odd.yaml").write_text("name: odd\nmesage: <b>\n")
        page = reader.get("/campaigns").text
        assert '<td class="strong">late-spring</td>' in page
        assert "odd.yaml:2" in page
        assert "Did you mean message" in page
        listed = program.get("/v1/campaigns").json()
        assert [one["campaign"] for one in listed["campaigns"]] == ["late-spring"]
        assert any("odd.yaml:2" in one for one in listed["problems"])
        why = program.get(
            f"/v1/customers/{told[0].story.jane}/why", params={"about": "late-spring"}
        ).json()
        assert why["audience"]["campaign"] == "late-spring"
        (folder / "odd.yaml").unlink()
        (folder / "late-spring.yaml").write_text(LATE_SPRING.replace("Late", "Very late"))
        page = reader.get("/campaigns").text
        assert "odd.yaml" not in page
        assert "Very late" in page
    finally:
        shutil.rmtree(folder)
    assert "late-spring" not in reader.get("/campaigns").text


def test_a_run_shows_its_plan_who_approved_it_how_far_it_is_and_whom_it_is_for(
    reader: TestClient, runs: Runs
) -> None:
    page = reader.get(f"/campaigns/{runs.running}").text
    for shown in (
        "4 of 6 people decided",
        "2 wait</a>; somebody is due at",
        "as maria approved it",
        "<b>3</b> of them would get nothing after all: other campaigns come first.",
        '<a href="/campaigns/r-2">clash</a>: 4 people in both; 3 of them will have had the same',
        "<td>LARK&lt;15&gt;</td>",  # what is said: as it stands in the plan, and never as markup
        "Hello Ann, your code: LARK&lt;15&gt;",
        "early_bird · email · en, with samples for product",
        "d1g3st",
        "by omar",
        "Everybody of whom all of this is true:",
        f"signalpost campaign pause {runs.running}",
        "signalpost why CUSTOMER --about spring-sale",
    ):
        assert shown in page, shown


def test_outcomes_come_with_their_reason_and_with_customers_to_look_at(
    reader: TestClient, told: tuple[Site, Runs]
) -> None:
    site, runs = told
    page = reader.get(f"/campaigns/{runs.running}").text
    assert "held out on purpose" in page
    assert "In the arm that gets nothing" in page
    assert "A fact that it must show is missing: code" in page
    assert f'href="/customers/{site.story.jane}/why"' in page


def test_who_has_an_outcome_is_listed_with_why(reader: TestClient, runs: Runs) -> None:
    skipped = {"outcome": "skipped", "reason": "no_consent"}
    page = reader.get(f"/campaigns/{runs.running}/people", params=skipped).text
    assert page.count("/why") == 1
    assert "By email, marketing needs the customer" in page
    waiting = reader.get(f"/campaigns/{runs.running}/people", params={"outcome": "open"}).text
    assert waiting.count("/why") == 2
    assert "it is night where the customer is" in waiting
    nobody = {"outcome": "skipped", "reason": "frequency_cap"}
    assert "Nobody." in reader.get(f"/campaigns/{runs.running}/people", params=nobody).text


def test_a_run_that_waits_for_approval_says_how_it_is_given(reader: TestClient, runs: Runs) -> None:
    assert f"signalpost campaign approve {runs.waiting}" in (
        reader.get(f"/campaigns/{runs.waiting}").text
    )


def test_progress_is_asked_for_again_until_the_run_has_ended(
    reader: TestClient, runs: Runs
) -> None:
    assert "hx-get" in reader.get(f"/campaigns/{runs.running}/progress").text
    assert "hx-get" not in reader.get(f"/campaigns/{runs.done}/progress").text


def test_reading_changes_nothing_and_nothing_can_be_posted(
    reader: TestClient, told: tuple[Site, Runs]
) -> None:
    site, runs = told

    def kept() -> list[str]:
        with site.product.database.reading() as session:
            rows = [*session.exec(select(CampaignRun)), *session.exec(select(CampaignAct))]
            return [repr(row) for row in rows]

    before = kept()
    for page in pages(runs):
        assert reader.get(page).status_code == 200
        assert reader.post(page).status_code == 405
    assert kept() == before


def test_no_page_of_a_campaign_holds_a_script_or_style_of_its_own(
    reader: TestClient, runs: Runs
) -> None:
    for page in pages(runs):
        text = reader.get(page).text
        assert "<script>" not in text
        assert " style=" not in text
        assert " onclick=" not in text


def test_a_run_shows_what_it_brought_about_and_that_it_is_not_known_yet(
    reader: TestClient, program: TestClient, runs: Runs
) -> None:
    assert f'hx-get="/campaigns/{runs.running}/results"' in (
        reader.get(f"/campaigns/{runs.running}").text
    )
    page = reader.get(f"/campaigns/{runs.running}/results").text
    assert "not yet known" in page.lower()
    assert f"signalpost campaign report {runs.running}" in page
    found = program.get(f"/v1/campaigns/{runs.running}/results").json()
    assert found["people"] == 6
    waiting = reader.get(f"/campaigns/{runs.waiting}/results")
    assert waiting.status_code == 404


def test_a_run_shows_what_the_report_shows(reader: TestClient, told: tuple[Site, Runs]) -> None:
    product = told[0].product
    run = Book(product.database).measured(at=product.desk.clock() - timedelta(days=30))
    page = re.sub(
        r"\s+", " ", re.sub(r"<[^>]*>", " ", reader.get(f"/campaigns/{run}/results").text)
    )
    for shown in (
        "People in treated converted more often: 100.00% in treated, 0.00% in held out",
        "Measured by order.placed within 7 days after each decision",
        "Rate 100.00% 0.00% Events 20 0 Revenue 50.00 USD –",
        "Against held out treated Points +100.00 95% interval +77.21 to +100.00",
        "Lift, and its interval – P-value",  # of a rate of 0 there is no lift
        "People fell on the sides as planned (sample ratio, p = 1).",
        "Channel email Handed over 20 Delivered 20 Bounced 0",
        "all 20 20 50.00 USD",
        "treated after 20 20 20 50.00 USD",
    ):
        assert shown in page, shown
    with product.database.reading() as session:
        found = results.results(session, campaign_run_id=run, now=product.desk.clock())
    told = [one for part in report_words.parts(found) for one in part.says]
    for sentence in (one for one in told if isinstance(one, str)):
        assert sentence.replace("`", "") in page
        assert sentence in found.markdown()


def test_a_run_that_is_not_there_is_a_page_that_says_so(reader: TestClient) -> None:
    answer = reader.get("/campaigns/no-such")
    assert answer.status_code == 404
    assert "text/html" in answer.headers["content-type"]


def test_the_why_page_tells_of_campaigns_too(reader: TestClient, told: tuple[Site, Runs]) -> None:
    page = reader.get(f"/customers/{told[0].story.jane}/why").text
    assert "Sent spring-sale by email" in page
    run = f'href="/campaigns/{told[1].running}"'
    assert run in page
    assert run in reader.get(f"/customers/{told[0].story.jane}").text
    assert "service-notice · all-clear · INC-7" in page


def test_programs_read_the_same_as_json(program: TestClient, runs: Runs) -> None:
    listed = program.get("/v1/campaigns").json()
    assert {one["status"] for one in listed["runs"]} == {"running", "awaiting_approval", "done"}
    [notice] = program.get("/v1/campaigns", params={"campaign": "service-notice"}).json()["runs"]
    assert notice["series"] == "INC-7"
    run = program.get(f"/v1/campaigns/{runs.running}").json()
    assert run["progress"]["decided"] == 4
    assert run["plan"]["digest"] == "d1g3st"
    assert [one["who"] for one in run["acts"]] == ["omar", "maria", "omar"]
    held = next(one for one in run["outcomes"] if one["outcome"] == "held_out")
    assert (held["people"], len(held["examples"])) == (1, 1)
    assert program.get("/v1/campaigns/service-notice").json()["id"] == runs.done
