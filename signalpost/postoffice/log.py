"""The append-only log: one JSON object a line, on disk before any answer goes out."""

import asyncio
import fcntl
import os
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from signalpost.clock import wall_clock
from signalpost.errors import ConfigurationError

Entry = dict[str, Any]


class Log:
    """A file of numbered entries; requests that arrive together share one fsync."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = wall_clock) -> None:
        self._path = path
        self._clock = clock
        self._offsets = array("Q")  # where entry n + 1 starts; entries are numbered from 1
        self._end = 0
        self._pending: list[bytes] = []
        self._added = 0
        self._durable = 0
        self._writing: asyncio.Task[None] | None = None
        self._file = -1

    def open(self) -> Iterator[Entry]:
        """Take the file for this process, and yield what is in it.

        Raises ConfigurationError when another post office holds the file or a line is not ours.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"Another post office writes {self._path.name}; stop it or choose another log."
            ) from error
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # torn by a crash before anybody got an answer
                yield self._known(line)
        os.ftruncate(self._file, self._end)
        self._added = self._durable = len(self._offsets)

    def _known(self, line: bytes) -> Entry:
        try:
            entry: Entry = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(
                f"{self._path.name} line {len(self._offsets) + 1} is not JSON; move the file away."
            ) from error
        self._offsets.append(self._end)
        self._end += len(line)
        return entry

    def add(self, kind: str, fields: Entry) -> Entry:
        """Number and date one entry, and queue it for writing; ``settle`` makes it durable."""
        self._added += 1
        at = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {"seq": self._added, "at": at, "kind": kind, **fields}
        self._pending.append(orjson.dumps(entry) + b"\n")
        return entry

    async def settle(self) -> None:
        """Wait until every entry added so far is on disk."""
        target = self._added
        while self._durable < target:
            if self._writing is None:
                self._writing = asyncio.create_task(self._write_pending())
            await asyncio.shield(self._writing)

    async def _write_pending(self) -> None:
        lines, self._pending = self._pending, []
        try:
            await asyncio.to_thread(self._write, b"".join(lines))
            for line in lines:
                self._offsets.append(self._end)
                self._end += len(line)
            self._durable += len(lines)
        finally:
            self._writing = None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)

    async def rewrite(self, change: Callable[[Entry], Entry]) -> None:
        """Write the whole file anew with every entry changed; what is added meanwhile comes after."""
        while self._writing is not None or self._pending:
            await self.settle()
            if self._writing is not None:  # somebody else writes it anew
                await asyncio.shield(self._writing)
        self._writing = asyncio.create_task(self._rewrite(change))
        await asyncio.shield(self._writing)

    async def _rewrite(self, change: Callable[[Entry], Entry]) -> None:
        try:
            old = self._file
            self._file, self._offsets, self._end = await asyncio.to_thread(self._anew, change)
            os.close(old)
        finally:
            self._writing = None

    def _anew(self, change: Callable[[Entry], Entry]) -> tuple[int, "array[int]", int]:
        draft = self._path.with_name(f"{self._path.name}.anew")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        file = os.open(draft, flags, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        offsets, end = array("Q"), 0
        with self._path.open("rb") as lines, os.fdopen(os.dup(file), "wb") as out:
            for line in lines:
                data = orjson.dumps(change(orjson.loads(line))) + b"\n"
                out.write(data)
                offsets.append(end)
                end += len(data)
        os.fsync(file)
        draft.replace(self._path)
        return file, offsets, end

    def read(self, *, after: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that are on disk, numbered above ``after``."""
        last = min(self._durable, after + limit)
        if after >= last:
            return []
        end = self._offsets[last] if last < len(self._offsets) else self._end
        start = self._offsets[after]
        data = os.pread(self._file, end - start, start)
        return [orjson.loads(line) for line in data.splitlines()]

    @property
    def last(self) -> int:
        """The number of the newest entry on disk."""
        return self._durable

    async def close(self) -> None:
        """Write what is left and give the file back."""
        if self._file < 0:
            return
        await self.settle()
        os.close(self._file)
        self._file = -1
