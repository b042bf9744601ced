"""A few seeds of the harness: killed where it hurts, nobody is lost and nobody is sent to twice.

``make chaos RUNS=200`` plays hundreds (docs/faults.md).
"""

import pytest

from tests.faults import crash_runs
from tests.faults.crash_runs import Plan

PEOPLE = 24


def hurt(wishes, seed, dialect, answers=()):
    return Plan(
        seed=seed,
        dialect=dialect,
        people=PEOPLE,
        wishes=wishes,
        kills=[],
        answers=list(answers),
        alerts=3,
        pickups=3,
        receipts_are_late=False,
    )


@pytest.mark.parametrize(
    "place",
    ["send.left", "send.settling=stop"],
)
def test_both_senders_may_die_at_a_place(crowds, tmp_path, place):
    """One sender dies there the first time it comes by, the other the second time."""
    first, _, act = place.partition("=")
    wishes = {"sender 1": [f"{first}#1{'=' + act if act else ''}"], "sender 2": [f"{first}#2"]}
    result = crash_runs.crash_run(hurt(wishes, 1, "sqlite"), crowds, tmp_path)
    assert result.broken == {}
    assert result.on_record >= PEOPLE


@pytest.mark.postgres
def test_senders_and_the_web_may_die_on_postgres(crowds_on_postgres, tmp_path):
    wishes = {"sender 1": ["send.intended"], "web": ["intake.committed"]}
    plan = hurt(wishes, 2, "postgres", [("twilio", "reset_processed")])
    result = crash_runs.crash_run(plan, crowds_on_postgres, tmp_path)
    assert result.broken == {}


def test_the_same_seed_is_the_same_plan():
    plans = [Plan.of(7, people=10, dialects=("sqlite", "postgres")) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0] != Plan.of(8, people=10, dialects=("sqlite", "postgres"))
