"""The customer's page in a real browser: signing in, reading, narrowing, and its live timeline."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from signalpost.record.events import Event
from signalpost.web.session import ticket
from tests.integration.pages_harness import KEY, Site, open_site
from tests.integration.story import START

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        config = uvicorn.Config(opened.app, port=0, log_level="error", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield opened, f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(browser: Browser, site: tuple[Site, str]) -> Iterator[Page]:
    """A page without a session; what the console complains of fails the test."""
    context = browser.new_context(base_url=site[1])
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    complaints: list[str] = []
    opened.on(
        "console", lambda said: complaints.append(said.text) if said.type == "error" else None
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def sign_in(page: Page) -> None:
    page.goto("/")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/customers")


def test_the_link_of_the_terminal_signs_in_by_one_button(
    page: Page, site: tuple[Site, str]
) -> None:
    page.goto(f"/login?next=/journeys#{ticket(site[0].product.settings)}")
    expect(page.get_by_text("The link from your terminal is filled in.")).to_be_visible()
    assert "#" not in page.url
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/journeys")
    expect(page.get_by_role("heading", name="fraud-alert")).to_be_visible()


def test_an_agent_finds_a_customer_and_reads_the_whole_story(page: Page) -> None:
    sign_in(page)
    page.get_by_role("searchbox").fill("+1 415 555 0123")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", name="Jane Doe")).to_be_visible()
    assert "415" not in page.url
    expect(page.get_by_text("Did you spend £1,000.00 at XYZ <store>?").first).to_be_visible()
    expect(page.get_by_text("Possible mix-up.")).to_be_visible()
    expect(page.get_by_text("anna@bank.example, risk", exact=True)).to_be_visible()
    page.get_by_text("fraud_alert by SMS to").click()
    expect(page.locator("details[open]").get_by_text("XYZ <store>", exact=True)).to_be_visible()


def test_the_timeline_is_narrowed_and_explained(page: Page) -> None:
    sign_in(page)
    page.get_by_role("link", name="Jane Doe").click()
    page.get_by_role("link", name="Decisions").click()
    expect(page.locator(".entry.decision").first).to_be_visible()
    assert page.locator(".entry.message").count() == 0
    page.get_by_role("link", name="Why").click()
    expect(page.get_by_role("heading", name="fraud-alert · T1")).to_be_visible()
    expect(page.get_by_text("the customer said no to this kind of message")).to_be_visible()


def test_what_happens_appears_by_itself_and_what_was_opened_stays_open(
    page: Page, site: tuple[Site, str]
) -> None:
    sign_in(page)
    page.get_by_role("link", name="Jane Doe").click()
    page.get_by_text("Called block_card once").click()
    opened = page.locator("details[open]")
    expect(opened).to_have_count(1)
    at = START + timedelta(hours=1)
    with site[0].product.database.writing() as session:
        session.add(
            Event(
                message_id="shop:later",
                body_hash="h",
                name="card.replaced",
                customer_id=site[0].story.jane,
                source="shop",
                status="accepted",
                occurred_at=at,
                received_at=at,
            )
        )
    expect(page.get_by_text("card.replaced")).to_be_visible()
    expect(opened).to_have_count(1)


def test_the_pages_fit_a_phone(browser: Browser, site: tuple[Site, str]) -> None:
    context = browser.new_context(base_url=site[1], viewport={"width": 390, "height": 800})
    page = context.new_page()
    sign_in(page)
    for path in (f"/customers/{site[0].story.jane}", "/journeys", "/cases"):
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} pixels wide"
    context.close()


def test_the_screenshots_can_be_looked_at(page: Page, site: tuple[Site, str]) -> None:
    folder = Path(".test-artifacts")
    folder.mkdir(exist_ok=True)
    sign_in(page)
    page.goto(f"/customers/{site[0].story.jane}")
    page.screenshot(path=folder / "customer.png", full_page=True)
    assert (folder / "customer.png").stat().st_size > 20_000
