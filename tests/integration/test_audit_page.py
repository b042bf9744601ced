"""The audit log in the console: for operators, read-only, without anybody's data."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signalpost.domain.access import Scope
from signalpost.record import audit
from signalpost.record.customers import Customer
from signalpost.services.access import keys
from tests.integration.front_harness import READ_KEY, Front, open_front

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with open_front(tmp_path) as opened:
        yield opened


def log(front: Front, count: int = 1, *, actor: str = "cli:ann", subject: str = "run:7") -> None:
    with front.stage.database.writing() as session:
        for number in range(count):
            audit.add(
                session,
                actor=actor,
                action="campaign.paused",
                subject=subject,
                detail={"people": number, "ids": ["a", "b"]},
                now=NOW,
            )


def signed_in(front: Front, key: str = READ_KEY) -> None:
    assert front.client.post("/login", data={"key": key}).status_code == 200


def test_an_operator_sees_who_did_what_and_finds_it_by_its_subject(front: Front) -> None:
    log(front)
    log(front, actor="prefect:1", subject="run:8")
    signed_in(front)
    page = front.client.get("/audit")
    assert page.status_code == 200
    for shown in ("cli:ann", "prefect:1", "campaign.paused", "run:7", "people", "a, b"):
        assert shown in page.text
    one = front.client.get("/audit?subject=run:8").text
    assert "prefect:1" in one
    assert "cli:ann" not in one
    assert 'href="/audit"' in page.text, "it is in the navigation"


def test_a_long_log_has_earlier_pages(front: Front) -> None:
    log(front, 130)
    signed_in(front)
    first = front.client.get("/audit").text
    assert ">130<" in first
    assert ">31<" in first
    assert ">30<" not in first
    assert ">30<" in front.client.get("/audit?before=31").text


def test_programs_read_it_with_its_head(front: Front) -> None:
    log(front, 3)
    said = front.read("/v1/audit", limit=2).json()
    assert [one["number"] for one in said["entries"]] == [3, 2]
    assert said["head"].startswith("3:")
    assert said["entries"][0]["detail"] == {"ids": ["a", "b"], "people": 2}


def test_nobody_but_operators_reads_it_and_nobody_writes_it(front: Front) -> None:
    log(front)
    made = {}
    for scope in Scope:
        with front.stage.database.writing() as session:
            made[scope] = keys.make(
                session, name=f"k-{scope}", scopes=[scope], actor="cli:ann", now=front.stage.clock()
            ).token
    front.stage.clock.now += timedelta(minutes=1)
    for scope, token in made.items():
        headers = {"Authorization": f"Bearer {token}"}
        may = scope in (Scope.OPERATOR, Scope.ADMIN)
        answer = front.client.get("/v1/audit", headers=headers)
        assert answer.status_code == (200 if may else 403), scope
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert front.client.request(method, "/v1/audit").status_code in (401, 405)
        assert front.client.request(method, "/audit").status_code in (401, 405)


def test_what_stands_in_the_log_is_shown_as_text(front: Front) -> None:
    log(front, actor=f"key:{EVIL}", subject=f"run:{EVIL}")
    signed_in(front)
    page = front.client.get("/audit", params={"subject": f"run:{EVIL}"}).text
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    for odd in ("\0", "%00", "'; DROP TABLE audit_entries; --", "x" * 200):
        assert front.client.get("/audit", params={"subject": odd}).status_code == 200
    assert front.client.get("/audit?before=0").status_code in (400, 422)


def test_who_is_handed_all_data_of_a_person_is_named_by_their_key(front: Front) -> None:
    """The only GET that writes: a disclosure, in the log before it is given."""
    front.stage.signal("customer.identified", user_id="ann", email="ann@example.com")
    [customer] = front.rows(Customer)
    with front.stage.database.writing() as session:
        token = keys.make(
            session, name="desk", scopes=[Scope.ADMIN], actor="cli:ann", now=front.stage.clock()
        ).token
    front.stage.clock.now += timedelta(minutes=1)
    path = f"/v1/customers/{customer.id}/export"
    assert front.client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert front.read(path).status_code == 200
    assert front.client.get(path).status_code == 401
    said = front.read("/v1/audit", subject=f"customer:{customer.id}").json()["entries"]
    assert [(one["action"], one["actor"]) for one in said] == [
        ("customer.exported", "key:api_key"),
        ("customer.exported", "key:desk"),
    ]
    assert "ann@" not in str(said)
