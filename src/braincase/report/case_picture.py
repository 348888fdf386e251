"""Picture of one case: its three planes in radiological convention, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from braincase.gallery import Gallery, Hit, SearchResult, hit_of
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.images.planes import Planes, planes_of, planes_of_thumbnail
from braincase.labels import USUAL_COLUMNS, Value, value_text
from braincase.population.volumes import stored_volume
from braincase.search.pipeline import FinishedSearch

#: Black planes of a case that has no image.
NO_PLANES: Planes = (
    np.zeros((80, 96), np.uint8),
    np.zeros((80, 80), np.uint8),
    np.zeros((96, 80), np.uint8),
)


@dataclass(frozen=True)
class CasePicture:
    """Picture of one case: a heading, details, its three planes, and a note on where from."""

    heading: str
    details: str
    planes: Planes
    note: str = ""


def query_picture(volume: NDArray[np.uint8], grid: Grid, result: SearchResult) -> CasePicture:
    """Return the picture of the query, a uint8 volume of shape `grid.shape`."""
    name = result.query_id or "query"
    return CasePicture(f"Query: {name}", details_of(result.query_labels), planes_of(volume, grid))


def hit_picture(gallery: Gallery, hit: Hit, as_of: int | None = None) -> CasePicture:
    """Return the picture of a hit, from its volume in the cohort or else from its thumbnail.

    `as_of` is the result's ``gallery_version``; by now the case may have been removed.
    """
    heading = f"{hit.rank}. {hit.scan_id}"
    details = f"distance {hit.distance:.3f} · {details_of(hit.labels)}".rstrip(" ·")
    grid = grid_of_resolution(gallery.info().resolution_mm)
    volume = stored_volume(gallery.get(hit.scan_id, as_of), grid)
    if volume is not None:
        return CasePicture(heading, details, planes_of(volume, grid))
    thumbnail = gallery.thumbnail(hit.scan_id, as_of)
    if thumbnail is None:
        return CasePicture(heading, details, NO_PLANES, "no image")
    return CasePicture(heading, details, planes_of_thumbnail(thumbnail), "thumbnail")


def picture_of_query(search: FinishedSearch) -> CasePicture:
    """Return the picture of a search's query: a scan, a case of the gallery, or a code alone."""
    if search.scan is not None:
        grid = grid_of_resolution(search.gallery.info().resolution_mm)
        return query_picture(search.scan.volume, grid, search.result)
    case = search.query_case()
    if case is None:
        return CasePicture("Query: a code", "", NO_PLANES, "no image")
    # As it was at the search's version; by now it may have been removed.
    as_of = search.result.gallery_version
    version = as_of if case.since <= as_of else None
    picture = hit_picture(search.gallery, hit_of(0, case, 0.0), version)
    return replace(picture, heading=f"Query: {case.scan_id}", details=details_of(case.labels))


def details_of(labels: Mapping[str, Value]) -> str:
    """Return diagnosis, age and sex in a few words, whichever are known."""
    shown = [(name, labels.get(name)) for name in USUAL_COLUMNS]
    words = [
        f"{value_text(value)} y" if name == "age" else value_text(value)
        for name, value in shown
        if value is not None
    ]
    return " · ".join(words)


def white_level(planes: Planes) -> float:
    """Return the display window's upper end: the 99.5th percentile of the tissue in view."""
    tissue = np.concatenate([plane[plane > 0] for plane in planes])
    return float(np.percentile(tissue, 99.5)) if tissue.size else 255.0
