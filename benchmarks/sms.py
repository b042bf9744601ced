"""Text messages one by one: our Twilio adapter through the official async client, on loopback.

The post office stands in for Twilio in a process of its own, in null mode: it reads and checks each
request as always, answers 201, and keeps nothing. The floor, in the same run against the same
server: bare aiohttp that posts the same form and reads the answer.
"""

import asyncio
import base64
import contextlib
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from signalpost.domain.delivery import Letter
from signalpost.domain.text import Slot
from signalpost.domain.vocabulary import Channel, DeliveryStatus, Purpose
from signalpost.providers.twilio import Twilio, TwilioSettings
from signalpost.testing import Post

ROOT = Path(__file__).parents[1]
MESSAGES = 3_000
BATCH = Twilio.max_batch
BOUND = 1_000.0
ACCOUNT, TOKEN, SENDER = "AC" + "0" * 32, "0" * 32, "+15005550006"
CALLBACK = "https://signalpost.example/webhooks/twilio/status"

POST_OFFICE = """
import sys
from pathlib import Path
from signalpost.postoffice import PostOfficeConfig, new_sendgrid_keypair, serve
account, token, port, log = sys.argv[1:]
serve(PostOfficeConfig(
    log_path=Path(log), port=int(port), keep=False,
    twilio_account_sid=account, twilio_auth_token=token,
    sendgrid_api_key="SG.benchmark", sendgrid_webhook_private_key=new_sendgrid_keypair()[0],
))
"""

Send = Callable[[str, int], Coroutine[Any, Any, None]]


@contextlib.contextmanager
def null_server() -> Iterator[str]:
    """Run the post office in a process that keeps nothing; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = str(Path(folder) / "postoffice.jsonl")
        running = subprocess.Popen(
            [sys.executable, "-c", POST_OFFICE, ACCOUNT, TOKEN, str(port), log], cwd=ROOT
        )
        try:
            _until_it_answers(url, running)
            yield url
        finally:
            running.terminate()
            running.wait(20)


def _until_it_answers(url: str, running: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        if running.poll() is not None:
            raise RuntimeError("the post office ended")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the post office did not start")


LETTER = Letter(
    channel=Channel.SMS,
    message="pickup_ready",
    purpose=Purpose.TRANSACTIONAL,
    parts={"text": ("Your order ", Slot("s0"), " is ready to collect at Harbour.")},
)


def message(number: int) -> Post:
    """Make one pickup message, as the journey hands it over."""
    return Post(
        delivery_id=str(UUID(int=number)),
        message_id=str(UUID(int=number + 2**64)),
        customer_id=str(UUID(int=number + 2**65)),
        address=f"+1206{5_550_000 + number:07d}",
        slots={"s0": f"A-{number}"},
    )


async def ours(url: str, count: int) -> None:
    """Hand messages to the adapter, a batch at a time, as the flow does."""
    provider = Twilio(
        TwilioSettings(
            account_sid=ACCOUNT,
            api_key=ACCOUNT,
            api_secret=TOKEN,
            base_url=url,
            sender=SENDER,
            status_callback=CALLBACK,
            callback_secret="benchmark",
        )
    )
    try:
        for start in range(0, count, BATCH):
            batch = [message(n) for n in range(start, min(start + BATCH, count))]
            for handover in await provider.hand_over(LETTER, batch):
                if handover.status is not DeliveryStatus.ACCEPTED:
                    raise RuntimeError(f"{handover.status}: {handover.detail}")
    finally:
        await provider.close()


async def floor(url: str, count: int) -> None:
    """Post the same forms with nothing around them; as many calls in flight as the adapter has."""
    waiting = iter(range(count))
    address = f"{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    login = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    async with aiohttp.ClientSession(headers={"Authorization": f"Basic {login}"}) as session:

        async def client() -> None:
            for number in waiting:
                body = f"Your order A-{number} is ready to collect at Harbour."
                form = {"To": message(number).address, "From": SENDER, "Body": body}
                async with session.post(
                    address, data=form | {"StatusCallback": CALLBACK}
                ) as answer:
                    if answer.status != 201:
                        raise RuntimeError(await answer.text())
                    await answer.json()

        await asyncio.gather(*(client() for _ in range(_in_flight())))


def _in_flight() -> int:
    return TwilioSettings(account_sid="", api_key="", api_secret="").concurrency


def best(url: str, *sends: Send) -> list[tuple[float, float]]:
    """Return messages a second and our CPU in ms for each, the best of three turns."""
    for send in sends:
        asyncio.run(send(url, 200))  # warm
    turns = [[_measure(send, url) for send in sends] for _ in range(3)]  # noise meets all alike
    return [
        (max(rate for rate, _ in found), min(cpu for _, cpu in found))
        for found in zip(*turns, strict=True)
    ]


def _measure(send: Send, url: str) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    asyncio.run(send(url, MESSAGES))
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return MESSAGES / wall, cpu / MESSAGES * 1000


def run() -> list[dict[str, Any]]:
    """Measure; gives one result, with the floor beside it."""
    with null_server() as url:
        (bare, bare_cpu), (rate, cpu) = best(url, floor, ours)
    return [
        {
            "name": "SMS one by one, official async client",
            "value": round(rate),
            "unit": "messages/s",
            "bound": f">= {BOUND:,.0f}",
            "holds": rate >= BOUND,
            "peers": {
                "our CPU a message, ms": round(cpu, 3),
                "bare aiohttp, same form and server": round(bare),
                "its CPU a message, ms": round(bare_cpu, 3),
            },
            "machine": (
                f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
            ),
        }
    ]


if __name__ == "__main__":
    for result in run():
        sys.stdout.write(json.dumps(result) + "\n")
