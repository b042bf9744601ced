"""A person's own data: handed out, erased with a receipt, and kept erased after a restore."""

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from signalpost.cli import door, say
from signalpost.errors import BadInputError, ConflictError, PermanentError
from signalpost.record import audit, erasures
from signalpost.record.database import Database
from signalpost.services.privacy import erasing, exporting, receipts
from signalpost.settings import Settings

EXPORTED = "customer.exported"


def _now(settings: Settings) -> datetime:
    from signalpost.bootstrap import clock_of

    return clock_of(settings)()


def _write(out: Path, value: Mapping[str, Any]) -> None:
    """Write a file for its owner alone; one that is there already is not written over.

    Raises:
        ConflictError: there is such a file.
        BadInputError: it cannot be written.
    """
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConflictError(f"There is a file {out} already; name another one.") from None
    except OSError as error:
        raise BadInputError(f"{out} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


# -- handing out ---------------------------------------------------------------------------------


def export(settings: Settings, customer: str, *, out: Path | None) -> None:
    """Write all data of a person as JSON, to a file or to the terminal."""
    now = _now(settings)
    with door.opened(settings) as database:
        with database.reading() as session:
            root = door.find(session, customer)
            found = exporting.export(session, customer_id=root, now=now)
        if out is not None:
            _write(out, found)
        with database.writing() as session:
            audit.add(
                session,
                actor=door.actor(),
                action=EXPORTED,
                subject=f"customer:{found['customer_id']}",
                detail={"rows": sum(found["rows"].values())},
                now=now,
            )
    if out is None:
        say.as_json(found)
        return
    count = sum(found["rows"].values())
    say.out.print(
        f"{count} rows of {len(found['rows'])} tables are in {escape(str(out))}. It holds personal "
        "data: hand it over by a safe way, and delete it here.",
        soft_wrap=True,
    )


# -- erasing -------------------------------------------------------------------------------------


def plan(settings: Settings, customer: str) -> None:
    """Say what an erasure would reach, and change nothing."""
    with door.reading(settings) as session:
        found = erasing.plan(session, customer_id=door.find(session, customer))
    say.out.print(f"Nothing is changed. Customer {found.customer_id} would be erased:")
    if len(found.customer_ids) > 1:
        say.out.print(f"  {len(found.customer_ids)} customers that are one person")
    for table, count in sorted(found.rows.items()):
        say.out.print(f"  {table}: {count}")
    say.out.print(
        f"  addresses whose fingerprints stay, so that they stay blocked: {found.addresses}"
    )


def erase(settings: Settings, customer: str, *, reason: str, out: Path | None) -> None:
    """Erase a person, and give the receipt; what a provider delays is gone on with later."""
    with door.built(settings) as product:
        desk = product.desk
        with desk.database.reading() as session:
            root = door.find(session, customer)
        with desk.database.writing() as session:
            erasure_id = erasing.begin(
                session,
                customer_id=root,
                reason=reason,
                who=door.actor(),
                forgetting=desk.forgetting,
                now=desk.clock(),
            )
        receipt = asyncio.run(
            erasing.proceed(
                desk.database,
                erasure_id=erasure_id,
                forgetting=desk.forgetting,
                now=desk.clock(),
            )
        )
        if receipt is None:
            _say_waits(desk.database, erasure_id)
            return
    _give(receipt, out)


def _say_waits(database: Database, erasure_id: str) -> None:
    with database.reading() as session:
        steps = erasures.steps(session, erasure_id=erasure_id)
    waits = ", ".join(str(one["detail"]["waits"]) for one in steps if "waits" in one["detail"])
    say.out.print(
        f"Erased from the record (erasure {erasure_id}); not everywhere yet: {escape(waits)}. The "
        "worker of lane service goes on with it, and so does `signalpost erase --resume`; the receipt "
        "comes at the end.",
        soft_wrap=True,
    )


def _give(receipt: Mapping[str, Any], out: Path | None) -> None:
    if out is None:
        say.as_json(receipt)
        return
    _write(out, receipt)
    say.out.print(f"Erased. The signed receipt is in {escape(str(out))}.", soft_wrap=True)


def resume(settings: Settings) -> None:
    """Go on with every erasure that a provider delayed."""
    with door.built(settings) as product:
        desk = product.desk
        done = asyncio.run(
            erasing.proceed_all(
                desk.database, forgetting=desk.forgetting, now=desk.clock(), due_only=False
            )
        )
        with desk.database.reading() as session:
            left = erasures.unfinished(session)
        say.out.print(f"Finished: {done}. Still waiting: {len(left)}.")
        for erasure_id in left:
            _say_waits(desk.database, erasure_id)


def verify(settings: Settings, file: Path) -> None:
    """Say whether a receipt was signed by this installation, and whether it was changed since."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError):
        raise BadInputError(f"{file} cannot be read.") from None
    receipt = receipts.read(text)
    signer = receipts.Signer(settings.keys["erasure_key"])
    if not signer.signed(receipt):
        other = receipts.verify(receipt, public_key=str(receipt.get("public_key", "")))
        raise PermanentError(
            "The receipt is whole, but another installation signed it."
            if other
            else "The receipt was changed, or it is not ours: the signature does not fit."
        )
    say.out.print(
        f"The signature is right: customer {receipt['customer_id']} was erased on "
        f"{receipt['done_at'][:19]}Z by {escape(str(receipt['who']))}.",
        soft_wrap=True,
    )
