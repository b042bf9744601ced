"""The web application over Jane's story, for the tests of the pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import FastAPI

from signalpost import bootstrap
from signalpost.settings import load
from signalpost.web.app import create_app
from tests.integration.story import PROGRAM, Story, open_record, tell

KEY = "read-key-of-the-tests"


@dataclass
class Site:
    """The application, and whom its record is about."""

    app: FastAPI
    product: bootstrap.Signalpost
    story: Story


def templates(folder: Path) -> Path:
    """A templates folder with one message that a campaign can send."""
    made = folder / "templates"
    made.mkdir()
    brand = {"name": "Brand", "postal_address": "1 Road", "website": "https://brand.example"}
    (made / "brand.toml").write_text("".join(f'{k} = "{v}"\n' for k, v in brand.items()))
    for name in ("_layout", "purchase_offer"):
        shutil.copytree(Path("templates") / name, made / name)
    return made


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Open the application on a record with Jane's story."""
    story = tell(open_record(folder))
    settings = load(
        home=folder,
        database_url=f"sqlite:///{folder / 'record.db'}",
        api_key=KEY,
        templates=templates(folder),
        campaigns=folder / "campaigns",
        hosts="testserver",
    )
    product = bootstrap.build(settings, journeys=())
    product = replace(product, programs={"fraud-alert": PROGRAM})
    try:
        yield Site(create_app(product), product, story)
    finally:
        product.close()
        story.database.close()
