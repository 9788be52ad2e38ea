"""Operations as spans and metrics, seen by the SDK's own exporters in memory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from aiostow import FileNotFoundInStorageError, MemoryStorage, S3Storage, Storage, StorageError
from aiostow.integrations.opentelemetry import OpenTelemetryEvents
from aiostow.sync import SyncStorage
from aiostow.testing import FaultyDriver
from aiostow.testing.faulty import disconnect

from .test_secrets import CANARY, STORAGES

pytestmark = pytest.mark.anyio

KEY = "persons/jane.pdf"


class Telemetry:
    """Providers that keep what they get."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    def events(self, **more: Any) -> OpenTelemetryEvents:
        return OpenTelemetryEvents(self.tracers, self.meters, **more)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def shown(self) -> str:
        """Return all that leaves the process."""
        data = self._reader.get_metrics_data()
        metrics = "" if data is None else data.to_json()
        return "\n".join([*(span.to_json() for span in self.spans), metrics])


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_an_operation_is_a_client_span_with_its_times(telemetry: Telemetry) -> None:
    events = []

    def hook(event: Any) -> None:
        events.append(event)
        bridge(event)

    bridge = telemetry.events()
    async with MemoryStorage(on_event=hook) as storage:
        await storage.write_bytes(KEY, b"12345")
    (span,) = telemetry.spans
    assert span.name == "write_bytes memory"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert (span.start_time, span.end_time) == tuple(event.timestamp for event in events)
    assert attributes(span) == {
        "aiostow.operation": "write_bytes",
        "aiostow.storage": "memory",
        "aiostow.service": "memory",
        "aiostow.bytes": 5,
    }


async def test_a_span_is_a_child_of_the_one_that_is_current(telemetry: Telemetry) -> None:
    tracer = telemetry.tracers.get_tracer("test")
    async with MemoryStorage(on_event=telemetry.events()) as storage:
        with tracer.start_as_current_span("outer"):
            await storage.exists("k")
            file = await storage.open("k", "w")
        await file.close()
        await storage.exists("k")
    first, outer, opened, last = telemetry.spans
    assert outer.name == "outer"
    for span in (first, opened):
        assert span.parent is not None
        assert span.parent.span_id == outer.context.span_id
    assert last.parent is None


def test_a_span_of_the_facade_is_a_child_too(telemetry: Telemetry) -> None:
    tracer = telemetry.tracers.get_tracer("test")
    with SyncStorage(MemoryStorage(on_event=telemetry.events())) as storage:
        with tracer.start_as_current_span("outer"):
            storage.exists("k")
    inner, outer = telemetry.spans
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id


async def test_a_failure_is_an_error_without_its_message(telemetry: Telemetry) -> None:
    async with MemoryStorage(on_event=telemetry.events()) as storage:
        with pytest.raises(FileNotFoundInStorageError):
            await storage.read_bytes(KEY)
        with pytest.raises(StorageError):
            await storage.read_bytes(f"{KEY}/../x")
    for span, kind in zip(telemetry.spans, ("FileNotFoundInStorageError", "InvalidKeyError")):
        assert attributes(span)["error.type"] == kind
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == kind
    assert "jane" not in telemetry.shown()


async def test_keys_and_messages_are_told_where_that_is_asked_for(telemetry: Telemetry) -> None:
    async with MemoryStorage(on_event=telemetry.events(keys=True)) as storage:
        with pytest.raises(FileNotFoundInStorageError) as caught:
            await storage.read_bytes(KEY)
    (span,) = telemetry.spans
    assert attributes(span)["aiostow.key"] == KEY
    assert span.status.description == str(caught.value)
    labels = telemetry.points("aiostow.operation.duration")[0].attributes
    assert KEY not in json.dumps(dict(labels))


async def test_a_retry_is_an_event_of_its_span(telemetry: Telemetry) -> None:
    driver = FaultyDriver(MemoryStorage().driver, disconnect(1000))
    async with Storage(driver, name="s", on_event=telemetry.events()) as storage:
        await storage.write_bytes("k", bytes(5000))
        await storage.read_bytes("k")
    (event,) = telemetry.spans[1].events
    assert event.name == "aiostow.retry"
    told = dict(event.attributes or {})
    assert told.pop("aiostow.retry.reason")
    assert told == {
        "aiostow.retry.attempt": 1,
        "aiostow.retry.pause": 0.0,
        "error.type": "ConnectionLostError",
    }
    start, end = telemetry.spans[1].start_time, telemetry.spans[1].end_time
    assert start is not None
    assert end is not None
    assert start <= event.timestamp <= end


async def test_a_server_is_told_by_its_address_and_bucket(telemetry: Telemetry) -> None:
    hook = telemetry.events()
    async with S3Storage(
        "b", "eu-west-1", "x", "y", endpoint_url="http://127.0.0.1:9000", on_event=hook
    ) as storage:
        await storage.link_to(KEY, "download", 60)
    assert attributes(telemetry.spans[0]) == {
        "aiostow.operation": "link_to",
        "aiostow.storage": "s3",
        "aiostow.service": "s3",
        "server.address": "127.0.0.1",
        "server.port": 9000,
        "aws.s3.bucket": "b",
        "aiostow.bytes": 0,
    }


async def test_durations_and_bytes_are_counted_by_operation(telemetry: Telemetry) -> None:
    async with MemoryStorage(on_event=telemetry.events()) as storage:
        for size in (100, 200):
            await storage.write_bytes("k", bytes(size))
        await storage.read_bytes("k")
        with contextlib.suppress(StorageError):
            await storage.read_bytes("nothing")
    common = {"aiostow.storage": "memory", "aiostow.service": "memory"}
    found = {
        (point.attributes["aiostow.operation"], point.attributes.get("error.type")): point
        for point in telemetry.points("aiostow.operation.duration")
    }
    assert {key: point.count for key, point in found.items()} == {
        ("write_bytes", None): 2,
        ("read_bytes", None): 1,
        ("read_bytes", "FileNotFoundInStorageError"): 1,
    }
    assert dict(found["write_bytes", None].attributes) == {
        **common,
        "aiostow.operation": "write_bytes",
    }
    assert 0 < found["write_bytes", None].sum < 10  # seconds
    counted = {
        point.attributes["aiostow.operation"]: point.value
        for point in telemetry.points("aiostow.operation.io")
    }
    assert counted == {"write_bytes": 300, "read_bytes": 200}


@pytest.mark.parametrize("name", STORAGES)
async def test_nothing_that_leaves_the_process_holds_a_secret(
    name: str, telemetry: Telemetry
) -> None:
    cls, arguments = STORAGES[name]
    own = {"sse_customer_key": None} if name == "s3" else {}
    links: list[str] = []
    async with cls(**{**arguments, **own}, on_event=telemetry.events(keys=True)) as storage:
        for operation in (
            storage.stat("k"),
            storage.write_bytes("k", b"x"),
            storage.move("k", "l"),
        ):
            with contextlib.suppress(StorageError):
                await operation
        with contextlib.suppress(StorageError):
            links.append(await storage.link_to("k", "download", 60))
        with contextlib.suppress(StorageError):
            storage.deserialize_link_token(f"{CANARY}.{CANARY}.{CANARY}")
    shown = telemetry.shown()
    assert "link_to" in shown
    secrets = [part for link in links for part in link.split("?", 1)[-1].split("&")]
    for secret in (
        CANARY,
        CANARY[:12],
        CANARY[-12:],
        *(part for part in secrets if len(part) > 20),
    ):
        assert secret not in shown


async def test_by_default_it_takes_the_providers_of_the_process() -> None:
    async with MemoryStorage(on_event=OpenTelemetryEvents()) as storage:
        assert not await storage.exists("k")


def test_without_the_extra_it_says_which_to_install() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import aiostow.events\n"
        "try:\n    import aiostow.integrations.opentelemetry\n"
        "except ImportError as exc:\n    print(exc)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'aiostow[otel]'" in done.stdout


def test_the_package_does_not_import_it() -> None:
    script = "import sys, aiostow.storage; print('opentelemetry' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
