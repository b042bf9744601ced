"""Spans by OpenTelemetry's SDK; imported only when somebody collects them (``traces``)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

#: A span is linked to so many causes; a batch may have more.
MOST_LINKS = 50

#: The event whose first span is being written, and whether a span of ours is open here.
_wanted: ContextVar[UUID | None] = ContextVar("wanted", default=None)
_inside: ContextVar[bool] = ContextVar("inside", default=False)


class Spans:
    """A tracer provider that is ours alone: what libraries say is not ours to vouch for."""

    def __init__(self, processor: SpanProcessor, *, process: str) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"signalpost-{process}"}),
            id_generator=_Ids(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("signalpost")

    def close(self) -> None:
        """Send what waits to be sent, and stop."""
        self._provider.shutdown()

    @contextmanager
    def span(self, name: str, causes: Iterable[str], ids: Mapping[str, Any]) -> Iterator[None]:
        """Put what happens inside into a span."""
        parent, links = (None, []) if _inside.get() else _placed(causes)
        token = _inside.set(True)
        try:
            # An error's text may hold personal data: that there was one is enough.
            with self._tracer.start_as_current_span(
                name,
                context=parent,
                links=links,
                attributes=_attributes(ids),
                record_exception=False,
                set_status_on_exception=False,
            ):
                yield
        finally:
            _inside.reset(token)

    def began(self, name: str, cause: str, ids: Mapping[str, Any]) -> None:
        """Write the first span of the trace of ``cause``."""
        token = _wanted.set(_uuid(cause))
        try:
            self._tracer.start_span(
                name, context=Context(), kind=SpanKind.CONSUMER, attributes=_attributes(ids)
            ).end()
        finally:
            _wanted.reset(token)


class _Ids(RandomIdGenerator):
    """Random ids, but for the first span of a cause, which has the cause's."""

    def generate_trace_id(self) -> int:
        uuid = _wanted.get()
        return uuid.int if uuid else super().generate_trace_id()

    def generate_span_id(self) -> int:
        uuid = _wanted.get()
        return _first_span(uuid) if uuid else super().generate_span_id()


def _placed(causes: Iterable[str]) -> tuple[Context, list[Link]]:
    told = [one for cause in dict.fromkeys(causes) if (one := _uuid(cause))]
    if len(told) == 1:
        return set_span_in_context(NonRecordingSpan(_context_of(told[0])), Context()), []
    return Context(), [Link(_context_of(one)) for one in told[:MOST_LINKS]]


def _uuid(cause: str) -> UUID | None:
    try:
        return UUID(cause)
    except ValueError:  # a trace less is no reason to send less
        return None


def _context_of(uuid: UUID) -> SpanContext:
    return SpanContext(uuid.int, _first_span(uuid), True, TraceFlags(TraceFlags.SAMPLED))


def _first_span(uuid: UUID) -> int:
    return uuid.int & (2**64 - 1)


def _attributes(ids: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"signalpost.{name}": value if isinstance(value, int | float | bool) else str(value)
        for name, value in ids.items()
        if value is not None
    }
