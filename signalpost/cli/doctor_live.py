"""``signalpost doctor --live``: asks the installation that runs, and says what is wrong and what to do.

Nothing is sent and nothing is changed. Providers are asked for what needs no message: whether they
know our key.
"""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from signalpost.bootstrap import clock_of
from signalpost.cli.doctor import OK, WARN, WRONG, Check
from signalpost.cli.live_servers import account_checks, prefect_checks, web_checks
from signalpost.record import figures
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import is_current
from signalpost.services.watching.troubles import Trouble, standing
from signalpost.settings import Settings

if TYPE_CHECKING:
    from signalpost.cli.live_servers import Paused

#: How far this machine's clock may be from the database's: leases are a matter of 45 seconds.
_SKEW, _TOO_MUCH_SKEW = timedelta(seconds=3), timedelta(seconds=15)
_SLOW = 0.1  #: seconds for a question to the record
_ROOM, _LITTLE_ROOM = 2 * 1024**3, 200 * 1024**2  #: bytes
_SILENT = timedelta(minutes=30)  #: how long a provider may say nothing of what it took
_OLD = timedelta(hours=1)  #: how long a message may stay unknown before somebody should look

_REMEDIES = {
    "provider.degraded": "Look at the provider's status page and your account; it is tried again by "
    "itself. `signalpost campaign resume` once it works.",
    "alert.unanswered": "Call the customer: the case says who.",
    "lane.behind": "Is a worker of the lane running (`signalpost worker --lane …`)? More of them help "
    "with PostgreSQL.",
    "campaign.paused": "`signalpost campaign status RUN` says why; `campaign resume RUN` goes on.",
}


def examine(settings: Settings) -> Iterator[Check]:
    """Look at one thing after another; what does not answer keeps nobody from looking further."""
    yield _room(settings)
    yield from web_checks(settings)
    found = prefect_checks(settings)
    yield from found.checks
    database = Database(open_engine(settings.database_address))
    try:
        yield from _record(settings, database, found.paused)
    finally:
        database.close()
    yield from account_checks(settings)


def _room(settings: Settings) -> Check:
    free = shutil.disk_usage(settings.home if settings.home.exists() else ".").free
    says = f"{free / 1024**3:,.1f} GiB are free for {settings.home}."
    if free < _LITTLE_ROOM:
        return Check("disk", WRONG, says, "Make room now: a full disk stops the record.")
    return Check("disk", WARN if free < _ROOM else OK, says, "Make room." if free < _ROOM else "")


def _record(settings: Settings, database: Database, paused: "Paused") -> Iterator[Check]:
    try:
        if not is_current(database.engine):
            yield Check("record", WRONG, "It lacks tables.", "Run `signalpost migrate`.")
            return
        yield _answers(database)
        if not settings.clock_file:
            yield _clock(database)
        yield from _troubles(settings, database, paused)
        yield from _unsettled(settings, database)
        yield from _webhooks(settings, database)
    except Exception as error:
        yield Check(
            "record",
            WRONG,
            f"It does not answer ({type(error).__name__}).",
            "Start the database, or correct SIGNALPOST_DATABASE_URL. Signals are refused meanwhile, "
            "and their senders come again.",
        )


def _answers(database: Database) -> Check:
    began = time.perf_counter()
    database.ping()
    seconds = time.perf_counter() - began
    says = f"It answers in {seconds * 1000:.1f} ms."
    slow = seconds > _SLOW
    remedy = "Look at the database's load and at the way to it." if slow else ""
    return Check("record", WARN if slow else OK, says, remedy)


def _clock(database: Database) -> Check:
    """Claims and leases go by each machine's own clock."""
    if database.is_sqlite:
        return Check("clock", OK, "One machine, one clock.")
    with database.reading() as session:
        session.execute(text("SELECT 1"))
        before = datetime.now(UTC)
        theirs = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = datetime.now(UTC)
    skew = abs(theirs - (before + (after - before) / 2))
    says = f"This machine and the database differ by {skew.total_seconds():.2f} s."
    if skew > _SKEW:
        state = WRONG if skew > _TOO_MUCH_SKEW else WARN
        return Check("clock", state, says, "Let NTP set both clocks.")
    return Check("clock", OK, says)


def _troubles(settings: Settings, database: Database, paused: "Paused") -> Iterator[Check]:
    now = clock_of(settings)()
    with database.reading() as session:
        found = standing(
            session, now=now, paused_journeys=paused.deployments, paused_lanes=paused.lanes
        )
        due = figures.due(session, now=now)
    for one in found:
        yield Check(one.kind, _state(one), _says(one, now), _REMEDIES[one.kind])
    if not any(one.kind == "lane.behind" for one in found):
        waiting = ", ".join(f"{lane} {number:,}" for lane, number in due.items())
        yield Check("lanes", OK, f"Nobody waits too long. Due now: {waiting}.")


def _state(one: Trouble) -> str:
    by_hand = one.kind == "campaign.paused" and one.detail.get("by") != "signalpost"
    return WARN if by_hand or one.detail.get("what") == "slow" else WRONG


def _says(one: Trouble, now: datetime) -> str:
    more = ", ".join(f"{key} {value}" for key, value in one.detail.items() if value is not None)
    return f"{one.name}, for {_length(now - one.since)} ({more})."


def _unsettled(settings: Settings, database: Database) -> Iterator[Check]:
    now = clock_of(settings)()
    with database.reading() as session:
        rows = figures.unknown(session)
        parked = figures.parked(session)
    number = sum(row["number"] for row in rows)
    old = [row for row in rows if now - row["since"] > _OLD]
    says = f"Of {number:,} messages nobody knows whether they left." if number else "None."
    remedy = "`signalpost stuck` shows them, and what settles them." if old else ""
    yield Check("unknown messages", WARN if old else OK, says, remedy)
    if parked:
        remedy = "`signalpost redrive` lists them; those that wait for a time go on by themselves."
        yield Check("parked events", WARN, f"{parked:,} wait.", remedy)


def _webhooks(settings: Settings, database: Database) -> Iterator[Check]:
    """A provider that takes messages and never says what became of them cannot reach us."""
    now = clock_of(settings)()
    with database.reading() as session:
        heard, taken = figures.last_receipts(session), figures.last_accepted(session)
    for provider, at in sorted(taken.items()):
        if provider == "in_app":
            continue
        last = heard.get(provider)
        says = f"The last came {_length(now - last)} ago." if last else "None has ever come."
        if now - at > timedelta(minutes=2) and (last is None or at - last > _SILENT):
            yield Check(
                f"webhooks of {provider}",
                WRONG,
                f"{says} The last message went out {_length(now - at)} ago.",
                f"It must reach {settings.base_url}/webhooks/{provider}/… and its signature must be "
                "ours: SIGNALPOST_PUBLIC_URL, and the vendor's keys. The web logs each call that it "
                "refuses, and counts them: signalpost_refused_webhooks_total.",
            )
        else:
            yield Check(f"webhooks of {provider}", OK, says)


def _length(time_: timedelta) -> str:
    seconds = max(round(time_.total_seconds()), 0)
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"
