"""A SendGrid that takes every message and does nothing, in a process of its own.

It reads each request in full, counts, and answers as SendGrid does: 202 with ``X-Message-Id``. It
looks into no body beyond counting people, so that what is measured is the sender. ``null_sendgrid()``
starts one; its CPU is counted like everybody's.
"""

import asyncio
import contextlib
import json
import re
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks._processes import Process, running

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
_PERSON = b'"to":'  # a quote inside a text is escaped, so only a key reads like this


@dataclass(slots=True)
class Counts:
    """What has come in so far."""

    requests: int = 0
    messages: int = 0  #: one for each personalization
    size: int = 0  #: bytes of all bodies
    last: bytes = b""  #: the body of the last request


class _Connection(asyncio.Protocol):
    """Reads requests one after another; HTTP/1.1 with a Content-Length, which is all we meet."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._pieces: list[bytes] = []
        self._missing = 0  #: bytes of the body still to come; 0: a request's head is awaited
        self._path = b""
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._missing > 0:
            self._pieces.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            self._take(b"".join(self._pieces))
            self._pieces.clear()
            self._missing = 0
        else:
            self._head(b"".join([*self._pieces, data]))

    def _head(self, data: bytes) -> None:
        self._pieces.clear()
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            self._pieces.append(data)
            return
        self._path = head.split(b" ", 2)[1]
        self._closes = _CLOSES.search(head) is not None
        length = int(found[1]) if (found := _LENGTH.search(head)) else 0
        if len(body) >= length:
            self._take(body)
        else:
            self._pieces.append(body)
            self._missing = length - len(body)

    def _take(self, body: bytes) -> None:
        counts = self._counts
        if self._path == b"/v3/mail/send":
            counts.requests += 1
            counts.messages += body.count(_PERSON)
            counts.size += len(body)
            counts.last = body
            self._transport.write(
                b"HTTP/1.1 202 Accepted\r\nX-Message-Id: null-%d\r\nContent-Length: 0\r\n\r\n"
                % counts.requests
            )
        elif self._path == b"/count":
            known = {"requests": counts.requests, "messages": counts.messages, "bytes": counts.size}
            self._answer(json.dumps(known).encode())
        elif self._path == b"/last":
            self._answer(counts.last)
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        if self._closes:
            self._transport.close()

    def _answer(self, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def _serve() -> None:
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(counts), "127.0.0.1", 0, backlog=256)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


class NullSendGrid:
    """The process, seen from outside."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{int(process.says.readline() or 0)}"  #: without ``/v3``

    def count(self) -> dict[str, int]:
        """Return ``requests``, ``messages`` and ``bytes`` since its start."""
        return json.loads(self._get("/count"))

    def last(self) -> bytes:
        """Return the body of the last request."""
        return self._get("/last")

    def _get(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, timeout=10) as answer:
            return answer.read()


@contextlib.contextmanager
def null_sendgrid() -> Iterator[NullSendGrid]:
    """Run one on a free port of loopback, and end it."""
    command = [sys.executable, "-m", "benchmarks._null_sendgrid"]
    root = str(Path(__file__).parents[1])
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            "null SendGrid", command, folder=Path(folder), environment={"PYTHONPATH": root}
        ) as process,
    ):
        yield NullSendGrid(process)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
