# pyright: reportMissingImports=false
# ruff: noqa: E402 - models can be imported only once Django is set up
"""The worker's side: one task sends one message, or a batch of them."""

import functools
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "celery_anymail.settings")

import django
import jinja2
import material
from celery import Celery

django.setup()

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.utils import timezone

from celery_anymail.models import Message

app = Celery("peer", broker=settings.REDIS)
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@functools.cache
def _tools():
    known = material.campaign()
    environment = jinja2.Environment(autoescape=False)
    templates = {part: environment.from_string(text) for part, text in known["templates"].items()}
    connection = get_connection()
    connection.open()  # kept: a new one for each message costs more
    sender = known["from"]
    return f"{sender['name']} <{sender['email']}>", templates, connection


def _note(keys, **values):
    Message.objects.filter(pk__in=keys).update(changed_at=timezone.now(), **values)


@app.task(acks_late=True)
def send(key):
    """Send one message; its row says beforehand that it is tried, and afterwards how it ended."""
    sender, templates, connection = _tools()
    message = Message.objects.get(pk=key)
    _note([key], status="sending")
    email = _email(templates, message.words, sender, [message.address], connection)
    email.extra_headers = message.headers
    email.metadata = {"x_message_id": message.message_id}
    email.send()
    _note([key], status="sent", provider_id=email.anymail_status.message_id)


@app.task(acks_late=True)
def send_batch(keys):
    """Send many messages by one request, as anymail's batch sending does; rows as above."""
    sender, templates, connection = _tools()
    messages = list(Message.objects.filter(pk__in=keys))
    _note(keys, status="sending")
    tags = {name: settings.TAG.format(name) for name in messages[0].words}
    addresses = [message.address for message in messages]
    email = _email(templates, tags, sender, addresses, connection)
    email.merge_data = {message.address: message.words for message in messages}
    email.merge_headers = {message.address: message.headers for message in messages}
    email.merge_metadata = {m.address: {"x_message_id": m.message_id} for m in messages}
    email.send()
    _note(keys, status="sent")


def _email(templates, words, sender, addresses, connection):
    parts = {part: template.render(words) for part, template in templates.items()}
    email = EmailMultiAlternatives(
        parts["subject"], parts["text"], sender, addresses, connection=connection
    )
    email.attach_alternative(parts["html"], "text/html")
    return email
