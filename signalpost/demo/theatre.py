"""The real system for the demo: ``signalpost up`` in a folder of its own, on a clock of its own."""

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from signalpost.demo import marketing, world
from signalpost.errors import ConfigurationError, TransientError
from signalpost.settings import PREFIX, Settings

FOLDER = "demo"
COMMAND = (sys.executable, "-m", "signalpost.cli", "up")
#: Of what somebody has set, the demo follows this much. No account, no key and no database of theirs
#: is touched: it writes to the local post office and to its own record only.
_FOLLOWED = (
    "host",
    "web_port",
    "prefect_port",
    "postoffice_port",
    "templates",
    "journeys",
    "log_level",
)
_OWN = ("home", "clock_file", "campaigns", "postoffice_delay")
ENV = "env"  #: for a shell: after ``source``, commands reach the demo and nothing else
_OPENING = 180.0  #: seconds
_CLOSING = 20.0
_libc = ctypes.CDLL(None)


class DidNotOpenError(TransientError):
    """The system did not start."""


def settings_of(given: Settings, *, delay: float) -> Settings:
    """Give the demo's settings: the defaults, with the ports and folders that somebody chose.

    ``delay``: seconds that a message takes for each step of its life in the post office.
    """
    home = (given.home / FOLDER).resolve()
    chosen = {name: getattr(given, name) for name in _FOLLOWED}
    return _AsGiven(
        **chosen,
        home=home,
        clock_file=home / "clock.json",
        campaigns=home / "campaigns",
        postoffice_delay=delay,
    )


class _AsGiven(Settings):
    """Settings that look at no environment."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: Any, *others: Any, **more: Any
    ) -> tuple[Any, ...]:
        """Take what is given, and no more."""
        del settings_cls, others, more
        return (init_settings,)


def environment(demo: Settings, around: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of the demo's processes: nothing of Signalpost or Prefect from outside."""
    kept = {
        name: value for name, value in around.items() if not name.startswith((PREFIX, "PREFECT_"))
    }
    return kept | _said(demo)


def _said(demo: Settings) -> dict[str, str]:
    names = (*_FOLLOWED, *_OWN)
    return {PREFIX + name.upper(): str(getattr(demo, name)) for name in names}


def wipe(demo: Settings) -> None:
    """Empty the demo's folder, and put into it what it starts with.

    Raises:
        ConfigurationError: it cannot be emptied.
    """
    if demo.home.is_symlink() or demo.home.name != FOLDER:
        raise ConfigurationError(f"{demo.home} is not the demo's own folder; remove it.")
    try:
        shutil.rmtree(demo.home, ignore_errors=False)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigurationError(
            f"{demo.home} cannot be emptied ({error.strerror}). Is another demo running?"
        ) from error
    demo.home.mkdir(parents=True)
    shutil.copytree(marketing.FILES, demo.campaigns)
    (demo.home / ENV).write_text(shell(demo))
    _ = demo.keys  # made now, so that nobody has to show them


def shell(demo: Settings) -> str:
    """Write what a shell reads to reach the demo: no account, key or database of anybody else's."""
    foreign = sorted(PREFIX + name.upper() for name in Settings.model_fields)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in _said(demo).items()]
    return "\n".join([f"unset {' '.join(foreign)} PREFECT_API_URL", *exports, ""])


@contextmanager
def opened(
    demo: Settings, *, tell: Callable[[str], None], command: Sequence[str] = COMMAND
) -> Iterator[None]:
    """Run the system while the block runs. ``tell`` is told what is still awaited.

    Raises:
        DidNotOpenError: it ended, or was not ready in time; says what it wrote last.
    """
    log_path = demo.home / "up.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=environment(demo, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to pass on
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    try:
        _wait(demo, process, log_path, tell)
        yield
    finally:
        _close(process)


def _end_with_parent() -> None:
    """In the child: get SIGTERM when the demo ends, even when it is killed (prctl(2))."""
    _libc.prctl(1, signal.SIGTERM)


def _wait(
    demo: Settings, process: subprocess.Popen[bytes], log: Path, tell: Callable[[str], None]
) -> None:
    deadline = time.monotonic() + _OPENING
    while missing := _missing(demo):
        if process.poll() is not None:
            raise DidNotOpenError(f"The system ended at once. It wrote last:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise DidNotOpenError(
                f"After {_OPENING:.0f} seconds there is no {', no '.join(missing)}. "
                f"It wrote last:\n{_tail(log)}"
            )
        tell(", ".join(missing))
        time.sleep(0.3)


def _missing(demo: Settings) -> list[str]:
    """Name the parts that do not answer yet."""
    signs = {
        "web": lambda: world.call("GET", f"{demo.web_url}/readyz"),
        "post office": lambda: world.call("GET", f"{demo.postoffice_url}/postoffice/health"),
        "Prefect": lambda: _count_deployments(demo),
    }
    return [name for name, sign in signs.items() if not _answers(sign)]


def _answers(sign: Callable[[], Any]) -> bool:
    with suppress(world.UnansweredError):
        return bool(sign())
    return False


def _count_deployments(demo: Settings) -> int:
    """Count what Prefect knows of our journeys: the workers tell it when they are there."""
    return int(world.call("POST", f"{demo.prefect_url}/api/deployments/count", body={}))


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-12:])


def _close(process: subprocess.Popen[bytes]) -> None:
    """Stop the system as Ctrl-C would; what does not stop is killed with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                if number == signal.SIGTERM:
                    process.send_signal(number)
                else:
                    os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_CLOSING)
