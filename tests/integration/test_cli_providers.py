"""What an operator sees of accounts in trouble, and closing a circuit by hand."""

from pathlib import Path

from signalpost.domain.circuit import Circuit
from signalpost.record import provider_accounts
from signalpost.testing import EPOCH, Stage
from tests.cli_harness import signalpost


def test_accounts_in_trouble_are_listed_with_the_reason_and_closed_by_hand(tmp_path: Path) -> None:
    with Stage(folder=tmp_path) as stage, stage.database.writing() as session:
        filtered = Circuit(
            account="twilio", opened_at=EPOCH, ours=True, marketing_only=True, code="30007",
            reason="30% of the last 40 texts are filtered by carriers (30007).",
        )  # fmt: skip
        provider_accounts.keep(session, circuit=filtered, now=EPOCH)
        provider_accounts.note_speed(
            session, account="twilio-second", slow_since=EPOCH, share=0.4, now=EPOCH
        )

    def run(*words: str):
        return signalpost(tmp_path, *words, database_url=f"sqlite:///{tmp_path / 'stage.db'}")

    said = run("providers").out
    assert "twilio marketing is held back since 02 Mar 09:00 UTC: 30% of the last 40" in said
    assert "an operator closes it: signalpost providers --close twilio" in said
    assert "twilio-second delivers slowly since 02 Mar 09:00 UTC: 40% late." in said
    assert "Everything goes out by twilio again." in run("providers", "--close", "twilio").out
    assert "twilio marketing" not in run("providers").out
    assert run("providers", "--close", "twilio").code == 1
    assert run("providers", "--close", "nobody").code == 4
