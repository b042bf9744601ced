"""Bringing a database to the tables that this version of Signalpost needs."""

import importlib
import pkgutil
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData

import signalpost.record
from signalpost.record.base import metadata

_MIGRATIONS = Path(__file__).parent / "migrations"


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


def migrate(engine: Engine) -> None:
    """Bring the database to the newest tables; does nothing when it has them.

    Migrations run in one transaction: a failed one leaves the database as it was.
    """
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Tell whether the database has the newest tables."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == newest
