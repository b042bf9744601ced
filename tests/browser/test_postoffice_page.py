"""The post office's page in a real browser, as a person uses it."""

import json
import time

import pytest
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.integration.postoffice_harness import (
    ACCOUNT,
    ANN,
    KEY,
    OURS,
    TOKEN,
    http,
    open_office,
    serving,
    until,
)

pytestmark = pytest.mark.browser
HOSTILE = (
    "<script>parent.document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)


class AppInbox:
    """The part of the product's web service that the page reads."""

    def __init__(self):
        self.item = {
            "id": "i1",
            "title": HOSTILE,
            "body": "Order 1042 is ready",
            "action": {"label": "Show", "url": "javascript:alert(1)"},
            "created_at": "2026-11-21T12:00:00Z",
            "seen_at": None,
            "read_at": None,
            "archived_at": None,
            "message": "m1",
        }

    def app(self):
        async def customers(request):
            assert request.headers["authorization"] == "Bearer read-key"
            row = {"customer_id": "c1", "name": "Ann", "unread": 1, "token": "personal"}
            return JSONResponse([row])

        async def inbox(request):
            assert request.headers["authorization"] == "Bearer personal"
            return JSONResponse({"items": [self.item], "unread": 1})

        async def act(request):
            self.item[f"{request.path_params['act']}_at"] = "2026-11-21T12:00:01Z"
            return JSONResponse({})

        return Starlette(
            routes=[
                Route("/v1/inbox/customers", customers),
                Route("/v1/inbox", inbox),
                Route("/v1/inbox/{id}/{act}", act, methods=["POST"]),
            ]
        )


@pytest.fixture
def app_inbox():
    return AppInbox()


@pytest.fixture
def office(tmp_path, app_inbox):
    with (
        serving(app_inbox.app(), wait=False) as inbox_url,
        open_office(tmp_path, inbox_url=inbox_url, api_key="read-key") as running,
    ):
        yield running


@pytest.fixture
def page(browser, office):
    """A page that fails the test when a script, a policy or a request goes wrong."""
    found = browser.new_page(viewport={"width": 1440, "height": 900})
    problems = []
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("console", lambda line: line.type == "error" and problems.append(line.text))
    found.problems = problems
    outside = []
    found.on("response", lambda answer: outside.append(answer.url))
    yield found
    found.close()
    assert [url for url in outside if not url.startswith(office.url)] == []


def send_mail(office, subject="Order 1042", html="<p>Thanks, <b>Ann</b></p>", **changes):
    mail = {
        "from": {"email": "a@shop.example", "name": "Shop"},
        "personalizations": [{"to": [{"email": "ann@example.com", "name": "Ann"}]}],
        "subject": subject,
        "content": [{"type": "text/plain", "value": "T"}, {"type": "text/html", "value": html}],
        **changes,
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    assert http.post(f"{office.url}/v3/mail/send", json=mail, headers=headers).is_success


def send_sms(office, body, to=ANN):
    data = {"To": to, "From": OURS, "Body": body}
    path = f"{office.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert http.post(path, data=data, auth=(ACCOUNT, TOKEN)).is_success


def events_of(office):
    return [event for hook in office.product.hooks for event in json.loads(hook.body)]


def test_a_person_reads_opens_and_clicks_a_mail(office, page):
    link = "https://shop.example/orders/1042"
    send_mail(office, html=f'<p>Thanks, <b>Ann</b></p><a href="{link}">See it</a>')
    page.goto(office.url)
    expect(page.frame_locator("iframe.letter").locator("b")).to_have_text("Ann")
    assert not [event for event in events_of(office) if event["event"] == "open"]
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#mail-facts")).to_contain_text("open")
    page.get_by_role("button", name="Click").click()
    expect(page.locator("#mail-facts")).to_contain_text("click")
    clicked = until(lambda: [event for event in events_of(office) if event["event"] == "click"])
    assert clicked[0]["url"] == link
    assert page.problems == []


def test_one_click_unsubscribe_is_a_button(office, page):
    headers = {
        "List-Unsubscribe": f"<{office.product.url}/u/t>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    send_mail(office, headers=headers)
    page.goto(office.url)
    page.get_by_role("button", name="Unsubscribe").click()
    until(lambda: office.product.to("/u/t"))


def test_the_phone_is_answered_and_typing_is_never_lost(office, page):
    send_sms(office, "Did you pay? Reply OK 4821 or NO 4821.")
    page.goto(office.url)
    box = page.get_by_role("textbox", name="Reply")
    box.click()
    page.keyboard.type("NO 48")
    send_sms(office, "A second text arrives while the person types.")
    expect(page.locator("#bubbles")).to_contain_text("A second text")
    page.keyboard.type("21")
    expect(box).to_have_value("NO 4821")
    page.keyboard.press("Enter")
    expect(page.locator(".bubble.mine")).to_contain_text("NO 4821")
    expect(box).to_have_value("")
    hook = until(lambda: office.product.to("/webhooks/twilio/inbound"))[0]
    assert (hook.fields["From"], hook.fields["Body"]) == (ANN, "NO 4821")
    assert page.problems == []


def test_a_new_mail_shows_by_itself_and_a_chosen_one_stays(office, page):
    send_mail(office, subject="First")
    page.goto(office.url)
    expect(page.locator("#mail h3")).to_have_text("First")
    send_mail(office, subject="Second")
    expect(page.locator("#mail-list .row")).to_have_count(2)
    expect(page.locator("#mail h3")).to_have_text("First")
    expect(page.locator("#mail-list .on")).to_contain_text("First")
    page.get_by_role("searchbox").fill("second")
    expect(page.locator("#mail-list .row")).to_have_count(1)
    page.locator("#mail-list .row").click()
    expect(page.locator("#mail h3")).to_have_text("Second")


def test_the_app_inbox_is_read_and_marked(office, page, app_inbox):
    page.goto(office.url)
    page.locator("#inbox-list .row").click()
    expect(page.locator(".item")).to_contain_text("Order 1042 is ready")
    expect(page.locator(".item a")).to_have_count(0)  # a script is no address to go to
    page.locator(".item").get_by_role("button", name="Read").click()
    expect(page.locator(".item .foot")).to_contain_text("read")
    assert app_inbox.item["read_at"]
    assert page.problems == []


def test_hostile_content_does_nothing(office, page):
    form = f'<form action="{office.url}/postoffice/reply" method="post"><button>x</button></form>'
    there = office.product.url
    remote = f'<img src="{there}/p.gif"><link rel="stylesheet" href="{there}/a.css">'
    leave = '<meta http-equiv="refresh" content="0;url=https://evil.example/">'
    send_mail(office, subject=HOSTILE, html=HOSTILE + form + remote + leave)
    send_sms(office, HOSTILE)
    page.goto(office.url)
    page.locator("#inbox-list .row").click()
    expect(page.locator(".item h3")).to_have_text(HOSTILE)
    expect(page.locator("#mail h3")).to_have_text(HOSTILE)
    expect(page.locator(".bubble .body")).to_have_text(HOSTILE)
    expect(page.frame_locator("iframe.letter").locator("form")).to_have_count(1)
    time.sleep(0.5)  # time for it to do harm, if it could
    assert page.title() == "Post office · Signalpost"
    assert page.evaluate("document.querySelectorAll('main img').length") == 0


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_width_needs_scrolling_sideways(office, page, width):
    send_mail(office, subject="A" * 300)
    send_sms(office, "B" * 300)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(office.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_empty_post_office_says_what_will_come(office, page):
    page.goto(office.url)
    expect(page.locator("#mail")).to_contain_text("No mail yet")
    expect(page.locator("#thread")).to_contain_text("No messages yet")
    assert page.problems == []
