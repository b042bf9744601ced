"""The figures that instruments show: true of the record, cheap, and free of anybody's data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from signalpost.domain.delivery import Handover, Letter
from signalpost.domain.vocabulary import Channel, DeliveryStatus, Purpose
from signalpost.providers.measured import Measured
from signalpost.services.watching.panel import Panel
from signalpost.testing import Post
from tests.integration.front_harness import READ_KEY, Front, open_front


@pytest.fixture
def front(tmp_path: Path, database_url: str) -> Iterator[Front]:
    """The product behind its front door, on both databases."""
    with open_front(tmp_path, database_url) as opened:
        yield opened


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Read Prometheus's text: (name, label values …) → value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *(value for _, value in sorted(sample.labels.items()))] = (
                sample.value
            )
    return found


def look(front: Front) -> dict[tuple[str, ...], float]:
    """Look at the record anew."""
    return figures(Panel(front.stage.database, clock=front.stage.clock).text().decode())


def alert(front: Front) -> None:
    """Let a suspicious transaction be signalled."""
    front.stage.signal(
        "fraud.signalled",
        user_id="holder",
        phone="+12065559999",
        transaction_id="T1",
        merchant="Acme",
        amount="249.00",
        currency="USD",
        occurred_at=front.stage.clock().isoformat(),
    )


def test_whoever_scrapes_needs_a_key_and_gets_figures(front):
    """`/metrics` is for operators; it is Prometheus's text."""
    assert front.client.get("/metrics").status_code == 401
    answer = front.client.get("/metrics", headers={"Authorization": f"Bearer {READ_KEY}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert figures(answer.text)["signalpost_record_up",] == 1


def test_a_lane_that_nobody_serves_shows_how_late_it_is(front):
    """The oldest person who is due and unclaimed says how late a lane is; the others are on time."""
    alert(front)
    front.stage.clock.now += timedelta(minutes=3)
    seen = look(front)
    assert seen["signalpost_lane_oldest_due_seconds", "risk"] == pytest.approx(180, abs=1)
    assert seen["signalpost_lane_due", "risk"] == 1
    assert seen["signalpost_lane_oldest_due_seconds", "service"] == 0


def test_messages_are_counted_by_where_they_stand(front):
    """What was handed over, and what nobody knows, is seen by channel and reason, and since when."""
    front.stage.outbox.manner = lambda out: (
        Handover(
            status=DeliveryStatus.UNKNOWN,
            provider="outbox",
            code="500",
        )
        if out.channel is Channel.SMS
        else None
    )
    alert(front)
    front.stage.run_for(minutes=1)
    seen = look(front)
    in_app = ("in_app", "security", "", "delivered")
    assert seen["signalpost_recent_messages", *in_app] == 1
    assert seen["signalpost_unknown_messages", "sms"] == 1
    assert seen["signalpost_unknown_oldest_seconds", "sms"] == pytest.approx(60, abs=1)
    assert seen["signalpost_recent_signals", "accepted"] == 1
    assert seen["signalpost_recent_messages_seconds",] == 900
    assert seen["signalpost_open_cases", "fraud", "normal", "awaiting_customer"] == 1


def test_a_record_that_is_away_is_a_figure_too(front):
    """The scrape is answered, and says that the record is not there."""
    panel = Panel(front.stage.database, clock=lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert figures(panel.text().decode())["signalpost_record_up",] == 0


def test_no_figure_names_a_person(front):
    """Labels are names and codes: no address, no id of a customer."""
    alert(front)
    front.stage.run_for(minutes=20)
    text = Panel(front.stage.database, clock=front.stage.clock).text().decode()
    assert "+1206" not in text
    assert "holder" not in text


class Slow:
    """A provider that takes some and refuses some."""

    name, channels, max_batch = "slow", frozenset({Channel.EMAIL}), 1000

    async def hand_over(self, letter, batch):
        """Refuse every other one."""
        ways = (DeliveryStatus.ACCEPTED, DeliveryStatus.REJECTED)
        return [
            Handover(
                status=ways[number % 2],
                provider=self.name,
                code="550" if number % 2 else None,
            )
            for number, one in enumerate(batch)
        ]

    async def close(self):
        """Nothing to let go of."""


async def _hand_over_four() -> None:
    letter = Letter(channel=Channel.EMAIL, message="m", purpose=Purpose.MARKETING, parts={})
    batch = [
        Post(delivery_id=str(n), message_id=str(n), customer_id="c", address="ann@example.com")
        for n in range(4)
    ]
    await Measured(Slow()).hand_over(letter, batch)


def test_a_provider_is_timed_once_a_call_and_its_answers_are_counted(front):
    """One call of four messages: one time, two accepted, two refused with the provider's code."""
    before = look(front)
    asyncio.run(_hand_over_four())
    seen = look(front)

    def more(*key: str) -> float:
        return seen[key] - before.get(key, 0)

    assert more("signalpost_provider_call_seconds_count", "slow", "email") == 1
    assert more("signalpost_handovers_total", "slow", "email", "", "", "accepted") == 2
    assert more("signalpost_handovers_total", "slow", "email", "550", "", "rejected") == 2
