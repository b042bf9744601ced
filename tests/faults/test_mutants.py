"""Each check of an invariant finds out the product that breaks it; else the check would prove nothing.

A few here; ``make chaos MUTANTS=all`` plays every one, on the product and on its mutant.
"""

import pytest

from tests.faults import invariants, mutants, scenes

QUICK = (
    "answers_before_it_commits",
    "believes_that_errors_were_taken",
    "believes_any_signature",
    "keeps_every_repeat",
    "fails_all_for_the_sake_of_one",
    "holds_claims_for_an_hour",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_promise_is_found_out(crowds, tmp_path, name):
    story = scenes.SCENES[name]
    assert story.invariant in scenes.play(story, crowds, tmp_path, mutated=True)


@pytest.mark.parametrize("name", ["believes_any_signature", "fails_all_for_the_sake_of_one"])
def test_the_same_story_holds_with_the_promise_kept(crowds, tmp_path, name):
    story = scenes.SCENES[name]
    assert scenes.play(story, crowds, tmp_path, mutated=False) == {}


def test_every_invariant_has_a_mutant():
    assert {story.invariant for story in scenes.SCENES.values()} == set(invariants.CHECKS)
    assert set(scenes.SCENES) == set(mutants.BREAKS)
