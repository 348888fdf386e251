"""Figure of a search as PNG: the query, its hits and the person's other scans, in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke

from braincase.files import atomic_write
from braincase.images.planes import CONVENTION, EDGES, PLANES_TEXT
from braincase.purpose import PURPOSE
from braincase.report.case_picture import CasePicture
from braincase.report.search_words import SIMULATED


class _TextStyle(TypedDict, total=False):
    """Text properties of Matplotlib that are used here."""

    fontsize: float
    fontweight: str
    color: str
    va: str
    path_effects: list[AbstractPathEffect]


#: Inches: one case with its two lines of text, the title of a group, the lines at the foot.
_CASE_WIDTH, _CASE_HEIGHT, _TITLE, _FOOT = 4.8, 2.12, 0.35, 0.4
#: Of the three planes of a case together, in inches.
_PLANES_WIDTH = 4.55
#: Bright fat lies behind the letters of a head as scanned: they are outlined.
_LETTER: _TextStyle = {
    "fontsize": 7.5,
    "color": "yellow",
    "va": "center",
    "path_effects": [withStroke(linewidth=1.5, foreground="black")],
}


def search_figure(
    query: CasePicture,
    hits: Sequence[CasePicture],
    others: Sequence[CasePicture],
    simulated: bool = False,
) -> Figure:
    """Draw query, hits and the person's other scans into one figure.

    Parameters
    ----------
    query
        Drawn first, in a frame.
    hits
        In the order of their ranks, two in a row.
    others
        Other scans of the query's person, below the hits.
    simulated
        Whether the gallery's people are simulated, which is said at the foot.
    """
    groups = [("", [query]), ("Similar cases", hits), ("Other scans of this person", others)]
    shown = [(title, cases) for title, cases in groups if cases]
    height = _FOOT + sum(_group_height(title, cases) for title, cases in shown)
    figure = Figure(figsize=(2 * _CASE_WIDTH, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    top = height
    for title, cases in shown:
        if title:
            _write(figure, 0.1, top - 0.25, title, fontsize=10, fontweight="bold")
        head = top - _title_height(title)
        for place, case in enumerate(cases):
            _draw_case(figure, case, _CASE_WIDTH * (place % 2), head - _CASE_HEIGHT * (place // 2))
        top -= _group_height(title, cases)
    _write(figure, 0.1, 0.22, f"{CONVENTION} {PLANES_TEXT}", fontsize=7, color="0.35")
    about = f"{PURPOSE} {SIMULATED}" if simulated else PURPOSE
    _write(figure, 0.1, 0.06, about, fontsize=7, fontweight="bold", color="0.25")
    return figure


def draw_search(
    query: CasePicture,
    hits: Sequence[CasePicture],
    others: Sequence[CasePicture],
    path: Path,
    simulated: bool = False,
) -> Path:
    """Draw `search_figure` into a PNG file and return its path."""
    with atomic_write(path) as aside:
        search_figure(query, hits, others, simulated).savefig(aside, format="png")
    return path


def _group_height(title: str, cases: Sequence[CasePicture]) -> float:
    return _title_height(title) + _CASE_HEIGHT * ((len(cases) + 1) // 2)


def _title_height(title: str) -> float:
    return _TITLE if title else 0.0


def _draw_case(figure: Figure, case: CasePicture, left: float, top: float) -> None:
    """Draw one case with its upper left corner at this place, inches from the lower left."""
    note = f"  ({case.note})" if case.note else ""
    _write(figure, left + 0.1, top - 0.14, case.heading, fontsize=8, fontweight="bold")
    _write(figure, left + 0.1, top - 0.28, case.details + note, fontsize=7.5, color="0.25")
    width, height = figure.get_size_inches()
    edge, columns = left + 0.1, sum(plane.shape[1] for plane in case.planes)
    for plane, (first, last) in zip(case.planes, EDGES, strict=True):
        wide = _PLANES_WIDTH * plane.shape[1] / columns
        tall = wide * plane.shape[0] / plane.shape[1]
        box = (edge / width, (top - 0.36 - tall) / height, wide / width, tall / height)
        axes = figure.add_axes(box, facecolor="black", xticks=[], yticks=[])
        axes.imshow(plane, cmap="gray", vmin=0, vmax=case.white, interpolation="bilinear")
        for x, letter, side in ((0.02, first, "left"), (0.98, last, "right")):
            axes.text(x, 0.5, letter, transform=axes.transAxes, **_LETTER, ha=side)
        edge += wide + 0.02


def _write(
    figure: Figure, left: float, bottom: float, text: str, **style: Unpack[_TextStyle]
) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, bottom / height, text, **style)
