# pyright: reportMissingImports=false
"""The client's side: a task for each recipient."""

import time

import material

from huey_sqlite.work import huey, send


def send_all(people):
    """Queue everybody, and wait until every result is stored."""
    before = huey.storage.result_store_size()
    for person in people:
        send(person)
    while huey.storage.result_store_size() < before + len(people):
        time.sleep(0.1)


if __name__ == "__main__":
    material.drive(send_all)
