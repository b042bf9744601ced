"""What every peer's program shares: the campaign to send, and how it is told to send.

It runs in the peer's own environment, so it knows the standard library only.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

Person = dict[str, Any]  #: id, address, headers and words

FOLDER = Path(os.environ["PEER_FOLDER"])  #: databases and logs; gone after the run
SINK = os.environ["PEER_SINK"]  #: the null SendGrid, without ``/v3``


def campaign() -> dict[str, Any]:
    """Return the sender (``from``), the ``templates`` by part and the ``people``."""
    return json.loads(Path(os.environ["PEER_CAMPAIGN"]).read_text())


def drive(send: Callable[[list[Person]], None]) -> None:
    """Say ``ready``; send to as many as each line asks for; say ``done`` when all is settled."""
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes to the log
    people: Iterator[Person] = iter(campaign()["people"])
    told.write("ready\n")
    told.flush()
    for line in sys.stdin:
        send(list(islice(people, int(line))))
        told.write("done\n")
        told.flush()


def body(person: Person, sender: dict[str, str], parts: dict[str, str]) -> dict[str, Any]:
    """Return the request of ``mail/send`` for one person."""
    return {
        "from": sender,
        "personalizations": [
            {
                "to": [{"email": person["address"]}],
                "headers": person["headers"],
                "custom_args": {"x_message_id": person["id"]},
            }
        ],
        "subject": parts["subject"],
        "content": [
            {"type": "text/plain", "value": parts["text"]},
            {"type": "text/html", "value": parts["html"]},
        ],
    }
