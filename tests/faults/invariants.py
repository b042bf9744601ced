"""The fourteen invariants (I1 to I14), each a function over what can be seen from outside.

Each gives sentences that say what is wrong, or nothing. They are asked after a quiet period, when
nothing is open any more (``open_work``).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from tests.faults.evidence import TAKEN, Evidence, key_of, moment

#: How long a request may already be under way when somebody says stop.
UNDER_WAY = timedelta(seconds=2)
#: The same words may be said again on purpose: an alert that nobody answered.
REMINDED_AFTER = timedelta(minutes=4)
MOST_ATTEMPTS = 6
MOST_QUIET = 60.0  #: seconds until nothing is open, after the last fault has ended
MOST_MEMORY = 300  #: MB of a worker
ALERT_WITHIN = 1.5  #: seconds from signal to provider, 99 of 100, while a blast goes on
NEIGHBOURS_WITHIN = 5.0  #: seconds that a poisoned neighbour may cost anybody
WINDOW = time(8), time(21)
CAPS = ((2, timedelta(days=1)), (6, timedelta(days=7)))

Check = Callable[[Evidence], list[str]]


def open_work(e: Evidence, *, now: datetime | None = None) -> list[str]:
    """Give what the record still has to do: empty when a run has come to rest."""
    asked = {
        "enrolments due or claimed": (
            "SELECT count(*) FROM enrolments WHERE claim_id IS NOT NULL OR "
            "(status = 'active' AND due_at <= :now) OR (status = 'waiting' AND due_at <= :now)"
        ),
        "messages on their way": (
            "SELECT count(*) FROM messages WHERE status = 'sending' OR (status = 'queued' AND "
            "(enrolment_id IS NOT NULL OR campaign_run_id IN "
            "(SELECT id FROM campaign_runs WHERE status NOT IN ('paused', 'cancelled'))))"
        ),
        "campaigns that run": "SELECT count(*) FROM campaign_runs WHERE status = 'running'",
        "shards claimed": "SELECT count(*) FROM campaign_shards WHERE claim_id IS NOT NULL",
    }
    at = now or datetime.now(UTC)
    bound: Any = at if e.engine.dialect.name != "sqlite" else at.isoformat(" ", "microseconds")
    found = {
        what: e.count(query, **({"now": bound} if ":now" in query else {}))
        for what, query in asked.items()
    }
    return [f"{number} {what}" for what, number in found.items() if number]


def no_lost_event(e: Evidence) -> list[str]:
    """I1: what was answered 2xx is on the record once, and ends in something visible."""
    kept = e.world.kept()
    rows = e.rows("SELECT id, message_id, name, status FROM events")
    times = Counter(row["message_id"] for row in rows)
    wrong = [
        f"event {i} was answered 2xx and is {times[i]} times there" for i in kept if times[i] != 1
    ]
    mine = {row["id"]: row for row in rows if row["message_id"] in kept}
    starting = {"fraud.signalled", "order.ready_for_pickup"}
    entered = e.rows("SELECT id, context, status, reason, journey FROM enrolments")
    causes = " ".join(str(row["context"]) for row in entered)
    wrong += [
        f"event {row['message_id']} ({row['name']}) set nothing going"
        for id_, row in mine.items()
        if row["name"] in starting and row["status"] == "accepted" and id_ not in causes
    ]
    reached = {key_of(m["enrolment_id"]) for m in e.messages.values() if m["enrolment_id"]}
    wrong += [
        f"enrolment {row['id']} ({row['journey']}) is {row['status']} without a message or a reason"
        for row in entered
        if key_of(row["id"]) not in reached
        and not (row["status"] == "set_aside" and row["reason"])
        and not row["reason"]
    ]
    undecided = e.count(
        "SELECT count(*) FROM campaign_people WHERE outcome IS NULL AND campaign_run_id IN "
        "(SELECT id FROM campaign_runs WHERE status IN ('done', 'cancelled'))"
    )
    wrong += [f"{undecided} people of campaigns that are over were never decided"] * bool(undecided)
    return wrong + [f"still open: {one}" for one in open_work(e, now=e.world.now)]


def no_double_send(e: Evidence) -> list[str]:
    """I2: nobody gets one message twice: not by its id, and not by what it says."""
    by_id = Counter(one.message_id for one in e.accepted)
    wrong = [f"message {i} was accepted {n} times" for i, n in by_id.items() if n > 1]
    told: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for one in e.accepted:
        told[one.address, one.words].append(one.at)
    return wrong + [
        f"{address} was told the same twice within {second - first}"
        for (address, _), times in told.items()
        for first, second in pairwise(times)
        if second - first < REMINDED_AFTER
    ]


def ledger_is_log(e: Evidence) -> list[str]:
    """I3: what the record says was taken is what the post office took, by the same ids."""
    by_post = {one.message_id: one for one in e.accepted}
    external = {i: m for i, m in e.messages.items() if m["channel"] in ("email", "sms")}
    ledger = {i for i, m in external.items() if m["status"] in TAKEN}
    wrong = [
        f"message {i} was accepted, and the record has none such"
        for i in by_post.keys() - external.keys()
    ]
    wrong += [
        f"message {i} was accepted, and the record says {external[i]['status']}"
        for i in by_post.keys() & external.keys() - ledger - still_asked_about(e)
    ]
    wrong += [
        f"message {i} is {external[i]['status']}, and nobody accepted it"
        for i in ledger - by_post.keys()
    ]
    for delivery in e.deliveries:
        taken = by_post.get(key_of(delivery["message_id"]))
        if taken is None or delivery["status"] != "accepted" or not delivery["provider_id"]:
            continue
        if not str(delivery["provider_id"]).startswith(taken.provider_id):
            wrong.append(f"delivery {delivery['id']} names another message of the provider")
    return wrong


def still_asked_about(e: Evidence) -> set[str]:
    """Give the unknown messages whose provider's list is to be asked again: nothing is final yet."""
    asked = e.rows("SELECT message_id FROM lookups WHERE why = 'unknown' AND due_at IS NOT NULL")
    open_ = {key_of(row["message_id"]) for row in asked}
    return {i for i in open_ if i in e.messages and e.messages[i]["status"] == "unknown"}


def no_send_after_opt_out(e: Evidence) -> list[str]:
    """I4: after we have confirmed a stop, nothing more goes to that address."""
    started = {key_of(d["id"]): moment(d["started_at"]) for d in e.deliveries}
    wrong = []
    for one in e.accepted:
        stop = e.world.stops.get(one.address)
        if stop is None or one.seq <= stop.seq:
            continue
        said = stop.at
        if one.at > said + UNDER_WAY:
            wrong.append(f"{one.address} got a message {one.at - said} after the stop")
        elif (intended := started.get(one.delivery_id)) and intended > said:
            wrong.append(
                f"a message to {one.address} was intended {intended - said} after the stop"
            )
    return wrong


def marketing_in_window_and_cap(e: Evidence) -> list[str]:
    """I5: no marketing outside the person's own hours, nor over the caps, by the time it arrived."""
    marketing = {i: m for i, m in e.messages.items() if m["purpose"] == "marketing"}
    zones = {row["id"]: row["zone"] for row in e.rows("SELECT id, zone FROM customers")}
    arrived: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    wrong = []
    for one in e.accepted:
        message = marketing.get(one.message_id)
        if message is None:
            continue
        who = message["customer_id"]
        there = one.at.astimezone(ZoneInfo(zones.get(who) or "UTC"))
        if not WINDOW[0] <= there.time() < WINDOW[1]:
            wrong.append(f"an offer reached {one.address} at {there:%H:%M} their time")
        arrived[who, message["channel"]].append(one.at)
    for (who, channel), times in arrived.items():
        for most, period in CAPS:
            wrong += [
                f"customer {who} got more than {most} offers by {channel} within {period}"
                for at in times
                if sum(at <= other < at + period for other in times) > most
            ]
    return wrong


def forged_changes_nothing(e: Evidence) -> list[str]:
    """I6: a forged webhook is answered 403, and leaves no row."""
    wrong = [
        f"a forged webhook was answered {a.status}"
        for a in e.world.forged
        if a.status not in (0, 403)
    ]
    for table, column in (("receipts", "raw"), ("replies", "body"), ("suppressions", "address")):
        left = e.count(f"SELECT count(*) FROM {table} WHERE CAST({column} AS TEXT) LIKE '%forged%'")
        wrong += [f"{left} rows of {table} come from forged webhooks"] * bool(left)
    return wrong


def replay_changes_nothing(e: Evidence) -> list[str]:
    """I7: what comes again is answered 2xx, and is on the record once."""
    wrong = [
        f"a repeated call was answered {a.status}"
        for a in e.world.replayed
        if not 200 <= a.status < 300
    ]
    ids = Counter(
        raw_of(row["raw"]).get("sg_event_id")
        for row in e.rows("SELECT raw FROM receipts WHERE provider = 'sendgrid'")
    )
    wrong += [f"mail event {i} is {n} times there" for i, n in ids.items() if i and n > 1]
    texts = Counter(
        (raw.get("MessageSid"), raw.get("MessageStatus"))
        for row in e.rows("SELECT raw FROM receipts WHERE provider = 'twilio'")
        if (raw := raw_of(row["raw"]))
    )
    wrong += [f"status {s} of text {i} is {n} times there" for (i, s), n in texts.items() if n > 1]
    replies = Counter(row["provider_id"] for row in e.rows("SELECT provider_id FROM replies"))
    return wrong + [f"reply {i} is {n} times there" for i, n in replies.items() if i and n > 1]


def raw_of(value: Any) -> Mapping[str, Any]:
    """Read a JSON column as either database gives it."""
    import orjson

    return orjson.loads(value) if isinstance(value, str | bytes) else value or {}


def order_does_not_matter(e: Evidence) -> list[str]:
    """I8: messages that were told the same things, in whatever order and how often, stand alike."""
    wrong = []
    kinds: dict[str, set[str]] = defaultdict(set)
    for row in e.rows("SELECT message_id, kind FROM receipts WHERE message_id IS NOT NULL"):
        kinds[key_of(row["message_id"])].add(row["kind"])
    for alike in e.world.told_alike:
        stands = {e.messages[i]["status"] for i in alike if i in e.messages}
        heard = {frozenset(kinds[i]) for i in alike}
        if len(stands) > 1:
            wrong.append(f"told alike, {len(alike)} messages stand at {sorted(stands)}")
        if len(heard) > 1:
            wrong.append("told alike, messages have different histories")
    return wrong


def history_stays(e: Evidence) -> list[str]:
    """I9: what was once in the history is there, unchanged; and the audit log's chain holds."""
    now = e.history()
    wrong = []
    for before in e.world.snapshots:
        for key, row in before.items():
            if key not in now:
                wrong.append(f"{key} has vanished")
            elif changed := [c for c, v in row.items() if v != "None" and now[key].get(c) != v]:
                wrong.append(f"{key} has changed in {', '.join(changed)}")
    entries = sorted(
        (row for key, row in now.items() if key.startswith("audit_entries:")),
        key=lambda row: int(row["number"]),
    )
    for one, following in pairwise(entries):
        if following["previous"] != one["hash"]:
            wrong.append(f"audit entry {following['number']} does not follow the one before it")
    return wrong


def one_does_not_stop_others(e: Evidence) -> list[str]:
    """I10: whoever cannot be sent to is set aside with a reason, and costs nobody else anything."""
    wrong = []
    reasons = {
        m["address"]: m["reason"] or m["status"]
        for m in e.messages.values()
        if m["status"] in ("failed", "rejected", "expired")
    }
    aside = e.count("SELECT count(*) FROM campaign_people WHERE outcome = 'set_aside'") + e.count(
        "SELECT count(*) FROM enrolments WHERE status = 'set_aside'"
    )
    for address in e.world.poison:
        if any(one.address == address for one in e.accepted):
            wrong.append(f"{address} cannot be sent to, and was")
        elif not reasons.get(address) and not aside:
            wrong.append(f"nothing says why {address} got nothing")
    reached = {one.address for one in e.accepted}
    wrong += [
        f"{address} got nothing because of a neighbour"
        for address in e.world.neighbours - reached - e.world.poison
    ]
    if e.world.neighbours_seconds > NEIGHBOURS_WITHIN:
        wrong.append(f"the neighbours waited {e.world.neighbours_seconds:.1f} s")
    return wrong


def nobody_is_named(e: Evidence) -> list[str]:
    """I11: nobody's address or name is in a log, in Prefect's database or on an error page."""
    wrong = []
    for canary in e.world.canaries:
        wrong += [f"{name} holds {canary!r}" for name, text in e.logs() if canary in text]
        wrong += [f"an error page holds {canary!r}" for page in e.world.pages if canary in page]
        wrong += [
            f"Prefect's {file.name} holds {canary!r}"
            for file in (e.house.home / "prefect").glob("**/*.db*")
            if canary.encode() in file.read_bytes()
        ]
    return wrong


def recovers_in_time(e: Evidence) -> list[str]:
    """I12: a minute after the last fault nothing is open, and no claim outlives its lease."""
    wrong = []
    if e.world.quiet_seconds > MOST_QUIET + e.world.backlog_seconds:
        left = "; ".join(e.world.still_open)
        wrong.append(
            f"it took {e.world.quiet_seconds:.0f} s until nothing was open{left and ', but: '}{left}"
        )
    now = e.world.now or datetime.now(UTC)
    for table in ("enrolments", "campaign_shards"):
        for row in e.rows(f"SELECT claim_id, lease_until FROM {table} WHERE claim_id IS NOT NULL"):
            if moment(row["lease_until"]) < now - timedelta(seconds=MOST_QUIET):
                wrong.append(f"a claim in {table} is over since {row['lease_until']}")
            elif e.world.quiet_seconds > MOST_QUIET:
                wrong.append(f"a claim in {table} is held until {row['lease_until']}")
    sending = [m for m in e.messages.values() if m["status"] == "sending"]
    return wrong + [f"{len(sending)} messages are still called on their way"] * bool(sending)


def bounded(e: Evidence) -> list[str]:
    """I13: no storm of requests: one a message, and one more for each attempt; and no end of memory."""
    asked: Counter[str] = Counter(one.message_id for one in e.accepted)
    for entry in e.log:
        if entry["kind"] == "fault.hit" and not _was_taken(entry["fault"]):
            asked.update(i for about in entry.get("about", ()) if (i := _message_of(about)))
    most = 1 + MOST_ATTEMPTS
    wrong = [f"{n} requests were made for message {i}" for i, n in asked.items() if n > most]
    return wrong + [
        f"{name} took {size} MB" for name, size in e.world.memory.items() if size > MOST_MEMORY
    ]


def _was_taken(fault: str) -> bool:
    taken = fault.endswith("_processed") and not fault.endswith("not_processed")
    return taken or fault in ("slow", "drip")


def _message_of(about: Any) -> str:
    if isinstance(about, dict):
        return key_of(about.get("x_message_id", ""))
    return key_of(parse_qs(urlsplit(str(about or "")).query).get("m", [""])[0])


def alert_latencies(e: Evidence) -> list[float]:
    """Give, for each alert, the seconds from its signal to the first request that carried it."""
    first: dict[str, datetime] = {}
    for one in e.accepted:
        for transaction in e.world.alerts:
            if transaction in one.words:
                first[transaction] = min(first.get(transaction, one.at), one.at)
    return sorted((first[t] - at).total_seconds() for t, at in e.world.alerts.items() if t in first)


def fraud_goes_first(e: Evidence) -> list[str]:
    """I14: 99 of 100 alerts are with the provider in time, whatever else is going on."""
    seconds, within = alert_latencies(e), e.world.alert_within
    if not e.world.alerts or within == float("inf"):
        return []
    never = len(e.world.alerts) - len(seconds)
    if never:
        return [f"{never} alerts did not go out"]
    slow = seconds[min(int(len(seconds) * 0.99), len(seconds) - 1)]
    return [f"an alert took {slow:.2f} s (99 of 100), over {within} s"] if slow > within else []


CHECKS: Mapping[str, Check] = {
    "I1": no_lost_event,
    "I2": no_double_send,
    "I3": ledger_is_log,
    "I4": no_send_after_opt_out,
    "I5": marketing_in_window_and_cap,
    "I6": forged_changes_nothing,
    "I7": replay_changes_nothing,
    "I8": order_does_not_matter,
    "I9": history_stays,
    "I10": one_does_not_stop_others,
    "I11": nobody_is_named,
    "I12": recovers_in_time,
    "I13": bounded,
    "I14": fraud_goes_first,
}


def broken(e: Evidence, *names: str) -> dict[str, list[str]]:
    """Ask the named invariants, or all; gives those that do not hold, with what is wrong."""
    found = {name: check(e) for name, check in CHECKS.items() if not names or name in names}
    return {name: wrong for name, wrong in found.items() if wrong}
