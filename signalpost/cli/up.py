"""``signalpost up``: everything on this machine, in one terminal."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from rich.markup import escape

from signalpost.cli import say
from signalpost.cli.serve import check_port
from signalpost.cli.supervisor import Child, GivenUpError, News, Supervisor
from signalpost.domain.vocabulary import Lane
from signalpost.keys import FILE
from signalpost.settings import Settings
from signalpost.worker import prefect_environment

#: What goes on once everything is ready (the demo); its answer is the exit code.
Then = Callable[[Settings], Awaitable[int]]

_PREFECT = "Prefect"


def up(settings: Settings) -> None:
    """Start everything, and stop it on Ctrl-C or SIGTERM."""
    sys.exit(run_all(settings))


def run_all(settings: Settings, *, then: Then | None = None, stay: bool = True) -> int:
    """Start everything; ``then`` runs once all is ready. ``stay``: go on afterwards until Ctrl-C.

    Gives the exit code: that of ``then``, 0 after a clean stop, 1 when something cannot be kept going.

    Raises:
        ConfigurationError: a setting is wrong, or a port is taken.
    """
    _prepare(settings)
    return asyncio.run(_run(settings, then, stay=stay))


def _prepare(settings: Settings) -> None:
    """Find what is wrong before anything is started, and make what is missing."""
    from signalpost import bootstrap
    from signalpost.record.database import open_engine
    from signalpost.record.migrate import migrate

    for name in ("web", "postoffice", "prefect"):
        check_port(settings, name)
    new = not (settings.home / FILE).exists()
    keys = settings.keys
    say.out.print("[bold]Signalpost[/bold]")
    bootstrap.build(settings).close()
    engine = open_engine(settings.database_address)
    migrate(engine)
    where = engine.url.render_as_string(hide_password=True)
    engine.dispose()
    _line("record", escape(where))
    if new:
        say.out.print(
            f"\n  Keys were made; they are shown this once and kept in {settings.home / FILE}:\n"
            f"    write key  {keys['write_key']}   to send signals\n"
            f"    API key    {keys['api_key']}   to read the record\n",
            soft_wrap=True,
        )


def _line(name: str, detail: str, seconds: float | None = None) -> None:
    took = f"  [dim]{seconds:.1f} s[/dim]" if seconds is not None else ""
    say.out.print(f"  [green]✓[/green] {name:<17} {detail}{took}", soft_wrap=True)


def _tell(news: News) -> None:
    name = news.child.name
    if news.what == "ready":
        _line(name, news.child.shown, news.seconds)
    elif news.what == "died":
        say.out.print(f"  [yellow]![/yellow] {name} ended ({news.detail}); it is started again.")
    elif news.what == "slow":
        say.out.print(f"  [yellow]![/yellow] {name} is not ready after {news.seconds:.0f} s.")
    else:
        say.out.print(f"  [red]✗[/red] {name} keeps ending; it is given up. Its log says:")
        say.out.print(news.detail, style="dim", markup=False, soft_wrap=True)


async def _run(settings: Settings, then: Then | None, *, stay: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(logs=settings.home / "logs", tell=_tell)
    try:
        work = asyncio.create_task(_start(supervisor, settings, then))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            return 0
        stopped.cancel()
        code = work.result()
        if stay and not stop.is_set():
            await supervisor.run(stop)
    except GivenUpError:
        return say.WRONG
    else:
        return code
    finally:
        if not stay or stop.is_set():
            say.out.print("\nStopping.")
        await supervisor.stop()
        say.out.print("Everything is stopped.")


async def _start(supervisor: Supervisor, settings: Settings, then: Then | None) -> int:
    """Start in the order in which things are of use: fraud alerts go out before Prefect is up."""
    for some in children(settings):
        for child in some:
            supervisor.start(child)
        await supervisor.ready(*(child.name for child in some))
        if _PREFECT not in {child.name for child in some}:
            say.out.print("  [dim]… Prefect takes 10 to 30 s; fraud alerts go out meanwhile.[/dim]")
    _pages(settings)
    return await then(settings) if then is not None else 0


def _pages(settings: Settings) -> None:
    from signalpost.web.session import login_link

    say.out.print(
        f"\n  [bold]customers[/bold]    {login_link(settings)}\n"
        "               [dim]signs you in within 15 minutes; later, paste the API key[/dim]\n"
        + (
            f"  [bold]post office[/bold]  {settings.postoffice_url}/\n"
            if settings.local_sendgrid or settings.local_twilio
            else ""
        )
        + f"  [bold]Prefect[/bold]      {settings.prefect_url}/\n\n"
        "  Send a signal:  signalpost event order.ready_for_pickup order_id=7 user_id=ann "
        "email=ann@example.com\n"
        f"{_by_itself(settings)}"
        "  Ctrl-C stops everything.",
        soft_wrap=True,
    )


def _by_itself(settings: Settings) -> str:
    """Say which campaigns nobody has to launch: they write to customers when their time comes."""
    from signalpost.cli import door
    from signalpost.services.reading import campaign_files

    with door.built(settings) as product, product.database.reading() as session:
        now = product.desk.clock()
        found = campaign_files.filed(session, campaigns=product.desk.campaigns, now=now)
    said = ""
    for one in found:
        if one.coming is not None:
            above = one.campaign.approval.above
            if above is None:
                needs = ""
            elif above:
                needs = f", once its plan is approved if it is for more than {above:,} people"
            else:
                needs = ", once its plan is approved"
            said += (
                f"  By itself, {one.coming.local:%-d %b %Y, %H:%M}:  the campaign "
                f"{escape(one.campaign.name)}{needs}\n"
            )
    return said


def children(settings: Settings) -> list[list[Child]]:
    """Every process of the product; each list is started when the one before it is ready."""
    prefect = prefect_environment(settings.home, settings.prefect_port)
    first = [_ours("web", settings.web_url, "web", path="/readyz")]
    if settings.local_sendgrid or settings.local_twilio:
        first.insert(0, _ours("post office", settings.postoffice_url, "postoffice"))
    first.append(_worker(settings, Lane.RISK, prefect))
    rest = [_prefect(settings, prefect)]
    rest += [_worker(settings, lane, prefect) for lane in Lane if lane is not Lane.RISK]
    return [first, rest]


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "signalpost.cli", *words]


def _ours(name: str, url: str, command: str, path: str = "/") -> Child:
    return Child(
        name=name,
        command=_command(command),
        ready=_answers(url + path),
        environment=_importable(),
        shown=url,
    )


def _worker(settings: Settings, lane: Lane, prefect: dict[str, str]) -> Child:
    async def ready(log: bytes) -> bool:
        return b"worker.ready" in log

    return Child(
        name=f"{lane} worker",
        command=_command("worker", "--lane", lane),
        ready=ready,
        patience=90,
        # the line that says that it is ready must not be silenced
        environment={
            **prefect,
            **_importable(),
            **_probed(settings, lane),
            "SIGNALPOST_LOG_LEVEL": _loud(settings),
        },
    )


def _probed(settings: Settings, lane: Lane) -> dict[str, str]:
    """Each worker gets a port of its own for its probes, counted on from the one that is set."""
    if settings.worker_port is None:
        return {}
    return {"SIGNALPOST_WORKER_PORT": str(settings.worker_port + [*Lane].index(lane))}


def _loud(settings: Settings) -> str:
    return "DEBUG" if settings.log_level == "DEBUG" else "INFO"


def _prefect(settings: Settings, environment: dict[str, str]) -> Child:
    address = ["--host", settings.host, "--port", str(settings.prefect_port)]
    return Child(
        name=_PREFECT,
        command=[sys.executable, "-m", "prefect", "server", "start", *address],
        ready=_answers(f"{settings.prefect_url}/api/health"),
        patience=120,
        essential=False,  # without it the risk lane goes on, and nothing is lost
        environment={**environment, "PREFECT_CLI_PROMPT": "false"},
        shown=settings.prefect_url,
    )


def _importable() -> dict[str, str]:
    """The project's folder goes with our processes, as it does for the command line itself."""
    paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _answers(url: str) -> Callable[[bytes], Awaitable[bool]]:
    async def ready(log: bytes) -> bool:
        del log
        timeout = aiohttp.ClientTimeout(total=4)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url) as answer,
            ):
                return answer.status < 400
        except aiohttp.ClientError:
            return False

    return ready
