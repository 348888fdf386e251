"""Figure that explains one hit: likeness bars, volumes for age, and the map of the difference.

What differs, by how much and where, on one page of a slide's shape: how alike query and hit are in
each part of the brain, their region volumes as percentiles for age and sex, and both brains with
their difference in the planes of its largest value. The colours are those of Okabe & Ito (2008),
which people with any colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.transforms import Transform
from numpy.typing import NDArray

from braincase.answer.shares import Explanation
from braincase.files import atomic_write
from braincase.images.atlas import label_volume, load_regions
from braincase.images.geometry import Grid
from braincase.images.planes import EDGES, Place, planes_of
from braincase.population.volume_norms import USUAL, VolumeForAge

#: Differences are coloured up to this many usual spreads.
MOST_SPREADS = 4.0
ALIKE, UNLIKE, QUERY, HIT = "#0072B2", "#D55E00", "#000000", "#CC79A7"
#: The axis of likeness ends at these ratios.
_RATIOS = (1 / 16, 16.0)
_SMALL = 7.5
#: The MNI axes that run across and up the sagittal, coronal and axial picture.
_ACROSS_UP = ((1, 2), (0, 2), (0, 1))
_CONVENTION = "Radiological convention:\nR is the subject's right."


@dataclass(frozen=True, eq=False)
class ExplainedPair:
    """What is drawn of a query and a hit.

    Parameters
    ----------
    query, hit
        Standard volumes, uint8 of shape `grid.shape`.
    difference
        Query minus hit from `braincase.answer.maps.difference_map`, in usual spreads.
    grid
        The grid of all three.
    explanation
        From `braincase.answer.shares.explain`.
    likeness
        From `braincase.answer.shares.likeness`; empty where the gallery is too small to tell.
    volumes
        Region volumes of query and of hit, in the same order; empty where the code holds none.
    names
        Of query and hit.
    """

    query: NDArray[np.uint8]
    hit: NDArray[np.uint8]
    difference: NDArray[np.float32]
    grid: Grid
    explanation: Explanation
    likeness: Sequence[tuple[str, float]]
    volumes: tuple[Sequence[VolumeForAge], Sequence[VolumeForAge]]
    names: tuple[str, str]


def explanation_figure(pair: ExplainedPair) -> Figure:
    """Draw why a hit is like the query: likeness, volumes, and the map of the difference."""
    figure = Figure(figsize=(12.8, 7.2), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.02, 0.945, " and ".join(pair.names), fontsize=13, fontweight="bold")
    figure.text(0.02, 0.908, sentence_of(pair), fontsize=10, color="0.2")
    _draw_likeness(figure.add_axes((0.115, 0.1, 0.135, 0.72)), pair)
    if any(pair.volumes):
        _draw_volumes(figure.add_axes((0.425, 0.1, 0.125, 0.72)), pair)
    _draw_maps(figure, pair)
    return figure


def draw_explanation(pair: ExplainedPair, path: Path) -> Path:
    """Draw `explanation_figure` into a PNG file and return its path."""
    with atomic_write(path) as aside:
        explanation_figure(pair).savefig(aside, format="png")
    return path


def sentence_of(pair: ExplainedPair) -> str:
    """Return in one sentence where the two are most alike, and where they differ most."""
    if not pair.likeness:
        (name, share), *_ = pair.explanation.shares(1) or [("none", 0.0)]
        return f"The largest share of the difference, {share:.0%}, lies in: {_words(name)}."
    (alike, low), (unlike, high) = pair.likeness[0], pair.likeness[-1]
    return (
        f"Most alike: {_words(alike)} ({_times(low)} the usual difference of two people); "
        f"differ most: {_words(unlike)} ({_times(high)})."
    )


def _words(name: str) -> str:
    return name.replace("-", " ")


def _times(ratio: float) -> str:
    return f"{ratio:.2f} ×" if ratio < 1 else f"{ratio:.1f} ×"


def _draw_likeness(axis: Axes, pair: ExplainedPair) -> None:
    """Draw a bar for each part of the brain, most alike first, with its share of the difference."""
    regions, whole = load_regions(), pair.explanation.regional or 1.0
    parts = list(pair.likeness) or [(name, np.nan) for name, _ in pair.explanation.shares(16)]
    rows = np.arange(len(parts))
    ratios = np.clip([ratio for _, ratio in parts], *_RATIOS)
    axis.barh(rows, np.log2(ratios), color=np.where(ratios <= 1, ALIKE, UNLIKE), height=0.62)
    axis.axvline(0, color="0.2", linewidth=0.8)
    axis.set_yticks(rows, [_words(name) for name, _ in parts], fontsize=_SMALL)
    axis.set_xticks(range(-4, 5, 2), ["1/16", "1/4", "1", "4", "16"], fontsize=_SMALL)
    axis.set(xlim=np.log2(_RATIOS), ylim=(len(parts) - 0.5, -0.5))
    for row, (name, ratio) in enumerate(parts):
        members = [regions.names[index] for index in regions.members(name)]
        share = sum(pair.explanation.by_region.get(member, 0.0) for member in members) / whole
        times = _times(ratio) if np.isfinite(ratio) else ""
        axis.text(1.04, row, f"{times:>7}", transform=_beside(axis), fontsize=_SMALL, va="center")
        axis.text(1.36, row, f"{share:4.0%}", transform=_beside(axis), fontsize=_SMALL, va="center")
    note = "blue: more alike than two\npeople usually are; orange: less"
    told = ("How alike", note) if pair.likeness else ("How alike: not known", "too small a gallery")
    _heading(axis, *told)
    axis.text(1.3, -0.75, "share of the\ndifference", transform=_beside(axis), fontsize=6.5)
    axis.set_xlabel("squared difference of the codes\n/ that of two people", fontsize=_SMALL)


def _draw_volumes(axis: Axes, pair: ExplainedPair) -> None:
    """Draw the volumes of both as percentiles for age and sex, or else how much they differ."""
    query, hit = pair.volumes
    rows = np.arange(len(query))
    both = [(a.percentile, b.percentile) for a, b in zip(query, hit, strict=True)]
    places = np.array(both, dtype=np.float64)
    if np.isfinite(places).any():
        axis.axvspan(*USUAL, color="0.93", zorder=0)
        axis.hlines(rows, *places.T, color="0.6", linewidth=1)
        axis.scatter(places[:, 0], rows, 22, QUERY, marker="o", label=pair.names[0], zorder=3)
        axis.scatter(places[:, 1], rows, 22, HIT, marker="D", label=pair.names[1], zorder=2)
        axis.set_xlim(-3, 103)
        axis.set_xlabel("percentile for age and sex\n(grey: nine of ten controls)", fontsize=_SMALL)
        axis.legend(loc="upper left", bbox_to_anchor=(-0.75, -0.015), fontsize=6.5, frameon=False)
    else:
        percent = [100 * (a.ml / b.ml - 1) for a, b in zip(query, hit, strict=True)]
        axis.barh(rows, percent, color=QUERY, height=0.5)
        axis.axvline(0, color="0.2", linewidth=0.8)
        axis.set_xlabel("query larger than hit, %", fontsize=_SMALL)
    axis.set_yticks(rows, [_words(volume.name) for volume in query], fontsize=_SMALL)
    axis.tick_params(axis="x", labelsize=_SMALL)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    for row, (a, b) in enumerate(zip(query, hit, strict=True)):
        ml = f"{_ml(a.ml)}, {_ml(b.ml)}"
        axis.text(1.04, row, ml, transform=_beside(axis), fontsize=_SMALL, va="center")
    _heading(axis, "Volumes", "ml of the standard space, query and hit")


def _ml(volume: float) -> str:
    return f"{volume:.1f}" if volume < 100 else f"{volume:.0f}"


def _heading(axis: Axes, title: str, note: str) -> None:
    axis.text(0, 1.075, title, transform=axis.transAxes, fontsize=10, fontweight="bold")
    axis.text(0, 1.02, note, transform=axis.transAxes, fontsize=6.5, color="0.35")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _draw_maps(figure: Figure, pair: ExplainedPair) -> None:
    """Draw query, hit and difference in the three planes of the largest difference."""
    place, name = largest_difference(pair.difference, pair.grid)
    query, hit = (planes_of(volume, pair.grid, place) for volume in (pair.query, pair.hit))
    difference = planes_of(pair.difference, pair.grid, place)
    axes = figure.subplots(
        3, 3, width_ratios=[96, 80, 80],
        gridspec_kw={"left": 0.63, "right": 0.99, "top": 0.83, "bottom": 0.13,
                     "wspace": 0.02, "hspace": 0.02},
    )  # fmt: skip
    white = float(np.percentile(np.concatenate([pair.query, pair.hit])[::2], 99.5)) or 255.0
    for column in range(3):
        grey = {"cmap": "gray", "vmin": 0, "vmax": white, "interpolation": "bilinear"}
        extent = _extent(pair.grid, column)
        axes[0, column].imshow(query[column], extent=extent, **grey)
        axes[1, column].imshow(hit[column], extent=extent, **grey)
        axes[2, column].imshow(query[column], extent=extent, **grey)
        coloured = _colour(axes[2, column], difference[column], extent)
        for axis in axes[:, column]:
            _write_sides(axis, column, place)
    for row, label in enumerate(("query", "hit", "difference")):
        axes[row, 0].set_ylabel(label, fontsize=8)
    where = ", ".join(f"{value:.0f}" for value in place)
    note = f"largest difference of brightness: {_words(name)} ({where} mm MNI)"
    figure.text(0.63, 0.874, "Where", fontsize=10, fontweight="bold")
    figure.text(0.63, 0.845, note, fontsize=6.5, color="0.35")
    bar = figure.colorbar(
        coloured, cax=figure.add_axes((0.65, 0.085, 0.17, 0.014)), orientation="horizontal"
    )
    bar.ax.tick_params(labelsize=6.5)
    bar.set_label("query darker  -  usual spreads  -  query brighter", fontsize=7)
    figure.text(0.85, 0.085, _CONVENTION, fontsize=6.5, color="0.35")


def largest_difference(difference: NDArray[np.float32], grid: Grid) -> tuple[Place, str]:
    """Return the MNI place (x, y, z in mm) of a map's largest absolute value, and its region.

    Only named regions count: at the rim of the brain the mask differs, not the person.
    """
    labels, names = label_volume(grid)
    inside = np.where(labels >= 0, np.abs(difference), 0.0)
    index = np.unravel_index(int(inside.argmax()), inside.shape)
    x, y, z = (grid.affine[:3, :3] @ index + grid.affine[:3, 3]).tolist()
    return (x, y, z), names[max(int(labels[index]), 0)]


def _extent(grid: Grid, column: int) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a plane in MNI mm, as `planes_of` cuts it."""
    first = grid.affine[:3, 3] - grid.resolution_mm / 2
    last = first + np.array(grid.shape) * grid.resolution_mm
    across, up = _ACROSS_UP[column]
    # Front, or the subject's right, is on the left.
    return float(last[across]), float(first[across]), float(first[up]), float(last[up])


def _colour(
    axis: Axes, values: NDArray[np.float32], extent: tuple[float, float, float, float]
) -> AxesImage:
    """Lay the difference over the anatomy, which shows through where it is small."""
    strength = 0.8 * np.clip(np.abs(values) / MOST_SPREADS, 0, 1)
    return axis.imshow(
        values, cmap="RdBu_r", vmin=-MOST_SPREADS, vmax=MOST_SPREADS, alpha=strength, extent=extent
    )


def _write_sides(axis: Axes, column: int, place: Place) -> None:
    """Mark the sides of a plane, and the place of the largest difference by a cross."""
    across, up = _ACROSS_UP[column]
    axis.axvline(place[across], color="gold", linewidth=0.4)
    axis.axhline(place[up], color="gold", linewidth=0.4)
    axis.set(xticks=[], yticks=[])
    for x, letter, side in zip((0.02, 0.98), EDGES[column], ("left", "right"), strict=True):
        axis.text(x, 0.9, letter, transform=axis.transAxes, fontsize=7, color="gold", ha=side)


def _beside(axis: Axes) -> Transform:
    """Return coordinates across in parts of the axis, down in rows."""
    return axis.get_yaxis_transform()
