"""The product as ``signalpost up`` runs it, each process by itself, and a SendGrid that does nothing."""

import contextlib
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks._null_sendgrid import NullSendGrid, null_sendgrid
from benchmarks._people import fill
from benchmarks._processes import Process, free_port, running
from signalpost import bootstrap, settings
from signalpost.domain.vocabulary import MessageStatus
from signalpost.record.base import metadata
from signalpost.services.campaigns import launching, runs
from signalpost.services.campaigns.runs import Launch, Run
from signalpost.worker.environment import prefect_environment

ROOT = Path(__file__).parents[1]
WARM_UP, WARM_UP_PEOPLE = "warm-up", 40  #: as the peers have

_CAMPAIGN = """\
name: {name}
description: The new jacket, to everybody in one cohort.
message: early_bird
audience: {{attribute: cohort, among: [{name}]}}
channels: {{every: [email]}}
facts: {{product: Harbour jacket}}
promotion: {{id: SPRING-24, code: LARK15, ends: 2036-05-31 17:00, zone: UTC}}
approval: never
"""
_OVER = ("done", "cancelled", "refused", "paused")


class House:
    """A record of people in cohorts, with a campaign for each, and the processes around it."""

    def __init__(self, *, home: Path, sink: NullSendGrid, given: Mapping[str, str]) -> None:
        self.home, self.sink = home, sink
        self.processes: dict[int, str] = {sink.process.pid: sink.process.name}
        self.started: dict[str, Process] = {}
        self.environment = {**given, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
        known = {key.removeprefix("SIGNALPOST_").lower(): value for key, value in given.items()}
        self.settings = settings.load(**known, templates=ROOT / "templates")
        self.app = bootstrap.build(self.settings)

    @contextlib.contextmanager
    def running(self, name: str, command: Collection[str]) -> Iterator[Process]:
        """Run a process with the house's environment; its CPU counts."""
        with running(
            name, [*command], folder=self.home, within=ROOT, environment=self.environment
        ) as process:
            self.processes[process.pid] = name
            self.started[name] = process
            yield process
        del self.processes[process.pid], self.started[name]

    @contextlib.contextmanager
    def prefect(self) -> Iterator[None]:
        """Run the Prefect server."""
        port = self.settings.prefect_port
        self.environment |= prefect_environment(self.home, port)
        command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui"]
        with self.running("Prefect server", command) as process:
            wait(lambda: answers(f"http://127.0.0.1:{port}/api/health"), 120, watched=[process])
            yield

    @contextlib.contextmanager
    def worker(self, lane: str) -> Iterator[Process]:
        """Run a lane's worker, and wait until it is ready."""
        name = f"{lane} worker"
        with self.running(name, cli("worker", "--lane", lane)) as process:
            wait(lambda: "worker.ready" in process.log(), 120, watched=[process])
            yield process

    @contextlib.contextmanager
    def web(self) -> Iterator[Process]:
        """Run the web, and wait until it takes signals."""
        with self.running("web", cli("web")) as process:
            wait(lambda: answers(f"{self.settings.web_url}/readyz"), 60, watched=[process])
            yield process

    def launch(self, cohort: str) -> Run:
        """Launch a cohort's campaign, as the command line does; the worker starts it."""
        desk = self.app.desk
        wanted = Launch(campaign=desk.campaigns[cohort])
        return launching.launch(desk, launch=wanted, by="benchmark", now=desk.clock())

    def start(self, run: Run) -> Run:
        """Freeze the audience of a run here and now; the worker sends."""
        desk = self.app.desk
        return launching.start(desk, campaign_run_id=run.id, now=desk.clock())

    def run(self, run: Run) -> Run:
        """Give a run as it stands."""
        with self.app.database.reading() as session:
            return runs.find(session, which=run.id)

    def until_over(self, run: Run, seconds: float = 600.0, every: float = 0.25) -> Run:
        """Wait until a run is over; raises when it does not end as it should."""
        wait(
            lambda: self.run(run).status in _OVER,
            seconds,
            watched=list(self.started.values()),
            every=every,
        )
        found = self.run(run)
        if found.status != "done":
            raise RuntimeError(f"the campaign is {found.status}: {found.reason}")
        return found

    def send(self, cohort: str) -> Run:
        """Launch a cohort's campaign and wait for its end."""
        return self.until_over(self.launch(cohort))

    def check(self, run: Run, *, arrived: int, people: int) -> None:
        """See that everybody got one message, on the record and at the provider.

        Raises:
            RuntimeError: they did not.
        """
        _messages = metadata.tables["messages"]
        sent = select(func.count()).where(
            _messages.c.campaign_run_id == run.id, _messages.c.status == MessageStatus.HANDED_OVER
        )
        with self.app.database.reading() as session:
            recorded = session.execute(sent).scalar_one()
            counts = runs.progress(session, campaign_run_id=run.id, now=run.scheduled_at).counts
        if not people == run.people == recorded == arrived:
            raise RuntimeError(
                f"{people} people: {run.people} in the run, {recorded} messages on record, "
                f"{arrived} at the provider; {dict(counts)}"
            )

    def sending_seconds(self, run: Run) -> float:
        """Say how long a run took from its first decision to its end, by the record."""
        people = metadata.tables["campaign_people"]
        query = select(func.min(people.c.decided_at)).where(people.c.campaign_run_id == run.id)
        with self.app.database.reading() as session:
            first = session.execute(query).scalar_one()
        assert run.ended_at is not None
        return (run.ended_at - first).total_seconds()

    def running_seconds(self, run: Run) -> float:
        """Say how long a run took, the freezing of its audience included, by the record."""
        assert run.started_at is not None
        assert run.ended_at is not None
        return (run.ended_at - run.started_at).total_seconds()


@contextlib.contextmanager
def house(
    cohorts: Mapping[str, int], *, database_url: str | None = None, **more: str
) -> Iterator[House]:
    """Make a record with these cohorts, and one that warms up; nothing runs yet but the sink.

    ``more``: settings, by their names.
    """
    with ending_by_signal(), tempfile.TemporaryDirectory() as folder, null_sendgrid() as sink:
        home = Path(folder)
        url = database_url or f"sqlite:///{home / 'signalpost.db'}"
        fill(url, {WARM_UP: WARM_UP_PEOPLE, **cohorts})
        campaigns = home / "campaigns"
        campaigns.mkdir()
        for name in (WARM_UP, *cohorts):
            (campaigns / f"{name}.yaml").write_text(_CAMPAIGN.format(name=name))
        given = {
            "home": str(home),
            "database_url": url,
            "campaigns": str(campaigns),
            "prefect_port": str(free_port()),
            "web_port": str(free_port()),
            "sendgrid_base_url": sink.url,
            **more,
        }
        made = House(
            home=home,
            sink=sink,
            given={f"SIGNALPOST_{name.upper()}": value for name, value in given.items()},
        )
        try:
            yield made
        finally:
            made.app.close()


@contextlib.contextmanager
def ending_by_signal() -> Iterator[None]:
    """Have SIGTERM end us as Ctrl-C does, so that whatever we started is ended too."""

    def end(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def cli(*words: str) -> list[str]:
    """Give the command that runs ``signalpost`` with these words."""
    return [sys.executable, "-m", "signalpost.cli", *words]


def answers(url: str) -> bool:
    """Whether a server answers with success."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(url, timeout=5) as answer:
        return answer.status == 200
    return False


def wait(
    holds: Callable[[], bool],
    seconds: float,
    *,
    watched: Collection[Process] = (),
    every: float = 0.1,
) -> None:
    """Wait until something holds; raises when it does not in time, or a process has ended."""
    deadline = time.monotonic() + seconds
    while not holds():
        for process in watched:
            if process.ended():
                raise RuntimeError(f"{process.name} ended: {process.last_words()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come within {seconds:.0f} s")
        time.sleep(every)
