"""One performance of the demo, from the first process to the last line."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from rich.console import Console

from signalpost import bootstrap, clock
from signalpost.demo import baskets, crowd, outcome, story, theatre, world
from signalpost.demo.director import Director, Scene
from signalpost.demo.marketing import CAMPAIGN, Marketing
from signalpost.demo.people import ANN, JANE, SOMCHAI, STEVE
from signalpost.demo.reading import Reading
from signalpost.demo.telling import Teller
from signalpost.errors import TransientError
from signalpost.settings import Settings
from signalpost.web.session import login_link

PAUSE = 1.3  #: seconds after each step when somebody watches


def run(
    settings: Settings, *, exit_when_done: bool, command: Sequence[str] = theatre.COMMAND
) -> int:
    """Play the demo; gives the exit code: 0 when each event led to what its journey says.

    Without ``exit_when_done`` it goes at a speed that a person can follow, and keeps everything
    running afterwards until Ctrl-C.

    Raises:
        ConfigurationError: the demo's folder cannot be used.
    """
    teller = Teller(Console(highlight=False))
    demo = theatre.settings_of(settings, delay=0.02 if exit_when_done else 0.2)
    theatre.wipe(demo)
    shown = crowd.gather(baskets.load(), first_day=story.FIRST_DAY, days=story.DAYS)
    beats = story.beats(shown)
    clock.set_file(_clock_file(demo), min(beat.at for beat in beats))
    begun = time.monotonic()
    try:
        with _politely_stopped(), _started(demo, teller, command):
            _prologue(teller, demo, shown, time.monotonic() - begun)
            return _play(demo, teller, shown, beats, exit_when_done=exit_when_done)
    except TransientError as error:
        teller.say(f"\nThe demo cannot go on: {error}", style="bold red")
        teller.say(f"The processes wrote to {demo.home / 'up.log'}.")
        return 1
    except KeyboardInterrupt:
        teller.say("\nStopped.")
        return 0 if not exit_when_done else 130


def _clock_file(demo: Settings) -> Path:
    return demo.clock_file or demo.home / "clock.json"


@contextmanager
def _started(demo: Settings, teller: Teller, command: Sequence[str]) -> Iterator[None]:
    status = teller.console.status(
        "Starting web, post office, Prefect and a worker for each lane …"
    )
    status.start()
    try:
        with theatre.opened(
            demo, command=command, tell=lambda missing: status.update(f"Waiting for {missing} …")
        ):
            status.stop()
            yield
            status.update("Stopping …")
            status.start()
    finally:
        status.stop()


@contextmanager
def _politely_stopped() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, also where a shell ignores that for what it starts."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _prologue(teller: Teller, demo: Settings, shown: crowd.Crowd, seconds: float) -> None:
    count = sum(one.event == "Order Completed" for one in shown.happenings)
    teller.say(
        f"[bold]Signalpost is up[/] (after {seconds:.0f} s). Eleven days of March 2026 follow: "
        f"{count} real baskets of {len(shown.members)} households, and nine people to watch."
    )
    teller.say("Names and addresses are invented; the clock of every process is the story's (UTC).")
    teller.pages(_house(demo))


def _pages(demo: Settings, scene: Scene) -> list[tuple[str, str]]:
    who = [(one, scene.reading.customer_id(one)) for one in (STEVE, ANN, JANE, SOMCHAI)]
    pages = [(f"{one.called}'s record", f"/customers/{id_}") for one, id_ in who if id_]
    if (sheet := scene.marketing.sheet(now=story.END)) is not None:
        pages.append((f"The run of {CAMPAIGN}", f"/campaigns/{sheet.run.id}"))
    found = [(name, login_link(demo, page)) for name, page in pages]
    if flow_run := scene.marketing.flow_run():
        found.append(("  its flow run in Prefect", f"{demo.prefect_url}/runs/flow-run/{flow_run}"))
    return [*found, *_house(demo)]


def _house(demo: Settings) -> list[tuple[str, str]]:
    return [
        ("Customers", login_link(demo)),
        ("Journeys", login_link(demo, "/journeys")),
        ("Campaigns", login_link(demo, "/campaigns")),
        ("Cases", login_link(demo, "/cases")),
        ("Post office: mail and phones", demo.postoffice_url),
        ("Prefect: flow runs", f"{demo.prefect_url}/runs"),
    ]


def _play(
    demo: Settings,
    teller: Teller,
    shown: crowd.Crowd,
    beats: Sequence[story.Beat],
    *,
    exit_when_done: bool,
) -> int:
    product = bootstrap.build(demo)
    try:
        scene = Scene(
            shop=world.Shop(demo.web_url, demo.keys["write_key"]),
            post=world.PostOffice(demo.postoffice_url),
            app=world.App(demo.web_url, demo.keys["api_key"]),
            marketing=Marketing(product.desk),
            reading=Reading(product.desk),
            teller=teller,
        )
        director = Director(
            scene,
            clock_file=_clock_file(demo),
            crowd=shown,
            pause=0.0 if exit_when_done else PAUSE,
        )
        begun = time.monotonic()
        director.play(beats, end=story.END)
        checks = outcome.reckon(scene, shown)
        _epilogue(teller, director, checks, time.monotonic() - begun)
        if not exit_when_done:  # the pages are there as long as the demo is
            teller.pages(_pages(demo, scene))
            _stay(teller, demo)
        return 0 if all(holds for _, holds, _ in checks) else 1
    finally:
        product.close()


def _epilogue(
    teller: Teller, director: Director, checks: Sequence[outcome.Check], seconds: float
) -> None:
    teller.report(director.scene.marketing.report(now=story.END))
    teller.reckoning(checks)
    broken = sum(not holds for _, holds, _ in checks)
    messages = len(director.scene.reading.all_messages())
    teller.say(
        f"\n{director.steps} moments and {messages} messages in {seconds:.0f} s: "
        + (
            f"[bold green]all {len(checks)} promises hold[/]"
            if not broken
            else f"[bold red]{broken} of {len(checks)} promises are broken[/]"
        )
    )


def _shown(demo: Settings) -> Path:
    path = demo.home / theatre.ENV
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _stay(teller: Teller, demo: Settings) -> None:
    """Keep everything running; the clock goes on from where the story ended."""
    clock.set_file(_clock_file(demo), story.END, speed=1)
    teller.say(
        "\nEverything keeps running, and the clock goes on from here: answer a phone in the post "
        "office, look at the records. [bold]Ctrl-C[/] stops it.\n"
        f"Commands of a second terminal reach the demo after [bold]source {_shown(demo)}[/]."
    )
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
