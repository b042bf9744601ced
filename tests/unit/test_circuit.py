"""When a circuit opens, and for how long."""

from datetime import UTC, datetime, timedelta

from signalpost.domain.circuit import IN_A_ROW, LONGEST_PROBE, Circuit, Row, opened
from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ended(status=DeliveryStatus.ACCEPTED, **more):
    return Handover(status=status, provider="twilio", **more)


PUT_OFF = ended(DeliveryStatus.RETRY, fault=FaultClass.TRANSIENT, code="20429", detail="Busy.")
SILENT = ended(DeliveryStatus.UNKNOWN, detail="Nobody knows.")
NO_SUCH_NUMBER = ended(DeliveryStatus.REJECTED, fault=FaultClass.PERMANENT, code="21211")
WRONG_KEY = ended(
    DeliveryStatus.REJECTED, fault=FaultClass.OURS, code="20003", detail="Wrong key.",
    whole_account=True,
)  # fmt: skip
NO_BODY = ended(DeliveryStatus.REJECTED, fault=FaultClass.OURS, code="21602")


def test_a_wrong_key_opens_at_once_and_says_so():
    trouble = Row().look_at([ended(), WRONG_KEY, ended()])
    assert trouble is not None
    assert (trouble.ours, trouble.reason, trouble.code) == (True, "Wrong key.", "20003")


def test_a_fault_of_one_text_does_not_close_the_account():
    assert Row().look_at([NO_BODY] * 50) is None


def test_ten_in_a_row_open_it_over_several_calls_and_nine_do_not():
    row = Row()
    assert row.look_at([SILENT] * (IN_A_ROW - 1)) is None
    trouble = row.look_at([PUT_OFF])
    assert trouble is not None
    assert not trouble.ours
    assert trouble.reason == "10 messages in a row were put off. Busy."


def test_an_answer_about_one_person_shows_that_the_account_works():
    row = Row()
    for _ in range(20):
        assert row.look_at([SILENT] * 9 + [NO_SUCH_NUMBER]) is None


def test_it_is_asked_again_after_growing_waits_of_half_a_minute_at_most():
    circuit, pauses = Circuit(account="twilio"), []
    trouble = Row().look_at([SILENT] * IN_A_ROW)
    assert trouble is not None
    for _ in range(6):
        circuit = opened(circuit, trouble, now=NOW)
        pauses.append(((circuit.probe_at or NOW) - NOW).total_seconds())
    assert pauses == [5, 10, 20, 30, 30, LONGEST_PROBE.total_seconds()]
    assert circuit.opened_at == NOW


def test_it_stays_open_for_as_long_as_the_provider_asks():
    asked = ended(
        DeliveryStatus.RETRY, fault=FaultClass.TRANSIENT, retry_after=timedelta(minutes=2)
    )
    trouble = Row().look_at([asked] * IN_A_ROW)
    assert trouble is not None
    circuit = opened(Circuit(account="twilio"), trouble, now=NOW)
    assert circuit.probe_at == NOW + timedelta(minutes=2)
