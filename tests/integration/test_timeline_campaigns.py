"""Campaigns on a customer's timeline and in why: for whoever got it, and for whoever did not."""

import pytest
from sqlmodel import select

from signalpost.record.campaigns import CampaignPerson
from signalpost.record.database import Database
from signalpost.services.reading import runs as reading
from signalpost.services.reading.timeline import timeline
from signalpost.services.reading.why import why
from tests.integration import campaign_story
from tests.integration.campaign_story import LAUNCHED, Runs
from tests.integration.story import Story, open_record, tell


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Runs]:
    story = tell(open_record(tmp_path_factory.mktemp("record")))
    return story, campaign_story.write(story.database, customer_id=story.jane)


def decided(told: tuple[Story, Runs], outcome: str | None, nth: int = 0) -> str:
    """What ``why`` says to the nth with this outcome in the run that goes on."""
    story, runs = told
    with story.database.reading() as session:
        query = select(CampaignPerson.customer_id).where(
            CampaignPerson.campaign_run_id == runs.running, CampaignPerson.outcome == outcome
        )
        people = sorted(one for one in session.exec(query) if one != story.jane)
        [one] = why(session, customer_id=people[nth], about="spring-sale")
    return one.says


def test_the_timeline_shows_the_decision_and_the_message_with_the_campaigns_name(
    told: tuple[Story, Runs],
) -> None:
    story, runs = told
    with story.database.reading() as session:
        entries = timeline(session, customer_id=story.jane).entries
    of_run = [entry for entry in entries if entry.campaign_run_id == runs.running]
    assert [(entry.kind, entry.says) for entry in of_run] == [
        (
            "campaign",
            "Sent spring-sale by email: not by SMS, the customer said STOP on this channel.",
        ),
        ("message", "early_bird (spring-sale) by email to jane@mail.example: delivered"),
    ]
    assert of_run[0].to_json()["campaign_run_id"] == runs.running
    assert of_run[0].detail["channels"][0]["says"] == "the customer said STOP on this channel"


def test_a_run_of_a_series_is_named_with_its_stage(told: tuple[Story, Runs]) -> None:
    story, _ = told
    with story.database.reading() as session:
        [one] = why(session, customer_id=story.jane, about="service-notice")
    assert one.says.startswith("Sent service-notice · all-clear · INC-7")


UNTIL = "Waits in spring-sale until 2 March 2026, 17:32 UTC"
NIGHT = "it is night where the customer is; it goes out at 3 March 2026, 08:00 UTC"
NO_CONSENT = "marketing needs the customer's consent, and there is none"
CONTROL = "in the arm that gets nothing, so that the effect can be measured"


@pytest.mark.parametrize(
    ("outcome", "nth", "says"),
    [
        ("skipped", 0, f"Did not send spring-sale: by email, {NO_CONSENT}."),
        ("held_out", 0, f"Held out on purpose from spring-sale: {CONTROL}."),
        ("set_aside", 0, "Set aside in spring-sale: a fact that it must show is missing: code."),
        (None, 0, f"{UNTIL}: by email, {NIGHT}."),
        (None, 1, f"{UNTIL}."),
    ],
)
def test_why_says_what_a_run_decided_in_the_words_of_journeys(
    told: tuple[Story, Runs], outcome: str | None, nth: int, says: str
) -> None:
    assert decided(told, outcome, nth) == says


def test_why_can_be_asked_about_the_message_of_a_campaign(told: tuple[Story, Runs]) -> None:
    story, runs = told
    with story.database.reading() as session:
        found = why(session, customer_id=story.jane, about="early_bird")
    assert [(one.kind, one.campaign_run_id) for one in found] == [
        ("gate", None), ("campaign", runs.running),
    ]  # fmt: skip


def test_a_timeline_with_campaigns_is_read_in_pages_without_losing_anything(
    told: tuple[Story, Runs],
) -> None:
    story, _ = told
    with story.database.reading() as session:
        whole = timeline(session, customer_id=story.jane).entries
        last = timeline(session, customer_id=story.jane, limit=4)
        before = timeline(session, customer_id=story.jane, before=last.entries[0].at)
    assert any(entry.kind == "campaign" for entry in last.entries)
    assert [*before.entries, *last.entries] == list(whole)


def test_a_run_and_its_people_are_read_alike_on_both_databases(database: Database) -> None:
    """Whoever has a rare outcome is found among the many, and the examples are of each kind."""
    story = tell(database)
    runs = campaign_story.write(database, customer_id=story.jane)
    with database.reading() as session:
        found = reading.run_sheet(session, which="spring-sale", now=LAUNCHED)
        assert found.run.id == runs.waiting  # the latest of that name
        found = reading.run_sheet(session, which=runs.running, now=LAUNCHED)
        assert [(one.outcome, one.people, len(one.examples)) for one in found.outcomes] == [
            ("sent", 1, 1), ("held_out", 1, 1), ("skipped", 1, 1), ("set_aside", 1, 1),
        ]  # fmt: skip
        waiting = reading.people(session, campaign_run_id=runs.running, outcome=None)
        assert len(waiting) == found.waiting == 2
        entries = timeline(session, customer_id=story.jane).entries
    assert sum(entry.kind == "campaign" for entry in entries) == 2
