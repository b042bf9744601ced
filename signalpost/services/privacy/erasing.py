"""Erasing a person: at once on the record, then step by step wherever else they are known.

1. ``begin``, one transaction: their journeys and campaigns stop, every table is emptied of them, and
   what is left to do is written down as steps. From here on nothing leads to them.
2. ``proceed``, again and again until all is done: each provider, the disk, the receipt. A provider
   that is down delays its step and nothing else.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.erasure import Erased, Eraser, Forgetting, NotErasedError
from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record import audit, customers, erasing, erasures, events, personal
from signalpost.record.base import new_id
from signalpost.record.database import Database
from signalpost.record.personal import Person
from signalpost.services import forgotten
from signalpost.services.inbound import optouts
from signalpost.services.privacy import finding
from signalpost.services.privacy.receipts import FORMAT, Signer

log = structlog.get_logger(__name__)

DISK, RECEIPT = "disk", "receipt"
ACTION = "customer.erased"
#: A hand-over that was begun so long ago has ended, or nobody will ever know how.
_IN_FLIGHT = timedelta(minutes=10)
_SOON, _LATEST = timedelta(seconds=30), timedelta(hours=1)


@dataclass(frozen=True)
class Plan:
    """What an erasure would do: table → rows."""

    customer_id: str
    customer_ids: Sequence[str]
    rows: Mapping[str, int]
    addresses: int


def plan(session: Session, *, customer_id: str) -> Plan:
    """Say what an erasure would reach, and change nothing.

    Raises:
        NotFoundError: there is no such customer.
    """
    person = finding.person(session, customer_id=customer_id)
    return Plan(
        person.root, person.family, personal.everywhere(session, person), len(person.addresses)
    )


def begin(
    session: Session,
    *,
    customer_id: str,
    reason: str,
    who: str,
    forgetting: Forgetting,
    now: datetime,
) -> str:
    """Erase a person from the record, in the caller's transaction; gives the erasure's id.

    Raises:
        NotFoundError: there is no such customer.
        ConflictError: they are erased already.
        BadInputError: the reason is empty.
    """
    if not reason.strip():
        raise BadInputError("The reason is empty. Say why; it is kept, so name nobody in it.")
    person = _hold(session, customer_id)
    if erasures.of_customers(session, customer_ids=[person.root]):
        raise ConflictError(f"Customer {person.root} is erased already.")
    _stop(session, person, now)
    erasing.blank_names(session, person=person)
    kept, counts = _empty(session, person, forgetting, now)
    erasure_id = new_id()
    erasures.add(
        session,
        erasure={
            "id": erasure_id,
            "customer_id": person.root,
            "customer_ids": list(person.family),
            "who": who,
            "reason": reason.strip(),
            "counts": counts,
            "outstanding": {"addresses": list(person.addresses)},
            "receipt": {},
            "requested_at": now,
            "done_at": None,
        },
        steps=[*(eraser.name for eraser in forgetting.erasers), DISK, RECEIPT],
    )
    audit.add(
        session,
        actor=who,
        action=ACTION,
        subject=f"customer:{person.root}",
        detail={"erasure": erasure_id, "rows": sum(counts.values()), "fingerprints": kept},
        now=now,
    )
    return erasure_id


def _hold(session: Session, customer_id: str) -> Person:
    """Find the person, and keep everybody else from writing about them until this is committed.

    In the order in which others lock: signals hold keys before people, campaigns their shards.
    """
    found = finding.person(session, customer_id=customer_id)
    events.hold(session, events.LOCK_KEYS, (":".join(key) for key in found.keys))
    erasing.lock_shards(session, person=found)
    customers.lock_customers(session, found.family)
    return finding.person(session, customer_id=customer_id)


def _stop(session: Session, person: Person, now: datetime) -> None:
    """End journeys, take them out of campaigns, and close what was not handed over yet."""
    erasing.leave_journeys(session, person=person, now=now)
    erasing.leave_campaigns(session, person=person, now=now)
    erasing.close_messages(session, person=person, now=now)
    erasing.release_strays(session, person=person)


def _empty(
    session: Session, person: Person, forgetting: Forgetting, now: datetime
) -> tuple[int, dict[str, int]]:
    """Keep their blocks by fingerprint, and empty every table; gives how many of each."""
    kept = forgotten.remember(
        session,
        fingerprints=forgetting.fingerprints,
        addresses=person.addresses,
        in_force=optouts.in_force(session, person.addresses),
        now=now,
    )
    counts = {
        name: count
        for name, holding in personal.HOLDINGS.items()
        if (count := holding.erase(session, person, now))
    }
    return kept, counts


async def proceed(
    database: Database, *, erasure_id: str, forgetting: Forgetting, now: datetime
) -> dict[str, Any] | None:
    """Do the steps that are left; gives the receipt once all are done, else None.

    Raises:
        NotFoundError: there is no such erasure.
    """
    with database.reading() as session:
        erasure = erasures.one(session, erasure_id=erasure_id)
        left = [one for one in erasures.steps(session, erasure_id=erasure_id) if not one["done_at"]]
    if erasure is None:
        raise NotFoundError(f"There is no erasure {erasure_id}.")
    if erasure["done_at"]:
        return dict(erasure["receipt"])
    erasers = {one.name: one for one in forgetting.erasers}
    waits = False
    for step in left:
        if step["step"] == RECEIPT:
            continue
        try:
            detail = await _do(database, erasure, step["step"], erasers, now)
        except NotErasedError as error:
            waits = True
            _note(database, erasure_id, step, {"waits": str(error)}, now, done=False)
            log.info("erasure.waits", erasure=erasure_id, step=step["step"])
        else:
            _note(database, erasure_id, step, detail, now, done=True)
    if waits:
        return None
    return await asyncio.to_thread(_finish, database, erasure, forgetting, now)


async def proceed_all(
    database: Database, *, forgetting: Forgetting, now: datetime, due_only: bool = True
) -> int:
    """Go on with the erasures whose next step is due; gives how many were finished."""
    with database.reading() as session:
        ids = erasures.unfinished(session, now=now if due_only else None)
    finished = 0
    for erasure_id in ids:
        receipt = await proceed(database, erasure_id=erasure_id, forgetting=forgetting, now=now)
        finished += receipt is not None
    return finished


async def _do(
    database: Database,
    erasure: RowMapping,
    step: str,
    erasers: Mapping[str, Eraser],
    now: datetime,
) -> dict[str, Any]:
    if step == DISK:
        await asyncio.to_thread(_compact, database)
        return {"compacted": database.is_sqlite}
    eraser = erasers.get(step)
    if eraser is None:
        raise NotErasedError(f"no account of {step} is set up here")
    with database.reading() as session:
        known = erasing.at_provider(
            session, customer_ids=erasure["customer_ids"], provider=step, since=now - _IN_FLIGHT
        )
    addresses = erasure["outstanding"].get("addresses", [])
    done = await eraser.erase(addresses=addresses, provider_ids=known.ids)
    if known.in_flight:
        raise NotErasedError(f"{known.in_flight} messages are on their way to {step}")
    return _said(done, known)


def _said(done: Erased, known: erasing.AtProvider) -> dict[str, Any]:
    said: dict[str, Any] = {"addresses": done.addresses, "messages": done.messages}
    if done.job_ids:
        said["job_ids"] = list(done.job_ids)
    if known.unknown:
        said["unknown"] = known.unknown  # nobody knows whether the provider ever had them
    return said


def _compact(database: Database) -> None:
    try:
        database.compact()
    except TimeoutError as error:
        raise NotErasedError("the database is busy") from error


def _note(
    database: Database,
    erasure_id: str,
    step: RowMapping,
    detail: Mapping[str, Any],
    now: datetime,
    *,
    done: bool,
) -> None:
    wait = min(_SOON * 2 ** min(step["attempts"], 10), _LATEST)
    with database.writing() as session:
        erasures.note_step(
            session,
            erasure_id=erasure_id,
            step=step["step"],
            detail=detail,
            next_at=now if done else now + wait,
            done_at=now if done else None,
        )


def _finish(
    database: Database, erasure: RowMapping, forgetting: Forgetting, now: datetime
) -> dict[str, Any]:
    """Sign the receipt, keep it, and forget the addresses that were kept for the providers.

    What was on its way when the erasure began has ended by now, and may have left a word about its
    address: it is emptied once more.
    """
    with database.writing() as session:
        _empty(session, _as_erased(session, erasure), forgetting, now)
        steps = {one["step"]: one for one in erasures.steps(session, erasure_id=erasure["id"])}
        receipt = Signer(forgetting.signing_key).sign(_receipt(erasure, steps, now))
        erasures.note_step(
            session,
            erasure_id=erasure["id"],
            step=RECEIPT,
            detail={},
            next_at=now,
            done_at=now,
        )
        erasures.finish(session, erasure_id=erasure["id"], receipt=receipt, now=now)
    _compact(database)  # the addresses that were kept for the providers are gone from the disk too
    _keep(receipt, forgetting)
    log.info("erasure.done", erasure=erasure["id"])
    return receipt


def _as_erased(session: Session, erasure: RowMapping) -> Person:
    """The person of an erasure; addresses that somebody else has by now are that one's."""
    family = tuple(erasure["customer_ids"])
    known = list(erasure["outstanding"].get("addresses", ()))
    others = personal.held(session, addresses=known, outside=family)
    mine = tuple(one for one in known if one not in others)
    return Person(root=erasure["customer_id"], family=family, addresses=mine)


def _receipt(erasure: RowMapping, steps: Mapping[str, RowMapping], now: datetime) -> dict[str, Any]:
    elsewhere = {
        name: {**step["detail"], "at": step["done_at"].isoformat()}
        for name, step in steps.items()
        if name not in (DISK, RECEIPT)
    }
    stays = {name: personal.HOLDINGS[name].stays for name in erasure["counts"]}
    return {
        "format": FORMAT,
        "version": 1,
        "id": erasure["id"],
        "customer_id": erasure["customer_id"],
        "customer_ids": list(erasure["customer_ids"]),
        "who": erasure["who"],
        "reason": erasure["reason"],
        "requested_at": erasure["requested_at"].isoformat(),
        "done_at": now.isoformat(),
        "rows": dict(erasure["counts"]),
        "stays": stays,
        "providers": elsewhere,
        "prefect": "holds ids and counts only; nothing of a person was there",
        "disk": dict(steps[DISK]["detail"]) if DISK in steps else {},
    }


def _keep(receipt: Mapping[str, Any], forgetting: Forgetting) -> None:
    """Keep the receipt beside the record: whoever restores an old backup must erase again."""
    if forgetting.folder is None:
        return
    forgetting.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = forgetting.folder / f"{receipt['id']}.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(receipt, file, indent=1, ensure_ascii=False)
        file.write("\n")


def erase_again(
    session: Session,
    *,
    receipts: Sequence[Mapping[str, Any]],
    forgetting: Forgetting,
    now: datetime,
) -> list[str]:
    """Erase those whom a restored backup brought back; gives the new erasures.

    ``receipts``: those that were kept; only signed ones are obeyed.
    """
    signer = Signer(forgetting.signing_key)
    begun = []
    for receipt in receipts:
        root = str(receipt.get("customer_id"))
        if not signer.signed(receipt) or not customers.roots(session, [root]):
            continue
        if erasures.of_customers(session, customer_ids=[root]):
            continue
        reason = f"restored from a backup; first erased by {receipt['id']}"
        begun.append(
            begin(
                session,
                customer_id=root,
                reason=reason,
                who="restored",
                forgetting=forgetting,
                now=now,
            )
        )
    return begun
