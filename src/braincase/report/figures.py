"""Figures of an evaluation report, as SVG that follows the page's light or dark colours.

Matplotlib knows no style sheets, so each role is drawn in a colour of its own that stands for a CSS
variable and is exchanged for it in the SVG text. Classes differ by colour and by marker, in colours
that the colour-blind tell apart (Okabe & Ito).
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from braincase.evaluate.paper import ONGA_2019, CodeMap, PaperScore
from braincase.evaluate.results import Estimate, title_of
from braincase.evaluate.scores import MethodScore
from braincase.evaluate.shared_attributes import Chance, Sharing
from braincase.evaluate.staging import Staging

MARKERS = "os^Dv"
#: Stand-ins: what Matplotlib draws with -> what the page shows.
INK, MUTED, RULE, ACCENT = "#010101", "#020202", "#030303", "#040404"
CLASS_COLOURS = ("#050500", "#050501", "#050502", "#050503", "#050504")
VARIABLES: Mapping[str, str] = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
    **{colour: f"var(--class-{i})" for i, colour in enumerate(CLASS_COLOURS)},
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "braincase",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def draw_code_maps(maps: Sequence[CodeMap], classes: Sequence[str]) -> str:
    """Draw the t-SNE of the held-out codes of each model, coloured by class."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(maps), 3.3), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(maps)))
        for ax, code_map in zip(axes, maps, strict=True):
            points, y = np.array(code_map.points), np.array(code_map.y)
            for i, name in enumerate(classes):
                look = {"c": class_colour(i), "marker": MARKERS[i % len(MARKERS)]}
                ax.scatter(*points[y == i].T, s=17, alpha=0.75, lw=0, label=name, **look)
            ax.set(title=title_of(code_map.model), xticks=[], yticks=[])
            ax.set_aspect("equal", adjustable="datalim")
            ax.spines[["left", "bottom"]].set_visible(False)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(classes))
        return to_svg(figure, "t-SNE of the codes of held-out scans")


def draw_paper_scores(scores: Sequence[PaperScore], data: str) -> str:
    """Draw K-means accuracy of each model with its interval, the publication's beside it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 0.55 * len(scores) + 1.2), layout="constrained")
        ax = figure.subplots()
        for row, score in enumerate(scores):
            draw_interval(ax, row - 0.12, score.kmeans.estimate, ACCENT, data)
            if published := ONGA_2019.get(score.model):
                sd = published.kmeans_sd
                ends = (published.kmeans - sd, published.kmeans + sd)
                theirs = Estimate(published.kmeans, *ends)
                name = "ADNI2 (Onga 2019), mean ± sd"
                draw_interval(ax, row + 0.18, theirs, MUTED, name, "D")
        finish_rows(ax, [title_of(score.model) for score in scores], "K-means accuracy")
        handles, names = ax.get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
        return to_svg(figure, "K-means accuracy of each model")


def draw_methods(methods: Sequence[MethodScore]) -> str:
    """Draw macro-F1 and P@10 of models (accent) and baselines (grey) with their intervals."""
    order = sorted(methods, key=lambda method: method.macro_f1.value)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 0.36 * len(order) + 0.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for row, method in enumerate(order):
            colour = ACCENT if method.kind == "model" else MUTED
            draw_interval(left, row, method.macro_f1, colour)
            draw_interval(right, row, method.precision, colour)
        names = [title_of(method.name) for method in order]
        finish_rows(left, names, "macro-F1 of the nearest case", from_top=False)
        finish_rows(right, names, "share of the query's class among 10 hits", from_top=False)
        return to_svg(figure, "Search quality of models and baselines")


def draw_staging(staging: Staging) -> str:
    """Draw where each person of each group stands between the two classes."""
    rng = np.random.default_rng(0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.5 * len(staging.groups) + 0.9), layout="constrained")
        ax = figure.subplots()
        for row, group in enumerate(staging.groups):
            colour = MUTED if group.trained else ACCENT
            heights = row + rng.uniform(-0.22, 0.22, len(group.positions))
            ax.scatter(group.positions, heights, s=11, c=colour, alpha=0.4, lw=0)
            draw_interval(ax, row, group.mean, INK)
        names = [f"{g.name}{'' if g.trained else ' (never trained)'}" for g in staging.groups]
        low, high = staging.ends
        finish_rows(ax, names, f"0 = mean of held-out {low}, 1 = mean of held-out {high}")
        return to_svg(figure, "Order of groups no model was trained on")


def draw_sharing(sharings: Sequence[Sharing]) -> str:
    """Draw how much more alike neighbours are than chance makes them."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.5 * len(sharings) + 1.2), layout="constrained")
        ax = figure.subplots()
        for row, sharing in enumerate(sharings):
            _draw_chance(ax, row - 0.16, sharing.among_all, "o", "among all people")
            if sharing.within_class:
                _draw_chance(ax, row + 0.16, sharing.within_class, "D", "among people of one class")
        ax.axvline(1, c=RULE, lw=1, zorder=0)
        axis = "likeness of the 10 nearest cases, 1 = chance (band: 95 % of permutations)"
        finish_rows(ax, [sharing.attribute for sharing in sharings], axis)
        handles, names = ax.get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
        return to_svg(figure, "What neighbours share")


def slice_url(image: NDArray[np.uint8], resolution_mm: int) -> str:
    """Return a coronal or axial slice of RAS+ as PNG, the subject's right on the viewer's left."""
    shown = np.rot90(image[::-1])
    size = (shown.shape[1] * resolution_mm, shown.shape[0] * resolution_mm)
    return png_url(Image.fromarray(shown).resize(size, Image.Resampling.BICUBIC))


def png_url(picture: Image.Image) -> str:
    """Return a picture as a data URL that a page can carry in itself."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def class_colour(i: int) -> str:
    """Return the stand-in colour of class `i`."""
    return CLASS_COLOURS[i % len(CLASS_COLOURS)]


def to_svg(figure: Figure, title: str) -> str:
    """Return a figure as SVG to stand inside an HTML page, in the page's colours and font."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]+;?", "", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def draw_interval(
    ax: Axes, row: float, estimate: Estimate, colour: str, label: str = "", marker: str = "o"
) -> None:
    """Draw a value and its interval in a row of its own."""
    if estimate.low is not None and estimate.high is not None:
        ends = [estimate.low, estimate.high]
        ax.plot(ends, [row, row], c=colour, lw=2.2, solid_capstyle="round")
    ax.plot(estimate.value, row, marker, c=colour, ms=6, label=label or None)


def _draw_chance(ax: Axes, row: float, chance: Chance, marker: str, label: str) -> None:
    ends = [chance.null.low or 1.0, chance.null.high or 1.0]
    ax.plot(ends, [row, row], c=RULE, lw=8, solid_capstyle="butt", zorder=1)
    colour = ACCENT if chance.p < 0.05 else MUTED
    ax.plot(chance.enrichment, row, marker, c=colour, ms=6, label=label, zorder=2)


def finish_rows(ax: Axes, names: Sequence[str], xlabel: str, from_top: bool = True) -> None:
    """Name the rows of a figure, and its axis."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    if from_top:
        ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.tick_params(length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
