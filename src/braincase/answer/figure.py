"""Figure that explains one hit: query, hit, difference and agreement maps, and region shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from braincase.answer.shares import Explanation
from braincase.files import atomic_write
from braincase.images.geometry import Grid
from braincase.images.planes import CONVENTION, EDGES, planes_of

#: Differences are coloured up to this many usual spreads.
MOST_SPREADS = 4.0
_ROWS = ("query", "hit", "query minus hit", "agreement")


def draw_explanation(
    query: NDArray[np.uint8],
    hit: NDArray[np.uint8],
    difference: NDArray[np.float32],
    agreement: NDArray[np.float32],
    explanation: Explanation,
    grid: Grid,
    path: Path,
    title: str = "",
) -> Path:
    """Draw three planes of query, hit, difference and agreement beside the shares by region.

    Parameters
    ----------
    query, hit
        Standard volumes, uint8 of shape `grid.shape`.
    difference, agreement
        From `braincase.answer.maps.difference_map` (with a spread) and `agreement_map`.
    explanation
        From `braincase.answer.shares.explain`.
    grid
        The grid of all four.
    path
        The PNG file, which is returned.
    title
        Written on top.
    """
    figure = Figure(figsize=(10, 7.6), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        4, 4, width_ratios=[96, 80, 80, 90],
        gridspec_kw={"left": 0.07, "right": 0.98, "top": 0.94, "bottom": 0.06, "wspace": 0.04},
    )  # fmt: skip
    anatomy = [planes_of(volume, grid) for volume in (query, hit)]
    maps = [planes_of(volume, grid) for volume in (difference, agreement)]
    for column in range(3):
        _draw_anatomy(axes[0, column], anatomy[0][column])
        _draw_anatomy(axes[1, column], anatomy[1][column])
        _draw_map(axes[2, column], anatomy[0][column], maps[0][column], "difference")
        _draw_map(axes[3, column], anatomy[0][column], maps[1][column], "agreement")
        for axis in axes[:, column]:
            _write_sides(axis, *EDGES[column])
    for row, name in enumerate(_ROWS):
        axes[row, 0].set_ylabel(name, fontsize=9)
    _draw_shares(figure, axes[:, 3], explanation)
    figure.suptitle(title, fontsize=10, x=0.07, ha="left")
    key = f"Red: query brighter, blue: darker, full colour at {MOST_SPREADS:g} usual spreads."
    figure.text(0.07, 0.015, f"{key} {CONVENTION}", fontsize=7, color="0.35")
    with atomic_write(path) as aside:
        figure.savefig(aside, format="png")
    return path


def _draw_anatomy(axis: Axes, plane: NDArray[np.generic]) -> None:
    axis.imshow(plane, cmap="gray", interpolation="bilinear")


def _draw_map(
    axis: Axes, anatomy: NDArray[np.generic], values: NDArray[np.generic], kind: str
) -> None:
    axis.imshow(anatomy, cmap="gray", interpolation="bilinear")
    if kind == "difference":
        strength = np.clip(np.abs(values) / MOST_SPREADS, 0, 1)
        axis.imshow(values, cmap="RdBu_r", vmin=-MOST_SPREADS, vmax=MOST_SPREADS, alpha=strength)
    else:
        inside = np.asarray(anatomy) > 0
        axis.imshow(values, cmap="YlGn", vmin=0, vmax=1, alpha=0.6 * inside)


def _write_sides(axis: Axes, first: str, last: str) -> None:
    axis.set(xticks=[], yticks=[])
    for x, letter, side in ((0.02, first, "left"), (0.98, last, "right")):
        axis.text(x, 0.5, letter, transform=axis.transAxes, fontsize=7, color="gold", ha=side)


def _draw_shares(figure: Figure, column: NDArray[np.object_], explanation: Explanation) -> None:
    """Draw the largest shares as bars in the place of the last column."""
    for axis in column:
        axis.set_axis_off()
    top, bottom = column[0].get_position(), column[-1].get_position()
    axis = figure.add_axes((top.x0 + 0.13, bottom.y0, top.width - 0.13, top.y1 - bottom.y0))
    shares = explanation.shares(14)[::-1]
    axis.barh([name for name, _ in shares], [100 * share for _, share in shares], color="#2a6fbb")
    axis.tick_params(labelsize=7)
    axis.set_xlabel("% of the regional difference", fontsize=7.5, loc="right")
    axis.spines[["top", "right"]].set_visible(False)
