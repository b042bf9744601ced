"""Our peers beside us: the same email to as many people, each peer as its users run it (README.md)."""

import dataclasses
import selectors
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks._null_sendgrid import NullSendGrid, null_sendgrid
from benchmarks._processes import Process, running
from benchmarks.peers import environments, services
from benchmarks.peers.campaign import Campaign
from benchmarks.peers.figures import Figures, NotRunError, measured, rows

__all__ = ["BARE_LOOP", "PEERS", "Figures", "rows", "run_all"]

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
ALL_SECONDS = 240.0  #: for all peers together, once their environments are made
WARM_UP = 40

Around = Callable[[Path, Path, dict[str, str]], AbstractContextManager[Sequence[Process]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """How a peer is run. ``requirements`` of None: in our own environment."""

    name: str
    program: Sequence[str]  #: what its interpreter runs to send
    messages: int
    requirements: str | None = None
    around: Around = services.nothing
    clients: int = 1
    seconds: float = 60.0


BARE_LOOP = "bare loop, no record"
PEERS = (
    Peer(
        name=BARE_LOOP,
        program=[str(PROGRAMS / "bare_loop.py")],
        messages=100_000,
        clients=2,
    ),
    Peer(
        name="Celery + Redis + django-anymail",
        requirements="requirements-celery.txt",
        program=["-m", "celery_anymail.drive"],
        around=services.celery,
        messages=2_000,
    ),
    Peer(
        name="Celery + Redis + django-anymail, 1,000 a task and request",
        requirements="requirements-celery.txt",
        program=["-m", "celery_anymail.drive", "batch"],
        around=services.celery,
        messages=20_000,
    ),
    Peer(
        name="django-post-office + anymail",
        requirements="requirements-post-office.txt",
        program=["-m", "post_office_anymail.drive"],
        messages=2_000,
    ),
    Peer(
        name="huey on SQLite",
        requirements="requirements-huey.txt",
        program=["-m", "huey_sqlite.drive"],
        around=services.huey,
        messages=1_000,
    ),
    Peer(
        name="Prefect, a task per recipient",
        program=[str(PROGRAMS / "prefect_tasks.py")],
        around=services.prefect,
        messages=300,
        seconds=120.0,
    ),
)


def run_all(messages: Mapping[str, int] | None = None) -> dict[str, Figures]:
    """Run every peer, one after another; gives figures by name, or why there are none.

    ``messages`` says how many messages a peer sends where that is not its usual number; 0 leaves it
    out. What one peer fails at never ends the run.
    """
    told = messages or {}
    chosen = [dataclasses.replace(p, messages=told.get(p.name, p.messages)) for p in PEERS]
    found: dict[str, Figures] = {}
    left = ALL_SECONDS
    for peer in (p for p in chosen if p.messages):
        began = time.monotonic()
        try:
            python = _python(peer)
            began = time.monotonic()  # making its environment, once, is not the peer's time
            found[peer.name] = _run(peer, python, min(left, peer.seconds))
        except NotRunError as error:
            found[peer.name] = Figures(not_run=str(error))
        except Exception as error:  # whatever breaks is that peer's row
            found[peer.name] = Figures(not_run=f"{type(error).__name__}: {error}")
        left -= time.monotonic() - began
    return found


def _python(peer: Peer) -> Path:
    if peer.requirements is None:
        return Path(sys.executable)
    return environments.python(HERE / peer.requirements)


def _run(peer: Peer, python: Path, seconds: float) -> Figures:
    deadline = time.monotonic() + seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(null_sendgrid())
        campaign = Campaign()
        environment = _environment(folder, sink)
        if peer.name != BARE_LOOP:  # it renders by itself
            campaign.write(Path(environment["PEER_CAMPAIGN"]), peer.messages + WARM_UP)
        around = stack.enter_context(peer.around(python, folder, environment))
        clients = [
            stack.enter_context(_client(peer, number, python, folder, environment))
            for number in range(peer.clients)
        ]
        _hear("ready", clients, deadline)
        _send(clients, WARM_UP, deadline)
        earlier = sink.count()["messages"]
        figures = measured(
            lambda: _send(clients, peer.messages, deadline),
            messages=peer.messages,
            processes={client.pid: "client" for client in clients}
            | {process.pid: process.name for process in (*around, sink.process)},
        )
        if (arrived := sink.count()["messages"] - earlier) != peer.messages:
            raise NotRunError(f"{arrived} of {peer.messages} messages arrived")
        campaign.check(sink.last())
        return figures


def _environment(folder: Path, sink: NullSendGrid) -> dict[str, str]:
    return {
        "PEER_FOLDER": str(folder),
        "PEER_CAMPAIGN": str(folder / "campaign.json"),
        "PEER_SINK": sink.url,
        "PYTHONPATH": str(PROGRAMS),
        "NO_PROXY": "127.0.0.1",
    }


def _client(
    peer: Peer, number: int, python: Path, folder: Path, environment: Mapping[str, str]
) -> AbstractContextManager[Process]:
    return running(
        f"client {number}",
        [str(python), *peer.program],
        folder=folder,
        environment={**environment, "PEER_SHARE": f"{number}/{peer.clients}"},
    )


def _send(clients: Sequence[Process], messages: int, deadline: float) -> None:
    each, more = divmod(messages, len(clients))
    for number, client in enumerate(clients):
        client.tell(str(each + (number < more)))
    _hear("done", clients, deadline)


def _hear(word: str, clients: Sequence[Process], deadline: float) -> None:
    """Wait until each client has said a word."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.says, selectors.EVENT_READ, client)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise NotRunError(f"it was not {word} in time")
            for key, _ in ready:
                if key.data.says.readline().decode().strip() != word:
                    raise NotRunError(f"{key.data.name} ended: {key.data.last_words()}")
                selector.unregister(key.fileobj)
