"""API keys: shown once, kept as a hash, good until they expire, are rotated or revoked."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from signalpost.domain.access import Area, Scope
from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record import audit
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import migrate
from signalpost.services.access import keys
from signalpost.services.access.keyring import FRESH, BuiltIn, Keyring
from tests.cli_harness import signalpost

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WRITE = BuiltIn("write_key", "the-write-key", frozenset({Area.SIGNALS, Area.FRAUD_SIGNALS}))


class House:
    """A record, a ring of keys over it, and two clocks that go when they are told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.ticks = 0.0
        self.ring = Keyring(
            database=database,
            built_in=(WRITE,),
            clock=lambda: self.now,
            ticks=lambda: self.ticks,
        )

    def make(self, name: str = "shop", *scopes: Scope, expires_at: datetime | None = None) -> str:
        with self.database.writing() as session:
            return keys.make(
                session,
                name=name,
                scopes=scopes or (Scope.INGEST,),
                actor="cli:ann",
                now=self.now,
                expires_at=expires_at,
            ).token

    def rotate(self, name: str = "shop", *, keep: timedelta) -> str:
        with self.database.writing() as session:
            return keys.rotate(session, which=name, keep=keep, actor="cli:ann", now=self.now).token

    def revoke(self, name: str = "shop") -> None:
        with self.database.writing() as session:
            keys.revoke(session, which=name, actor="cli:ann", now=self.now)

    def opens(self, token: str) -> bool:
        self.ring.refresh()
        self.ticks += FRESH + 1
        return self.ring.grant(token) is not None

    def dump(self) -> str:
        with self.database.reading() as session:
            rows = session.execute(text("SELECT * FROM api_keys")).all()
        return str(rows)

    def last_used(self) -> datetime | None:
        with self.database.reading() as session:
            return keys.find(session, which="shop").last_used_at


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def test_a_key_opens_what_its_scopes_say_and_the_record_holds_no_secret(house: House) -> None:
    token = house.make("shop", Scope.INGEST)
    assert re.fullmatch(r"spk_[0-9a-f]{16}_[0-9a-f]{64}", token)
    house.ring.refresh()
    grant = house.ring.grant(token)
    assert grant is not None
    assert grant.areas == {Area.SIGNALS}
    assert token.rpartition("_")[2] not in house.dump()


def test_what_is_no_key_opens_nothing(house: House) -> None:
    token = house.make()
    key_id = token.split("_")[1]
    other = "0" * 64
    house.ring.refresh()
    wrong = [
        *("", "spk_", "spk__", "x", token[:-1], token + "0", token.upper(), f" {token}"),
        f"spk_{key_id}_{other}",
        f"spk_{'0' * 16}_{token.rpartition('_')[2]}",
        f"spk_{key_id}_",
        "the-write-key ",
        "\ud83d",
    ]
    assert [one for one in wrong if house.ring.grant(one) is not None] == []
    assert house.ring.grant(None) is None


def test_the_installations_own_keys_are_known_without_the_record(house: House) -> None:
    house.database.close()
    grant = house.ring.grant("the-write-key")
    assert grant is not None
    assert grant.areas == {Area.SIGNALS, Area.FRAUD_SIGNALS}


def test_an_expired_key_opens_nothing_from_that_moment_on(house: House) -> None:
    token = house.make(expires_at=NOW + timedelta(hours=1))
    assert house.opens(token)
    house.now += timedelta(hours=1)
    assert house.ring.grant(token) is None
    assert not house.opens(token)


def test_a_revoked_key_opens_nothing_once_the_keys_are_read_again(house: House) -> None:
    token = house.make()
    assert house.opens(token)
    house.revoke()
    assert house.ring.is_stale(token.split("_")[1])
    assert not house.opens(token)


def test_rotation_leaves_the_old_secret_for_as_long_as_was_said(house: House) -> None:
    old = house.make()
    new = house.rotate(keep=timedelta(hours=1))
    assert old != new
    assert house.opens(old)
    assert house.opens(new)
    house.now += timedelta(hours=1)
    assert not house.opens(old)
    assert house.opens(new)


def test_rotation_without_delay_ends_the_old_secret_and_of_three_two_are_good(
    house: House,
) -> None:
    first = house.make()
    second = house.rotate(keep=timedelta(hours=1))
    third = house.rotate(keep=timedelta(hours=1))
    assert [house.opens(one) for one in (first, second, third)] == [False, True, True]
    fourth = house.rotate(keep=timedelta(0))
    assert [house.opens(one) for one in (third, fourth)] == [False, True]


def test_a_session_lasts_as_long_as_the_secret_it_was_opened_with(house: House) -> None:
    old = house.make()
    house.ring.refresh()
    grant = house.ring.grant(old)
    assert grant is not None
    assert house.ring.sealed(grant.key_id, grant.seal) == grant
    house.rotate(keep=timedelta(hours=1))
    house.ticks += 10
    house.ring.refresh()
    assert house.ring.sealed(grant.key_id, grant.seal) is not None
    house.now += timedelta(hours=1)
    assert house.ring.sealed(grant.key_id, grant.seal) is None
    assert house.ring.sealed(grant.key_id, "") is None


def test_the_record_is_asked_for_keys_no_more_than_once_a_second_whoever_guesses(
    house: House,
) -> None:
    known = house.make().split("_")[1]
    house.ring.refresh()
    assert not house.ring.is_stale("f" * 16)
    assert not house.ring.is_stale(known)
    house.ticks += 2
    assert house.ring.is_stale("f" * 16)
    assert not house.ring.is_stale(known)
    house.ticks += FRESH
    assert house.ring.is_stale(known)


def test_last_used_is_written_at_most_once_a_minute(house: House) -> None:
    token = house.make()
    house.ring.refresh()
    assert house.ring.grant(token)
    assert house.last_used() is None
    house.ring.note_uses()
    assert house.last_used() == NOW
    house.now += timedelta(seconds=59)
    assert house.ring.grant(token)
    house.ring.note_uses()
    assert house.last_used() == NOW
    house.now += timedelta(seconds=1)
    assert house.ring.grant(token)
    house.ring.note_uses()
    assert house.last_used() == NOW + timedelta(minutes=1)


def test_a_wrong_secret_is_no_use_of_the_key(house: House) -> None:
    token = house.make()
    house.ring.refresh()
    house.ring.grant(token[:-1] + ("0" if token[-1] != "0" else "1"))
    house.ring.note_uses()
    assert house.last_used() is None


def test_while_the_record_is_away_known_keys_go_on(house: House, tmp_path: Path) -> None:
    token = house.make()
    assert house.opens(token)
    with house.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE api_keys RENAME TO away"))
    try:
        assert house.opens(token)
    finally:
        with house.database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO api_keys"))


def test_a_key_needs_a_name_of_its_own_a_scope_and_a_future(house: House) -> None:
    house.make("shop")
    with house.database.writing() as session:
        given = {"actor": "cli:ann", "now": NOW}
        one = frozenset({Scope.READ})
        with pytest.raises(ConflictError):
            keys.make(session, name="shop", scopes=one, **given)
        for name in ("", " ", "x" * 101, "a\nb"):
            with pytest.raises(BadInputError):
                keys.make(session, name=name, scopes=one, **given)
        with pytest.raises(BadInputError):
            keys.make(session, name="new", scopes=(), **given)
        with pytest.raises(BadInputError):
            keys.make(session, name="new", scopes=one, expires_at=NOW, **given)
        with pytest.raises(NotFoundError):
            keys.revoke(session, which="nobody", **given)


def test_a_key_that_has_ended_is_not_rotated_and_its_name_is_free_again(house: House) -> None:
    house.make()
    house.revoke()
    with pytest.raises(NotFoundError):
        house.rotate(keep=timedelta(0))
    token = house.make()
    assert house.opens(token)
    house.make("short", expires_at=NOW + timedelta(minutes=1))
    house.now += timedelta(minutes=2)
    with pytest.raises(ConflictError):
        house.rotate("short", keep=timedelta(0))


def test_every_act_is_in_the_audit_log_and_no_secret_is(house: House) -> None:
    token = house.make()
    house.rotate(keep=timedelta(hours=1))
    house.revoke()
    with house.database.reading() as session:
        acts = audit.entries(session)
    assert [act.action for act in acts] == ["key.revoke", "key.rotate", "key.make"]
    assert {act.subject for act in acts} == {f"key:{token.split('_')[1]}"}
    assert token.rpartition("_")[2] not in str(acts)


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    engine = open_engine(f"sqlite:///{tmp_path / 'state' / 'signalpost.db'}")
    migrate(engine)
    engine.dispose()
    return tmp_path


def test_the_commands_show_a_key_once(home: Path) -> None:
    made = signalpost(home, "key", "make", "web-shop", "--scope", "ingest", "--scope", "risk")
    assert made.code == 0
    [token] = re.findall(r"spk_[0-9a-f]{16}_[0-9a-f]{64}", made.out)
    listed = signalpost(home, "key", "list")
    assert "web-shop" in listed.out
    assert "ingest, risk" in listed.out
    assert "active" in listed.out
    rotated = signalpost(home, "key", "rotate", "web-shop", "--keep", "12h")
    assert re.search(r"spk_[0-9a-f]{16}_[0-9a-f]{64}", rotated.out)
    assert "good until" in rotated.out
    assert signalpost(home, "key", "revoke", token.split("_")[1]).code == 0
    again = signalpost(home, "key", "list", "--json")
    [key] = json.loads(again.out)["keys"]
    assert (key["status"], key["name"]) == ("revoked", "web-shop")
    assert "hash" not in again.out
    assert token.rpartition("_")[2] not in again.out


def test_a_key_as_json_is_for_scripts(home: Path) -> None:
    words = ["key", "make", "crm", "--scope", "read", "--expires", "90d", "--json"]
    made = json.loads(signalpost(home, *words).out)
    assert made["token"].startswith(f"spk_{made['id']}_")
    assert made["expires_at"]
    assert made["status"] == "active"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["make", "x", "--scope", "everything"], 2),
        (["make", "x"], 2),
        (["make", "x", "--scope", "read", "--expires", "soon"], 2),
        (["rotate", "nobody"], 4),
        (["revoke", "nobody"], 4),
    ],
)
def test_what_cannot_be_done_is_said(home: Path, words: list[str], code: int) -> None:
    result = signalpost(home, "key", *words)
    assert result.code == code
    assert "Traceback" not in result.err
