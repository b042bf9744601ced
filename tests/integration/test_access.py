"""Who may do what: every route is walked with every kind of key."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from signalpost.domain.access import Area, Scope, area_of_signal, areas_of
from signalpost.errors import ConfigurationError
from signalpost.record.events import Event
from signalpost.services.access import keys
from signalpost.web.doorkeeper import PAGES, Declared, check_declared, routes_of
from signalpost.web.segment import named
from tests.integration.front_harness import READ_KEY, WRITE_KEY, Front, open_front

KEYS: Mapping[str, frozenset[Area]] = {
    **{f"a key for {scope}": areas_of([scope]) for scope in Scope},
    "the write key": frozenset({Area.SIGNALS, Area.FRAUD_SIGNALS}),
    "the API key": frozenset(Area),
}
#: Where what ``ask`` sends holds no signal, so that any key that sends some comes through.
NO_SIGNAL = ("v1/batch", "v1/b", "v1/import", "v1/events")
NO_KEYS = (
    "nothing",
    "a guess",
    "an unknown key",
    "a wrong secret",
    "an expired key",
    "a revoked key",
)
TRACK = {"type": "track", "event": "Order Completed", "userId": "ann", "properties": {}}
FRAUD = {
    "specversion": "1.0",
    "id": "1",
    "source": "risk",
    "type": "fraud.signalled",
    "data": {
        "transaction_id": "t1",
        "merchant": "XYZ",
        "amount": {"amount": "10.00", "currency": "USD"},
        "occurred_at": "2026-03-02T08:59:00Z",
        "customer": {"userId": "ann"},
    },
}


class House:
    """The front door with a key of every kind."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.client = front.client
        self.tokens = {"the write key": WRITE_KEY, "the API key": READ_KEY}
        self.tokens |= {f"a key for {scope}": self.make(scope.value, scope) for scope in Scope}
        good = self.make("good", Scope.ADMIN)
        self.tokens |= {
            "a guess": "guess",
            "an unknown key": f"spk_{'0' * 16}_{'0' * 64}",
            "a wrong secret": good[:-1] + ("1" if good[-1] == "0" else "0"),
            "an expired key": self.make("expired", Scope.ADMIN, lasts=timedelta(seconds=1)),
            "a revoked key": self.make("revoked", Scope.ADMIN),
        }
        with self.front.stage.database.writing() as session:
            keys.revoke(session, which="revoked", actor="cli:ann", now=self.now)
        front.stage.clock.now += timedelta(minutes=1)

    @property
    def now(self) -> Any:
        return self.front.stage.clock.now

    def make(self, name: str, *scopes: Scope, lasts: timedelta | None = None) -> str:
        expires_at = self.now + lasts if lasts else None
        with self.front.stage.database.writing() as session:
            return keys.make(
                session,
                name=name,
                scopes=scopes,
                actor="cli:ann",
                now=self.now,
                expires_at=expires_at,
            ).token

    def look_again(self) -> None:
        """Have the web read the keys now; by itself it does so within five seconds."""
        self.front.client.app.state.doorkeeper.keyring.refresh()  # type: ignore[attr-defined]

    def ask(self, route: Declared, method: str, kind: str, **rest: Any) -> Any:
        """Call a route with a key of some kind, and as little else as passes its door."""
        path = route.path + "/pages.css" if route.path == "/static" else route.path
        path = re.sub(r"\{action\}", "seen", path)
        path = re.sub(r"\{[^}]+\}", "x", path)
        token = self.tokens.get(kind)
        signals = route.door is not None and route.door.area is Area.SIGNALS
        if token and signals:
            rest["auth"] = (token, "")
        elif token:
            rest["headers"] = {"Authorization": f"Bearer {token}"}
        if signals:
            rest["json"] = {**TRACK, "batch": []}
        self.client.cookies.clear()
        return self.client.request(method, path, follow_redirects=False, **rest)

    def routes(self) -> Iterator[tuple[Declared, str]]:
        for route in routes_of(self.front.client.app):  # type: ignore[arg-type]
            for method in sorted(route.methods):
                yield route, method


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_front(tmp_path_factory.mktemp("access"), request_rate=1e6, address_rate=1e6) as front:
        yield House(front)


def test_every_route_says_which_area_it_belongs_to_or_why_it_is_public(house: House) -> None:
    routes = [route for route, _ in house.routes()]
    assert len(routes) > 60
    assert [route.path for route in routes if route.door is None] == []
    areas = {route.door.area for route in routes if route.door}
    assert areas >= set(Area) - {Area.FRAUD_SIGNALS}
    for route in routes:
        assert route.door is not None
        assert (route.door.area is None) == bool(route.door.why)


def test_a_route_that_says_nothing_is_not_served() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/forgotten")
    def forgotten() -> None:
        """Nobody has thought about it."""

    with pytest.raises(ConfigurationError, match="/forgotten"):
        check_declared(app)


def test_without_a_good_key_nothing_opens_and_every_bad_one_hears_the_same(house: House) -> None:
    """A page leads a browser without a key to the sign-in; everything else is 401, word for word."""
    for route, method in house.routes():
        if route.door is None or route.door.area is None:
            continue
        answers = {kind: house.ask(route, method, kind) for kind in NO_KEYS}
        nothing = answers.pop("nothing")
        if route.door.page:
            assert nothing.headers["location"].startswith("/login?next=/"), route
        else:
            assert nothing.status_code == 401, route
        assert {one.status_code for one in answers.values()} == {401}, (route, answers)
        assert len({one.text for one in answers.values()}) == 1, route
        assert all("www-authenticate" in one.headers for one in answers.values())


def test_each_key_opens_the_areas_of_its_scopes_and_no_other(house: House) -> None:
    for route, method in house.routes():
        if route.door is None or route.door.area is None:
            continue
        for kind, areas in KEYS.items():
            status = house.ask(route, method, kind).status_code
            opens = route.door.area in areas
            if route.path.strip("/") in NO_SIGNAL and method == "POST":
                opens = opens or Area.FRAUD_SIGNALS in areas
            assert status < 500, (route, method, kind, status)
            assert (status not in (401, 403)) == opens, (route, method, kind, status)


def test_a_public_route_looks_at_no_key(house: House) -> None:
    for route, method in house.routes():
        if route.door is None or route.door.area is not None:
            continue
        kinds = ("nothing", "a guess", "an expired key", "the API key", "a key for ingest")
        statuses = {house.ask(route, method, kind).status_code for kind in kinds}
        assert len(statuses) == 1, (route, method, statuses)
        assert statuses != {500}, route


def test_whoever_may_not_come_in_is_not_listened_to(house: House) -> None:
    """What they brought is not even read: a broken body is 401 and not 422."""
    for token, status in ((None, 401), ("guess", 401), (house.tokens["a key for agent"], 403)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        house.client.cookies.clear()
        answer = house.client.post("/v1/inbox/tokens", content=b"{", headers=headers)
        assert answer.status_code == status


# -- signals -------------------------------------------------------------------------------------


def cloud(house: House, kind: str, *events: Any) -> Any:
    headers = {
        "Authorization": f"Bearer {house.tokens[kind]}",
        "Content-Type": "application/cloudevents-batch+json",
    }
    return house.client.post("/v1/events", json=list(events), headers=headers)


def test_a_fraud_signal_needs_the_scope_risk_however_it_is_sent(house: House) -> None:
    """An ingest key may sit in a browser: whoever finds it there must not alarm customers."""
    track = {"type": "track", "event": "fraud.signalled", "userId": "ann", "properties": {}}
    for kind, areas in KEYS.items():
        allowed = Area.FRAUD_SIGNALS in areas
        auth = (house.tokens[kind], "")
        answer = house.client.post("/v1/batch", json={"batch": [track]}, auth=auth)
        assert (answer.status_code == 200) == allowed, kind
        answer = house.client.post("/v1/track", json={**track, "writeKey": auth[0]})
        assert (answer.status_code == 200) == allowed, kind
        bare = {key: value for key, value in FRAUD.items() if key != "specversion"}
        answer = house.client.post("/v1/events", json={**bare, "id": kind}, auth=auth)
        assert (answer.status_code == 202) == allowed, (kind, answer.text)
        answer = cloud(house, kind, {**FRAUD, "id": f"c-{kind}"})
        assert (answer.status_code == 202) == allowed, kind


def test_a_key_for_risk_sends_fraud_signals_and_nothing_else(house: House) -> None:
    auth = (house.tokens["a key for risk"], "")
    assert house.client.post("/v1/batch", json={"batch": [TRACK]}, auth=auth).status_code == 403


def test_a_batch_with_a_forbidden_signal_is_refused_whole_and_says_which(house: House) -> None:
    before = len(house.front.rows(Event))
    bad = {**TRACK, "event": "fraud.signalled"}
    auth = (house.tokens["a key for ingest"], "")
    answer = house.client.post("/v1/batch", json={"batch": [TRACK, bad]}, auth=auth)
    assert (answer.status_code, answer.json()["where"]) == (403, "batch[1]")
    assert len(house.front.rows(Event)) == before


def test_in_a_batch_of_cloud_events_the_others_are_kept(house: House) -> None:
    other = {**FRAUD, "id": "fine", "type": "store.visited"}
    answer = cloud(house, "a key for ingest", {**FRAUD, "id": "bad"}, other)
    assert answer.status_code == 207
    assert [one["code"] for one in answer.json()["results"]] == [403, 202]


def test_names_that_only_look_like_fraud_signals_do_not_slip_through() -> None:
    """What the record calls a fraud signal, whatever it was called on the way in, is one."""
    for said in ("fraud.signalled", "Fraud.Signalled", " fraud.signalled", "FRAUD.SIGNALLED"):
        name = named(said)
        assert name != "fraud.signalled" or area_of_signal(name) is Area.FRAUD_SIGNALS


def test_a_new_key_opens_and_a_revoked_one_does_not_once_the_keys_are_read_again(
    house: House,
) -> None:
    token = house.make("late", Scope.INGEST)
    house.look_again()
    assert house.client.post("/v1/track", json=TRACK, auth=(token, "")).status_code == 200
    with house.front.stage.database.writing() as session:
        keys.revoke(session, which="late", actor="cli:ann", now=house.now)
    house.look_again()
    assert house.client.post("/v1/track", json=TRACK, auth=(token, "")).status_code == 401


# -- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", list(Scope))
def test_a_session_may_what_its_key_may_and_pages_show_nothing_else(
    house: House, scope: Scope
) -> None:
    client = house.client
    client.cookies.clear()
    html = {"accept": "text/html"}
    token = house.tokens[f"a key for {scope}"]
    answer = client.post("/login", data={"key": token}, headers=html, follow_redirects=False)
    may = {area: path for area, path in PAGES.items() if area in areas_of([scope])}
    if not may:
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        return
    assert answer.headers["location"] in may.values()
    for area, path in PAGES.items():
        shown = client.get(path, headers=html)
        if area not in may:
            assert shown.status_code == 403
            continue
        assert shown.status_code == 200
        links = set(re.findall(r'<nav aria-label="Pages">(.*?)</nav>', shown.text, re.DOTALL))
        [nav] = links
        assert set(re.findall(r'href="([^"]+)"', nav)) == set(may.values())
        assert ('action="/customers"' in shown.text) == (Area.CUSTOMERS in may)
    client.cookies.clear()


def test_a_session_ends_with_its_key(house: House) -> None:
    client = house.client
    token = house.make("brief", Scope.READ, lasts=timedelta(hours=1))
    house.look_again()
    client.cookies.clear()
    assert client.post("/login", data={"key": token}).status_code == 200
    assert client.get("/journeys", follow_redirects=False).status_code == 200
    with house.front.stage.database.writing() as session:
        keys.revoke(session, which="brief", actor="cli:ann", now=house.now)
    house.look_again()
    assert client.get("/journeys", follow_redirects=False).status_code == 303


def test_a_session_may_no_more_once_its_key_may_no_more(house: House) -> None:
    """A session holds no rights of its own, so nobody keeps those that a key has lost."""
    client = house.client
    token = house.make("changing", Scope.READ)
    house.look_again()
    client.cookies.clear()
    client.post("/login", data={"key": token})
    assert client.get("/journeys").status_code == 200
    with house.front.stage.database.writing() as session:
        key = keys.find(session, which="changing")
        key.scopes = [Scope.AGENT]
        session.add(key)
    house.look_again()
    assert client.get("/journeys", headers={"accept": "text/html"}).status_code == 403
    assert client.get("/customers").status_code == 200
