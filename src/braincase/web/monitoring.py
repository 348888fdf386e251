"""Prometheus metrics: requests, preparation of uploads, the gallery's size, and free disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from braincase.errors import BraincaseError

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PREPARING_BUCKETS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


@dataclass(frozen=True)
class Gauges:
    """Numbers of one moment.

    Parameters
    ----------
    uploads
        How many uploads are in each state.
    gallery
        Cases, people and the version.
    gallery_bytes
        Size of its own files.
    free_bytes
        Free on the disks of the folders that the service writes into.
    """

    uploads: Mapping[str, int]
    gallery: Mapping[str, int]
    gallery_bytes: int
    free_bytes: Mapping[str, int]


class _Gauges(Collector):
    """Reads the numbers of this moment when they are asked for."""

    def __init__(self, read: Callable[[], Gauges]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yield the numbers; none of them where the gallery cannot be read."""
        try:
            told = self._read()
        except BraincaseError:
            return
        yield _family("braincase_uploads", "Uploads by state.", "state", told.uploads)
        for name, number in told.gallery.items():
            yield GaugeMetricFamily(f"braincase_gallery_{name}", "Of the gallery.", value=number)
        text = "Size of the gallery's own files."
        yield GaugeMetricFamily("braincase_gallery_bytes", text, value=told.gallery_bytes)
        text = "Free on the disks that the service writes to."
        yield _family("braincase_disk_free_bytes", text, "folder", told.free_bytes)


def _family(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


class Metrics:
    """The numbers of one service; labels are routes, never the paths asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
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

        self.preparing = Histogram(
            "braincase_preparation_seconds",
            "Seconds that an uploaded scan was worked on.",
            ["state"],
            registry=self._registry,
            buckets=PREPARING_BUCKETS,
        )

    def prepared(self, state: str, seconds: float) -> None:
        """Count the end of one upload's preparation."""
        self.preparing.labels(state).observe(seconds)

    def watch(self, read: Callable[[], Gauges]) -> None:
        """Have the numbers of each moment read when metrics are asked for."""
        self._registry.register(_Gauges(read))

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        return generate_latest(self._registry)
