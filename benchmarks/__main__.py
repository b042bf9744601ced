"""Run the benchmarks, print a table, write ``results.json``: ``make bench`` (README.md has the method).

``make bench ARGS="signals sms"`` runs some of them; the others keep the results that they had.
"""

import importlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
CRASHED = ": did not run"

Result = dict[str, Any]  #: name, value, unit, bound, holds, peers, machine


def modules() -> list[str]:
    """Name the benchmarks: every module of this folder, for each has a ``run()``."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def machine() -> str:
    """Say what this runs on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def run(module: str) -> list[Result]:
    """Run one module's benchmarks; a crash is a result that does not hold."""
    try:
        results = importlib.import_module(f"benchmarks.{module}").run()
    except Exception as error:
        failed = f"{module}{CRASHED} ({type(error).__name__}: {error})"
        results = [{"name": failed, "value": None, "unit": "", "bound": "", "holds": False}]
    return [{"peers": {}, "machine": machine()} | row for row in results]


def merged(results: Sequence[Result], of: Sequence[str]) -> list[Result]:
    """Put new results in the place of old ones of the same names, and of crashes of these modules."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    measured = {row["name"] for row in results}
    crashes = tuple(f"{module}{CRASHED}" for module in of)
    old = (row for row in kept if not row["name"].startswith(crashes))
    return [*(row for row in old if row["name"] not in measured), *results]


def table(results: Sequence[Result]) -> Table:
    """Draw results, with each peer on a line of its own."""
    drawn = Table("what", "value", "unit", "bound", "holds", title=machine(), title_justify="left")
    drawn.columns[1].justify = drawn.columns[3].justify = "right"
    for row in results:
        holds = "[green]yes[/green]" if row["holds"] else "[red]no[/red]"
        drawn.add_row(row["name"], _figure(row["value"]), row["unit"], str(row["bound"]), holds)
        for name, value in row["peers"].items():
            drawn.add_row(f"  [dim]{name}[/dim]", f"[dim]{_figure(value)}[/dim]", "", "", "")
        drawn.add_section()
    return drawn


def _figure(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main(wanted: Sequence[str]) -> int:
    """Run what is wanted, all of it unless told; 0 when every bound holds."""
    console, known = Console(), modules()
    if unknown := set(wanted) - set(known):
        console.print(f"There is no benchmark {sorted(unknown)[0]!r}; there are: {known}.")
        return 2
    chosen = list(wanted) or known
    results: list[Result] = []
    for name in chosen:
        console.print(f"[dim]{name} …[/dim]")
        results += run(name)
    kept = merged(results, of=chosen) if wanted else results
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    console.print(table(results))
    console.print(f"Written to {RESULTS.relative_to(FOLDER.parent)}.")
    return 0 if all(row["holds"] for row in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
