"""Prometheus metrics: how much is asked, and how fast it is answered."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from braincase.web.intake.queue import UploadQueue

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Uploads(Collector):
    """Reads the number of uploads in each state when it is asked."""

    def __init__(self, queue: UploadQueue | None) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        """Yield the numbers."""
        family = GaugeMetricFamily("braincase_uploads", "Uploads by state.", labels=["state"])
        for state, count in (self._queue.counts() if self._queue else {}).items():
            family.add_metric([state], count)
        yield family


class Metrics:
    """The numbers of one service; labels are routes, never the paths asked for."""

    def __init__(self, queue: UploadQueue | None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Uploads(queue))
        names = ["method", "route", "status"]
        self.requests = Counter(
            "braincase_requests_total", "Requests answered.", names, registry=self._registry
        )
        self.seconds = Histogram(
            "braincase_request_seconds",
            "Seconds until the answer was sent.",
            ["method", "route"],
            registry=self._registry,
            buckets=BUCKETS,
        )

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        return generate_latest(self._registry)
