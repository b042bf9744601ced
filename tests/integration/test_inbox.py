"""The in-app inbox: one person's own messages, what they do with them, and news as it comes."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from signalpost.record import messages
from signalpost.record.database import Database, open_engine
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import InAppItem, Message
from signalpost.record.receipts import Answer, Question, ReceiptRow
from tests.integration.what_comes_back import NOW, Shop


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


class App:
    """Somebody's app, showing their inbox."""

    def __init__(self, shop: Shop, customer: str) -> None:
        self.client = shop.client
        self.headers = {"Authorization": f"Bearer {shop.token('inbox', c=customer)}"}

    def get(self, path: str = "") -> Any:
        answer = self.client.get(f"/v1/inbox{path}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(f"/v1/inbox/{path}", headers=self.headers, json=body or None)

    def ids(self, path: str = "") -> list[str]:
        return [item["id"] for item in self.get(path)["items"]]


def test_an_item_reads_as_it_was_sent(shop: Shop) -> None:
    customer = shop.customer()
    item = shop.in_app(
        customer,
        title="Hello",
        body="Yours is ready",
        slots={"s0": "https://larkfield.example/o/1"},
        more={"action_label": ["See it"], "action_url": [{"slot": "s0"}]},
    )
    [shown] = App(shop, customer).get()["items"]
    assert shown == {
        "id": item,
        "title": "Hello",
        "body": "Yours is ready",
        "action": {"label": "See it", "url": "https://larkfield.example/o/1"},
        "created_at": NOW.isoformat(),
        "seen_at": None,
        "read_at": None,
        "archived_at": None,
        "withdrawn_at": None,
        "message": "offer",
        "question": None,
    }


def test_a_page_is_newest_first_and_leads_to_the_next(shop: Shop) -> None:
    customer = shop.customer()
    items = [shop.in_app(customer, at=NOW - timedelta(hours=n)) for n in range(5)]
    same = shop.in_app(customer, at=NOW - timedelta(hours=4))
    app = App(shop, customer)
    seen: list[str] = []
    while page := app.ids(f"?limit=2{f'&before={seen[-1]}' if seen else ''}"):
        seen += page
    assert seen[:4] == items[:4]
    assert sorted(seen[4:]) == sorted([items[4], same])
    assert app.ids("?before=unknown") == []


def test_what_is_withdrawn_expired_or_archived_is_left_out(shop: Shop) -> None:
    customer = shop.customer()
    kept = shop.in_app(customer, expires_at=NOW + timedelta(hours=1))
    shop.in_app(customer, expires_at=NOW)
    gone = shop.in_app(
        customer, purpose="marketing", enrolment_id=(enrolment := shop.enrolment(customer))
    )
    with shop.database.writing() as session:
        messages.withdraw(session, enrolment_ids=[enrolment], now=NOW)
    archived = shop.in_app(customer)
    app = App(shop, customer)
    app.post(f"{archived}/archive")
    assert app.ids() == [kept]
    assert app.ids("?archived=1") == [archived]
    assert app.get("/unread") == {"unread": 1}
    assert app.post(f"{gone}/read").status_code == 404
    app.post(f"{archived}/unarchive")
    assert set(app.ids()) == {kept, archived}


def test_seeing_and_reading_are_kept_once_and_are_on_the_record(shop: Shop) -> None:
    customer = shop.customer()
    item = shop.in_app(customer)
    app = App(shop, customer)
    assert app.get()["unread"] == 1
    for action in ("seen", "seen", "read", "read"):
        assert app.post(f"{item}/{action}").status_code == 204
        shop.now += timedelta(minutes=1)
    [shown] = app.get()["items"]
    assert shown["seen_at"] == NOW.isoformat()
    assert shown["read_at"] == (NOW + timedelta(minutes=2)).isoformat()
    assert app.get("/unread") == {"unread": 0}
    assert sorted(row.kind for row in shop.all(ReceiptRow)) == ["delivered", "read"]
    assert shop.one(Message).status == "delivered"


def test_seen_all_marks_everything_of_one_person(shop: Shop) -> None:
    ann, ben = shop.customer(), shop.customer(phone="+12065550102")
    for customer in (ann, ann, ben):
        shop.in_app(customer)
    assert App(shop, ann).post("seen-all").json() == {"seen": 2}
    assert App(shop, ann).post("seen-all").json() == {"seen": 0}
    assert sum(row.seen_at is None for row in shop.all(InAppItem)) == 1


def test_nobody_sees_or_changes_what_is_another_ones(shop: Shop) -> None:
    ann, ben = shop.customer(), shop.customer(phone="+12065550102")
    item = shop.in_app(ann)
    app = App(shop, ben)
    assert app.ids() == []
    for action in ("seen", "read", "archive", "unarchive"):
        assert app.post(f"{item}/{action}").status_code == 404
    assert app.post(f"{item}/answer", answer="yes").status_code == 404
    row = shop.one(InAppItem)
    assert (row.seen_at, row.read_at, row.archived_at) == (None, None, None)


def test_after_a_merge_both_tokens_show_the_whole_person(shop: Shop) -> None:
    kept, merged = shop.customer(), shop.customer(phone="+12065550102")
    items = {shop.in_app(kept), shop.in_app(merged)}
    shop.merge(kept, merged)
    assert set(App(shop, kept).ids()) == set(App(shop, merged).ids()) == items


@pytest.mark.parametrize(
    "spoil", [lambda t: "", lambda t: t[:-1], lambda t: t + "x", lambda _t: "é"]
)
def test_an_altered_token_opens_nothing(shop: Shop, spoil: Any) -> None:
    customer = shop.customer()
    shop.in_app(customer)
    token = spoil(shop.token("inbox", c=customer))
    for path in ("", "/unread"):
        headers = {"Authorization": f"Bearer {token}".encode()}
        assert shop.client.get(f"/v1/inbox{path}", headers=headers).status_code == 401
    answer = shop.client.get("/v1/inbox/events", params={"token": token})
    assert answer.status_code == 401


def test_a_token_is_for_one_purpose_and_a_limited_time(shop: Shop) -> None:
    customer = shop.customer()
    unsubscribe = {"Authorization": f"Bearer {shop.token('unsubscribe', c=customer)}"}
    assert shop.client.get("/v1/inbox", headers=unsubscribe).status_code == 401
    app = App(shop, customer)
    shop.now += timedelta(days=31)
    assert app.client.get("/v1/inbox", headers=app.headers).status_code == 401


def test_the_token_in_the_address_is_for_events_alone(shop: Shop) -> None:
    token = shop.token("inbox", c=shop.customer())
    assert shop.client.get("/v1/inbox", params={"token": token}).status_code == 401


def test_tokens_are_made_for_holders_of_the_api_key_alone(shop: Shop) -> None:
    customer = shop.customer(user_id="u-1", first_name="Ann")
    shop.in_app(customer)
    key = {"Authorization": f"Bearer {shop.settings.keys['api_key']}"}
    for whose in ({"customer_id": customer}, {"user_id": "u-1"}):
        assert shop.client.post("/v1/inbox/tokens", json=whose).status_code == 401
        made = shop.client.post("/v1/inbox/tokens", json=whose, headers=key).json()
        mine = {"Authorization": f"Bearer {made['token']}"}
        assert shop.client.get("/v1/inbox", headers=mine).json()["unread"] == 1
        assert made["expires_at"] == (NOW + timedelta(days=30)).isoformat()
    for whose, status in (
        ({"user_id": "nobody"}, 404),
        ({}, 422),
        ({"customer_id": "x" * 99}, 422),
    ):
        answer = shop.client.post("/v1/inbox/tokens", json=whose, headers=key)
        assert answer.status_code == status
    assert shop.client.get("/v1/inbox/customers").status_code == 401
    assert (
        shop.client.get("/v1/inbox/customers", headers=App(shop, customer).headers).status_code
        == 401
    )
    [listed] = shop.client.get("/v1/inbox/customers", headers=key).json()
    assert (listed["customer_id"], listed["name"], listed["unread"]) == (customer, "Ann", 1)
    token = {"Authorization": f"Bearer {listed['token']}"}
    assert shop.client.get("/v1/inbox/unread", headers=token).json() == {"unread": 1}


# --- answers ---


def asked(shop: Shop, **question: Any) -> tuple[App, str]:
    customer = shop.customer()
    _, enrolment = shop.question(customer, **question)
    name = "alert" if question.get("code", "4821") else "csat"
    return App(shop, customer), shop.in_app(customer, message=name, enrolment_id=enrolment)


@pytest.mark.parametrize(("said", "value"), [("yes", "yes"), ("ok", "yes"), ("no", "no")])
def test_an_alert_is_answered_in_the_app(shop: Shop, said: str, value: str) -> None:
    app, item = asked(shop)
    [shown] = app.get()["items"]
    assert shown["question"] == {"name": "fraud", "kind": "confirm", "low": None, "high": None}
    assert app.post(f"{item}/answer", answer=said).json() == {"status": "answered"}
    answer = shop.one(Answer)
    assert (answer.value, answer.channel) == (value, "in_app")
    assert shop.one(Question).outcome == "answered"
    assert (shop.one(Enrolment).status, shop.commits) == ("active", 1)
    assert app.get()["items"][0]["question"] is None


def test_a_score_is_given_in_the_app(shop: Shop) -> None:
    app, item = asked(shop, code=None, name="csat")
    assert app.get()["items"][0]["question"]["high"] == 5
    for wrong in ("6", "0", "yes", "1.5", "", "²"):
        assert app.post(f"{item}/answer", answer=wrong).status_code == 400
    assert app.post(f"{item}/answer", answer="5").status_code == 200
    assert shop.one(Answer).value == "5"


def test_the_first_answer_wins_over_all_channels(shop: Shop) -> None:
    app, item = asked(shop)
    shop.text("NO 4821")
    assert app.post(f"{item}/answer", answer="yes").status_code == 409
    assert shop.one(Answer).value == "no"


def test_a_message_that_asks_nothing_takes_no_answer(shop: Shop) -> None:
    customer = shop.customer()
    item = shop.in_app(customer)
    assert App(shop, customer).post(f"{item}/answer", answer="yes").status_code == 409


# --- news ---


@contextmanager
def served(shop: Shop) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(shop.api, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


class Stream:
    """An open event stream."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._connection.request("GET", f"/v1/inbox/events?token={token}")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        assert self._answer.headers["content-type"].startswith("text/event-stream")

    def next(self) -> tuple[str, Any]:
        name = ""
        while True:
            line = self._answer.readline().decode().strip()
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def test_news_comes_to_open_pages_also_from_other_processes(shop: Shop, database_url: str) -> None:
    ann, ben = shop.customer(), shop.customer(phone="+12065550102")
    old = shop.in_app(ann)
    with served(shop) as port:
        stream = Stream(port, shop.token("inbox", c=ann))
        assert stream.next() == ("unread", {"unread": 1})
        shop.in_app(ben)
        other = Database(open_engine(database_url))
        here, shop.database = shop.database, other
        new = shop.in_app(ann, title="News")
        shop.database = here
        name, item = stream.next()
        assert (name, item["id"], item["title"]) == ("item", new, "News")
        assert stream.next() == ("unread", {"unread": 2})
        App(shop, ann).post(f"{old}/read")
        name, state = stream.next()
        assert (name, state["id"], state["read_at"]) == ("state", old, NOW.isoformat())
        assert stream.next() == ("unread", {"unread": 1})
        stream.close()
        other.close()
