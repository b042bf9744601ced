"""The writer of signals: it commits what waits in one transaction.

Many requests at once share a commit, so durability (an fsync) is paid once for all of them; each
request still gets its answer only after its own signals are committed.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import InterfaceError, OperationalError

from signalpost import bootstrap
from signalpost.crash_points import reach
from signalpost.record.database import Database
from signalpost.services.intake import signals
from signalpost.services.intake.signals import Accepted, Signal, SignalPolicy
from signalpost.telemetry import traces
from signalpost.web.errors import Problem

Answer = list[Accepted]

#: PostgreSQL's codes for "somebody else was quicker, try again".
_TRY_AGAIN = {"40001", "40P01"}


class Unavailable(Problem):
    """Nothing was kept; the client should send it again later."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(503, detail, headers={"retry-after": str(retry_after)})


def _away() -> Unavailable:
    return Unavailable("the database is away and nothing was kept; send it again", retry_after=5)


@dataclass(slots=True)
class _Waiting:
    """One request's signals, and where its answer goes."""

    signals: Sequence[Signal]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Answer] = field(repr=False)

    def settle(self, answer: Answer | BaseException) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, answer)

    def _settle(self, answer: Answer | BaseException) -> None:
        if self.answer.done():
            return
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Committer:
    """One thread that writes the signals of all requests, a transaction at a time.

    ``on_commit`` is called after each commit, on the writer's thread: it wakes the worker.
    """

    def __init__(
        self,
        *,
        database: Database,
        react: signals.React,
        policy: SignalPolicy,
        clock: Callable[[], datetime],
        on_commit: Callable[[], None] = lambda: None,
        most_together: int = 1_000,
        most_waiting: int = 20_000,
    ) -> None:
        self._database = database
        self._react = react
        self.policy = policy
        self.clock = clock
        self._on_commit = on_commit
        self._most_together = most_together
        self._most_waiting = most_waiting
        self._queue: deque[_Waiting] = deque()
        self._count = 0
        self._ready = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    async def submit(self, batch: Sequence[Signal]) -> Answer:
        """Keep signals; returns when they are committed.

        Raises:
            Unavailable: the database is away or too much is waiting; nothing was kept.
        """
        if not batch:
            return []
        loop = asyncio.get_running_loop()
        waiting = _Waiting(batch, loop, loop.create_future())
        with self._ready:
            if self._closing:
                raise Unavailable("the server is stopping; send it again", retry_after=5)
            if self._count + len(batch) > self._most_waiting and self._count:
                raise Unavailable("too many signals are waiting; send it again", retry_after=1)
            self._queue.append(waiting)
            self._count += len(batch)
            if self._thread is None:
                bootstrap.spare_the_collector()
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
            self._ready.notify()
        return await waiting.answer

    def close(self) -> None:
        """Commit what waits, and stop."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        while together := self._next():
            self._commit(together)

    def _next(self) -> list[_Waiting]:
        with self._ready:
            while not self._queue and not self._closing:
                self._ready.wait()
            together: list[_Waiting] = []
            size = 0
            while self._queue and (
                not together or size + len(self._queue[0].signals) <= self._most_together
            ):
                waiting = self._queue.popleft()
                together.append(waiting)
                size += len(waiting.signals)
            self._count -= size
            return together

    def _commit(self, together: list[_Waiting], *, again: bool = True) -> None:
        try:
            answers = self._write([s for waiting in together for s in waiting.signals])
        except (OperationalError, InterfaceError) as error:
            if again and getattr(error.orig, "sqlstate", None) in _TRY_AGAIN:
                self._commit(together, again=False)
                return
            self._tell(together, _away())
        except Exception as error:
            if len(together) == 1:
                self._tell(together, error)
                return
            for waiting in together:
                self._commit([waiting])
        else:
            start = 0
            for waiting in together:
                end = start + len(waiting.signals)
                waiting.settle(answers[start:end])
                start = end

    def _write(self, batch: Sequence[Signal]) -> Answer:
        with self._database.writing() as session:
            answers = signals.accept(
                session,
                signals=batch,
                now=self.clock(),
                react=self._react,
                policy=self.policy,
            )
            reach("intake.writing")
        reach("intake.committed")
        self._on_commit()
        if traces.is_on():
            for one in answers:
                if one.status != "duplicate":
                    traces.began("signal", cause=one.event_id, status=one.status)
        return answers

    def _tell(self, together: Sequence[_Waiting], error: BaseException) -> None:
        for waiting in together:
            waiting.settle(error)
