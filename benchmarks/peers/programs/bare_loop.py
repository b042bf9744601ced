"""The floor: render each person's words, put 1,000 people into a request, post it. No record, no gate.

It runs in our own environment and renders as we do; what we add to this is the price of the record.
"""

import http.client
import os
import sys
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.peers.campaign import SENDER, Campaign
from signalpost.domain.text import Slot

BATCH = 1_000


class BareLoop:
    """One connection and one loop, over every ``step``-th recipient from ``first``."""

    def __init__(self, first: int, step: int) -> None:
        self._campaign = Campaign()
        self._next, self._step = first, step
        self._connection = http.client.HTTPConnection(
            os.environ["PEER_SINK"].removeprefix("http://")
        )
        variant, _, _ = self._campaign.own_words(first)
        self._text = {
            part: "".join(_tag(p.name) if isinstance(p, Slot) else p for p in pieces)
            for part, pieces in variant.parts.items()
        }

    def send(self, count: int) -> None:
        """Send to the next ``count`` recipients."""
        while count > 0:
            people = [self._person() for _ in range(min(count, BATCH))]
            self._post(people)
            count -= len(people)

    def _person(self) -> dict[str, Any]:
        number, campaign = self._next, self._campaign
        self._next += self._step
        _, words, unsubscribe = campaign.own_words(number)
        return {
            "to": [{"email": campaign.address(number)}],
            "headers": campaign.headers(unsubscribe),
            "custom_args": {"x_message_id": campaign.message_id(number)},
            "substitutions": {_tag(name): value for name, value in words.items()},
        }

    def _post(self, people: list[dict[str, Any]]) -> None:
        body = orjson.dumps(
            {
                "from": SENDER,
                "personalizations": people,
                "subject": self._text["subject"],
                "content": [
                    {"type": "text/plain", "value": self._text["text"]},
                    {"type": "text/html", "value": self._text["html"]},
                ],
            }
        )
        self._connection.request("POST", "/v3/mail/send", body)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 202:
            raise RuntimeError(f"HTTP {answer.status}")


def _tag(name: str) -> str:
    return f"[%{name}%]"


if __name__ == "__main__":
    first, step = (int(part) for part in os.environ["PEER_SHARE"].split("/"))
    loop = BareLoop(first, step)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        loop.send(int(line))
        sys.stdout.write("done\n")
        sys.stdout.flush()
