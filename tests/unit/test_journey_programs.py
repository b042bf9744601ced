"""Journeys as data: compiled, pinned, drawn, and sound."""

import json
from pathlib import Path

import pytest

from flows import JOURNEYS
from signalpost.domain.assignment import arm, share
from signalpost.domain.conditions import Condition, answer, attribute, fact
from signalpost.domain.diagram import mermaid
from signalpost.domain.journey import (
    SMS,
    Ask,
    Branch,
    Exit,
    Journey,
    Send,
    Split,
    WaitFor,
    compile_journey,
    days,
    first,
)
from signalpost.domain.program import Program, ProgramError
from signalpost.domain.vocabulary import Lane

PROGRAMS = [compile_journey(journey) for journey in JOURNEYS]


def journey(*steps, **more) -> Journey:
    return Journey(name="j", lane=Lane.SERVICE, starts_on="order.placed", steps=steps, **more)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.journey)
def test_a_program_survives_the_record(program):
    """What is read back from JSON is the same program, with the same version."""
    again = Program.from_json(json.loads(json.dumps(program.to_json())))
    assert json.dumps(again.to_json()) == json.dumps(program.to_json())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.journey)
def test_every_way_leads_to_a_step_that_exists(program):
    targets = {program.entry}
    for node in program.nodes.values():
        targets |= {node.next, *node.ways.values()}
    assert targets - {None} <= program.nodes.keys()


def test_the_version_changes_with_the_journey_and_with_nothing_else():
    one = compile_journey(journey(Send("hello", via=first(SMS))))
    same = compile_journey(journey(Send("hello", via=first(SMS))))
    other = compile_journey(journey(Send("goodbye", via=first(SMS))))
    assert one.version == same.version != other.version


def test_what_follows_a_branch_follows_both_of_its_ways():
    program = compile_journey(
        journey(
            Branch(fact("vip") == True, then=[Send("a", via=first(SMS))]),  # noqa: E712
            Send("b", via=first(SMS)),
        )
    )
    assert program.nodes["0"].ways == {"then": "0.then.0", "otherwise": "1"}
    assert program.nodes["0.then.0"].next == "1"


def test_a_question_is_an_asking_and_a_waiting():
    program = compile_journey(journey(Ask("how", via=first(SMS), within=days(1))))
    assert program.nodes["0"].next == "0a"
    assert program.nodes["0a"].args["wait_for"] == "answer:how"


def test_a_journey_without_steps_is_refused():
    with pytest.raises(ProgramError, match="has no steps"):
        compile_journey(journey())


def test_a_journey_may_start_on_several_events_and_one_kept_before_that_is_still_read():
    program = compile_journey(
        Journey(name="j", lane=Lane.SERVICE, starts_on=("a.b", "c.d"), steps=[Exit("x")])
    )
    assert Program.from_json(json.loads(json.dumps(program.to_json()))).starts_on == ("a.b", "c.d")
    assert 'start(["a.b or c.d"])' in mermaid(program)
    one = compile_journey(journey(Exit("x")))
    assert one.to_json()["starts_on"] == "order.placed"  # as it was kept when one was all there was
    assert Program.from_json(one.to_json()).starts_on == ("order.placed",)


@pytest.mark.parametrize("starts_on", [(), "", ("a.b", "")])
def test_a_journey_that_starts_on_nothing_is_refused(starts_on):
    with pytest.raises(ProgramError, match="starts on no event"):
        compile_journey(
            Journey(name="j", lane=Lane.SERVICE, starts_on=starts_on, steps=[Exit("x")])
        )


def test_a_wrong_reentry_rule_is_refused():
    with pytest.raises(ProgramError, match="reentry"):
        compile_journey(journey(Exit("x"), reentry="sometimes"))


@pytest.mark.parametrize(
    ("condition", "known", "holds"),
    [
        (answer("csat") <= 2, {"answer": {"csat": "2"}}, True),  # answers come as text
        (answer("csat") <= 2, {"answer": {"csat": "3"}}, False),
        (answer("csat") <= 2, {"answer": {}}, False),
        (answer("csat") <= 2, {"answer": {"csat": "meh"}}, False),
        (attribute("tier") == "vip", {"attribute": {"tier": "vip"}}, True),
        (attribute("tier").among("vip", "gold"), {"attribute": {"tier": "gold"}}, True),
        (fact("total") > 100, {"fact": {"total": "100.50"}}, True),
    ],
)
def test_a_condition_reads_what_is_known(condition, known, holds):
    assert condition.holds(known) is holds
    again = Condition(condition.subject, condition.op, json.loads(json.dumps(condition.value)))
    assert again.holds(known) is holds


def test_a_split_sends_the_same_person_the_same_way_and_the_shares_are_kept():
    weights = {"a": 80.0, "b": 20.0}
    arms = [arm("salt", f"c{n}", weights) for n in range(5_000)]
    assert arms == [arm("salt", f"c{n}", weights) for n in range(5_000)]
    assert 0.77 < arms.count("a") / 5_000 < 0.83
    assert abs(share("one", "c1") - share("two", "c1")) > 1e-9


def test_a_split_without_weight_is_refused():
    with pytest.raises(ValueError, match="weight"):
        arm("salt", "c1", {"a": 0})


def test_the_diagram_draws_every_step_and_both_ways_of_a_wait():
    program = compile_journey(
        journey(
            WaitFor("order.picked_up", within=days(3), otherwise=[Exit("late")]),
            Split("test", {"a": (1, [Send("x", via=first(SMS))]), "b": (1, [])}),
        )
    )
    drawn = mermaid(program, counts={"0": 7})
    assert "-->|came| n1" in drawn
    assert "-->|not within 3 days| n0_otherwise_0" in drawn
    assert "7 here" in drawn
    assert all(f"n{node.replace('.', '_')}" in drawn for node in program.nodes)


def test_the_diagrams_in_the_docs_are_those_of_the_journeys():
    """`make docs` draws them; a journey that changed without its picture fails here."""
    page = (Path(__file__).parents[2] / "docs" / "journeys.md").read_text()
    for program in PROGRAMS:
        assert mermaid(program) in page, f"run `make docs`: {program.journey} has changed"
