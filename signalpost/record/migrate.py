"""Bringing a database to the tables that this version of Signalpost needs."""

import importlib
import pkgutil
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, DateTime, Engine, MetaData, text

import signalpost.record
from signalpost.record.base import UtcDateTime, metadata
from signalpost.record.database import open_engine

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 20_830  #: one migration at a time, whoever starts first


def whole_metadata() -> MetaData:
    """Return the metadata with every table of the record."""
    for module in pkgutil.iter_modules(signalpost.record.__path__):
        if not module.ispkg and module.name != "migrate":
            importlib.import_module(f"signalpost.record.{module.name}")
    return metadata


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def compare_type(*compared: Any) -> bool | None:
    """Tell Alembic that our moments are what every database calls a date and time."""
    *_, found, wanted = compared
    return False if isinstance(wanted, UtcDateTime) and isinstance(found, DateTime) else None


def migrate(engine: Engine) -> None:
    """Bring the database to the newest tables; does nothing when it has them.

    Everything is one transaction: a migration that fails leaves the database as it was. Processes
    that start together take turns. A newer version's tables are left as they are.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if _is_current(connection):
            return
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Tell whether the database has the tables that this version needs.

    A newer version may have been here: while machines are brought to it one after the other, or back
    from it, both versions run on its tables. So a migration only adds; what is no longer used goes
    with the version after the next.
    """
    with engine.connect() as connection:
        return _is_current(connection)


def _is_current(connection: Connection) -> bool:
    ours = ScriptDirectory.from_config(_config())
    found = MigrationContext.configure(connection).get_current_revision()
    return found is not None and (
        found == ours.get_current_head()
        or found not in {one.revision for one in ours.walk_revisions()}
    )


def differences(engine: Engine) -> list[str]:
    """Return what the tables of a migrated database lack or have beyond the code's."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": compare_type})
        return [str(found) for found in compare_metadata(context, whole_metadata())]


def draft(message: str) -> None:
    """Write a new revision with what the tables have beyond the newest one; look it through."""
    with tempfile.TemporaryDirectory() as place:
        engine = open_engine(f"sqlite:///{place}/empty.db")
        migrate(engine)
        with engine.connect() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True)
        engine.dispose()
