"""Where each account of a provider stands: its circuit, and whether it delivers slowly.

On the record, so that all processes heed what one of them found out, and an operator sees it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, select, update
from sqlmodel import Field, Session

from signalpost.domain.circuit import Circuit
from signalpost.domain.vocabulary import Channel, DeliveryStatus, ReceiptKind
from signalpost.record.base import Table, first_id_of, insert_new, moment, table_of
from signalpost.record.messages import Delivery, Message
from signalpost.record.receipts import ReceiptRow


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
_d = table_of(Delivery)
_m = table_of(Message)
_r = table_of(ReceiptRow)

_MOST = 20_000  #: deliveries that one look goes through
_LEFT = frozenset({ReceiptKind.SENT, ReceiptKind.FAILED, ReceiptKind.BLOCKED, ReceiptKind.BOUNCED})


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an account stands."""

    circuit: Circuit
    slow_since: datetime | None = None
    slow_share: float | None = None
    closed_at: datetime | None = None  #: when the circuit was closed last; None: open, or never


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What receipts say about one text that a provider took."""

    account: str
    started_at: datetime
    left: bool  #: the provider passed it on
    delivered_at: datetime | None
    code: str | None  #: why it did not arrive


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
    return Standing(
        circuit=circuit,
        slow_since=row["slow_since"],
        slow_share=row["slow_share"],
        closed_at=None if circuit.is_open else row["updated_at"],
    )


def recent_texts(session: Session, *, since: datetime) -> list[Text]:
    """Give what is known of the texts that providers took since then; of very many the newest.

    They are found by their ids, which are sorted by the time of making: no index is kept for it.
    """
    newest = (
        select(_d.c.id, _d.c.message_id, _d.c.provider, _d.c.account, _d.c.started_at)
        .where(_d.c.id >= first_id_of(since), _d.c.status == DeliveryStatus.ACCEPTED)
        .order_by(_d.c.id.desc())
        .limit(_MOST)
        .subquery()
    )
    rows = session.execute(
        select(
            newest.c.id, newest.c.provider, newest.c.account, newest.c.started_at,
            _r.c.kind, _r.c.at, _r.c.code,
        )
        .join(_m, _m.c.id == newest.c.message_id)
        .outerjoin(_r, _r.c.message_id == newest.c.message_id)
        .where(_m.c.channel == Channel.SMS.value)
    ).mappings()  # fmt: skip
    found: dict[str, list[RowMapping]] = {}
    for row in rows:
        found.setdefault(row["id"], []).append(row)
    return [_text(receipts) for receipts in found.values()]


def _text(receipts: list[RowMapping]) -> Text:
    kinds = {row["kind"]: row for row in receipts}
    delivered = kinds.get(ReceiptKind.DELIVERED)
    return Text(
        account=receipts[0]["account"] or receipts[0]["provider"],
        started_at=receipts[0]["started_at"],
        left=bool(kinds.keys() & _LEFT),
        delivered_at=delivered["at"] if delivered else None,
        code=next((row["code"] for row in receipts if row["code"]), None),
    )


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
        update(_a).where(_a.c.account == account).values(slow_since=slow_since, slow_share=share)
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
