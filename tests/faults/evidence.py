"""What can be seen from outside: the post office's own log, the record by plain SQL, and the API.

Nothing here asks the product's code what it thinks it did.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from sqlalchemy import Engine, create_engine, make_url, text

from tests.faults.house import House, http
from tests.postoffice_log import read_log

#: What the record says of a message that a provider certainly took.
TAKEN = frozenset({"handed_over", "deferred", "delivered", "bounced"})
#: History: what was once written there is never changed and never vanishes.
HISTORY = ("receipts", "decisions", "consents", "case_entries", "audit_entries")


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message to one person that the post office took."""

    at: datetime
    seq: int
    provider: str
    message_id: str
    delivery_id: str
    address: str
    provider_id: str
    words: str  #: what this person reads, so that the same said twice shows


@dataclass(frozen=True, slots=True)
class Answer:
    """What the house answered to something the world sent in."""

    at: datetime
    status: int  #: 0: no answer
    seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """When the house said that it keeps somebody's STOP: by its clock, and in the order of the log."""

    at: datetime
    seq: int  #: of the post office's last entry until then: a clock may be set back, this is not

    @classmethod
    def now(cls, at: datetime, house: House) -> "Stop":
        """Take note of one that was answered just now."""
        with (house.home / "postoffice.jsonl").open("rb") as log:
            return cls(at, sum(1 for _ in log))


@dataclass
class World:
    """What the world did, and what it was told: written down by the harness as it goes."""

    signals: dict[str, list[Answer]] = field(default_factory=dict)  #: by message id of the event
    alerts: dict[str, datetime] = field(default_factory=dict)  #: transaction → signalled at
    stops: dict[str, Stop] = field(default_factory=dict)  #: by address
    forged: list[Answer] = field(default_factory=list)
    replayed: list[Answer] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)  #: what error pages said
    faults: Counter[str] = field(default_factory=Counter)
    quiet_since: datetime | None = None  #: when the last fault ended
    quiet_seconds: float = 0.0  #: how long it then took until nothing was open
    still_open: Sequence[str] = ()  #: what was open when nobody waited any longer
    backlog_seconds: float = 0.0  #: what a big crowd takes to be sent to, beyond that
    snapshots: list[Mapping[str, Mapping[str, Any]]] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)  #: addresses of people nobody can be sent to
    neighbours: set[str] = field(default_factory=set)  #: addresses of those beside them
    neighbours_seconds: float = 0.0  #: how long those waited
    told_alike: list[tuple[str, ...]] = field(default_factory=list)  #: messages, by the same events
    alert_within: float = 1.5  #: seconds
    now: datetime | None = None  #: by the house's clock, at the end; None: by the wall's
    canaries: tuple[str, ...] = ()
    memory: dict[str, int] = field(default_factory=dict)  #: by process: its most, in MB

    def kept(self) -> set[str]:
        """Give the events of which the house has said that it keeps them."""
        return {i for i, said in self.signals.items() if any(200 <= a.status < 300 for a in said)}


class Evidence:
    """The two ends of a house, held against each other by ``invariants``."""

    def __init__(self, house: House, world: World) -> None:
        self.house, self.world = house, world
        self.engine = outside_engine(house.database_url)

    def close(self) -> None:
        """Let go of the record."""
        self.engine.dispose()

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Ask the record."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def count(self, statement: str, **values: Any) -> int:
        """Ask the record for a number."""
        with self.engine.connect() as connection:
            return int(connection.execute(text(statement), values).scalar() or 0)

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """Every entry that the post office wrote."""
        return list(read_log(self.house.home / "postoffice.jsonl"))

    @cached_property
    def accepted(self) -> list[Accepted]:
        """Every message that the post office took from us."""
        return [one for entry in self.log for one in _accepted(entry)]

    @cached_property
    def messages(self) -> dict[str, dict[str, Any]]:
        """Every message on the record."""
        found = self.rows(
            "SELECT id, customer_id, campaign_run_id, enrolment_id, message, channel, address, "
            "purpose, status, reason, created_at, updated_at FROM messages"
        )
        return {key_of(row["id"]): row for row in found}

    @cached_property
    def deliveries(self) -> list[dict[str, Any]]:
        """Every attempt on the record."""
        return self.rows(
            "SELECT id, message_id, attempt, provider, status, provider_id, code, started_at, "
            "settled_at FROM deliveries"
        )

    def history(self) -> dict[str, dict[str, Any]]:
        """Give every row of history, by table and key."""
        kept: dict[str, dict[str, Any]] = {}
        for table in HISTORY:
            with contextlib.suppress(Exception):  # an older record has no such table
                for row in self.rows(f"SELECT * FROM {table}"):
                    key = row.get("id") or row.get("number")
                    plain = {k: str(v) for k, v in row.items()}
                    kept[f"{table}:{key}"] = plain
        return kept

    def logs(self) -> Iterator[tuple[str, str]]:
        """Give what each process of ours wrote (the post office stands for the vendors)."""
        for path in sorted((self.house.home / "logs").glob("*.log")):
            if path.stem != "postoffice":
                yield path.name, path.read_text(errors="replace")

    def api(self, path: str) -> Any:
        """Read the public API."""
        keys = json.loads((self.house.home / "keys.json").read_text())
        headers = {"Authorization": f"Bearer {keys['api_key']}"}
        return http.get(self.house.url() + path, headers=headers)


def _accepted(entry: Mapping[str, Any]) -> Iterator[Accepted]:
    if entry["kind"] == "mail.accepted":
        request = entry["request"]
        said = request["subject"] + "".join(part["value"] for part in request["content"])
        for person in request["personalizations"]:
            ours = person["custom_args"]
            own = orjson.dumps(person.get("substitutions") or {}, option=orjson.OPT_SORT_KEYS)
            yield Accepted(
                at=moment(entry["at"]),
                seq=entry["seq"],
                provider="sendgrid",
                message_id=key_of(ours["x_message_id"]),
                delivery_id=key_of(ours["x_delivery_id"]),
                address=person["to"][0]["email"],
                provider_id=entry["message_id"],
                words=f"{hash(said)}:{own.decode()}",
            )
    elif entry["kind"] == "sms.accepted" and entry["direction"] == "outbound-api":
        query = parse_qs(urlsplit(entry["callback"] or "").query)
        yield Accepted(
            at=moment(entry["at"]),
            seq=entry["seq"],
            provider="twilio",
            message_id=key_of(query.get("m", [""])[0]),
            delivery_id=key_of(query.get("d", [""])[0]),
            address=entry["to"],
            provider_id=entry["sid"],
            words=entry["body"],
        )


def moment(value: Any) -> datetime:
    """Read a time of the log or of the record, whatever the database calls it."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def key_of(value: Any) -> str:
    """Write an id as text of one shape: databases differ."""
    return str(value).replace("-", "").lower()


def outside_engine(url: str) -> Engine:
    """Open the record as an auditor does, without any code of the product."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return create_engine(url, connect_args={"timeout": 30})
    return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
