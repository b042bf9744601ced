"""The timeline: everything about one person, over all channels, in order and in plain words."""

from datetime import timedelta

import pytest

from signalpost.errors import BadInputError, NotFoundError
from signalpost.record.customers import Customer
from signalpost.record.decisions import DecisionRow
from signalpost.services.reading import overview, sheet
from signalpost.services.reading.timeline import timeline
from signalpost.services.reading.why import REASONS, reason, sentence, why
from tests.integration.story import PROGRAM, START, Story, open_record, tell


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return tell(open_record(tmp_path_factory.mktemp("record")))


def test_the_timeline_holds_every_kind_of_thing_that_happened(story: Story) -> None:
    with story.database.reading() as session:
        found = timeline(session, customer_id=story.jane)
    assert {entry.kind for entry in found.entries} == {
        "event", "decision", "message", "delivery", "receipt", "inbox", "question", "reply",
        "answer", "case", "hook_call", "merge", "conflict", "consent", "suppression",
    }  # fmt: skip


def test_the_timeline_is_in_the_order_in_which_things_happened(story: Story) -> None:
    with story.database.reading() as session:
        entries = timeline(session, customer_id=story.jane).entries
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    fraud = [entry.kind for entry in entries if START <= entry.at <= START + timedelta(seconds=4)]
    assert fraud == [
        "event", "decision", "case", "decision", "message", "message", "question",
        "delivery", "delivery", "receipt",
    ]  # fmt: skip


def test_a_merged_person_has_one_timeline_whichever_id_is_asked_for(story: Story) -> None:
    with story.database.reading() as session:
        by_root = timeline(session, customer_id=story.jane)
        by_merged = timeline(session, customer_id=story.phone_only)
    assert by_root == by_merged


def test_a_message_is_shown_with_its_facts_and_its_text_as_sent(story: Story) -> None:
    with story.database.reading() as session:
        entries = timeline(session, customer_id=story.jane).entries
    message = next(entry for entry in entries if entry.id == story.fraud_message)
    assert message.text == {"text": "Did you spend £1,000.00 at XYZ <store>?"}
    assert message.detail["facts"]["merchant"] == "XYZ <store>"
    assert message.says == "fraud_alert by SMS to +14155550123: delivered"


def test_a_long_timeline_is_read_in_pages_without_losing_anything(story: Story) -> None:
    with story.database.reading() as session:
        whole = timeline(session, customer_id=story.jane).entries
        last = timeline(session, customer_id=story.jane, limit=5)
        before = timeline(session, customer_id=story.jane, before=last.entries[0].at)
    assert last.earlier
    assert list(last.entries) == list(whole[-5:])
    assert [entry.id for entry in before.entries] == [entry.id for entry in whole[:-5]]


def test_nobody_has_no_timeline(story: Story) -> None:
    with story.database.reading() as session, pytest.raises(NotFoundError, match="no customer"):
        timeline(session, customer_id="nobody")


def test_why_says_each_decision_in_plain_words(story: Story) -> None:
    with story.database.reading() as session:
        says = [one.says for one in why(session, customer_id=story.jane)]
    assert says == [
        "Entered the journey fraud-alert: fraud.signalled came.",
        "Decided to send fraud_alert by SMS: every rule of its purpose allowed it.",
        "No, in fraud-alert (answer to fraud is yes?): the question was: fraud is yes.",
        f"Did not send early_bird by email: {REASONS['consent_denied']}.".replace(
            "{since}", "20 February 2026, 09:30 UTC"
        ),
    ]


def test_why_can_be_asked_about_one_message_or_one_journey(story: Story) -> None:
    with story.database.reading() as session:
        offer = why(session, customer_id=story.jane, about="early_bird")
        fraud = why(session, customer_id=story.jane, about="fraud-alert")
    assert [one.reason for one in offer] == ["consent_denied"]
    assert [one.kind for one in fraud] == ["entry", "gate", "step"]


def test_a_reason_that_nobody_wrote_a_sentence_for_is_still_shown() -> None:
    assert reason("brand_new_rule", {}) == "brand new rule"
    assert reason("missing_fact:amount", {}) == "a fact that it must show is missing: amount"
    row = DecisionRow(
        customer_id="c", kind="gate", subject="m", outcome="odd", reason="allowed", at=START
    )
    assert sentence(row) == "m: odd: every rule of its purpose allowed it."


@pytest.mark.parametrize("code", sorted(REASONS))
def test_every_sentence_stands_without_its_detail(code: str) -> None:
    assert reason(code, {}).strip()
    assert "{" not in reason(code, {})


def test_the_sheet_says_who_it_is_and_what_runs(story: Story) -> None:
    with story.database.reading() as session:
        found = sheet.sheet(session, customer_id=story.phone_only)
    assert (found.id, found.name) == (story.jane, "Jane Doe")
    assert [one.step for one in found.running] == ["wait up to 5 minutes for an answer to fraud"]
    assert [one.assignee for one in found.open_cases] == ["anna@bank.example"]
    email = next(point for point in found.who.points if point.channel == "email")
    assert found.blocks(email) == ["hard_bounce"]
    assert [one.other_id for one in found.conflicts] == [story.stranger]


def test_the_sheet_says_since_when_they_are_known_by_any_id_and_by_their_past(story: Story) -> None:
    with story.database.writing() as session:
        merged = session.get_one(Customer, story.phone_only)
        merged.known_since, merged.learned_at = START - timedelta(days=500), START
        session.add(merged)
    with story.database.reading() as session:
        said = sheet.sheet(session, customer_id=story.jane).to_json()
    assert said["known_since"] == (START - timedelta(days=500)).isoformat()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("user_id", "jane-17"),
        ("email", " Jane@Mail.Example "),
        ("phone", "+1 (415) 555-0123"),
        ("order_id", "O-5004"),
    ],
)
def test_a_customer_is_found_by_any_key_however_it_is_written(
    story: Story, kind: str, value: str
) -> None:
    with story.database.reading() as session:
        assert sheet.find(session, kind=kind, value=value) == story.jane
        assert sheet.search(session, text=value) == story.jane


def test_a_search_that_finds_nobody_says_so_without_repeating_what_was_typed(story: Story) -> None:
    with story.database.reading() as session:
        assert sheet.search(session, text="x" * 5000) is None
        with pytest.raises(NotFoundError) as caught:
            sheet.find(session, kind="user_id", value="secret-person")
        with pytest.raises(BadInputError, match="use id, user_id"):
            sheet.find(session, kind="shoe size", value="42")
    assert "secret-person" not in str(caught.value)


def test_journeys_are_listed_with_the_people_at_each_step(story: Story) -> None:
    with story.database.reading() as session:
        (fraud,) = overview.journeys(session, programs={"fraud-alert": PROGRAM})
    assert fraud.inside == 1
    assert [(step.id, step.people) for step in fraud.steps if step.people] == [("1a", 1)]
    assert [step.id for step in fraud.steps] == ["0", "1", "1a", "2", "2.then.0", "2.otherwise.0"]
    assert "1 here" in fraud.diagram


def test_open_cases_and_parked_events_are_listed(story: Story) -> None:
    with story.database.reading() as session:
        assert [one.kind for one in overview.cases(session)] == ["fraud"]
        assert [one.name for one in overview.events(session, status="parked")] == ["order.returned"]
        assert [one.name for one in overview.customers(session)] == ["Jane Doe"]
