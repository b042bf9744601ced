"""``doctor --live``: what runs is asked, what is wrong is named with what to do, nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.fraud_alert import FRAUD_ALERT
from signalpost.domain.circuit import Circuit
from signalpost.record import provider_accounts
from signalpost.record.database import open_engine
from signalpost.record.migrate import migrate
from signalpost.testing import Stage
from tests.cli_harness import signalpost


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A record with every table, as `migrate` leaves it."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    return url


@pytest.fixture
def stage(tmp_path: Path, url: str) -> Iterator[Stage]:
    """The product over that record, half an hour ago."""
    start = datetime.now(UTC) - timedelta(minutes=30)
    with Stage(folder=tmp_path, journeys=[FRAUD_ALERT], start=start, database_url=url) as opened:
        yield opened


def alert(stage: Stage) -> None:
    """Let a suspicious transaction be signalled."""
    stage.signal(
        "fraud.signalled",
        user_id="ann",
        phone="+12065550100",
        transaction_id="T1",
        merchant="Acme",
        amount="249.00",
        currency="USD",
        occurred_at=stage.clock().isoformat(),
    )


def prefect(httpserver: Any, *, workers: list[str], paused: bool = False) -> str:
    """Stand in for Prefect's API; gives its port."""
    api = "/api"
    httpserver.expect_request(f"{api}/health").respond_with_json(True)
    httpserver.expect_request(f"{api}/work_pools/signalpost/workers/filter").respond_with_json(
        [{"name": f"signalpost {lane} 1", "status": "ONLINE"} for lane in workers]
    )
    httpserver.expect_request(f"{api}/work_pools/signalpost/queues/filter").respond_with_json(
        [{"name": "risk", "is_paused": paused}]
    )
    httpserver.expect_request(f"{api}/deployments/filter").respond_with_json([])
    return str(httpserver.port)


def look(folder: Path, url: str, **settings: str) -> dict[str, dict[str, Any]]:
    """Run the doctor; gives its checks by name."""
    ports = {"web_port": "1", "postoffice_port": "2", "prefect_port": "3"}
    given = {"database_url": url} | ports | settings
    result = signalpost(folder, "doctor", "--live", "--json", **given)
    listed = json.loads(result.out)
    assert result.code == (1 if any(one["state"] == "wrong" for one in listed["checks"]) else 0)
    return {one["name"]: one for one in listed["checks"]}


def test_nothing_that_runs_is_said_one_by_one(tmp_path: Path, url: str) -> None:
    """Web, Prefect and post office are away: each is wrong, and the record is looked at all the same."""
    found = look(tmp_path, url)
    assert {found[name]["state"] for name in ("web", "Prefect", "post office")} == {"wrong"}
    assert found["record"]["state"] == found["clock"]["state"] == found["lanes"]["state"] == "ok"
    assert "signalpost web" in found["web"]["remedy"]


def test_a_lane_without_a_worker_is_named_with_the_command(
    tmp_path: Path, url: str, httpserver: Any
) -> None:
    """Prefect has heard of two of three workers."""
    port = prefect(httpserver, workers=["risk", "service"])
    found = look(tmp_path, url, prefect_port=port)
    assert found["risk worker"]["state"] == found["service worker"]["state"] == "ok"
    assert "signalpost worker --lane marketing" in found["marketing worker"]["remedy"]


def test_a_pool_of_a_campaign_that_is_not_there_or_that_nobody_serves_is_named(
    tmp_path: Path, url: str, httpserver: Any
) -> None:
    """Four campaigns run on pools of others; one pool is missing, one has no worker, one fails."""
    port = prefect(httpserver, workers=["risk", "service", "marketing"])
    folder = tmp_path / "campaigns"
    folder.mkdir()
    for pool in ("nowhere", "idle", "ready", "broken"):
        (folder / f"on-{pool}.yaml").write_text(
            f"name: on-{pool}\nmessage: purchase_offer\naudience: {{everyone: true}}\n"
            "channels: {every: [email]}\npromotion: {id: P, code: C, ends: 2030-05-31 23:59Z}\n"
            f"facts: {{percent: 15}}\nrun_on: {pool}\n"
        )
    for pool, status in (("idle", "NOT_READY"), ("ready", "READY")):
        answer = httpserver.expect_request(f"/api/work_pools/{pool}")
        answer.respond_with_json({"name": pool, "status": status, "is_paused": False})
    httpserver.expect_request("/api/work_pools/nowhere").respond_with_data("", status=404)
    httpserver.expect_request("/api/work_pools/broken").respond_with_data("", status=500)
    found = look(tmp_path, url, prefect_port=port, campaigns=str(folder))
    assert found["work pool nowhere"]["state"] == "wrong"
    assert "on-nowhere cannot be sent" in found["work pool nowhere"]["says"]
    assert "prefect work-pool create" in found["work pool nowhere"]["remedy"]
    assert found["work pool idle"]["state"] == "wrong"
    assert "prefect worker start -p idle" in found["work pool idle"]["remedy"]
    assert found["work pool ready"]["state"] == "ok"
    assert found["work pool broken"]["state"] == "wrong"
    assert "answers 500" in found["work pool broken"]["says"]
    assert "create" not in found["work pool broken"]["remedy"]


def test_who_is_due_and_unclaimed_makes_the_lane_wrong_unless_it_is_paused(
    tmp_path: Path, url: str, stage: Stage, httpserver: Any
) -> None:
    """An alert waits for half an hour; when an operator paused the lane, that is what is said."""
    alert(stage)
    assert "lane risk, for 30 min" in look(tmp_path, url)["lane.behind"]["says"]
    port = prefect(httpserver, workers=[], paused=True)
    found = look(tmp_path, url, prefect_port=port)
    assert "lane.behind" not in found
    assert "risk" in found["paused"]["says"]


def test_an_open_circuit_and_a_silent_webhook_are_named(
    tmp_path: Path, url: str, stage: Stage
) -> None:
    """A provider took a text half an hour ago and has told us nothing since; its circuit is open."""
    alert(stage)
    stage.run_due()
    circuit = Circuit(account="outbox", opened_at=stage.clock(), code="20003", reason="Refused.")
    with stage.database.writing() as session:
        provider_accounts.keep(session, circuit=circuit, now=stage.clock())
    found = look(tmp_path, url)
    assert found["provider.degraded"]["state"] == "wrong"
    assert "20003" in found["provider.degraded"]["says"]
    assert "None has ever come" in found["webhooks of outbox"]["says"]
    assert "SIGNALPOST_PUBLIC_URL" in found["webhooks of outbox"]["remedy"]


def test_a_vendor_is_asked_whether_it_knows_our_key_and_nothing_is_sent(
    tmp_path: Path, url: str, httpserver: Any
) -> None:
    """Twilio refuses the key, SendGrid takes it; both requests are GETs, and no key is shown."""
    sid = "AC" + "0" * 32
    httpserver.expect_request(
        f"/2010-04-01/Accounts/{sid}/Messages.json", method="GET"
    ).respond_with_json({}, status=401)
    httpserver.expect_request("/v3/scopes", method="GET").respond_with_json({"scopes": []})
    base = httpserver.url_for("").rstrip("/")
    found = look(
        tmp_path,
        url,
        sendgrid_base_url=base,
        sendgrid_api_key="SG.secret-of-sendgrid",
        twilio_base_url=base,
        twilio_account_sid=sid,
        twilio_auth_token="secret-of-twilio",
        twilio_sender="+14155550100",
    )
    assert found["SendGrid"]["state"] == "ok"
    assert "refuses our key (401)" in found["Twilio"]["says"]
    assert {request.method for request, _ in httpserver.log} == {"GET"}
    assert "secret-of" not in json.dumps(found)


def test_a_key_does_not_follow_a_redirect(tmp_path: Path, url: str, httpserver: Any) -> None:
    """A host that sends us elsewhere does not get our key there."""
    httpserver.expect_request("/v3/scopes").respond_with_data(
        status=302, headers={"Location": httpserver.url_for("/elsewhere")}
    )
    base = httpserver.url_for("").rstrip("/")
    look(tmp_path, url, sendgrid_base_url=base, sendgrid_api_key="SG.secret")
    assert [request.path for request, _ in httpserver.log] == ["/v3/scopes"]


def test_a_public_address_that_leads_elsewhere_is_wrong(
    tmp_path: Path, url: str, httpserver: Any
) -> None:
    """Somebody else's page answers where vendors and customers should find us."""
    httpserver.expect_request("/healthz").respond_with_data("<html>Welcome to nginx</html>")
    found = look(tmp_path, url, public_url=httpserver.url_for("").rstrip("/"))
    assert found["public address"]["state"] == "wrong"


def test_the_clock_of_the_database_is_compared_with_ours(
    tmp_path: Path, empty_database_url: str
) -> None:
    """Claims and leases go by each machine's clock: on PostgreSQL the difference is measured."""
    engine = open_engine(empty_database_url)
    migrate(engine)
    engine.dispose()
    found = look(tmp_path, empty_database_url)
    assert found["clock"]["state"] == "ok"
    if empty_database_url.startswith("postgres"):
        assert "differ by 0." in found["clock"]["says"]
