"""The command line: ``signalpost --help``."""

import os
import sys
from pathlib import Path

from signalpost.cli import say


def main() -> None:
    """Run the command line; an expected error is one sentence and an exit code, never a traceback."""
    os.umask(0o077)  # what we write holds personal data and keys: for its owner alone
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # the project's own journeys are in the folder one works in
    from signalpost.cli.commands import app

    say.run(app)


__all__ = ["main"]
