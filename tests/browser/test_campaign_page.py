"""A run's page in a real browser: reading it, watching it go on, and following it to a customer."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from signalpost.record.campaigns import CampaignRun, CampaignShard
from signalpost.web.session import ticket
from tests.integration import campaign_story
from tests.integration.campaign_story import LAUNCHED, Runs
from tests.integration.pages_harness import Site, open_site
from tests.integration.results_harness import Book

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@dataclass
class House:
    """The site, the runs on its record, and where it is served."""

    site: Site
    runs: Runs
    url: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        runs = campaign_story.write(opened.product.database, customer_id=opened.story.jane)
        config = uvicorn.Config(opened.app, port=0, log_level="error", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield House(opened, runs, f"http://127.0.0.1:{port}")
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    """A page with a session, at the campaigns; what the console complains of fails the test."""
    context = browser.new_context(base_url=house.url)
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    complaints: list[str] = []
    opened.on(
        "console", lambda said: complaints.append(said.text) if said.type == "error" else None
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"/login?next=/campaigns#{ticket(house.site.product.settings)}")
    opened.get_by_role("button", name="Sign in").click()
    opened.wait_for_url("**/campaigns")
    yield opened
    context.close()
    assert complaints == []


def artifacts() -> Path:
    folder = Path(".test-artifacts")
    folder.mkdir(exist_ok=True)
    return folder


def test_an_operator_goes_from_the_list_to_a_run_to_a_customer_and_reads_why(
    page: Page, house: House
) -> None:
    page.get_by_role("row", name="running").get_by_role("link", name="spring-sale").click()
    expect(page.get_by_role("heading", name="Plan, as maria approved it")).to_be_visible()
    page.get_by_role("row", name="held out on purpose").get_by_role(
        "link", name="1", exact=True
    ).click()
    expect(page.get_by_text("In the arm that gets nothing")).to_be_visible()
    page.get_by_role("row", name="In the arm").get_by_role("link").click()
    expect(page.get_by_text("Held out on purpose from spring-sale")).to_be_visible()


def test_progress_goes_on_by_itself_and_stops_when_the_run_has_ended(
    page: Page, house: House
) -> None:
    page.goto(f"/campaigns/{house.runs.running}")
    expect(page.get_by_text("4 of 6 people decided")).to_be_visible()
    database = house.site.product.database
    with database.writing() as session:
        shard = session.get_one(CampaignShard, (house.runs.running, 0))
        shard.counts = dict(Counter(shard.counts) + Counter({"sent:email:allowed": 2}))
        shard.due_at = None
        run = session.get_one(CampaignRun, house.runs.running)
        run.status, run.ended_at = "done", LAUNCHED
    expect(page.get_by_text("6 of 6 people decided")).to_be_visible()
    assert page.locator("#progress[hx-get]").count() == 0


def test_the_pages_of_campaigns_fit_a_phone(browser: Browser, house: House) -> None:
    context = browser.new_context(base_url=house.url, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(f"/login?next=/campaigns#{ticket(house.site.product.settings)}")
    page.get_by_role("button", name="Sign in").click()
    run = f"/campaigns/{house.runs.running}"
    for path in ("/campaigns", run, f"{run}/people?outcome=sent"):
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} pixels wide"
    context.close()


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_a_run_brought_about_fits_every_screen(
    browser: Browser, house: House, width: int, scheme: Literal["light", "dark"]
) -> None:
    product = house.site.product
    run = Book(product.database).measured(at=product.desk.clock() - timedelta(days=30))
    context = browser.new_context(
        base_url=house.url, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(f"/login?next=/campaigns#{ticket(product.settings)}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/campaigns")
    page.goto(f"/campaigns/{run}")
    found = page.locator("#results")
    expect(found.get_by_text("People in treated converted more often")).to_be_visible()
    expect(found.get_by_role("row", name="Rate 100.00% 0.00%")).to_be_visible()
    expect(found.get_by_text("sample ratio, p = 1")).to_be_visible()
    expect(found.get_by_text("treated", exact=True).last).to_be_hidden()
    found.get_by_text("The 7 days before and after").click()
    expect(found.get_by_role("row", name="treated after 20 20 20 50.00 USD")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=artifacts() / f"results-{scheme}-{width}.png", full_page=True)
    context.close()


def test_the_screenshots_of_campaigns_can_be_looked_at(page: Page, house: House) -> None:
    folder = artifacts()
    page.screenshot(path=folder / "campaigns.png", full_page=True)
    page.goto(f"/campaigns/{house.runs.running}")
    expect(page.locator("#results").get_by_text("Not yet known")).to_be_visible()
    page.screenshot(path=folder / "campaign.png", full_page=True)
    assert (folder / "campaign.png").stat().st_size > 20_000
