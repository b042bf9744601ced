"""Crash runs by seed: a few real processes, killed where it hurts, and then both ends compared.

A run has a post office, a web and two senders, a campaign to a crowd, alerts and pickups by the front
door, and, by its seed, deaths at named places, at random moments, sleeps past the lease, and providers
that misbehave. It ends when nothing is open; then the invariants are asked.
"""

import contextlib
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from signalpost.clock import FileClock, set_file
from tests.faults import invariants
from tests.faults.evidence import TAKEN, Evidence, World, key_of, moment
from tests.faults.house import House, opened
from tests.faults.load import Outside
from tests.faults.places import Crowds

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)  #: offers may go out, whatever time it is here
LEASE = 1.5
#: Where senders die: each place of the send protocol, journeys' and campaigns'.
SENDER_PLACES = (
    "journey.claiming", "journey.claimed", "campaign.claiming", "campaign.claimed",
    "campaign.taken_over", "send.deciding", "send.decided", "send.intending", "send.intended",
    "send.left", "send.answered", "send.settling", "send.settled", "journey.moving",
    "journey.moved", "campaign.releasing", "campaign.released", "reconcile.losing",
    "reconcile.lost", "reconcile.listed", "reconcile.settling", "reconcile.settled",
)  # fmt: skip
#: Where the web dies.
WEB_PLACES = (
    "intake.writing", "intake.committed", "receipt.writing", "receipt.committed",
)  # fmt: skip
#: Answers of providers after which nothing may be sent again, and some after which it may.
ANSWERS = (
    "429", "500_processed", "500_not_processed", "503_processed", "502_not_processed", "reset",
    "reset_processed", "html_processed", "garbled", "garbled_processed", "redirect", "slow",
)  # fmt: skip


@dataclass
class Plan:
    """What a seed stands for."""

    seed: int
    dialect: str
    people: int
    wishes: dict[str, list[str]]  #: by process: where each of its lives ends
    kills: list[tuple[float, str]]  #: (seconds after the start, which process)
    answers: list[tuple[str, str]]  #: (provider, fault)
    alerts: int
    pickups: int
    receipts_are_late: bool

    @classmethod
    def of(cls, seed: int, *, people: int, dialects: tuple[str, ...]) -> "Plan":
        """Draw a run."""
        chance = random.Random(seed)
        wishes = {
            f"sender {n}": [
                _wish(chance, SENDER_PLACES) for _ in range(chance.choice((0, 1, 1, 2)))
            ]
            for n in (1, 2)
        }
        wishes["web"] = [_wish(chance, WEB_PLACES)] * chance.choice((0, 0, 1))
        return cls(
            seed=seed,
            dialect=dialects[seed % len(dialects)],
            people=people,
            wishes=wishes,
            kills=[
                (chance.random() * 2, chance.choice(("sender 1", "sender 2", "web")))
                for _ in range(chance.choice((0, 1, 2)))
            ],
            answers=[
                (chance.choice(("sendgrid", "twilio")), chance.choice(ANSWERS))
                for _ in range(chance.choice((0, 1, 2)))
            ],
            alerts=chance.choice((3, 8)),
            pickups=chance.choice((0, 10)),
            receipts_are_late=chance.random() < 0.4,
        )


def _wish(chance: random.Random, places: tuple[str, ...]) -> str:
    act = "=stop" if chance.random() < 0.2 else ""
    return f"{chance.choice(places)}#{chance.choice((1, 1, 2, 3))}{act}"


@dataclass
class Result:
    """What came of a run."""

    seed: int
    dialect: str
    messages: int = 0  #: that the post office took, to one person each
    on_record: int = 0  #: that the record has, on channels of providers
    lost: int = 0  #: events and people of whom nothing says what became
    doubled: int = 0  #: messages that somebody got twice
    unknown: int = 0  #: messages of which nobody knew, at some moment, whether they were taken
    settled: dict[str, int] = field(default_factory=dict)  #: how those ended
    faults: dict[str, int] = field(default_factory=dict)
    quiet_seconds: float = 0.0
    seconds: float = 0.0
    broken: dict[str, list[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give it for results.json."""
        return asdict(self)


class Run:
    """One crash run."""

    def __init__(self, plan: Plan, house: House) -> None:
        self.plan, self.house = plan, house
        self.world = World(canaries=("Shop T0", "+120577", "a1@example.com"))
        self.outside = Outside(house, self.world, seed=plan.seed)
        self.evidence = Evidence(house, self.world)
        self.left = {name: list(wishes) for name, wishes in plan.wishes.items()}
        self.unknown: set[str] = set()
        self._asleep: dict[str, float] = {}

    def play(self, seconds: float = 90) -> None:
        """Begin everything, let it be hurt, and wait until nothing is open."""
        self._begin()
        began = time.monotonic()
        kills = sorted(self.plan.kills)
        hurt_at = self.outside.now()
        end = began + seconds
        while True:
            if kills and time.monotonic() - began >= kills[0][0]:
                self._kill(kills.pop(0)[1])
            if self._look_after() or kills:
                hurt_at = self.outside.now()
            if not kills and not self._asleep and self._is_settled():
                break
            if time.monotonic() > end:
                self.world.still_open = self._still_open()
                break
            time.sleep(0.02)
        hits = (e["at"] for e in self.evidence.log if e["kind"] == "fault.hit")
        hurt_at = max([hurt_at, *map(moment, hits)])
        self.evidence.__dict__.pop("log", None)  # it goes on
        self.world.quiet_seconds = (self.outside.now() - hurt_at).total_seconds()
        self._let_time_pass()

    def _begin(self) -> None:
        house = self.house
        house.fork("postoffice", "postoffice")
        house.answers("postoffice", "/postoffice/health")
        self._fork("web")
        house.answers("web")
        for provider, fault in self.plan.answers:
            more = {"retry_after": 0} if fault == "429" else {}
            self.outside.fault(provider, fault, times=2, seconds=0.3, **more)
        begin_campaign(house)
        self.outside.beside(
            lambda: [self.outside.alert(n) for n in range(self.plan.alerts)],
            lambda: [self.outside.pickup(n) for n in range(self.plan.pickups)],
        )
        for name in ("sender 1", "sender 2"):
            self._fork(name)

    def _fork(self, name: str) -> None:
        wishes = self.left[name].pop(0) if self.left.get(name) else ""
        if wishes:
            self.world.faults[f"aimed {wishes}"] += 1
        play = "web" if name == "web" else "sender"
        self.house.fork(name, play, wishes=wishes, lease=LEASE)

    def _kill(self, name: str) -> None:
        self.house.running[name].send(signal.SIGKILL)
        self.house.running[name].wait(5)

    def _look_after(self) -> bool:
        """Begin the dead again, and wake those that slept past their lease; true when there were any."""
        hurt = False
        for name, one in list(self.house.running.items()):
            if one.code is not None:
                self.house.deaths[f"{name.split()[0]} {_place_of_death(self.house, name)}"] += 1
                self.world.faults[f"{name.split()[0]} died"] += 1
                self._fork(name)
                hurt = True
            elif name not in self._asleep and _is_asleep(one.pid):
                self._asleep[name] = time.monotonic() + LEASE + 0.5
                self.world.faults[f"{name.split()[0]} slept past its lease"] += 1
            elif name in self._asleep and time.monotonic() > self._asleep[name]:
                del self._asleep[name]
                one.send(signal.SIGCONT)
                hurt = True
        return hurt

    def _is_settled(self) -> bool:
        self._note_unknown()
        if self.outside.is_busy:
            return False
        with contextlib.suppress(Exception):  # the record may be away at this moment
            if not invariants.open_work(self.evidence, now=self.outside.now()):
                return True
            self._skip_waiting()
        return False

    def _still_open(self) -> list[str]:
        """Say what nobody came to the end of."""
        busy = ["signals that are still being sent"] if self.outside.is_busy else []
        try:
            return busy + invariants.open_work(self.evidence, now=self.outside.now())
        except Exception as error:
            return [*busy, f"the record does not answer: {type(error).__name__}"]

    def _skip_waiting(self) -> None:
        """Set the clock on when everybody only waits for a moment to come, such as a backoff's end."""
        held = "SELECT count(*) FROM {} WHERE claim_id IS NOT NULL"
        if any(self.evidence.count(held.format(t)) for t in ("enrolments", "campaign_shards")):
            return
        waits = "SELECT min(due_at) AS at FROM {} WHERE due_at IS NOT NULL AND {}"
        shards = "campaign_run_id IN (SELECT id FROM campaign_runs WHERE status = 'running')"
        found = self.evidence.rows(waits.format("enrolments", "status = 'active'"))
        found += self.evidence.rows(waits.format("campaign_shards", shards))
        due = min((moment(row["at"]) for row in found if row["at"]), default=None)
        if due and due > self.outside.now() + timedelta(seconds=0.5):
            set_file(self.house.home / "clock.json", due, speed=1)

    def _note_unknown(self) -> None:
        with contextlib.suppress(Exception):
            rows = self.evidence.rows("SELECT id FROM messages WHERE status = 'unknown'")
            self.unknown.update(str(row["id"]) for row in rows)

    def _let_time_pass(self, seconds: float = 30) -> None:
        """Let hours go by, until the providers' lists have been asked about all that is unknown."""
        end = time.monotonic() + seconds
        asked = (
            "SELECT min(due_at) AS at FROM lookups WHERE due_at IS NOT NULL AND message_id IN "
            "(SELECT id FROM messages WHERE status = 'unknown')"
        )
        self._rest(2)  # a receipt may be on its way
        while time.monotonic() < end and (due := self.evidence.rows(asked)[0]["at"]):
            if moment(due) > self.outside.now():
                later = moment(due) + timedelta(seconds=1)
                set_file(self.house.home / "clock.json", later, speed=1)
            self._rest(0.3)
        self._come_to_rest()

    def _rest(self, seconds: float) -> None:
        """Go on for a while, less when nothing is unknown."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._look_after()
            if not self.evidence.count("SELECT count(*) FROM messages WHERE status = 'unknown'"):
                return
            time.sleep(0.05)

    def _come_to_rest(self, seconds: float = 30) -> None:
        """Wait until nothing is open."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self._asleep or not self._is_settled()):
            self._look_after()
            time.sleep(0.02)

    def result(self, began: float) -> Result:
        """Hold both ends of the house against each other."""
        for name in ("sender 1", "sender 2", "web", "postoffice"):
            self._kill(name)
        e, plan = self.evidence, self.plan
        self.world.now = self.outside.now()
        self.world.alert_within = float("inf")  # those who should send are killed
        self.world.backlog_seconds = plan.people / 200
        found = invariants.broken(e)
        external = [m for m in e.messages.values() if m["channel"] in ("email", "sms")]
        unknown = set(map(key_of, self.unknown))
        taken = {one.message_id for one in e.accepted}
        asked = {key_of(r["message_id"]): r for r in e.rows("SELECT * FROM lookups")}
        ends: Counter[str] = Counter()
        for id_ in unknown:
            status, lookup = e.messages[id_]["status"], asked.get(id_, {})
            if status in TAKEN:
                listed = lookup.get("outcome") == "found" and lookup.get("asked")
                ends["taken, says the provider's list" if listed else "taken, says a receipt"] += 1
            elif lookup.get("due_at"):
                ends["still being asked about"] += 1
            else:
                was = "and was taken" if id_ in taken else "and was not taken"
                ends[f"{status} ({lookup.get('outcome') or 'never asked'}), {was}"] += 1
        return Result(
            seed=plan.seed,
            dialect=plan.dialect,
            messages=len(e.accepted),
            on_record=len(external),
            lost=len(found.get("I1", [])),
            doubled=len(found.get("I2", [])),
            unknown=len(unknown),
            settled=dict(ends),
            faults=dict(self.world.faults + self.house.deaths),
            quiet_seconds=round(self.world.quiet_seconds, 2),
            seconds=round(time.monotonic() - began, 2),
            broken={name: wrong[:5] for name, wrong in found.items()},
        )


def begin_campaign(house: House, wanted: Any = None) -> None:
    """Launch a campaign to everybody on the record: a notice by email, unless told."""
    from signalpost import bootstrap, settings
    from signalpost.services.campaigns import launching
    from signalpost.services.campaigns.runs import Launch
    from tests.faults import ready
    from tests.integration.campaign_engine import notice

    given = settings.load(home=house.home, database_url=house.database_url)
    product = bootstrap.build(given, journeys=(), campaigns={}, catalogue=ready.catalogue)
    now = FileClock(house.home / "clock.json")()
    wanted = Launch(campaign=wanted or notice(channels={"every": ["email"]}))
    run = launching.launch(product.desk, launch=wanted, by="harness", now=now)
    launching.start(product.desk, campaign_run_id=run.id, now=now)
    product.close()


def crash_run(
    plan: Plan, crowds: Crowds, folder: Path, *, mutant: str | None = None, keep: bool = False
) -> Result:
    """Play a seed, and say what came of it."""
    began = time.monotonic()
    home = folder / f"seed-{plan.seed}-{plan.dialect}"
    home.mkdir(parents=True)
    shutil.copyfile(_keys(folder), home / "keys.json")
    set_file(home / "clock.json", NOON, speed=1)
    url = crowds.record(plan.dialect, plan.people, home)
    settings = {
        "SIGNALPOST_CLOCK_FILE": str(home / "clock.json"),
        "SIGNALPOST_POSTOFFICE_DELAY": "60" if plan.receipts_are_late else "0.3",
    }
    with opened(home, url, settings=settings, mutant=mutant) as house:
        run = Run(plan, house)
        try:
            run.play(90 + plan.people / 50)
            result = run.result(began)
        finally:
            run.evidence.close()
    if not (keep or result.broken):
        crowds.drop(url)
        shutil.rmtree(home)
    return result


def _keys(folder: Path) -> Path:
    from signalpost import keys

    keys.load_or_make(folder)
    return folder / keys.FILE


def _is_asleep(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


def _place_of_death(house: House, name: str) -> str:
    log = house.log(name)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.removeprefix("signalpost: ") if last.startswith("signalpost: SIG") else "SIGKILL"


def environment_allows() -> str | None:
    """Say why crash runs cannot be made here; None when they can."""
    if not Path("/proc/self").is_dir():
        return "crash runs look at processes under /proc, which this system has not"
    return None
