"""The house itself: imports point down, and the wheel ships the core only."""

import tomllib
from pathlib import Path

from importlinter.application.use_cases import create_report, read_user_options
from importlinter.configuration import configure

ROOT = Path(__file__).parents[2]


def test_imports_point_down_and_vendors_stay_in_their_folders(monkeypatch):
    """Each contract of [tool.importlinter] is kept."""
    monkeypatch.chdir(ROOT)
    configure()
    options = read_user_options(config_filename=str(ROOT / "pyproject.toml"))
    from importlinter.application.use_cases import _register_contract_types

    _register_contract_types(options)
    report = create_report(options, cache_dir=None)
    broken = [contract.name for contract, _ in report.get_contracts_and_checks()]
    kept = {contract.name: check.kept for contract, check in report.get_contracts_and_checks()}
    assert broken
    assert all(kept.values()), [name for name, held in kept.items() if not held]


def test_the_wheel_ships_the_core_only():
    """`flows` and `tasks` are the project; in a wheel they would collide with other packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["signalpost"]


def test_no_test_folder_shadows_a_package_of_ours():
    """`tests/flows/__init__.py` would be imported instead of `flows`."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
