"""No personal data leaves the record: Prefect's API and its database file are searched for it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]

CANARIES = ("+12065557777", "canary.person@example.com", "Canary Jewellers", "canary-name")


def test_prefect_never_sees_whose_data_it_moves(house):
    """A good batch, and one that fails with the customer's own words in the error."""
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    phone, email, merchant, name = CANARIES
    house.fraud("T-canary", merchant=merchant, phone=phone)
    house.stage.signal(
        "fraud.signalled", user_id="u-canary", email=email, traits={"first_name": name},
        transaction_id="T-canary-2", merchant=merchant, amount="249.00", currency="USD",
        occurred_at=house.stage.clock().isoformat(),
    )  # fmt: skip

    async def then(worker: Any, client: Any) -> list[Any]:
        await worker.view.look()
        await worker.round()
        await worker.served()
        with house.stage.database.writing() as session:
            session.execute(
                text(
                    "CREATE TRIGGER nosy BEFORE INSERT ON messages "
                    f"BEGIN SELECT RAISE(ABORT, '{merchant} {email} {phone} {name}'); END"
                )
            )
        house.fraud("T-canary-3", merchant=merchant, phone=phone)
        await worker.round()
        await worker.served()
        await APILogHandler.aflush()
        return [
            await client.read_flow_runs(),
            await client.read_task_runs(),
            await client.read_logs(),
            await client.read_artifacts(),
        ]

    answers = house.work("risk", then)
    runs, _, logs, artifacts = answers
    assert any(run.state_name == "Failed" for run in runs)
    assert logs
    assert artifacts
    said = json.dumps(
        [[one.model_dump(mode="json") for one in answer] for answer in answers], ensure_ascii=False
    )
    assert "T-canary" not in said
    for canary in CANARIES:
        assert canary not in said
    kept = Path(PREFECT_SERVER_DATABASE_CONNECTION_URL.value().split("///")[1])
    stored = b"".join(one.read_bytes() for one in kept.parent.glob(kept.name + "*"))
    assert len(stored) > 100_000
    for canary in CANARIES:
        assert canary.encode() not in stored


def test_a_lane_whose_record_fails_logs_the_kind_of_error_and_not_its_words(house):
    """Databases quote values in their errors; the worker's log must not."""
    phone, email, merchant, name = CANARIES
    house.pickups(1)
    with house.stage.database.writing() as session:
        session.execute(
            text(
                "CREATE TRIGGER nosy BEFORE UPDATE ON enrolments "
                f"BEGIN SELECT RAISE(ABORT, '{merchant} {email} {phone} {name}'); END"
            )
        )

    async def then(worker: Any, client: Any) -> None:
        del client
        stop = asyncio.Event()
        serving = asyncio.create_task(worker.serve(stop))
        async with asyncio.timeout(60):
            while not any(line["event"] == "worker.round_failed" for line in logs):
                await asyncio.sleep(0.05)
        stop.set()
        await serving

    with capture_logs() as logs:
        house.work("service", then)
    said = repr(logs)
    assert [canary for canary in CANARIES if canary in said] == []
