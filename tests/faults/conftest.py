"""Crowds for the harness; its tests are one group, so that they do not compete with each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import crash_runs, places

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("faults"))
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="session")
def crowds(tmp_path_factory: pytest.TempPathFactory) -> places.Crowds:
    """Records with a crowd in them, on SQLite."""
    if why := crash_runs.environment_allows():
        pytest.skip(why)
    return places.Crowds(tmp_path_factory.mktemp("crowds"))


@pytest.fixture(scope="session")
def crowds_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> places.Crowds:
    """Records with a crowd in them, on a PostgreSQL of our own."""
    if why := crash_runs.environment_allows():
        pytest.skip(why)
    home = request.getfixturevalue("postgres_home")
    return places.Crowds(tmp_path_factory.mktemp("crowds-pg"), home._server)
