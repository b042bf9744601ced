"""Prefect with a task per recipient: a flow maps it over all, on threads, as its guides show.

Prefect's own server keeps the record of each task run. It runs in our environment, which has Prefect.
Parameters are numbers: Prefect stores them, and refuses large ones.
"""

import functools
import threading
from typing import Any

import jinja2
import material
import requests
from prefect import flow, task
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

_mine = threading.local()


@functools.cache
def _known() -> tuple[dict[str, str], dict[str, jinja2.Template], list[material.Person]]:
    known = material.campaign()
    environment = jinja2.Environment(autoescape=False)  # the words are escaped already
    templates = {part: environment.from_string(text) for part, text in known["templates"].items()}
    return known["from"], templates, known["people"]


def _session() -> requests.Session:
    if not hasattr(_mine, "session"):
        _mine.session = requests.Session()
        _mine.session.trust_env = False  # looking for proxies costs a millisecond a call
    return _mine.session


@task
def send(number: int) -> str:
    """Send to one recipient; returns the provider's id."""
    sender, templates, people = _known()
    person = people[number]
    parts = {part: template.render(person["words"]) for part, template in templates.items()}
    body = material.body(person, sender, parts)
    answer = _session().post(f"{material.SINK}/v3/mail/send", json=body, timeout=30)
    answer.raise_for_status()
    return answer.headers["X-Message-Id"]


@flow(task_runner=ThreadPoolTaskRunner(max_workers=8))  # type: ignore[arg-type]
def campaign(first: int, count: int) -> int:
    """Send to ``count`` recipients from ``first`` on."""
    futures: Any = send.map(range(first, first + count))
    wait(futures)
    return len([future.result() for future in futures])


def send_all(people: list[material.Person]) -> None:
    """Run the flow; it returns when every task run is settled."""
    numbers = {person["id"]: number for number, person in enumerate(_known()[2])}
    campaign(numbers[people[0]["id"]], len(people))


if __name__ == "__main__":
    material.drive(send_all)
