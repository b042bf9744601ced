"""A virtual environment for each peer, made once, so that ours is never changed."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.figures import NotRunError

CACHE = "SIGNALPOST_BENCH_CACHE"
"""Names the environment variable with the folder to keep them in; else the system's temporary one."""

_PATIENCE = 300  #: seconds for one installation


def python(requirements: Path) -> Path:
    """Return the interpreter of the environment that has exactly these requirements.

    Raises:
        NotRunError: it could not be made; says why.
    """
    wanted = requirements.read_bytes() + sys.version.encode()
    folder = _cache() / f"{requirements.stem}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    interpreter, made = folder / "bin" / "python", folder / "made"
    if not made.exists():
        _do([sys.executable, "-m", "venv", "--clear", str(folder)], "no environment could be made")
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _do(
            [str(interpreter), *install, "--requirement", str(requirements)],
            f"{requirements.name} could not be installed; pip says why when you try it",
        )
        made.touch()
    return interpreter


def _cache() -> Path:
    named = os.environ.get(CACHE)
    folder = Path(named) if named else Path(tempfile.gettempdir()) / "signalpost-peers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _do(command: list[str], failing: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRunError(failing) from error
    if done.returncode:
        raise NotRunError(failing)
