"""Where each account of a provider stands: its circuit, and whether it delivers slowly.

On the record, so that all processes heed what one of them found out, and an operator sees it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, select, update
from sqlmodel import Field, Session

from signalpost.domain.circuit import Circuit
from signalpost.record.base import Table, insert_new, moment, table_of


class ProviderAccount(Table, table=True):
    """One account; a row appears when there is something to say about it."""

    __tablename__ = "provider_accounts"

    account: str = Field(primary_key=True)
    opened_at: datetime | None = moment(default=None)  #: None: the circuit is closed
    probe_at: datetime | None = moment(default=None)
    failed_probes: int = 0
    ours: bool = False
    marketing_only: bool = False
    code: str | None = None
    reason: str = ""
    slow_since: datetime | None = moment(default=None)
    slow_share: float | None = None  #: of the last minutes' messages
    updated_at: datetime = moment()


_a = table_of(ProviderAccount)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an account stands."""

    circuit: Circuit
    slow_since: datetime | None = None
    slow_share: float | None = None


def standings(session: Session) -> dict[str, Standing]:
    """Give what is known of each account, by its name."""
    rows = session.execute(select(_a).order_by(_a.c.account)).mappings()
    return {row["account"]: _standing(row) for row in rows}


def _standing(row: RowMapping) -> Standing:
    circuit = Circuit(
        account=row["account"],
        opened_at=row["opened_at"],
        probe_at=row["probe_at"],
        failed_probes=row["failed_probes"],
        ours=row["ours"],
        marketing_only=row["marketing_only"],
        code=row["code"],
        reason=row["reason"],
    )
    return Standing(circuit=circuit, slow_since=row["slow_since"], slow_share=row["slow_share"])


def keep(session: Session, *, circuit: Circuit, now: datetime) -> None:
    """Write where an account's circuit stands."""
    _ensure(session, circuit.account, now)
    session.execute(
        update(_a)
        .where(_a.c.account == circuit.account)
        .values(
            opened_at=circuit.opened_at,
            probe_at=circuit.probe_at,
            failed_probes=circuit.failed_probes,
            ours=circuit.ours,
            marketing_only=circuit.marketing_only,
            code=circuit.code,
            reason=circuit.reason,
            updated_at=now,
        )
    )


def take_probe(session: Session, *, circuit: Circuit, until: datetime) -> bool:
    """Whether the caller may send the one message that asks: of all processes only one may."""
    taken = session.execute(
        update(_a)
        .where(_a.c.account == circuit.account, _a.c.probe_at == circuit.probe_at)
        .values(probe_at=until)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def note_speed(
    session: Session,
    *,
    account: str,
    slow_since: datetime | None,
    share: float | None,
    now: datetime,
) -> None:
    """Write whether an account delivers slowly (``slow_since``), and how much of its messages."""
    _ensure(session, account, now)
    session.execute(
        update(_a)
        .where(_a.c.account == account)
        .values(slow_since=slow_since, slow_share=share, updated_at=now)
    )


def _ensure(session: Session, account: str, now: datetime) -> None:
    row = {
        "account": account,
        "failed_probes": 0,
        "ours": False,
        "marketing_only": False,
        "reason": "",
        "updated_at": now,
    }
    insert_new(session, _a, [row], conflict=("account",))
