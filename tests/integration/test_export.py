"""A person's export holds everything: every table that can lead to a customer, both ways."""

import json

import pytest
from sqlalchemy import Column

from flows import JOURNEYS
from signalpost.errors import NotFoundError
from signalpost.record.migrate import whole_metadata
from signalpost.record.personal import HOLDINGS, IMPERSONAL
from signalpost.services.privacy import exporting
from signalpost.testing import Stage
from tests.integration.erasure_harness import CANARIES, EMAIL, SAID, found_in, live

#: Columns by which a row may lead to somebody, or hold what they said or are.
_LEADS = (
    "customer_id",
    "root_id",
    "kept_id",
    "merged_id",
    "other_id",
    "address",
    "sender",
    "email",
)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def test_every_table_is_exported_and_erased_or_has_a_reason_why_not() -> None:
    """When this fails: a new table belongs into ``record.personal``, with what an erasure does to it."""
    tables = set(whole_metadata().tables)
    assert tables - HOLDINGS.keys() - IMPERSONAL.keys() == set()
    assert HOLDINGS.keys() & IMPERSONAL.keys() == set()
    assert (HOLDINGS.keys() | IMPERSONAL.keys()) - tables == set()
    assert all(len(reason) > 10 for reason in IMPERSONAL.values())
    assert all(len(one.stays) >= len("nothing") for one in HOLDINGS.values())


def _may_lead(column: Column) -> bool:
    return column.name in _LEADS or any(
        key.column.table.name in HOLDINGS for key in column.foreign_keys
    )


def test_no_table_that_can_lead_to_a_customer_is_called_impersonal() -> None:
    tables = whole_metadata().tables
    found = {name for name in IMPERSONAL if any(_may_lead(one) for one in tables[name].columns)}
    assert found == set()


#: What stays of a row that is emptied: ids, codes, counts and times. A column with any other name
#: must be emptied, or be put here by somebody who thought about it.
_WORDS = """
id customer_id customer_ids root_id kept_id merged_id moved enrolment_id campaign_run_id cause_id
event_id message_id delivery_id receipt_id question_id case_id erasure_id variant_id run_id
claim_id provider_id idempotency_key key message version journey lane step channel purpose topic
status pending reason wait_for name source provider account fault code kind machine meaning recipient
what priority team hook subject outcome arm action actor why who attempt attempts tries shard number
low high asked total currency value detail previous hash counts outstanding receipt at created_at
expires_at due_at lease_until started_at moved_at ended_at occurred_at received_at settled_at
asked_at promised_by opened_at decided_at recorded_at undone_at requested_at done_at next_at
began_at
"""
_STAYS = frozenset(_WORDS.split())


def test_an_erasure_empties_every_column_that_holds_somebodys_words() -> None:
    """Nobody can add a column with a person's words to a table without saying what becomes of it."""
    kept = {
        (name, column.name)
        for name, holding in HOLDINGS.items()
        if holding.emptied is not None
        for column in holding.table.columns
        if column.name not in holding.emptied and column.name not in _STAYS
    }
    assert kept == set()
    documents = {
        (name, column.name)
        for name, holding in HOLDINGS.items()
        if holding.emptied is not None
        for column in holding.table.columns
        if "JSON" in type(column.type).__name__.upper() and column.name not in holding.emptied
    }
    assert documents == {
        ("merges", "moved"),  # ids
        *(("erasures", name) for name in ("customer_ids", "counts", "outstanding", "receipt")),
        ("erasure_steps", "detail"),  # counts, job ids, or why a provider has to be asked again
    }


def test_the_export_holds_every_word_of_theirs_and_of_whom_was_merged_into_them(stage):
    root = live(stage)
    with stage.database.reading() as session:
        export = exporting.export(session, customer_id=root, now=stage.clock())
    written = json.dumps(export, ensure_ascii=False)
    assert json.loads(written) == export
    for canary in CANARIES:
        assert canary in written
    for table, column, word in found_in(stage.database, CANARIES):
        said = json.dumps(export["tables"].get(table), ensure_ascii=False).lower()
        assert word.lower() in said, f"{word} of {table}.{column} is not in the export"
    assert export["customer_id"] == root
    assert len(export["customer_ids"]) == 2
    assert export["format"] == "signalpost.customer"
    assert export["rows"] == {name: len(rows) for name, rows in export["tables"].items()}


def test_both_ways_what_we_wrote_and_what_they_wrote(stage):
    root = live(stage)
    with stage.database.reading() as session:
        tables = exporting.export(session, customer_id=root, now=stage.clock())["tables"]
    texts = [one["text"] for one in tables["messages"] if one["text"]]
    assert any("Canary Jewellers" in str(text) for text in texts)
    assert SAID in [one["body"] for one in tables["replies"]]
    assert {one["value"] for one in tables["identities"]} >= {EMAIL, "canary-user"}


def test_an_export_holds_nothing_of_anybody_else(stage):
    stage.signal("fraud.signalled", user_id="bo", phone="+12065550101", email="bo@example.com",
                 transaction_id="T-bo", merchant="Bo's shop", amount="1.00", currency="USD",
                 occurred_at="2026-03-02T08:59:00Z")  # fmt: skip
    stage.run_due()
    root = live(stage)
    with stage.database.reading() as session:
        written = json.dumps(exporting.export(session, customer_id=root, now=stage.clock()))
    for word in ("bo@example.com", "+12065550101", "Bo's shop"):
        assert word not in written


def test_nobody_has_no_export(stage):
    with stage.database.reading() as session, pytest.raises(NotFoundError):
        exporting.export(session, customer_id="nobody", now=stage.clock())
