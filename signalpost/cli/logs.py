"""Logs of our processes: one line an event, ids and no personal data, on stderr.

Every line of a send carries the ids of its claim, flow run and journey or campaign run, which whoever
works on them has bound (``structlog.contextvars``). What libraries warn of has the same shape. Of an
error only the kind and the place are told, since its text may hold anything.
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

#: Libraries that say at INFO or DEBUG what they send, to whom.
_TALKATIVE = (
    "twilio",
    "sendgrid",
    "python_http_client",
    "aiohttp",
    "urllib3",
    "httpx",
    "sqlalchemy",
)
_MOST_PLACES = 3


def set_up(level: str, *, shape: Literal["logfmt", "json"] = "logfmt") -> None:
    """Write events at ``level`` and above; libraries only warn."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _error_in_short,
    ]
    render = _renderer(shape)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)  # also of those that raise their own voice, as Prefect
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _renderer(shape: str) -> Processor:
    if shape == "json":
        return structlog.processors.JSONRenderer()
    return structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])


def _error_in_short(_: Any, __: str, event: EventDict) -> EventDict:
    """Put the kind and the place of an error instead of its text and its traceback."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    error = error[1] if isinstance(error, tuple) else error
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["where"] = _where(error)
    return event


def _where(error: BaseException) -> str:
    """The innermost places of our own code; a place holds no personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "signalpost" in one.filename] or list(frames)
    return " < ".join(
        f"{Path(one.filename).name}:{one.lineno}" for one in ours[-1 : -1 - _MOST_PLACES : -1]
    )
