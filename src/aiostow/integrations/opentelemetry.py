"""Traces and metrics of a storage's operations, for OpenTelemetry."""

from __future__ import annotations

from typing import Any

from .._extras import missing_extra
from ..events import (
    Event,
    OperationFailed,
    OperationFinished,
    OperationRetried,
    OperationStarted,
)

try:
    from opentelemetry import metrics, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
except ModuleNotFoundError as _exc:
    raise missing_extra("aiostow.integrations.opentelemetry", "otel", _exc) from _exc

__all__ = ["OpenTelemetryEvents"]

_SCOPE = "aiostow"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class OpenTelemetryEvents:
    """Makes a span of each operation, and counts them: for `on_event` of storages or `Profiles`.

    A span is a child of the one that is current where the operation begins. It is named after
    operation and storage, is of kind CLIENT, and has an event for each retry. The histogram
    ``aiostow.operation.duration`` (seconds) and the counter ``aiostow.operation.io`` (bytes) tell
    operation, storage, service and, after a failure, ``error.type``.

    Neither holds a URL, a token or a credential.

    Args:
        tracer_provider: by default the process's.
        meter_provider: by default the process's.
        keys: also tell keys, and the messages of errors, which may name keys. Keys are many, and
            may say something of persons; without it spans tell neither.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        *,
        keys: bool = False,
    ) -> None:
        self._keys = keys
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "aiostow.operation.duration",
            unit="s",
            description="How long operations took.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._io = meter.create_counter(
            "aiostow.operation.io",
            unit="By",
            description="Content that operations read or wrote through this process.",
        )
        self._spans: dict[str, Span] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, OperationStarted):
            self._start(event)
        elif isinstance(event, OperationRetried):
            self._retry(event)
        elif isinstance(event, OperationFinished | OperationFailed):
            self._end(event)

    def _start(self, event: OperationStarted) -> None:
        self._spans[event.id] = self._tracer.start_span(
            f"{event.operation} {event.storage}",
            kind=SpanKind.CLIENT,
            attributes=self._attributes(event),
            start_time=event.timestamp,
        )

    def _attributes(self, event: Event) -> dict[str, Any]:
        target = event.target
        told = {
            **_labels(event),
            "server.address": target.host,
            "server.port": target.port,
            "aws.s3.bucket" if target.service == "s3" else "aiostow.container": target.container,
            "aiostow.key": event.key if self._keys else None,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _retry(self, event: OperationRetried) -> None:
        span = self._spans.get(event.id)
        if span is not None:
            attributes: dict[str, Any] = {
                "aiostow.retry.attempt": event.attempt,
                "aiostow.retry.pause": event.pause,
                "aiostow.retry.reason": event.reason,
                "error.type": event.error_type,
            }
            span.add_event("aiostow.retry", attributes, timestamp=event.timestamp)

    def _end(self, event: OperationFinished | OperationFailed) -> None:
        labels = _labels(event)
        span = self._spans.pop(event.id, None)
        if isinstance(event, OperationFailed):
            labels["error.type"] = event.error_type
            if span is not None:
                span.set_attribute("error.type", event.error_type)
                span.set_status(Status(StatusCode.ERROR, self._message(event)))
        if span is not None:
            span.set_attribute("aiostow.bytes", event.bytes)
            # In its span, so that exemplars lead there.
            context = trace.set_span_in_context(span)
            span.end(end_time=event.timestamp)
        else:
            context = None
        self._duration.record(event.duration, labels, context=context)
        if event.bytes:
            self._io.add(event.bytes, labels, context=context)

    def _message(self, event: OperationFailed) -> str:
        if self._keys and event.error is not None:
            return str(event.error)
        return event.error_type


def _labels(event: Event) -> dict[str, Any]:
    return {
        "aiostow.operation": event.operation,
        "aiostow.storage": event.storage,
        "aiostow.service": event.target.service,
    }
