"""Spans of a send, from the signal to the receipt, when ``SIGNALPOST_OTLP_URL`` says who collects them.

The trace of a signal has the event's id, and a campaign run's has the run's: a UUID is as long as a
trace id. So processes that never speak to each other write into one trace, and nothing has to be
carried along. A batch with several causes is a trace of its own, linked to each. Attributes are ids
and numbers. When nobody collects, a span costs a function call, and OpenTelemetry is not imported.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from signalpost.errors import ConfigurationError

if TYPE_CHECKING:
    from signalpost.telemetry.spans import Spans

_spans: "Spans | None" = None
_NO_SPAN: AbstractContextManager[None] = nullcontext()


def is_on() -> bool:
    """Tell whether anybody collects spans."""
    return _spans is not None


def set_up(*, url: str | None, process: str) -> None:
    """Send this process's spans to a collector, by OTLP over HTTP; without ``url`` to nobody.

    Raises:
        ConfigurationError: the packages that do it are not installed.
    """
    if url is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import]
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "SIGNALPOST_OTLP_URL is set, and what sends spans is not installed. Run "
            "pip install 'signalpost[telemetry]', or unset it."
        ) from error
    collect(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")), process=process)


def collect(processor: Any, *, process: str) -> None:
    """Hand every span to a span processor of OpenTelemetry's SDK."""
    global _spans
    from signalpost.telemetry.spans import Spans

    _spans = Spans(processor, process=process)


def close() -> None:
    """Send what waits to be sent, and stop."""
    global _spans
    if _spans is not None:
        _spans.close()
    _spans = None


def span(name: str, *, causes: Iterable[str] = (), **ids: Any) -> AbstractContextManager[None]:
    """Put what happens inside into a span. ``causes``: ids of events or of campaign runs.

    Inside another span it is that one's part, whatever its causes.
    """
    return _spans.span(name, causes, ids) if _spans is not None else _NO_SPAN


def began(name: str, *, cause: str, **ids: Any) -> None:
    """Write the first span of a trace: what everything that ``cause`` leads to hangs on."""
    if _spans is not None:
        _spans.began(name, cause, ids)
