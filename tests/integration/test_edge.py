"""What holds for every request: cautious headers, our own names, forms of ours, so many and no more."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from signalpost.web.doorkeeper import routes_of
from signalpost.web.errors import Problem
from signalpost.web.limits import Buckets
from signalpost.web.session import COOKIE
from tests.integration.front_harness import PUBLIC, READ_KEY, Front, open_front

HTML = {"accept": "text/html"}
BEARER = {"Authorization": f"Bearer {READ_KEY}"}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with open_front(tmp_path_factory.mktemp("edge"), request_rate=1e6, address_rate=1e6) as opened:
        yield opened


@pytest.fixture
def client(front: Front) -> TestClient:
    front.client.cookies.clear()
    return front.client


# -- headers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers(front: Front) -> list[tuple[str, Any]]:
    return list(every_answer(front))


def every_answer(front: Front) -> Iterator[tuple[str, Any]]:
    """Call every route with every method as a stranger and as an admin, and what is no route."""
    for route in routes_of(front.client.app):  # type: ignore[arg-type]
        path = route.path + "/pages.css" if route.path == "/static" else route.path
        path = re.sub(r"\{[^}]+\}", "x", path.replace("{action}", "seen"))
        for method in {*route.methods, "PUT", "OPTIONS"}:
            for headers in ({}, BEARER, HTML):
                told = front.client.request(method, path, headers=headers, follow_redirects=False)
                yield f"{method} {path} {headers}", told
    for path in ("/nowhere", "/static/none.css", "/static/../app.py", "/v1/none", "/links/x/y/z"):
        for headers in ({}, HTML):
            yield path, front.client.get(path, headers=headers)
    yield "too large", front.client.post("/v1/batch", content=b"x" * 600_000)
    yield "not our name", front.client.get("/", headers={"host": "evil.example"})
    yield "many headers", front.client.get("/", headers={f"x-{n}": "y" for n in range(200)})


def test_every_answer_is_cautious_also_errors_and_what_is_not_there(
    answers: list[tuple[str, Any]],
) -> None:
    assert len(answers) > 500
    for what, answer in answers:
        assert answer.status_code != 500, what
        said = answer.headers
        policy = said["content-security-policy"]
        assert "default-src 'none'" in policy, what
        assert "unsafe" not in policy, what
        assert "frame-ancestors 'none'" in policy, what
        assert "base-uri 'none'" in policy, what
        assert said["x-content-type-options"] == "nosniff", what
        assert said["x-frame-options"] == "DENY", what
        assert said["referrer-policy"] in ("same-origin", "no-referrer"), what
        assert said["strict-transport-security"].startswith("max-age="), what
        assert said["cache-control"], what
        assert "server" not in said, what
        assert "access-control-allow-origin" not in said, what
        is_page = "text/html" in said.get("content-type", "")
        if answer.status_code >= 400 and not is_page and "readyz" not in what:
            assert said["content-type"] == "application/problem+json", what
            assert answer.json()["status"] == answer.status_code, what


def test_no_page_holds_a_script_or_a_style_of_its_own(answers: list[tuple[str, Any]]) -> None:
    for what, answer in answers:
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text), what
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", answer.text), what


def test_a_key_never_comes_back(answers: list[tuple[str, Any]]) -> None:
    for what, answer in answers:
        assert READ_KEY not in answer.text, what
        assert READ_KEY not in str(answer.headers), what


def test_browsers_are_told_to_keep_to_https_only_where_that_is_how_we_are_reached(
    tmp_path: Path,
) -> None:
    with open_front(tmp_path, public_url="http://hooks.shop.example") as front:
        answer = front.client.get("http://hooks.shop.example/healthz")
        assert "strict-transport-security" not in answer.headers
        answer = front.client.post(
            "http://hooks.shop.example/login", data={"key": READ_KEY}, follow_redirects=False
        )
        assert "secure" not in answer.headers["set-cookie"].lower()


def test_the_session_cookie_is_for_https_for_us_and_not_for_scripts(client: TestClient) -> None:
    answer = client.post("/login", data={"key": READ_KEY}, follow_redirects=False)
    said = answer.headers["set-cookie"].lower()
    assert said.startswith(COOKIE)
    for word in ("httponly", "samesite=strict", "secure", "path=/", "max-age="):
        assert word in said
    assert READ_KEY not in said


# -- our name ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("hooks.shop.example", "HOOKS.shop.example:443", "hooks.shop.example."),
        *("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"),
    ],
)
def test_we_answer_to_our_own_names(client: TestClient, host: str) -> None:
    assert client.get("/login", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "hooks.shop.example.evil.example", "evil.example:8000", ""),
        *("127.0.0.1.evil.example", "localhost.evil.example", "hooks.shop.example@evil.example"),
        *("127.0.0.2", "[::2]", "evil.example#hooks.shop.example", "hooks.shop.example:x", "\xff"),
    ],
)
def test_a_name_that_somebody_led_to_us_is_refused(client: TestClient, host: str) -> None:
    """DNS rebinding: a page elsewhere whose own name now means this machine."""
    for path, method in (("/login", "GET"), ("/v1/journeys", "GET"), ("/v1/batch", "POST")):
        headers = {"host": host.encode("latin-1"), **BEARER}
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 421
        assert "evil" not in answer.text


def test_probes_know_us_by_a_number(client: TestClient) -> None:
    assert client.get("/healthz", headers={"host": "10.2.3.4:8000"}).status_code == 200


def test_more_names_can_be_given(tmp_path: Path) -> None:
    with open_front(tmp_path, hosts="web,10.1.2.3") as front:
        for host in ("web:8000", "10.1.2.3"):
            assert front.client.get("/login", headers={"host": host}).status_code == 200
        assert front.client.get("/login", headers={"host": "other"}).status_code == 421


# -- forms ---------------------------------------------------------------------------------------


FORGED = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": PUBLIC, "sec-fetch-site": "cross-site"},
    {"origin": "http://hooks.shop.example:8080"},
    {"origin": f"{PUBLIC}.evil.example"},
]


@pytest.mark.parametrize("header", FORGED)
def test_a_form_that_another_site_sends_changes_nothing(
    client: TestClient, header: dict[str, str]
) -> None:
    """Every POST that a session opens, signing in and out among them; SameSite keeps it away too."""
    client.post("/login", data={"key": READ_KEY})
    session = client.cookies[COOKIE]
    paths = [
        route.path
        for route in routes_of(client.app)  # type: ignore[arg-type]
        if "POST" in route.methods and route.door and (route.door.page or "log" in route.path)
    ]
    assert set(paths) >= {"/login", "/logout", "/customers"}
    for path in [*paths, "/v1/customers/lookup"]:
        answer = client.post(path, data={"text": "x", "key": READ_KEY}, headers=header)
        assert answer.status_code == 403, path
        assert "set-cookie" not in answer.headers
    assert client.cookies[COOKIE] == session


def test_our_own_forms_come_through(client: TestClient) -> None:
    own = {"origin": PUBLIC, "sec-fetch-site": "same-origin"}
    answer = client.post("/login", data={"key": READ_KEY}, headers=own, follow_redirects=False)
    assert answer.status_code == 303
    assert client.post("/customers", data={"text": "x"}, headers=own).status_code == 404
    assert client.post("/logout", headers=own, follow_redirects=False).status_code == 303


def test_a_get_signs_nobody_in_or_out(client: TestClient) -> None:
    client.post("/login", data={"key": READ_KEY})
    assert client.get("/logout").status_code == 405
    assert client.get("/journeys").status_code == 200


# -- so many -------------------------------------------------------------------------------------


def statuses(call: Any, count: int) -> list[int]:
    return [call().status_code for _ in range(count)]


def test_a_key_that_sends_too_much_is_told_when_to_come_again_and_others_are_not_held_up(
    tmp_path: Path,
) -> None:
    with open_front(tmp_path, signal_rate=1, request_rate=1) as front:
        track = {"type": "track", "event": "Order Completed", "userId": "ann"}
        batch = {"batch": [track] * 30}
        assert front.post("/v1/batch", json=batch).status_code == 200  # on credit
        refused = front.post("/v1/batch", json=batch)
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert 15 <= int(refused.headers["retry-after"]) <= 20
        assert front.post("/v1/events", json={}).status_code == 429
        assert front.read("/v1/journeys").status_code == 200
        seen = statuses(lambda: front.read("/v1/journeys"), 15)
        assert seen[:5] == [200] * 5
        assert seen[-1] == 429
        assert front.client.get("/healthz").status_code == 200


def test_whoever_guesses_keys_is_slowed_down_and_whoever_has_one_is_not(tmp_path: Path) -> None:
    with open_front(tmp_path, address_rate=1) as front:
        guess = {"Authorization": "Bearer guess"}
        seen = statuses(lambda: front.client.get("/v1/journeys", headers=guess), 15)
        assert set(seen[:10]) == {401}
        assert seen[-1] == 429
        for path in ("/v1/track", "/v1/events"):
            assert front.client.post(path, json={}, auth=("guess", "")).status_code == 429
        assert front.client.post("/login", data={"key": "guess"}).status_code == 429
        assert front.client.get("/v1/inbox", headers=guess).status_code == 429
        assert front.read("/v1/journeys").status_code == 200
        assert front.post("/v1/track", json={"event": "x", "userId": "a"}).status_code == 200


def test_forms_behind_links_are_counted_for_each_address(tmp_path: Path) -> None:
    with open_front(tmp_path, address_rate=1) as front:
        seen = statuses(lambda: front.client.post("/links/unsubscribe/x"), 15)
        assert set(seen[:10]) == {200}
        assert seen[-1] == 429
        assert front.client.get("/links/unsubscribe/x").status_code == 200


def test_the_usual_limits_let_five_thousand_signals_a_second_pass() -> None:
    from signalpost.web.limits import Rates

    now = 0.0
    buckets = Buckets(Rates().signals, ticks=lambda: now)
    for _ in range(600):
        now += 0.1
        buckets.check("key")
        buckets.pay("key", 500)


def test_a_bucket_fills_at_its_rate_and_holds_ten_seconds_worth() -> None:
    now = 1_000.0
    buckets = Buckets(10, ticks=lambda: now)

    def passed(seconds: float) -> int:
        nonlocal now
        now += seconds
        for count in range(1_000):
            try:
                buckets.take("ann")
            except Problem:
                return count
        return 1_000

    assert passed(0) in (100, 101)
    assert passed(1) in (10, 11)
    assert passed(0) == 0
    assert passed(3_600) in (100, 101)
    buckets.take("bo")


def test_strangers_without_number_cost_no_memory_without_bound() -> None:
    buckets = Buckets(10, ticks=lambda: 0.0)
    for number in range(30_000):
        buckets.take(f"10.{number}")
    assert len(buckets._full_at) <= 10_000
