"""How many signals a second are taken in, durably, beside the floor of the same machine.

Everything runs at the same time on this machine: a client process that keeps many requests under
way, and one web process (uvicorn) with the record in SQLite, ``synchronous=FULL``. A signal counts
when its 200 has come back, which is after its commit. Peers in the same run: bare ``sqlite3`` that
commits one event at a time (what durability costs without sharing commits), and a bare uvicorn
application that answers 200 and keeps nothing (what HTTP costs).
"""

import asyncio
import base64
import contextlib
import multiprocessing
import os
import platform
import resource
import socket
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvicorn

KEY = "benchmark"


def machine() -> str:
    """Say what this ran on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def event(number: int) -> dict[str, Any]:
    """Make a track call as a shop sends it: half of them orders, one customer in ten new."""
    ids = {"type": "track", "messageId": str(uuid.uuid4()), "userId": f"u{number // 10}"}
    stamped = ids | {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
        "integrations": {},
    }
    if number % 2:
        return stamped | {
            "event": "Product Viewed",
            "properties": {"product_id": f"p{number % 500}", "name": "Green tea", "price": 4.5},
        }
    products = [{"product_id": "p1", "name": "Green tea", "price": 4.5, "quantity": 2}]
    return stamped | {
        "event": "Order Completed",
        "properties": {"orderId": f"o{number}", "total": 12.5, "products": products},
    }


def bodies(count: int, size: int) -> list[bytes]:
    """Make request bodies: batches of ``size``, or single track calls when it is 1."""
    if size == 1:
        return [orjson.dumps(event(n)) for n in range(count)]
    return [
        orjson.dumps(
            {
                "batch": [event(n) for n in range(start, start + size)],
                "sentAt": datetime.now(UTC).isoformat(),
            }
        )
        for start in range(0, count, size)
    ]


def _serve(listener: socket.socket, kind: str, place: str) -> None:
    if kind == "bare":
        app: Any = _bare
    else:
        app = _intake(place)
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


async def _bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"17")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"success": true}'})


def _intake(place: str) -> Any:
    from starlette.applications import Starlette

    from flows import JOURNEYS
    from signalpost.bootstrap import compile_all
    from signalpost.domain.access import Area
    from signalpost.record.database import Database, open_engine
    from signalpost.record.migrate import whole_metadata
    from signalpost.services.access.keyring import BuiltIn, Keyring
    from signalpost.services.intake.signals import SignalPolicy
    from signalpost.services.journeys.enrolling import Journeys
    from signalpost.web import intake
    from signalpost.web.doorkeeper import Doorkeeper
    from signalpost.web.limits import Rates
    from signalpost.web.session import Sessions

    engine = open_engine(f"sqlite:///{place}/signalpost.db")
    whole_metadata().create_all(engine)
    database = Database(engine)
    committer = intake.Committer(
        database=database,
        react=Journeys(compile_all(JOURNEYS)).react,
        policy=SignalPolicy(fingerprints=None),
        clock=lambda: datetime.now(UTC),
    )
    ring = Keyring(
        database=database,
        built_in=(BuiltIn("write_key", KEY, frozenset(Area)),),
        clock=committer.clock,
    )
    doorkeeper = Doorkeeper(
        keyring=ring, sessions=Sessions(("secret",), secure=False), rates=Rates(signals=1e9)
    )
    return Starlette(routes=intake.routes(committer, doorkeeper=doorkeeper))


@contextlib.contextmanager
def served(kind: str) -> Iterator[tuple[int, str]]:
    """Run a server in a process of its own; gives its port and its folder."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    with tempfile.TemporaryDirectory() as place:
        process = multiprocessing.get_context("fork").Process(
            target=_serve, args=(listener, kind, place), daemon=True
        )
        process.start()
        try:
            yield listener.getsockname()[1], place
        finally:
            process.terminate()
            process.join(10)
            listener.close()


async def _post_all(port: int, path: str, sent: Sequence[bytes], together: int) -> None:
    """Send the bodies over ``together`` connections; a raw client, so that the server is measured."""
    waiting = iter(sent)
    token = base64.b64encode(f"{KEY}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            writer.write(head + str(len(body)).encode() + b"\r\n\r\n" + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(client() for _ in range(together)))


def _loop_factory() -> Any:
    try:
        import uvloop  # type: ignore[import-not-found]  # not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


def best(kind: str, count: int, size: int, together: int) -> tuple[float, float]:
    """Return the best of three, since what else runs on the machine can only slow it down.

    Signals a second, and microseconds of CPU that the web process spent on each.
    """
    rounds = [measure(kind, count, size, together) for _ in range(3)]
    return max(speed for speed, _ in rounds), min(cpu for _, cpu in rounds)


def measure(kind: str, count: int, size: int, together: int) -> tuple[float, float]:
    """Return events a second from the first request to the last answer, and CPU for each in us."""
    path = "/v1/track" if size == 1 else "/v1/batch"
    warm = size * 4
    used = _cpu_of_children()
    with served(kind) as (port, place):
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_post_all(port, path, bodies(warm, size), 2))
            sent = bodies(count, size)
            before = time.perf_counter()
            runner.run(_post_all(port, path, sent, together))
            spent = time.perf_counter() - before
        if kind != "bare":
            _check(place, count + warm)
    return count / spent, (_cpu_of_children() - used) / (count + warm) * 1e6


def _cpu_of_children() -> float:
    """Return the CPU seconds of the server processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _check(place: str, count: int) -> None:
    with sqlite3.connect(Path(place) / "signalpost.db") as connection:
        kept = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    if kept != count:
        raise RuntimeError(f"{kept} of {count} signals were kept")


def floor_of_single_commits(count: int) -> float:
    """Return rows a second for bare sqlite3: one insert and one durable commit for each event."""
    with tempfile.TemporaryDirectory() as place:
        connection = sqlite3.connect(Path(place) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE events (id TEXT PRIMARY KEY, payload TEXT)")
        rows = [(str(uuid.uuid4()), orjson.dumps(event(n)).decode()) for n in range(count)]
        before = time.perf_counter()
        for row in rows:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO events VALUES (?, ?)", row)
            connection.execute("COMMIT")
        spent = time.perf_counter() - before
        connection.close()
    return count / spent


def run() -> list[dict[str, Any]]:
    """Measure; returns results for batches of 100, for single calls, and the CPU of a signal."""
    commits = max(floor_of_single_commits(1_000) for _ in range(3))
    bare_batches, _ = best("bare", 60_000, 100, 8)
    bare_singles, _ = best("bare", 6_000, 1, 64)
    batches, cpu = best("intake", 60_000, 100, 8)
    singles, _ = best("intake", 6_000, 1, 64)
    commit, http = "sqlite3: one insert and commit an event", "uvicorn: 200 and nothing kept"
    return [
        _result("signals in Segment batches of 100", batches, 5_000)
        | {"peers": {commit: round(commits), http: round(bare_batches)}},
        _result("signals one by one", singles, 800)
        | {"peers": {commit: round(commits), http: round(bare_singles)}},
        {
            "name": "CPU of the web process for a signal in a batch",
            "value": round(cpu),
            "unit": "us",
            "bound": "<= 200",
            "holds": cpu <= 200,
            "peers": {},
            "machine": machine(),
        },
    ]


def _result(name: str, value: float, bound: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value),
        "unit": "signals/s",
        "bound": f">= {bound:,.0f}",
        "holds": value >= bound,
        "machine": machine(),
    }


if __name__ == "__main__":
    for result in run():
        print(orjson.dumps(result).decode())
