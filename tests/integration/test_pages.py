"""The pages and the JSON of the record: who may read, what is shown, and what is never repeated."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from signalpost.web.session import COOKIE, ticket
from tests.integration.pages_harness import KEY, Site, open_site

PAGES = ["/", "/customers", "/journeys", "/cases", "/events"]
BEARER = {"authorization": f"Bearer {KEY}"}
HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture
def stranger(site: Site) -> TestClient:
    return TestClient(site.app, follow_redirects=False, headers=HTML)


@pytest.fixture
def reader(stranger: TestClient) -> TestClient:
    assert stranger.post("/login", data={"key": KEY}).status_code == 303
    return stranger


@pytest.mark.parametrize("page", PAGES[1:])
def test_a_stranger_is_led_to_the_sign_in_page(stranger: TestClient, page: str) -> None:
    answer = stranger.get(page)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={page}")


@pytest.mark.parametrize(
    "path", ["/v1/customers/x", "/v1/customers/x/timeline", "/v1/journeys", "/v1/cases"]
)
@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": KEY}])
def test_the_json_is_for_the_key_only(stranger: TestClient, path: str, header: dict) -> None:
    answer = stranger.get(path, headers=header)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_session_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(
    stranger: TestClient,
) -> None:
    cookie = stranger.post("/login", data={"key": KEY}).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert KEY not in cookie


def test_a_wrong_key_opens_nothing(stranger: TestClient) -> None:
    answer = stranger.post("/login", data={"key": "guess"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "guess" not in answer.text


def test_a_forged_session_opens_nothing(stranger: TestClient, site: Site) -> None:
    for forged in ("x", ticket(site.product.settings)):
        stranger.cookies.set(COOKIE, forged)
        assert stranger.get("/customers").status_code == 303


def test_the_link_that_up_prints_opens_a_session(stranger: TestClient, site: Site) -> None:
    answer = stranger.post(
        "/login", data={"key": ticket(site.product.settings), "next": "/journeys"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/journeys")
    assert stranger.get("/journeys").status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"]
)
def test_signing_in_leads_nowhere_else(stranger: TestClient, elsewhere: str) -> None:
    answer = stranger.post("/login", data={"key": KEY, "next": elsewhere})
    assert answer.headers["location"] == "/customers"


@pytest.mark.parametrize(
    "header", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_form_that_another_site_sends_is_refused(reader: TestClient, header: dict) -> None:
    for path in ("/login", "/logout", "/customers"):
        assert reader.post(path, data={"text": "x"}, headers=header).status_code == 403


def test_signing_out_ends_the_session(reader: TestClient) -> None:
    reader.post("/logout")
    assert reader.get("/customers").status_code == 303


def test_the_customer_page_shows_the_whole_record(reader: TestClient, site: Site) -> None:
    page = reader.get(f"/customers/{site.story.jane}").text
    for shown in (
        "Jane Doe",
        "Did you spend £1,000.00 at XYZ &lt;store&gt;?",
        "NO 4821",
        "the customer said no to this kind of message",
        "blocked: hard bounce",
        "anna@bank.example",
        "Possible mix-up",
        "Wait up to 5 minutes for an answer to fraud",
        "jane-17",
        "order.returned, parked: unknown order",
        "/runs/flow-run/0198-run",
    ):
        assert shown in page


def test_what_customers_write_is_never_markup(reader: TestClient, site: Site) -> None:
    page = reader.get(f"/customers/{site.story.jane}").text
    assert "<store>" not in page


def test_no_page_holds_a_script_or_style_of_its_own(reader: TestClient, site: Site) -> None:
    pages = [*PAGES[1:], f"/customers/{site.story.jane}", f"/customers/{site.story.jane}/why"]
    for path in ["/login", *pages]:
        answer = reader.get(path)
        assert answer.status_code == 200
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "<script>" not in answer.text
        assert " style=" not in answer.text
        assert " onclick=" not in answer.text


def test_the_timeline_can_be_narrowed_and_turned_round(reader: TestClient, site: Site) -> None:
    path = f"/customers/{site.story.jane}/timeline"
    messages = reader.get(path, params={"show": "messages"}).text
    assert "fraud_alert by SMS" in messages
    assert "Consent denied" not in messages
    oldest = reader.get(path, params={"order": "oldest"}).text
    assert oldest.index("fraud.signalled") < oldest.index("Answered fraud: no")
    assert reader.get(path, params={"show": "secrets"}).status_code == 422


def test_a_timeline_that_has_not_changed_is_not_sent_again(reader: TestClient, site: Site) -> None:
    path = f"/customers/{site.story.jane}/timeline"
    seen = reader.get(path).text.partition("seen=")[2][:16]
    assert reader.get(path, params={"seen": seen}).status_code == 204


def test_the_why_page_groups_decisions_by_what_they_were_about(
    reader: TestClient, site: Site
) -> None:
    page = reader.get(f"/customers/{site.story.jane}/why").text
    assert "fraud-alert · T1" in page
    assert "every rule of its purpose allowed it" in page


@pytest.mark.parametrize("key", ["jane-17", "JANE@mail.example", "+1 415 555 0123", "O-5004"])
def test_a_person_is_found_by_any_key_without_it_in_the_url(
    reader: TestClient, site: Site, key: str
) -> None:
    answer = reader.post("/customers", data={"text": key})
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/customers/{site.story.jane}",
    )


def test_a_search_without_a_result_says_so_and_repeats_nothing(reader: TestClient) -> None:
    answer = reader.post("/customers", data={"text": "secret@person.example"})
    assert answer.status_code == 404
    assert "Nobody on the record" in answer.text
    assert "secret@person" not in answer.text


def test_a_customer_who_is_not_there_is_a_plain_page(reader: TestClient) -> None:
    answer = reader.get("/customers/no-such-one")
    assert answer.status_code == 404
    assert "Not found" in answer.text
    assert reader.get("/customers/" + "x" * 5000).status_code == 404


def test_journeys_cases_and_parked_events_are_listed(reader: TestClient) -> None:
    assert "Wait up to 5 minutes for an answer to fraud" in reader.get("/journeys").text
    cases = reader.get("/cases?status=open").text
    assert "not recognised" in cases
    assert "order_id:O-9" in reader.get("/events").text
    assert "No such case" in reader.get("/cases?status=closed").text


def test_what_waits_for_an_operator_is_shown_with_the_command_to_run(
    reader: TestClient, site: Site
) -> None:
    events = reader.get("/events").text
    [parked] = _events(site)
    assert f"signalpost redrive {parked}" in events
    page = reader.get(f"/customers/{site.story.jane}").text
    assert f"signalpost merge {site.story.jane} {site.story.stranger} --reason" in page
    assert "signalpost unmerge " in page
    assert "signalpost redrive" not in page
    with site.product.database.writing() as session:
        [enrolment] = session.exec(select(Enrolment))
        before, enrolment.status, enrolment.reason = (
            enrolment.status,
            "set_aside",
            "bad_fact:amount",
        )
    page = reader.get(f"/customers/{site.story.jane}").text
    assert f"signalpost redrive {enrolment.id}" in page
    assert "Set aside: a fact that it must show is not of its type: amount" in page
    with site.product.database.writing() as session:
        [enrolment] = session.exec(select(Enrolment))
        enrolment.status, enrolment.reason = before, None


def _events(site: Site) -> list[str]:
    with site.product.database.reading() as session:
        return list(session.exec(select(Event.id).where(Event.status == "parked")))


def test_the_same_is_there_as_json(site: Site) -> None:
    client = TestClient(site.app, headers=BEARER)
    jane = site.story.jane
    found = client.post(
        "/v1/customers/lookup", json={"kind": "email", "value": "Jane@mail.example"}
    )
    assert found.json() == {"customer_id": jane}
    assert client.get(f"/v1/customers/{jane}").json()["open_cases"][0]["kind"] == "fraud"
    timeline = client.get(f"/v1/customers/{jane}/timeline").json()
    assert timeline["entries"][0]["kind"] == "merge"
    assert timeline["earlier"] is False
    why = client.get(f"/v1/customers/{jane}/why", params={"about": "early_bird"}).json()
    assert [one["reason"] for one in why["decisions"]] == ["consent_denied"]
    assert client.get("/v1/journeys").json()["journeys"][0]["inside"] == 1
    assert client.get("/v1/cases?status=open").json()["cases"][0]["assignee"] == "anna@bank.example"
    parked = client.get("/v1/events?status=parked").json()["events"]
    assert [one["waits_for"] for one in parked] == ["order_id:O-9"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "email", "value": "nobody@mail.example"}, 404),
        ({"kind": "email", "value": "not an address"}, 400),
        ({"kind": "shoe_size", "value": "42"}, 400),
        ({"kind": "email"}, 422),
        ({"kind": "email", "value": "x" * 5000}, 422),
        ([1, 2], 422),
    ],
)
def test_a_wrong_lookup_says_what_is_wrong_and_repeats_nothing(
    site: Site, body: object, status: int
) -> None:
    answer = TestClient(site.app, headers=BEARER).post("/v1/customers/lookup", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    for sent in ("nobody@mail.example", "not an address", "xxxxx"):
        assert sent not in answer.text


def test_a_time_without_a_zone_is_refused(site: Site) -> None:
    client = TestClient(site.app, headers=BEARER)
    answer = client.get(f"/v1/customers/{site.story.jane}/timeline?before=2026-03-02T09:30:00")
    assert answer.status_code == 400


def test_a_body_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    headers = {**BEARER, "content-length": str(10**9)}
    answer = TestClient(site.app).post("/v1/customers/lookup", content=b"{}", headers=headers)
    assert answer.status_code == 413


def test_it_says_that_it_is_alive_and_whether_it_is_ready(site: Site, stranger: TestClient) -> None:
    assert stranger.get("/healthz").json() == {"status": "ok"}
    not_migrated = stranger.get("/readyz")  # made by the test without migrations
    assert not_migrated.status_code == 503
    assert "signalpost migrate" in not_migrated.text


def test_a_get_changes_nothing(reader: TestClient, site: Site) -> None:
    def rows() -> list[int]:
        with site.product.database.engine.connect() as connection:
            tables = [table.name for table in _tables()]
            return [
                connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()
                for name in tables
            ]

    before = rows()
    for path in [*PAGES, f"/customers/{site.story.jane}", f"/customers/{site.story.jane}/timeline"]:
        reader.get(path)
    assert rows() == before


def _tables() -> list:
    from signalpost.record.base import metadata

    return list(metadata.sorted_tables)
