"""Attacks on the running web, byte by byte: each gets an answer or is let go, and the rest are served.

The web is a process of its own, started as an operator does; its memory is looked at from outside.
"""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from signalpost.settings import load
from signalpost.web import serving
from signalpost.web.guard import Guard
from tests.integration.front_harness import open_front

ROOT = Path(__file__).parents[2]
KEY = "read-key-of-the-tests"  #: opens every door, so that nothing is refused for want of it
MEGABYTE = 1024 * 1024
AUTH = b"Authorization: Bearer " + KEY.encode() + b"\r\n"


@dataclass
class Web:
    """A running web."""

    port: int
    process: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send(self, *pieces: bytes) -> bytes:
        """Send raw bytes on a connection of their own; give what comes back until it is closed."""
        with closing(self.connect()) as wire:
            reader = threading.Thread(target=_swallow, args=(wire, pieces), daemon=True)
            reader.start()
            answer = _read(wire)
            with suppress(OSError):  # it has hung up by itself
                wire.shutdown(socket.SHUT_RDWR)
            reader.join(5)
        return answer

    def post(self, path: str, body: bytes, *headers: bytes) -> int:
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\n" % path.encode() + AUTH
        head += b"Content-Length: %d\r\n" % len(body) + b"".join(h + b"\r\n" for h in headers)
        return status(self.send(head + b"\r\n" + body))

    def is_well(self) -> bool:
        """Tell whether a signal is taken as if nothing had been."""
        event = {"type": "track", "event": "Store Visited", "userId": "ann"}
        return self.post("/v1/track", json.dumps(event).encode(), b"Connection: close") == 200

    def peak(self) -> int:
        """The most memory that it ever had, in bytes."""
        said = Path(f"/proc/{self.process}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", said)
        assert found
        return int(found[1]) * 1024


def _swallow(wire: socket.socket, pieces: tuple[bytes, ...]) -> None:
    try:
        for piece in pieces:
            wire.sendall(piece)
    except OSError:
        pass  # the other side has had enough


def _read(wire: socket.socket) -> bytes:
    """Read one answer's head, and as much of its body as comes with it."""
    got = b""
    try:
        while b"\r\n\r\n" not in got:
            piece = wire.recv(65536)
            if not piece:
                break
            got += piece
    except ConnectionResetError:
        pass
    return got


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    port = free_port()
    given = {
        "HOME": str(tmp_path_factory.mktemp("web") / "state"),
        "WEB_PORT": str(port),
        "API_KEY": KEY,
        "LOG_LEVEL": "ERROR",
    }
    settings = {f"SIGNALPOST_{name}": value for name, value in given.items()}
    kept = {name: value for name, value in os.environ.items() if "SIGNALPOST" not in name}
    command = [sys.executable, "-m", "signalpost.cli"]
    how = {"cwd": ROOT, "env": kept | settings}
    subprocess.run([*command, "migrate"], check=True, capture_output=True, **how)
    process = subprocess.Popen([*command, "web"], stdout=subprocess.DEVNULL, **how)
    try:
        found = Web(port, process.pid)
        for _ in range(600):
            try:
                found.connect().close()
                break
            except OSError:
                assert process.poll() is None
                threading.Event().wait(0.1)
        yield found
    finally:
        process.terminate()
        process.wait(20)


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


PATHS = ["/v1/batch", "/v1/events", "/v1/inbox/tokens", "/webhooks/sendgrid/events", "/login"]


@pytest.mark.parametrize("path", PATHS)
def test_fifty_megabytes_are_refused_and_never_held(web: Web, path: str) -> None:
    """With their length said beforehand, and in chunks without a word of it."""
    assert web.is_well()
    before = web.peak()
    block = b"[" + b" " * (MEGABYTE - 1)
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\n" % path.encode() + AUTH
    said = head + b"Content-Length: %d\r\n\r\n" % (50 * MEGABYTE)
    assert status(web.send(said, *[block] * 50)) == 413
    unsaid = head + b"Transfer-Encoding: chunked\r\n\r\n"
    assert status(web.send(unsaid, *[chunk(block)] * 50)) == 413
    waits = head + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (1024 * MEGABYTE)
    assert status(web.send(waits)) == 413
    assert web.peak() - before < 40 * MEGABYTE
    assert web.is_well()


DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
BODIES = {
    "deep objects": (DEEP, 400),
    "deep lists": (b"[" * 10_000 + b"]" * 10_000, 400),
    "deep and open": (b"[" * 400_000, 400),
    "deep inside": (b'{"properties":' + b"[" * 250 + b"]" * 250 + b"}", 400),
    "NaN": (b'{"event":"x","properties":{"total":NaN}}', 400),
    "Infinity": (b'{"event":"x","properties":{"total":-Infinity}}', 400),
    "a number of 400,000 digits": (b'{"a":' + b"9" * 400_000 + b"}", 400),
    "1e999": (b'{"a":1e999}', 400),
    "100,000 items": (b'{"batch":[' + b",".join([b"{}"] * 100_000) + b"]}", 400),
    "100,000 keys": (b"{" + b",".join(b'"%d":1' % n for n in range(40_000)) + b"}", 400),
    "half a character": (b'{"event":"\xff\xfe"}', 400),
    "backslashes": (b'{"event":"' + b"\\" * 400_001 + b'"}', 400),
    "escapes": (b'{"a":"' + b"\\ud83d" * 60_000 + b'",}', 400),
    "nothing": (b"", 400),
    "UTF-16": ('{"event":"x"}'.encode("utf-16"), 400),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/v1/batch", "/v1/events", "/v1/customers/lookup", "/login"])
def test_hostile_json_is_refused_at_every_door(web: Web, path: str, name: str) -> None:
    body, expected = BODIES[name]
    if path.startswith(("/v1/batch", "/v1/events")):
        assert web.post(path, body, b"Content-Type: application/json") == expected
    else:
        assert 400 <= web.post(path, body, b"Content-Type: application/json") < 500


@pytest.mark.parametrize(
    ("name", "body", "encoding", "expected"),
    [
        ("bomb", gzip.compress(b"[" * 50_000_000), b"gzip", 413),
        ("bomb in a bomb", gzip.compress(gzip.compress(b" " * 50_000_000)), b"gzip", 400),
        ("deflated bomb", zlib.compress(b"[" * 50_000_000), b"deflate", 413),
        ("two packings", gzip.compress(b"{}"), b"gzip, gzip", 415),
        ("unknown packing", b"{}", b"br", 415),
        ("no packing", b"{}", b"gzip", 400),
        ("cut", gzip.compress(b"{}" * 1000)[:-9], b"gzip", 400),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # packed bytes hold the time
)
def test_packed_bodies_cost_no_more_than_plain_ones(
    web: Web, name: str, body: bytes, encoding: bytes, expected: int
) -> None:
    before = web.peak()
    for path in ("/v1/batch", "/v1/events"):
        assert web.post(path, body, b"Content-Encoding: " + encoding) == expected, name
    assert web.peak() - before < 40 * MEGABYTE
    assert web.is_well()


def test_of_a_key_that_is_there_twice_the_last_counts_and_one_event_is_kept(web: Web) -> None:
    body = b'{"event":"Store Visited","userId":"ann","userId":"bo","messageId":"twice"}'
    assert web.post("/v1/track", body) == 200
    body = b'{"writeKey":"%s","writeKey":"wrong","event":"x","userId":"ann"}' % KEY.encode()
    head = b"POST /v1/track HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert status(web.send(head + body)) == 401


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
HEADS = {
    "200 headers": (GET + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
    "5,000 headers": (GET + b"".join(b"X-%d: y\r\n" % n for n in range(5_000)) + b"\r\n", 431),
    "one of 200 KB": (GET + b"X: " + b"y" * 200_000 + b"\r\n\r\n", 400),
    "a path of 200 KB": (b"GET /" + b"y" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a query of 40 KB": (
        b"GET /?" + b"a=1&" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        431,
    ),
    "two lengths": (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "no length": (GET + b"Content-Length: -1\r\n\r\n", 400),
    "a huge length": (GET + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "two hosts": (GET + b"Host: evil.example\r\n\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 400, 400),
    "a folded header": (GET + b"X: a\r\n b\r\n\r\n", 200),
    "a space before the colon": (GET + b"X : a\r\n\r\n", 400),
    "a line without CR": (GET + b"X: a\nEvil: b\r\n\r\n", 200),
    "NUL in the path": (b"GET /v1/customers/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
    "another's name": (b"GET /login HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
}


@pytest.mark.parametrize("name", HEADS)
def test_hostile_heads_are_refused(web: Web, name: str) -> None:
    sent, expected = HEADS[name]
    assert status(web.send(sent)) == expected
    assert web.is_well()


def test_a_length_and_chunks_together_smuggle_nothing(web: Web) -> None:
    """What one server takes for a body, and another for the next request, is refused or closed."""
    smuggled = b"POST /v1/track HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\n"
    both = head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled
    assert web.send(both).count(b"HTTP/1.1 ") == 1
    for odd in (b"xchunked", b"chunked, identity", b"gzip", b"\x0bchunked"):
        answer = web.send(head + b"Transfer-Encoding: " + odd + b"\r\n\r\n0\r\n\r\n")
        assert status(answer) in (400, 501), odd
    assert web.is_well()


def test_hundreds_who_say_nothing_keep_nobody_out(web: Web) -> None:
    idle = [web.connect() for _ in range(400)]
    try:
        for wire in idle[::2]:
            wire.sendall(GET)
        assert web.is_well()
    finally:
        for wire in idle:
            wire.close()
    assert web.is_well()


def test_whatever_was_thrown_at_it_its_memory_is_bounded(web: Web) -> None:
    """Forty megabytes of bodies at once, each of the largest size that is taken."""
    before = web.peak()
    body = (
        b'{"batch":['
        + b",".join([b'{"event":"x","userId":"%d"}' % n for n in range(2_400)])
        + b"]}"
    )
    head = b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\n" + AUTH
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    wires = [web.connect() for _ in range(200)]
    try:
        for wire in wires:
            wire.sendall(head + body[:-1])
        assert web.is_well()
    finally:
        for wire in wires:
            wire.close()
    assert web.peak() - before < 150 * MEGABYTE


# -- patience: a web with less of it ---------------------------------------------------------------


class Hasty(serving.Impatient):
    """The protocol with a fraction of a second of patience."""

    head_seconds = 0.2


@contextmanager
def hasty(folder: Path) -> Iterator[Web]:
    with open_front(folder) as front:
        app = Guard(front.client.app, hosts=["localhost"], https=False, body_seconds=0.3)
        config = serving.config(app, load(home=folder), http=Hasty, lifespan="off")
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Web(listener.getsockname()[1], os.getpid())
        finally:
            server.should_exit = True
            thread.join(10)


def test_whoever_drips_is_let_go(tmp_path: Path) -> None:
    """A head that never ends, and silence, are closed; a body that never ends is answered 408."""
    with hasty(tmp_path) as web:
        with closing(web.connect()) as silent:
            assert silent.recv(1) == b""
        with closing(web.connect()) as dripping:
            stop = threading.Event()

            def drip() -> None:
                try:
                    while not stop.wait(0.05):
                        dripping.sendall(b"X")
                except OSError:
                    pass

            thread = threading.Thread(target=drip, daemon=True)
            thread.start()
            assert _read(dripping) == b""
            stop.set()
            thread.join(5)
        head = b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\n" + AUTH
        assert status(web.send(head + b"Content-Length: 100\r\n\r\n{")) == 408
        assert web.is_well()
