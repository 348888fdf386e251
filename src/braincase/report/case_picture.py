"""Picture of one case: its three planes in radiological convention, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.view import SLOPE, ViewVolume, grid_of_view
from braincase.errors import ScanError
from braincase.gallery import Gallery, Hit, SearchResult, StoredCase, hit_of
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.images.planes import PLANES_MM, Place, Planes, planes_of, planes_of_thumbnail
from braincase.labels import USUAL_COLUMNS, Value, value_text
from braincase.population.volumes import stored_volume, view_of_case
from braincase.preprocess.intensity import WHITE_LEVEL
from braincase.search.pipeline import FinishedSearch

#: Shown white in a view volume: above white matter, below fat.
_VIEW_WHITE = 1.2 * 255 * WHITE_LEVEL / SLOPE
AS_SCANNED = "as scanned"

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

    @property
    def white(self) -> float:
        """The display window's upper end."""
        return _VIEW_WHITE if self.note == AS_SCANNED else white_level(self.planes)


def query_picture(
    volume: NDArray[np.uint8], grid: Grid, result: SearchResult, place: Place = PLANES_MM
) -> CasePicture:
    """Return the picture of the query, a uint8 volume of shape `grid.shape`."""
    planes = planes_of(volume, grid, place)
    return CasePicture(
        f"Query: {result.query_id or 'query'}", details_of(result.query_labels), planes
    )


def hit_picture(
    gallery: Gallery,
    hit: Hit,
    as_of: int | None = None,
    place: Place = PLANES_MM,
    *,
    as_scanned: bool = False,
    nearness: str = "",
) -> CasePicture:
    """Return the picture of a hit, from its volume in the cohort or else from its thumbnail.

    Parameters
    ----------
    gallery, hit
        The case.
    as_of
        The result's ``gallery_version``; by now the case may have been removed.
    place
        Where the planes pass, MNI x, y, z in mm; a thumbnail has its own.
    as_scanned
        Whether its view volume is shown, where it has one.
    nearness
        How near it is, in words; empty for the bare distance.
    """
    heading = f"{hit.rank}. {hit.scan_id}"
    near = nearness or f"distance {hit.distance:.3f}"
    details = f"{near} · {details_of(hit.labels)}".rstrip(" ·")
    case = gallery.get(hit.scan_id, as_of)
    if as_scanned and (seen := _view_planes(case, place)):
        return CasePicture(heading, details, seen, AS_SCANNED)
    grid = grid_of_resolution(gallery.info().resolution_mm)
    volume = stored_volume(case, grid)
    if volume is not None:
        return CasePicture(heading, details, planes_of(volume, grid, place))
    thumbnail = gallery.thumbnail(hit.scan_id, as_of)
    if thumbnail is None:
        return CasePicture(heading, details, NO_PLANES, "no image")
    return CasePicture(heading, details, planes_of_thumbnail(thumbnail), "thumbnail")


def _view_planes(case: StoredCase, place: Place) -> Planes | None:
    grid = grid_of_view(case.view.name) if case.view else None
    if grid is None:
        return None
    try:
        return planes_of(view_of_case(case).volume, grid, place)
    except ScanError:  # moved or damaged: its standard volume is shown
        return None


def picture_of_query(
    search: FinishedSearch,
    place: Place = PLANES_MM,
    *,
    as_scanned: bool = False,
    view: ViewVolume | None = None,
) -> CasePicture:
    """Return the picture of a search's query: a scan, a case of the gallery, or a code alone.

    Parameters
    ----------
    search
        The search.
    place, as_scanned
        As of `hit_picture`.
    view
        The view volume of a scan that does not hold its own.
    """
    if search.scan is not None:
        grid = grid_of_resolution(search.gallery.info().resolution_mm)
        picture = query_picture(search.scan.volume, grid, search.result, place)
        seen = (view or search.scan.view) if as_scanned else None
        if seen is None:
            return picture
        return replace(picture, planes=planes_of(seen.voxels, seen.grid, place), note=AS_SCANNED)
    case = search.query_case()
    if case is None:
        return CasePicture("Query: a code", "", NO_PLANES, "no image")
    # As it was at the search's version; by now it may have been removed.
    as_of = search.result.gallery_version
    version = as_of if case.since <= as_of else None
    hit = hit_of(0, case, 0.0)
    picture = hit_picture(search.gallery, hit, version, place, as_scanned=as_scanned)
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
