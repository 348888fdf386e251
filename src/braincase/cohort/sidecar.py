"""Sidecar of a prepared image (BIDS JSON): whose scan it is, its labels, how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from braincase.cohort.derivatives import sidecar_path
from braincase.errors import ScanError
from braincase.files import read_json, write_json
from braincase.images.geometry import Grid
from braincase.json_values import Json, canonical_json, to_json
from braincase.labels import BRAIN_ML, Value
from braincase.sources.scan import Scan


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says about its scan.

    Parameters
    ----------
    scan
        The scan; its path is the prepared image.
    recipe
        The preprocessing recipe as canonical JSON text, to compare by ``==``.
    """

    scan: Scan
    recipe: str


def write_sidecar(image: Path, scan: Scan, grid: Grid, more: Mapping[str, object]) -> None:
    """Write the sidecar of `image`: who, when, all labels, and `more` from preprocessing."""
    content = {
        "Subject": scan.subject,
        "Session": scan.session,
        "Labels": dict(scan.labels),
        **({"Evidence": list(scan.evidence)} if scan.evidence else {}),
        "SkullStripped": True,
        "Resolution": f"{grid.resolution_mm} mm isotropic",
        **more,
    }
    write_json(sidecar_path(image), to_json(content))


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar.

    Raises
    ------
    ScanError
        If it is missing, unreadable or has no subject.
    """
    content = read_json(path, ScanError, "Prepare this scan again.")
    subject, session, labels = (content.get(key) for key in ("Subject", "Session", "Labels"))
    if not isinstance(subject, str) or not subject or not isinstance(labels, dict):
        raise ScanError(path, "no Subject or no Labels", "a sidecar that braincase wrote")
    if nested := [name for name, value in labels.items() if isinstance(value, list | dict)]:
        raise ScanError(path, f"a label {nested[0]!r} of several values", "one value")
    image = path.with_name(path.name.removesuffix(".json") + ".nii.gz")
    labels = {**_measured_labels(content), **labels}
    evidence = content.get("Evidence")
    lines = tuple(map(str, evidence)) if isinstance(evidence, list) else ()
    scan = Scan(image, subject, session or None, labels, lines)
    return Sidecar(scan, canonical_json(content.get("Recipe", {})))


def _measured_labels(content: Mapping[str, Json]) -> dict[str, Value]:
    """Return what `prepare` has measured of a scan and a user filters by: the brain's volume."""
    quality = content.get("Quality")
    measures = quality.get("Measures") if isinstance(quality, dict) else None
    volume = measures.get(BRAIN_ML) if isinstance(measures, dict) else None
    if not isinstance(volume, int | float) or not isfinite(volume):
        return {}
    return {BRAIN_ML: float(round(volume))}
