"""Each check of an invariant finds out the product that breaks it; else the check would prove nothing.

Two mutants had become harmless once, since the product had changed and only ``make chaos`` played all.
``make chaos MUTANTS=all`` also plays the slow one, and each story on the product as it is.
"""

import pytest

from tests.faults import invariants, mutants, scenes

SLOW = "lets_alerts_wait_their_turn"  # it takes forty seconds


@pytest.mark.parametrize("name", [name for name in scenes.SCENES if name != SLOW])
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
