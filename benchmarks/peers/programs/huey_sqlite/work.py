# pyright: reportMissingImports=false
"""The worker's side: the queue's row is huey's intent, the stored result (SendGrid's id) its record."""

import functools

import jinja2
import material
import requests
from huey import SqliteHuey

huey = SqliteHuey("peer", filename=str(material.FOLDER / "huey.db"), fsync=True, timeout=30)


@functools.cache
def _tools():
    known = material.campaign()
    environment = jinja2.Environment(autoescape=False)  # the words are escaped already
    templates = {part: environment.from_string(text) for part, text in known["templates"].items()}
    session = requests.Session()
    session.trust_env = False  # looking for proxies costs a millisecond a call
    return known["from"], templates, session


@huey.task()
def send(person):
    """Send to one recipient; the provider's id is the task's result."""
    sender, templates, session = _tools()
    parts = {part: template.render(person["words"]) for part, template in templates.items()}
    body = material.body(person, sender, parts)
    answer = session.post(f"{material.SINK}/v3/mail/send", json=body, timeout=30)
    answer.raise_for_status()
    return answer.headers["X-Message-Id"]
