"""Our figures beside our peers', in one run: ``make bench``."""
