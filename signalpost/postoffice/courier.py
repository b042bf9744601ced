"""Carries webhooks to the product: signed, retried as each provider retries, every try logged."""

import asyncio
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urldefrag, urlencode

import aiohttp
import orjson
from yarl import URL

from signalpost.postoffice.book import Book
from signalpost.postoffice.config import PostOfficeConfig
from signalpost.postoffice.log import Entry, Log
from signalpost.postoffice.signing import EventSigner, twilio_signature

_MAX_BATCH = 1000
_GIVE_UP_AFTER = 24 * 3600  #: seconds; SendGrid's own bound
_GAPS = (1, 2, 5, 10, 30, 60, 120, 300)  #: seconds between tries, at the usual pace
_IN_FLIGHT = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What the product said to one webhook; no status means that it was never reached."""

    status: int | None
    body: str
    error: str | None

    @property
    def taken(self) -> bool:
        """Whether the product took the webhook."""
        return self.status is not None and 200 <= self.status < 300


class Courier:
    """Owns the outgoing connections and the background work of one post office."""

    def __init__(self, config: PostOfficeConfig, log: Log, book: Book) -> None:
        self._config, self._log, self._book = config, log, book
        self._signer = EventSigner(config.sendgrid_webhook_private_key)
        self._waiting: list[tuple[int, list[dict[str, Any]]]] = []
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Start carrying, beginning with the events a former process did not get rid of."""
        connector = aiohttp.TCPConnector(limit=_IN_FLIGHT)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        self.spawn(self._carry_events())
        for seq, events in list(self._book.unposted.items()):
            self.hand_over(seq, events)

    async def close(self) -> None:
        """Stop every background work."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something in the background until it ends or the post office closes."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The one HTTP client of this process."""
        if self._session is None:
            raise RuntimeError("The courier is not open.")
        return self._session

    async def record(self, kind: str, fields: Entry) -> Entry:
        """Write one entry to the log and into the book; it is on disk on return."""
        entry = self._log.add(kind, fields)
        self._book.apply(entry)
        await self._log.settle()
        return entry

    # -- SendGrid: batches of events ----------------------------------------------------------

    def hand_over(self, seq: int, events: list[dict[str, Any]]) -> None:
        """Queue logged events for the next batch."""
        self._waiting.append((seq, events))
        self._wake.set()

    async def _carry_events(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._config.delay)  # let a batch mix messages, as SendGrid does
            self._wake.clear()
            while self._waiting:
                self.spawn(self._post_batch(self._next_batch()))

    def _next_batch(self) -> list[tuple[int, list[dict[str, Any]]]]:
        size, count = 0, 0
        for _, events in self._waiting:
            if count and size + len(events) > _MAX_BATCH:
                break
            size, count = size + len(events), count + 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _post_batch(self, batch: list[tuple[int, list[dict[str, Any]]]]) -> None:
        url = self._config.sendgrid_events_url
        if url is None:
            return
        body = orjson.dumps([event for _, events in batch for event in events])
        begun, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            headers = {"Content-Type": "application/json", **self._signer.headers(body)}
            headers["User-Agent"] = "SendGrid Event API"
            answer = await self._post(url, body, headers, read=15)
            over = time.monotonic() - begun > _GIVE_UP_AFTER
            done = answer.taken or over
            refs = {"entries": [seq for seq, _ in batch], "events": sum(len(e) for _, e in batch)}
            await self._note("sendgrid", url, answer, attempt, done=done, **refs)
            if done:
                return
            await asyncio.sleep(self._gap(attempt))

    def _gap(self, attempt: int) -> float:
        pace = max(self._config.delay, 0.02) / 0.2
        return _GAPS[min(attempt, len(_GAPS)) - 1] * pace

    # -- Twilio: one form a webhook -----------------------------------------------------------

    async def post_form(self, *, url: str, fields: dict[str, str], sid: str) -> Answer:
        """POST one signed form; the URL's fragment (``#rc=5&rp=all``) says how often to retry."""
        bare, _, fragment = url.partition("#")
        wishes = parse_qs(fragment)
        retries = _retry_count(wishes)
        policies = set(",".join(wishes.get("rp", ["ct"])).split(","))
        body = urlencode(fields).encode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "X-Twilio-Signature": twilio_signature(
                token=self._config.twilio_auth_token, url=bare, fields=fields
            ),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
            "User-Agent": "TwilioProxy/1.1",
        }
        attempt = 0
        while True:
            attempt += 1
            answer = await self._post(bare, body, headers, read=15)
            done = answer.taken or attempt > retries or not _wants_retry(answer, policies)
            await self._note("twilio", bare, answer, attempt, done=done, sid=sid)
            if done:
                return answer
            await asyncio.sleep(min(self._gap(attempt), 2))

    # -- both ---------------------------------------------------------------------------------

    async def _post(self, url: str, body: bytes, headers: dict[str, str], *, read: float) -> Answer:
        timeout = aiohttp.ClientTimeout(total=read, connect=5)
        async with self._slots:
            try:
                async with self.session.post(
                    URL(url, encoded=True),  # as it was signed, byte for byte
                    data=body,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                ) as response:
                    content = await response.content.read(65_536)
                    return Answer(response.status, content.decode("utf-8", "replace"), None)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                return Answer(None, "", "connect")
            except TimeoutError:
                return Answer(None, "", "timeout")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Answer(None, "", type(error).__name__)

    async def one_click(self, url: str) -> Answer:
        """POST ``List-Unsubscribe=One-Click`` as a mailbox provider does (RFC 8058)."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._post(url, b"List-Unsubscribe=One-Click", headers, read=15)
        await self._note("mailbox", urldefrag(url).url, answer, 1, done=True)
        return answer

    async def _note(
        self, sender: str, url: str, answer: Answer, attempt: int, *, done: bool, **refs: Any
    ) -> None:
        fields = {"provider": sender, "url": url, "attempt": attempt, "status": answer.status}
        if answer.error:
            fields["error"] = answer.error
        await self.record("webhook.answer", {**fields, **refs, "done": done})


def _retry_count(wishes: dict[str, list[str]]) -> int:
    asked = wishes.get("rc", ["1"])[0]
    return min(int(asked), 5) if asked.isdecimal() else 1


def _wants_retry(answer: Answer, policies: set[str]) -> bool:
    if "all" in policies:
        return True
    if answer.status is None:
        return ("ct" if answer.error == "connect" else "rt") in policies
    return f"{answer.status // 100}xx" in policies
