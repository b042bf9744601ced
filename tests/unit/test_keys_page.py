"""The page about keys says what the code does."""

import re
from pathlib import Path

from signalpost.domain.access import OPENS, Area, Scope, areas_of
from signalpost.services.access import keyring
from signalpost.settings import Settings
from signalpost.web import guard, segment, serving
from signalpost.web.limits import Rates

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Give the cells of the table below a heading."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("| `")
    ]


def test_the_table_of_scopes_is_that_of_the_code() -> None:
    said = {
        area.strip("`"): frozenset(re.findall(r"`(\w+)`", scopes))
        for area, _, scopes in rows("What the scopes open")
    }
    assert said == {str(area): frozenset(map(str, scopes)) for area, scopes in OPENS.items()}
    assert set(OPENS) == set(Area)


def test_the_settings_and_their_defaults_are_those_of_the_code() -> None:
    said = {name.strip("`"): default for name, _, default in rows("How much and how often")}
    for name, default in said.items():
        field = Settings.model_fields[name.removeprefix("SIGNALPOST_").lower()]
        assert str(field.default or "none") in (default, f"{default}.0")
    rates = Rates()
    assert [rates.signals, rates.requests, rates.attempts] == [20_000, 200, 50]


def test_the_bounds_are_those_of_the_code() -> None:
    for said, bound in (
        ("500 KB", guard.MOST_BYTES / 1024),
        ("8 MB", guard.MOST_WEBHOOK_BYTES / 1024**2),
        ("64 MB", guard.MOST_BYTES_TOGETHER / 1024**2),
        ("30 seconds", guard.BODY_SECONDS),
        ("100, and", guard.MOST_HEADERS),
        ("32 KB together", guard.MOST_HEADER_BYTES / 1024),
        ("20 seconds", 2 * serving.HEAD_SECONDS),
        ("2,000 a process", serving.MOST_CONNECTIONS),
        ("2,500 events", segment.MOST_EVENTS),
        ("5 seconds", keyring.FRESH),
    ):
        number = float(said.split()[0].strip(",").replace(",", ""))
        assert said in PAGE
        assert number == bound


def test_no_scope_but_admin_opens_everything_and_none_opens_nothing() -> None:
    assert areas_of([Scope.ADMIN]) == frozenset(Area)
    for scope in set(Scope) - {Scope.ADMIN}:
        assert frozenset() != areas_of([scope]) != frozenset(Area)
