"""Errors as Prefect may see them: what kind, where, how many people; never whose data.

A message of a database or a template quotes values, and Prefect keeps and shows the messages of
errors. So they end here: the kind and the place go on, the words do not.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signalpost.errors import SignalpostError, TransientError


class UnitFailedError(SignalpostError):
    """A unit of work failed for a whole batch; the batch is tried again later."""


class UnitUnavailableError(UnitFailedError, TransientError):
    """A unit of work failed in a way that passes; the task is tried again at once."""


@contextmanager
def quiet(what: str) -> Iterator[None]:
    """Let only the kind and the place of an error through.

    Raises:
        UnitUnavailableError: what failed is worth trying again at once.
        UnitFailedError: it failed for any other reason.
    """
    try:
        yield
    except UnitFailedError:
        raise
    except TransientError as error:
        raise UnitUnavailableError(f"{what} could not be done now: {_kind(error)}") from None
    except Exception as error:
        raise UnitFailedError(f"{what} failed: {_kind(error)}") from None


def _kind(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name} ({Path(last.filename).name}:{last.lineno})"
