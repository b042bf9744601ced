"""What peers need around them: brokers, workers and servers, ended with the block that started them."""

import contextlib
import http.client
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks._processes import Process, free_port, running
from benchmarks.peers.figures import NotRunError
from signalpost.worker.environment import prefect_environment

Environment = dict[str, str]


@contextlib.contextmanager
def redis(folder: Path, environment: Environment) -> Iterator[list[Process]]:
    """Run Redis that waits for the disk on each write; tells its address as ``PEER_REDIS``."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotRunError("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
    }
    command = [program, *(word for name, value in options.items() for word in (f"--{name}", value))]
    with running("Redis", command, folder=folder) as process:
        _until(process, lambda: _connects(port), 20)
        environment["PEER_REDIS"] = f"redis://127.0.0.1:{port}/0"
        yield [process]


@contextlib.contextmanager
def celery(python: Path, folder: Path, environment: Environment) -> Iterator[list[Process]]:
    """Run Redis and a Celery worker of two processes."""
    command = [str(python), "-m", "celery", "-A", "celery_anymail.work", "worker"]
    command += ["--pool", "prefork", "--concurrency", "2", "--loglevel", "warning"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (
        redis(folder, environment) as broker,
        running("workers", command, folder=folder, environment=environment) as worker,
    ):
        yield [*broker, worker]


@contextlib.contextmanager
def huey(python: Path, folder: Path, environment: Environment) -> Iterator[list[Process]]:
    """Run huey's consumer with two processes."""
    consumer = "from huey.bin.huey_consumer import consumer_main; consumer_main()"
    command = [str(python), "-c", consumer, "huey_sqlite.work.huey"]
    command += ["--workers", "2", "--worker-type", "process", "--quiet"]
    with running("workers", command, folder=folder, environment=environment) as worker:
        yield [worker]


@contextlib.contextmanager
def prefect(python: Path, folder: Path, environment: Environment) -> Iterator[list[Process]]:
    """Run a Prefect server of our version, on SQLite, with a home of its own."""
    port = free_port()
    environment |= prefect_environment(folder, port)
    command = [str(python), "-m", "prefect", "server", "start", "--no-ui"]
    with running("server", command, folder=folder, environment=environment) as server:
        _until(server, lambda: _is_healthy(port), 90)
        yield [server]


@contextlib.contextmanager
def nothing(_python: Path, _folder: Path, _environment: Environment) -> Iterator[list[Process]]:
    """For a peer that needs nothing around it."""
    yield []


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _is_healthy(port: int) -> bool:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(asked), contextlib.suppress(OSError, http.client.HTTPException):
        asked.request("GET", "/api/health")
        return asked.getresponse().status == 200
    return False


def _until(process: Process, holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if process.ended():
            raise NotRunError(f"{process.name} ended: {process.last_words()}")
        if time.monotonic() > deadline:
            raise NotRunError(f"{process.name} did not answer within {seconds:.0f} s")
        time.sleep(0.1)
