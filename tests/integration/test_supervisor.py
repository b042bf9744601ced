"""``up`` keeps processes going: ready by condition, restarted, given up, and none left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from signalpost.cli.supervisor import MOST_RESTARTS, Child, GivenUpError, News, Supervisor

SAYS_READY = "import sys,time; print('ready', flush=True); time.sleep(600)"


def child(name: str, code: str, *, essential: bool = True) -> Child:
    async def ready(log: bytes) -> bool:
        return b"ready" in log

    command = [sys.executable, "-c", code]
    return Child(name=name, command=command, ready=ready, essential=essential)


def supervised(
    folder: Path, work: Callable[[Supervisor, list[News]], Awaitable[None]]
) -> list[News]:
    """Do ``work`` with a supervisor, stop it, and give what it told."""
    told: list[News] = []

    async def whole() -> None:
        supervisor = Supervisor(logs=folder / "logs", tell=told.append, pause=0.01)
        try:
            await asyncio.wait_for(work(supervisor, told), 60)
        finally:
            await supervisor.stop()

    asyncio.run(whole())
    return told


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_child_is_ready_when_it_says_so_and_gone_when_we_stop(tmp_path: Path) -> None:
    pids: list[int] = []

    async def work(supervisor: Supervisor, told: list[News]) -> None:
        code = f"import os; print(os.getpid(), flush=True); {SAYS_READY}"
        supervisor.start(child("one", code))
        await supervisor.ready("one")
        pids.append(int((tmp_path / "logs" / "one.log").read_text().split()[0]))

    told = supervised(tmp_path, work)
    assert [news.what for news in told] == ["ready"]
    assert not is_alive(pids[0])


def test_a_child_that_is_killed_is_started_again_and_we_hear_of_it(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "one.log"

    async def work(supervisor: Supervisor, told: list[News]) -> None:
        code = f"import os; print(os.getpid(), flush=True); {SAYS_READY}"
        supervisor.start(child("one", code))
        await supervisor.ready("one")
        os.kill(int(log.read_text().split()[0]), signal.SIGKILL)
        await until(lambda: [news.what for news in told] == ["ready", "died", "ready"])

    told = supervised(tmp_path, work)
    assert told[1].detail == "SIGKILL"
    assert log.read_text().count("ready") == 2  # the log of the first life is kept


def test_a_child_that_keeps_ending_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def work(supervisor: Supervisor, told: list[News]) -> None:
        supervisor.start(child("broken", "raise SystemExit('the port is on fire')"))
        with pytest.raises(GivenUpError):
            await supervisor.ready("broken")

    told = supervised(tmp_path, work)
    assert [news.what for news in told] == ["died"] * MOST_RESTARTS + ["given_up"]
    assert "the port is on fire" in told[-1].detail


def test_losing_what_is_not_essential_leaves_the_rest_going(tmp_path: Path) -> None:
    async def work(supervisor: Supervisor, told: list[News]) -> None:
        supervisor.start(child("extra", "raise SystemExit(1)", essential=False))
        supervisor.start(child("main", SAYS_READY))
        await supervisor.ready("main")
        await until(lambda: told[-1].what == "given_up")
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, stop.set)
        await supervisor.run(stop)

    assert supervised(tmp_path, work)[-1].child.name == "extra"


def test_grandchildren_go_too(tmp_path: Path) -> None:
    grandchild = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    pids: list[int] = []

    async def work(supervisor: Supervisor, told: list[News]) -> None:
        code = f"import subprocess, sys; print({grandchild}.pid, flush=True); {SAYS_READY}"
        supervisor.start(child("parent", code))
        await supervisor.ready("parent")
        pids.append(int((tmp_path / "logs" / "parent.log").read_text().split()[0]))

    supervised(tmp_path, work)
    with contextlib.suppress(TimeoutError):
        asyncio.run(until(lambda: not is_alive(pids[0])))
    assert not is_alive(pids[0])


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel sees to it on Linux")
def test_children_end_when_we_are_killed_without_warning(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from signalpost.cli.supervisor import Child, Supervisor\n"
        "async def ready(log): return b'ready' in log\n"
        "async def main():\n"
        "    s = Supervisor(logs=Path(sys.argv[1]), tell=lambda news: None)\n"
        "    code = 'import os,time; print(os.getpid(), \"ready\", flush=True); time.sleep(600)'\n"
        "    s.start(Child(name='one', command=[sys.executable, '-c', code], ready=ready))\n"
        "    await s.ready('one')\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    us = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert us.stdout is not None
    assert us.stdout.readline() == b"up\n"
    pid = int((tmp_path / "one.log").read_text().split()[0])
    us.kill()
    us.wait()
    us.stdout.close()
    asyncio.run(until(lambda: not is_alive(pid)))
