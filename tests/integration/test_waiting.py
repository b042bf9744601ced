"""Waiting for a time: whose clock counts, and what it costs to find out."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time

import pytest
from sqlalchemy import event

from signalpost.domain.journey import SMS, Journey, Send, Step, Wait, first
from signalpost.domain.vocabulary import Lane
from signalpost.testing import Stage

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # 01:00 in Seattle
TEN = Wait(days=1, at=time(10), zone="customer")


@contextmanager
def statements(stage: Stage) -> Iterator[list[str]]:
    """Keep what the database is asked."""
    said: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        said.append(statement)

    event.listen(stage.database.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(stage.database.engine, "before_cursor_execute", note)


def waiting(step: Step) -> Journey:
    return Journey(
        name="waiting",
        lane=Lane.SERVICE,
        starts_on="order.ready_for_pickup",
        key="order_id",
        steps=[step, Send("pickup_ready", via=first(SMS))],
    )


def enter(stage: Stage, people: int, **traits: str) -> None:
    for number in range(people):
        stage.signal(
            "order.ready_for_pickup",
            user_id=f"u{number}",
            phone=f"+1206555{100 + number:04d}",
            order_id=str(number),
            traits=traits,
        )


def lookups(folder, people: int, step: Step, **traits: str) -> int:
    folder.mkdir()
    with Stage(folder=folder, journeys=[waiting(step)], start=START) as stage:
        enter(stage, people, **traits)
        with statements(stage) as said:
            stage.run_due()
        return sum("FROM contact_points" in one for one in said)


def test_a_local_time_is_that_of_the_number_where_nobody_told_the_zone(tmp_path, database_url):
    with Stage(
        folder=tmp_path, journeys=[waiting(TEN)], start=START, database_url=database_url
    ) as stage:
        enter(stage, 1)
        stage.signal(
            "order.ready_for_pickup",
            user_id="bo",
            phone="+12065550199",
            order_id="b",
            traits={"timezone": "Europe/Berlin"},
        )
        stage.run_for(days=3)
        at = {one.to: one.at for one in stage.sent}
    assert at["+12065550199"] == datetime(2026, 3, 3, 9, 0, tzinfo=UTC)  # 10:00 in Berlin
    assert at["+12065550100"] == datetime(2026, 3, 3, 18, 0, tzinfo=UTC)  # 10:00 in Seattle


def test_numbers_are_looked_up_once_for_everybody_who_waits(tmp_path):
    few = lookups(tmp_path / "few", 2, TEN)
    assert lookups(tmp_path / "many", 40, TEN) == few == 1


@pytest.mark.parametrize(
    ("step", "traits"),
    [
        (Wait(hours=1), {}),
        (TEN, {"timezone": "Europe/Berlin"}),
        (Wait(days=1, at=time(10), zone="Europe/Berlin"), {}),
    ],
    ids=["a length of time", "a known zone", "the sender's zone"],
)
def test_nobodys_number_is_looked_up_when_it_would_change_nothing(tmp_path, step, traits):
    assert lookups(tmp_path / "all", 5, step, **traits) == 0
