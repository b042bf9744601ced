"""What an operator finds when something does not go on, and what helps."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from flows import JOURNEYS
from signalpost.clock import set_file
from signalpost.record import audit
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Message
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due
from signalpost.services.reconciling import asking
from signalpost.services.reconciling.rounds import Reconciler
from signalpost.testing import Stage
from tests.cli_harness import Result, signalpost
from tests.killed import Killed

BO = {"user_id": "bo", "phone": "+12065550101", "email": "bo@example.com"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=datetime.now(UTC)) as opened:
        yield opened


@pytest.fixture
def run(stage: Stage, tmp_path: Path) -> Any:
    """Run a command on the stage's record, at the stage's time."""

    def command(*words: str) -> Result:
        clock = tmp_path / "clock.json"
        set_file(clock, stage.clock())
        return signalpost(
            tmp_path,
            *words,
            database_url=f"sqlite:///{tmp_path / 'stage.db'}",
            clock_file=str(clock),
        )

    return command


def left_half_way(stage: Stage) -> None:
    stage.signal("order.ready_for_pickup", **BO, order_id="1")

    async def dies(_: Any) -> bool:
        raise Killed

    units = Direct(stage.desk)
    units.settle = dies  # type: ignore[method-assign]
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
    with pytest.raises(Killed):
        asyncio.run(advance(stage.desk, claim_id=claim.id, units=units, run_id=None))
    stage.clock.now += timedelta(minutes=10)


def text(stage: Stage) -> Message:
    with stage.database.reading() as session:
        [found] = [one for one in session.exec(select(Message)) if one.channel == "sms"]
    return found


def acts(stage: Stage) -> list[str]:
    with stage.database.reading() as session:
        return [one.action for one in audit.entries(session, since=None, subject=None, limit=9)]


def test_nothing_is_stuck_in_a_quiet_house(run: Any) -> None:
    done = run("stuck")
    assert (done.code, done.out.strip()) == (0, "Nothing is stuck.")


def test_a_claim_that_is_over_is_listed_said_and_seen_to(stage: Stage, run: Any) -> None:
    left_half_way(stage)
    said = run("stuck")
    assert "1 claims are over; whoever held them stopped half-way" in said.out
    assert "signalpost stuck --fix" in said.out
    assert "signalpost worker --lane service" in said.out

    before = text(stage).status
    tried = run("stuck", "--fix", "--dry-run")
    assert "--fix would see to it" in tried.out
    assert (before, text(stage).status) == ("sending", "sending")
    assert acts(stage) == []

    fixed = run("stuck", "--fix")
    assert "Done: 1 claims taken away, 2 messages called unknown" in fixed.out
    assert text(stage).status == "unknown"
    with stage.database.reading() as session:
        [enrolment] = session.exec(select(Enrolment))
    assert enrolment.claim_id is None
    assert acts(stage) == ["stuck.fixed"]
    kinds = {one["kind"] for one in json.loads(run("stuck", "--json").out)}
    assert "claim" not in kinds
    assert "unresolved" in kinds  # nobody keeps a list of what the stage's provider took


@pytest.mark.parametrize(
    ("word", "reason"), [("not-sent", "resolved_not_sent"), ("abandoned", "abandoned")]
)
def test_an_operator_has_the_last_word_on_what_nobody_could_find_out(
    stage: Stage, run: Any, word: str, reason: str
) -> None:
    left_half_way(stage)
    assert run("stuck", "--fix").code == 0
    # The stage's provider cannot be asked: there is no list of what it took.
    asyncio.run(Reconciler().ask(stage.desk, now=stage.clock()))
    said = run("stuck")
    message = text(stage)
    assert f"signalpost resolve {message.id} --as not-sent|abandoned" in said.out
    assert "the provider could not be asked" in said.out

    done = run("resolve", message.id, "--as", word)
    assert done.code == 0
    assert (text(stage).status, text(stage).reason) == ("expired", reason)
    assert "message.resolved" in acts(stage)
    assert f"{message.id} " not in run("stuck").out
    sent = len(stage.sent)
    stage.run_for(hours=2)
    assert [one.message_id for one in stage.sent[sent:]].count(message.id) == 0


def test_a_word_on_a_message_that_is_not_unknown_is_refused(stage: Stage, run: Any) -> None:
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_due()
    done = run("resolve", text(stage).id, "--as", "abandoned")
    assert done.code == 1
    assert "is handed_over, not unknown" in done.err
    assert run("resolve", "nobody", "--as", "abandoned").code == 4


def test_the_horizon_is_an_hour_and_it_is_asked_three_times() -> None:
    """docs/operating.md says so."""
    assert [wait.total_seconds() / 60 for wait in asking.UNKNOWN_AFTER] == [2, 10, 60]
