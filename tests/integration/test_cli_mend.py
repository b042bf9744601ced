"""Putting things right from the terminal: merges, what waits for an operator, blocks on addresses."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from flows import JOURNEYS
from signalpost.clock import set_file
from signalpost.record.consents import Suppression
from signalpost.record.customers import Customer, IdentityConflict, Merge
from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from signalpost.testing import Stage
from tests.cli_harness import Result, signalpost

ANN = {"user_id": "ann", "phone": "+12065550100", "email": "ann@example.com"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(folder=tmp_path, journeys=JOURNEYS) as opened:
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


def rows(stage: Stage, table: Any) -> list[Any]:
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def two_people(stage: Stage) -> None:
    stage.signal("customer.identified", **ANN, traits={"name": "Ann"})
    stage.signal("customer.identified", user_id="anna", email="anna@work.example")


# -- one person ----------------------------------------------------------------------------------


def test_two_customers_are_made_one_by_any_of_their_keys_and_two_again(
    stage: Stage, run: Any
) -> None:
    two_people(stage)
    done = run("merge", "ann@example.com", "anna", "--reason", "same passport")
    assert done.code == 0, done
    [merge] = rows(stage, Merge)
    assert (merge.reason, merge.undone_at) == ("same passport", None)
    assert "one person with Ann" in done.out
    assert "user_id anna, email anna@work.example" in done.out
    assert f"signalpost unmerge {merge.id}" in done.out
    assert f"signalpost unmerge {merge.id}" in run("record", "anna@work.example").out
    undone = run("unmerge", merge.id)
    assert undone.code == 0, undone
    assert "two people again" in undone.out
    assert len({one.root_id for one in rows(stage, Customer)}) == 2
    assert "unmerge" not in run("record", "ann").out


def test_a_merge_says_which_consent_holds_from_now_on(stage: Stage, run: Any) -> None:
    """The one said no before the other said yes: of two answers the stricter counts."""
    stage.signal("customer.identified", user_id="anna", traits={"marketing_consent": False})
    stage.clock.now += timedelta(hours=1)
    stage.signal("customer.identified", **ANN, traits={"marketing_consent": True})
    stage.clock.now += timedelta(hours=1)
    assert (
        "Consent from now on: denied for "
        in run("merge", "ann", "anna", "--reason", "asked her").out
    )


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["merge", "ann", "ann@example.com", "--reason", "x"], 1, "one person already"),
        (["merge", "ann", "nobody", "--reason", "x"], 4, "known by 'nobody'"),
        (["merge", "ann", "anna", "--reason", " "], 2, "The reason is empty"),
        (["merge", "ann", "anna"], 2, "--reason"),
        (["unmerge", "no-such"], 4, "There is no merge no-such."),
    ],
)
def test_a_merge_that_cannot_be_is_refused_with_a_sentence(
    stage: Stage, run: Any, words: list[str], code: int, sentence: str
) -> None:
    two_people(stage)
    refused = run(*words)
    assert (refused.code, refused.out) == (code, "")
    assert sentence in refused.err
    assert rows(stage, Merge) == []


def test_a_merge_is_not_undone_twice(stage: Stage, run: Any) -> None:
    two_people(stage)
    run("merge", "ann", "anna", "--reason", "x")
    [merge] = rows(stage, Merge)
    assert run("unmerge", merge.id).code == 0
    again = run("unmerge", merge.id)
    assert (again.code, "undone already" in again.err) == (1, True)


def test_a_conflict_is_shown_with_the_command_that_merges(stage: Stage, run: Any) -> None:
    two_people(stage)
    stage.signal("customer.identified", user_id="anna", email="ann@example.com")
    [conflict] = rows(stage, IdentityConflict)
    shown = run("record", "anna").out
    command = f"signalpost merge {conflict.customer_id} {conflict.other_id} --reason"
    assert command in shown
    done = run("merge", conflict.customer_id, conflict.other_id, "--reason", "asked her")
    assert "Mix-ups settled: 1" in done.out
    assert command not in run("record", "anna").out


# -- what waits for an operator ------------------------------------------------------------------


def spoil(stage: Stage, user: str, order: str) -> str:
    """Somebody's store got lost on the way, so their message cannot be rendered."""
    stage.signal("order.ready_for_pickup", user_id=user, email=f"{user}@mail.example",
                 order_id=order, store="Harbour")  # fmt: skip
    with stage.database.writing() as session:
        [theirs] = session.exec(select(Enrolment).where(Enrolment.key == order))
        facts = {k: v for k, v in theirs.context["facts"].items() if k != "store"}
        theirs.context = {**theirs.context, "facts": facts}
    stage.run_due()
    return theirs.id


def test_somebody_set_aside_is_listed_resumed_with_their_fact_and_gets_their_message(
    stage: Stage, run: Any
) -> None:
    one = spoil(stage, "bo", "7")
    assert stage.sent == []
    listed = run("redrive").out
    assert f"signalpost redrive {one}" in listed
    assert "a fact that it must show is missing: store" in listed
    assert f"signalpost redrive {one}" in run("record", "bo").out
    done = run("redrive", one, "--fact", "store=Harbour")
    assert done.code == 0, done
    assert "Resumed in pickup-follow-up, with the 2 messages that failed" in done.out
    stage.run_due()
    assert sorted(stage.messages()) == [("pickup_ready", "email"), ("pickup_ready", "in_app")]
    assert "Resumed in pickup-follow-up" in run("why", "bo").out
    assert "Nobody is set aside" in run("redrive").out


def test_everybody_set_aside_in_a_journey_is_resumed_by_its_name(stage: Stage, run: Any) -> None:
    for number in range(3):
        spoil(stage, f"u{number}", str(number))
    done = run("redrive", "--all-set-aside", "pickup-follow-up")
    assert "3 people are resumed in pickup-follow-up." in done.out
    assert {one.status for one in rows(stage, Enrolment)} == {"active"}
    unknown = run("redrive", "--all-set-aside", "pickup")
    assert (unknown.code, "called 'pickup'" in unknown.err) == (4, True)


def test_those_of_one_reason_are_resumed_and_nobody_else(stage: Stage, run: Any) -> None:
    spoil(stage, "u1", "1")
    none = run("redrive", "--all-set-aside", "pickup-follow-up", "--reason", "render_failed")
    assert "0 people are resumed in pickup-follow-up." in none.out, none
    done = run("redrive", "--all-set-aside", "pickup-follow-up", "--reason", "missing_fact")
    assert "1 person is resumed in pickup-follow-up." in done.out
    assert {one.status for one in rows(stage, Enrolment)} == {"active"}
    assert run("redrive", "--reason", "missing_fact").code == 2


def test_an_event_that_broke_us_is_listed_and_does_its_work_once_that_is_repaired(
    stage: Stage, run: Any
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    stage.react = broken
    ready = {"order_id": "7", "store": "Harbour"}
    assert stage.signal("order.ready_for_pickup", **ANN, **ready).status == "parked"
    [parked] = rows(stage, Event)
    assert f"signalpost redrive {parked.id}" in run("redrive").out
    done = run("redrive", parked.id)
    assert (done.code, "is accepted now" in done.out) == (0, True), done
    stage.run_due()
    assert sorted(stage.messages()) == [("pickup_ready", "in_app"), ("pickup_ready", "sms")]
    again = run("redrive", parked.id)
    assert (again.code, "is accepted, not parked" in again.err) == (1, True)


def test_an_event_that_still_has_to_wait_stays_parked_and_says_why(stage: Stage, run: Any) -> None:
    stage.signal("order.picked_up", order_id="77")
    [parked] = rows(stage, Event)
    still = run("redrive", parked.id)
    assert (still.code, "still parked (unknown order)" in still.err) == (1, True), still
    assert [one.status for one in rows(stage, Event)] == ["parked"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["redrive", "no-such"], 4, "no event and no enrolment no-such"),
        (["redrive", "x", "--all-set-aside", "y"], 2, "not both"),
        (["redrive", "--fact", "a=b"], 2, "for one person"),
        (["redrive", "no-such", "--fact", "store=Harbour"], 4, "no enrolment no-such"),
        (["redrive", "no-such", "--fact", "store"], 2, "not key=value"),
    ],
)
def test_a_redrive_that_cannot_be_is_refused_with_a_sentence(
    run: Any, words: list[str], code: int, sentence: str
) -> None:
    refused = run(*words)
    assert (refused.code, sentence in refused.err) == (code, True), refused


# -- addresses -----------------------------------------------------------------------------------


def test_an_address_is_blocked_in_any_spelling_and_nothing_goes_there_until_it_is_lifted(
    stage: Stage, run: Any
) -> None:
    stage.signal("customer.identified", **ANN)
    assert "block on SMS to +12065550100" in run("suppress", "(206) 555-0100").out
    assert "held already" in run("suppress", "+12065550100").out
    stage.signal("order.ready_for_pickup", user_id="ann", order_id="1", store="Harbour")
    stage.run_due()
    assert sorted(channel for _, channel in stage.messages()) == ["email", "in_app"]
    assert "an operator blocked this address" in run("why", "ann").out
    assert "is lifted" in run("suppress", "+12065550100", "--lift").out
    stage.signal("order.ready_for_pickup", user_id="ann", order_id="2", store="Harbour")
    stage.run_due()
    assert stage.messages()[2:] == [("pickup_ready", "sms"), ("pickup_ready", "in_app")]
    assert {one.source for one in rows(stage, Suppression)} == {"operator"}


def test_lifting_says_what_still_holds(stage: Stage, run: Any) -> None:
    run("suppress", "ann@example.com", "--reason", "hard_bounce")
    lifted = run("suppress", "ann@example.com", "--lift").out
    assert "was not there" in lifted
    assert "In force: hard_bounce for everything" in lifted
    assert "Nobody on the record has this address" in lifted
    assert (
        "is lifted" in run("suppress", "ann@example.com", "--lift", "--reason", "hard_bounce").out
    )


def test_a_topic_is_blocked_on_one_channel_alone(stage: Stage, run: Any) -> None:
    words = ["+12065550100", "--channel", "whatsapp", "--scope", "offers"]
    assert "WhatsApp to +12065550100 for offers holds now" in run("suppress", *words).out
    [block] = rows(stage, Suppression)
    assert (block.channel, block.scope, block.reason) == ("whatsapp", "offers", "manual")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["+12065550100", "--lift", "--reason", "stop"], "by writing START"),
        (["ann@example.com", "--lift", "--reason", "unsubscribe"], "preferences page"),
        (["ann@example.com", "--scope", "ofers"], "use all, marketing, or a topic: "),
        (["ann@example.com", "--reason", "whim"], "use manual, hard_bounce"),
        (["not an address@"], "email address is not valid"),
        (["12"], "phone number is not valid"),
    ],
)
def test_a_block_that_cannot_be_is_refused_and_a_customers_own_word_stands(
    stage: Stage, run: Any, words: list[str], sentence: str
) -> None:
    refused = run("suppress", *words)
    assert (refused.code, sentence in refused.err) == (2, True), refused
    assert rows(stage, Suppression) == []
