"""What receipts say about an account: slow delivery, and carriers that filter."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from signalpost.domain.circuit import Circuit
from signalpost.domain.delivery import Receipt
from signalpost.domain.vocabulary import ReceiptKind
from signalpost.record import provider_accounts
from signalpost.record.messages import Delivery
from signalpost.services.inbound import receipts
from signalpost.services.ways_out import watching
from signalpost.services.ways_out.watching import Signs
from signalpost.testing import Stage
from tests.integration.campaign_engine import launched, notice, people, send

SIGNS = Signs(filtered={"30007"}, unregistered={"30034"})


@pytest.fixture
def stage(tmp_path, database_url):
    """A stage whose clock is this machine's, eight minutes ago."""
    start = datetime.now(UTC) - timedelta(minutes=8)
    with Stage(folder=tmp_path, database_url=database_url, start=start) as opened:
        yield opened


def texts(stage, count):
    """Send texts now; gives the ids of their messages."""
    people(stage, count)
    launched(stage, notice(channels={"every": ["sms"]}))
    send(stage)
    with stage.database.reading() as session:
        return [one.message_id for one in session.exec(select(Delivery))]


def reported(stage, ids, kind, *, after, code=None):
    """Let the provider report on messages so long after they went out."""
    at = stage.clock() + after
    with stage.database.writing() as session:
        receipts.record(
            session,
            given=[
                Receipt(
                    provider="outbox", keys=(f"{one}:{kind}",), kind=kind, at=at,
                    message_id=one, code=code,
                )
                for one in ids
            ],
            now=at,
            fingerprints=stage.desk.forgetting.fingerprints,
        )  # fmt: skip


def look(stage, after=timedelta(minutes=8)):
    watching.look(stage.database, signs=SIGNS, now=stage.clock() + after)
    with stage.database.reading() as session:
        return provider_accounts.standings(session).get("outbox")


def test_an_account_is_slow_when_three_in_ten_took_more_than_four_minutes(stage):
    ids = texts(stage, 20)
    reported(stage, ids[:14], ReceiptKind.DELIVERED, after=timedelta(seconds=5))
    reported(stage, ids[14:], ReceiptKind.DELIVERED, after=timedelta(minutes=5))
    standing = look(stage)
    assert standing is not None
    assert standing.slow_since is not None
    assert standing.slow_share == pytest.approx(0.3)


def test_what_is_still_with_the_provider_is_slow_and_what_has_left_it_is_not(stage):
    """In many networks `sent` is the last word there is."""
    ids = texts(stage, 20)
    reported(stage, ids[:10], ReceiptKind.DELIVERED, after=timedelta(seconds=5))
    reported(stage, ids[10:], ReceiptKind.SENT, after=timedelta(seconds=5))
    assert look(stage) is None
    stuck = [
        provider_accounts.Text(
            account="a", started_at=stage.clock(), left=False, delivered_at=None, code=None
        )
    ] * 10
    assert watching.slow_share(stuck, stage.clock() + timedelta(minutes=5)) == 1.0
    assert watching.slow_share(stuck, stage.clock() + timedelta(minutes=3)) is None


def test_it_is_forgiven_after_a_while(stage):
    ids = texts(stage, 20)
    reported(stage, ids, ReceiptKind.DELIVERED, after=timedelta(minutes=5))
    slow = look(stage)
    assert slow is not None
    assert slow.slow_since is not None
    later = look(stage, after=timedelta(minutes=30))
    assert later is not None
    assert later.slow_since is None


@pytest.mark.parametrize(("code", "marketing_only"), [("30007", True), ("30034", False)])
def test_a_spike_of_what_carriers_refuse_pauses_the_sender(stage, code, marketing_only):
    """Filtered: no more marketing. Not registered: nothing at all, until an operator says so."""
    ids = texts(stage, 40)
    reported(stage, ids[:12], ReceiptKind.BLOCKED, after=timedelta(seconds=5), code=code)
    reported(stage, ids[12:], ReceiptKind.DELIVERED, after=timedelta(seconds=5))
    standing = look(stage)
    assert standing is not None
    circuit = standing.circuit
    assert circuit.is_open
    assert (circuit.marketing_only, circuit.ours, circuit.probe_at) == (marketing_only, True, None)
    assert "30% of the last 40 texts" in circuit.reason


def test_a_few_refusals_pause_nobody_and_what_an_operator_closed_stays_closed(stage):
    ids = texts(stage, 40)
    reported(stage, ids[:9], ReceiptKind.BLOCKED, after=timedelta(seconds=5), code="30007")
    reported(stage, ids[9:], ReceiptKind.DELIVERED, after=timedelta(seconds=5))
    assert look(stage) is None
    reported(stage, ids[9:20], ReceiptKind.BLOCKED, after=timedelta(seconds=6), code="30007")
    opened = look(stage)
    assert opened is not None
    assert opened.circuit.is_open
    with stage.database.writing() as session:
        provider_accounts.keep(
            session, circuit=Circuit(account="outbox"), now=stage.clock() + timedelta(minutes=8)
        )
    closed = look(stage, after=timedelta(minutes=9))
    assert closed is not None
    assert not closed.circuit.is_open
