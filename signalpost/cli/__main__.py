"""``python -m signalpost.cli``."""

from signalpost.cli import main

main()
