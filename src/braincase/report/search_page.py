"""A search result as a person sees it: the query and its hits in three planes, as PNG or HTML.

All pictures follow the radiological convention (the subject's right is on the viewer's left) and
say so with letters.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from braincase.files import atomic_write, write_text
from braincase.gallery import Gallery, Hit, SearchResult, hit_of
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.images.planes import CONVENTION, EDGES, Plane, Planes, planes_of, planes_of_thumbnail
from braincase.labels import USUAL_COLUMNS, Value, value_text
from braincase.population.volumes import stored_volume
from braincase.purpose import PURPOSE
from braincase.search.pipeline import FinishedSearch, _case_of

_NO_PLANES: Planes = (
    np.zeros((80, 96), np.uint8),
    np.zeros((80, 80), np.uint8),
    np.zeros((96, 80), np.uint8),
)


@dataclass(frozen=True)
class CasePicture:
    """One case to show: what to say of it, and its three planes."""

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
    details = f"distance {hit.distance:.3f}  {details_of(hit.labels)}".rstrip()
    grid = grid_of_resolution(gallery.info().resolution_mm)
    volume = stored_volume(gallery.get(hit.scan_id, as_of), grid)
    if volume is not None:  # a damaged image is no reason to show no result
        return CasePicture(heading, details, planes_of(volume, grid))
    thumbnail = gallery.thumbnail(hit.scan_id, as_of)
    if thumbnail is None:
        return CasePicture(heading, details, _NO_PLANES, "no image")
    return CasePicture(heading, details, planes_of_thumbnail(thumbnail), "thumbnail")


def unseen(heading: str) -> CasePicture:
    """Return the picture of something that has none, such as a query that is a code alone."""
    return CasePicture(heading, "", _NO_PLANES, "no image")


def details_of(labels: Mapping[str, Value]) -> str:
    """Return diagnosis, age and sex in a few words, whichever are known."""
    shown = [(name, labels.get(name)) for name in USUAL_COLUMNS]
    words = [
        f"{value_text(value)} y" if name == "age" else value_text(value)
        for name, value in shown
        if value is not None
    ]
    return " · ".join(words)


def draw_search(
    query: CasePicture, hits: Sequence[CasePicture], earlier: Sequence[CasePicture], path: Path
) -> Path:
    """Draw query, hits and earlier scans into one PNG and return its path.

    Parameters
    ----------
    query
        Drawn first, in a frame.
    hits
        In the order of their ranks, two in a row.
    earlier
        Earlier scans of the query's person, below the hits.
    path
        The PNG file.
    """
    groups = [("", [query]), ("Similar cases", hits), ("Earlier scans of this person", earlier)]
    shown = [(title, cases) for title, cases in groups if cases]
    height = _FOOT + sum(_group_height(title, cases) for title, cases in shown)
    figure = Figure(figsize=(2 * _CASE_WIDTH, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    top = height
    for title, cases in shown:
        if title:
            _write(figure, 0.1, top - 0.25, title, fontsize=10, fontweight="bold")
        head = top - _TITLE * bool(title)
        for place, case in enumerate(cases):
            _draw_case(figure, case, _CASE_WIDTH * (place % 2), head - _CASE_HEIGHT * (place // 2))
        top -= _group_height(title, cases)
    _write(figure, 0.1, 0.06, CONVENTION, fontsize=7, color="0.35")
    with atomic_write(path) as aside:
        figure.savefig(aside, format="png")
    return path


#: Inches: one case with its two lines of text, the title of a group, the line at the foot.
_CASE_WIDTH, _CASE_HEIGHT, _TITLE, _FOOT = 4.8, 2.12, 0.35, 0.25
_INCH_PER_MM = 4.55 / sum(plane.shape[1] for plane in _NO_PLANES) / 2


def _group_height(title: str, cases: Sequence[CasePicture]) -> float:
    return _TITLE * bool(title) + _CASE_HEIGHT * ((len(cases) + 1) // 2)


def _draw_case(figure: Figure, case: CasePicture, left: float, top: float) -> None:
    """Draw one case with its upper left corner at this place, inches from the lower left."""
    note = f"  ({case.note})" if case.note else ""
    _write(figure, left + 0.1, top - 0.14, case.heading, fontsize=8, fontweight="bold")
    _write(figure, left + 0.1, top - 0.28, case.details + note, fontsize=7.5, color="0.25")
    width, height = figure.get_size_inches()
    white, edge = _white(case.planes), left + 0.1
    for plane, (first, last), wide_mm in zip(case.planes, EDGES, (192, 160, 160), strict=True):
        wide = wide_mm * _INCH_PER_MM
        tall = wide * plane.shape[0] / plane.shape[1]
        box = (edge / width, (top - 0.36 - tall) / height, wide / width, tall / height)
        axes = figure.add_axes(box, facecolor="black", xticks=[], yticks=[])
        axes.imshow(plane, cmap="gray", vmin=0, vmax=white, interpolation="bilinear")
        axes.text(0.02, 0.5, first, transform=axes.transAxes, **_LETTER, ha="left")
        axes.text(0.98, 0.5, last, transform=axes.transAxes, **_LETTER, ha="right")
        edge += wide + 0.02


_LETTER: dict[str, Any] = {"fontsize": 6.5, "color": "yellow", "va": "center"}


def _write(figure: Figure, left: float, bottom: float, text: str, **style: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, bottom / height, text, **style)


def write_search_html(
    query: CasePicture,
    hits: Sequence[CasePicture],
    earlier: Sequence[CasePicture],
    result: SearchResult,
    path: Path,
    sections: Sequence[tuple[str, Sequence[str]]] = (),
    warning: str = "",
) -> Path:
    """Write query, hits and earlier scans as one self-contained HTML file and return its path.

    `sections` are what the answer says, headings with lines, notes included; without them the
    result's notes are told. `warning` stands first.
    """
    environment = Environment(
        loader=PackageLoader("braincase.report"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("search.html").render(
        query=_card(query),
        hits=[_card(case) for case in hits],
        earlier=[_card(case) for case in earlier],
        result=result,
        sections=sections or ([("Notes", result.notes)] if result.notes else []),
        warning=warning,
        convention=CONVENTION,
        purpose=PURPOSE,
    )
    write_text(path, page)
    return path


def _card(case: CasePicture) -> dict[str, object]:
    white = _white(case.planes)
    names = ("sagittal", "coronal", "axial")
    return {
        "heading": case.heading,
        "details": case.details,
        "note": case.note,
        "planes": [
            {"name": name, "data": _png(plane, white), "left": left, "right": right}
            for name, plane, (left, right) in zip(names, case.planes, EDGES, strict=True)
        ],
    }


def _png(plane: Plane, white: float) -> str:
    """Return a plane as base64 PNG, two screen pixels a millimetre."""
    scaled = np.clip(plane * (255.0 / white), 0, 255).astype(np.uint8)
    enlarge = 192 // max(plane.shape)
    picture = Image.fromarray(np.ascontiguousarray(scaled))
    picture = picture.resize(
        (plane.shape[1] * enlarge, plane.shape[0] * enlarge), Image.Resampling.BICUBIC
    )
    held = io.BytesIO()
    picture.save(held, "PNG", optimize=True)
    return base64.b64encode(held.getvalue()).decode("ascii")


def _white(planes: Planes) -> float:
    """Return the brightness shown as white: the 99.5th percentile of the tissue in view."""
    tissue = np.concatenate([plane[plane > 0] for plane in planes])
    return float(np.percentile(tissue, 99.5)) if tissue.size else 255.0


def draw(
    asked: FinishedSearch,
    png: Path | None,
    html: Path | None,
    sections: Sequence[tuple[str, Sequence[str]]] = (),
    warning: str = "",
) -> None:
    """Draw query and hits in three planes, as a PNG file, an HTML file, or both.

    Parameters
    ----------
    asked
        The search.
    png, html
        Files to write.
    sections, warning
        From `braincase.report.wording`; the HTML page tells them instead of the bare notes.
    """
    if not (png or html):
        return
    query = _picture_of_query(asked)
    hits = [
        hit_picture(asked.gallery, hit, asked.result.gallery_version) for hit in asked.result.hits
    ]
    earlier = [
        hit_picture(asked.gallery, hit, asked.result.gallery_version)
        for hit in asked.result.same_subject
    ]
    if png:
        draw_search(query, hits, earlier, png)
    if html:
        write_search_html(query, hits, earlier, asked.result, html, sections, warning)


def _picture_of_query(asked: FinishedSearch) -> CasePicture:
    if asked.scan is None and asked.result.query_id is None:
        return unseen("Query: a code")
    if asked.scan is None:
        return _picture_of_case(asked)
    grid = grid_of_resolution(asked.gallery.info().resolution_mm)
    return query_picture(asked.scan.volume, grid, asked.result)


def _picture_of_case(asked: FinishedSearch) -> CasePicture:
    """Draw a stored query as it was at the search's version; by now it may have been removed."""
    gallery, scan_id = asked.gallery, str(asked.result.query_id)
    as_of = asked.result.gallery_version
    case = _case_of(gallery, scan_id, as_of)
    version = as_of if case.since <= as_of else None
    picture = hit_picture(gallery, hit_of(0, case, 0.0), version)
    return replace(picture, heading=f"Query: {scan_id}", details=details_of(case.labels))
