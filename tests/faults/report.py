"""The table of a harness run, and ``results.json``: what was injected, and what came of it."""

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.crash_runs import Result

RESULTS = Path(__file__).parent / "results.json"


def summary(results: Sequence[Result], *, seconds: float) -> dict[str, Any]:
    """Add up crash runs."""
    injected: Counter[str] = Counter()
    settled: Counter[str] = Counter()
    for one in results:
        injected.update({k: v for k, v in one.faults.items() if not k.startswith("aimed ")})
        settled.update(one.settled)
    failed = [one for one in results if one.broken]
    return {
        "runs": len(results),
        "seeds": [min(r.seed for r in results), max(r.seed for r in results)] if results else [],
        "by_database": dict(Counter(one.dialect for one in results)),
        "messages": sum(one.messages for one in results),
        "lost": sum(one.lost for one in results),
        "doubled": sum(one.doubled for one in results),
        "unknown": sum(one.unknown for one in results),
        "unknown_settled": dict(settled.most_common()),
        "longest_quiet_seconds": max((one.quiet_seconds for one in results), default=0.0),
        "faults": dict(injected.most_common()),
        "failed": [
            {"seed": one.seed, "dialect": one.dialect, "broken": one.broken} for one in failed
        ],
        "seconds": round(seconds, 1),
    }


def keep(part: str, found: dict[str, Any], *, path: Path = RESULTS) -> None:
    """Write one part of ``results.json``; the others stay."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known[part] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load_1_5_15": [round(load, 1) for load in os.getloadavg()],
        },
        **found,
    }
    path.write_text(json.dumps(known, indent=1) + "\n")


def show(title: str, found: dict[str, Any]) -> None:
    """Print the table."""
    out = Console(width=110)
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in found.items():
        if name == "broken":
            text = "\n".join(f"{which}: {wrong[0]}" for which, wrong in value.items()) or "nothing"
        elif isinstance(value, dict):
            text = "\n".join(f"{number:>8}  {what}" for what, number in value.items())
        elif name == "failed":
            text = "\n".join(_failure(one) for one in value) or "none"
        else:
            text = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(name.replace("_", " "), text)
    out.print(table)


def _failure(one: dict[str, Any]) -> str:
    broken = "; ".join(f"{name}: {wrong[0]}" for name, wrong in one["broken"].items())
    return f"seed {one['seed']} on {one.get('dialect', '')}: {broken}"
