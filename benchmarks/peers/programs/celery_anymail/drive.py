# pyright: reportMissingImports=false, reportFunctionMemberAccess=false
"""The client's side: a row for each recipient, and a task each; with ``batch``, a task for 1,000."""

import sys
import time

import material
from django.db import connection

from celery_anymail.work import send, send_batch

from celery_anymail.models import Message  # isort: skip - after Django is set up

BATCHED = "batch" in sys.argv


def send_all(people):
    """Queue everybody, and wait until each row says that its message was sent."""
    rows = Message.objects.bulk_create(
        [
            Message(
                message_id=person["id"],
                address=person["address"],
                headers=person["headers"],
                words=person["words"],
            )
            for person in people
        ],
        batch_size=500,
    )
    keys = [row.pk for row in rows]
    if BATCHED:
        for start in range(0, len(keys), 1_000):
            send_batch.delay(keys[start : start + 1_000])
    else:
        for key in keys:
            send.delay(key)
    while Message.objects.exclude(status="sent").exists():
        time.sleep(0.1)


if __name__ == "__main__":
    with connection.schema_editor() as editor:
        editor.create_model(Message)
    material.drive(send_all)
