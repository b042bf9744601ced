"""What the world does to a house: signals, stops, and webhooks true, false, twice and out of order."""

import contextlib
import json
import random
import threading
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson

from signalpost.clock import FileClock
from signalpost.postoffice.signing import EventSigner, twilio_signature
from tests.faults.evidence import Accepted, Answer, World
from tests.faults.house import House, http

EVENTS = "/webhooks/sendgrid/events"
STATUS = "/webhooks/twilio/status"


class Outside:
    """The world around a house, which writes down what it was told."""

    def __init__(self, house: House, world: World, *, seed: int = 0) -> None:
        self.house, self.world = house, world
        self.chance = random.Random(seed)
        self.keys: dict[str, str] = json.loads((house.home / "keys.json").read_text())
        self._sign = EventSigner(self.keys["sendgrid_webhook_private_key"])
        self._threads: list[threading.Thread] = []
        clock = house.environment.get("SIGNALPOST_CLOCK_FILE")
        self._clock = FileClock(house.home / "clock.json") if clock else None

    def now(self) -> datetime:
        """Give the time by which the house goes."""
        return self._clock() if self._clock else datetime.now(UTC)

    def post(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> Answer:
        """Call the house once, and note what it said; 0 when it did not answer."""
        began = time.monotonic()
        status = 0
        with contextlib.suppress(httpx.TransportError):
            answer = http.post(self.house.url() + path, content=content, headers=headers)
            status = answer.status_code
            if status >= 400:
                self.world.pages.append(answer.text)
        return Answer(self.now(), status, time.monotonic() - began)

    # -- signals --------------------------------------------------------------------------------

    def signal(self, event: str, message_id: str, who: str, **facts: Any) -> Answer:
        """Post one signal, as a client does: again and again until it is told that it is kept.

        ``phone`` and ``email`` say how to reach ``who``.
        """
        reach = {name: facts.pop(name) for name in ("phone", "email") if name in facts}
        item = {
            "type": "track",
            "event": event,
            "messageId": message_id,
            "userId": who,
            "properties": facts,
            "context": {"traits": reach},
        }
        body = orjson.dumps({"batch": [item], "writeKey": self.keys["write_key"]})
        while True:
            said = self.post("/v1/batch", body, {"content-type": "application/json"})
            self.world.signals.setdefault(f"segment:{message_id}", []).append(said)
            if said.status and said.status < 500:
                return said
            time.sleep(0.05)

    def alert(self, number: int) -> None:
        """Signal a fraud that somebody has to hear of at once."""
        transaction = f"T{number:05d}x"
        self.world.alerts[transaction] = self.now()
        self.signal(
            "fraud.signalled",
            f"fraud-{number}",
            f"a{number}",
            phone=f"+120577{number:05d}",
            email=f"a{number}@example.com",
            transaction_id=transaction,
            merchant=f"Shop {transaction}",
            amount={"amount": "249.00", "currency": "USD"},
            occurred_at=self.now().isoformat(),
        )

    def pickup(self, number: int) -> None:
        """Signal that an order can be fetched."""
        self.signal(
            "Order Ready For Pickup",
            f"pickup-{number}",
            f"p{number}",
            phone=f"+120588{number:05d}",
            email=f"p{number}@example.com",
            order_id=f"O{number:05d}x",
            store="Riverside",
        )

    def beside(self, *acts: Any) -> None:
        """Have several things happen at once, while the harness goes on."""
        for one in acts:
            thread = threading.Thread(target=one, daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def is_busy(self) -> bool:
        """Whether something that was begun beside still goes on."""
        return any(one.is_alive() for one in self._threads)

    # -- the post office ------------------------------------------------------------------------

    def fault(self, provider: str, fault: str, *, times: int = 1, **more: Any) -> None:
        """Let the next calls of a provider go wrong."""
        self.world.faults[f"{provider} {fault}"] += times
        wish = {"provider": provider, "fault": fault, "times": times, **more}
        http.post(self.house.url("postoffice") + "/postoffice/faults", json=wish).raise_for_status()

    def all_right(self) -> None:
        """Let nothing go wrong any more."""
        http.delete(self.house.url("postoffice") + "/postoffice/faults")

    # -- webhooks -------------------------------------------------------------------------------

    def events(self, *events: dict[str, Any], true: bool = True) -> Answer:
        """Post mail events, signed by SendGrid's key or by somebody else's."""
        body = orjson.dumps(list(events))
        headers = self._sign.headers(body)
        if not true:
            body = body.replace(b"delivered", b"spamreport") + b" "
        said = self.post(EVENTS, body, headers | {"content-type": "application/json"})
        if not true:
            self.world.forged.append(said)
        return said

    def event(self, about: Accepted, kind: str, *, at: int, id_: str) -> dict[str, Any]:
        """Make one mail event about a message."""
        return {
            "email": about.address,
            "timestamp": at,
            "event": kind,
            "sg_event_id": id_,
            "sg_message_id": f"{about.provider_id}.recv-1",
            "x_message_id": dashed(about.message_id),
            "x_delivery_id": dashed(about.delivery_id),
        }

    def status(self, url: str, fields: dict[str, str], *, token: str | None = None) -> Answer:
        """Post the status of a text message, signed with Twilio's token or with another."""
        signature = twilio_signature(
            token=token or self.keys["twilio_auth_token"], url=url, fields=fields
        )
        path = url.removeprefix(self.house.url())
        return self.post(
            path,
            urlencode(fields).encode(),
            {
                "content-type": "application/x-www-form-urlencoded",
                "x-twilio-signature": signature,
            },
        )

    def forge(self) -> None:
        """Try to be SendGrid, and Twilio, without their keys."""
        self.events(
            {"event": "delivered", "email": "forged@example.com", "sg_event_id": "forged-1"},
            true=False,
        )
        fields = {"MessageSid": "SMforged", "MessageStatus": "delivered", "To": "+15550001111"}
        url = self.house.url() + STATUS
        self.world.forged.append(self.status(url, fields, token="somebody else's"))
        fields = {
            "MessageSid": "SMforged2",
            "From": "+15550001111",
            "To": "+15005550006",
            "Body": "STOP forged",
        }
        url = self.house.url() + "/webhooks/twilio/inbound"
        self.world.forged.append(self.status(url, fields, token=""))


def dashed(key: str) -> str:
    """Write an id as the product does."""
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
