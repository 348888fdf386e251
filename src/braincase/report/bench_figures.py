"""Figure of a benchmark result: the deciding measure of each task as a forest plot."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from braincase.bench.contestant import Kind
from braincase.bench.result import BenchResult, MeasureScores, TaskScores
from braincase.report.figures import (
    ACCENT,
    INK,
    MUTED,
    STYLE,
    draw_interval,
    finish_rows,
    to_svg,
)

#: Panels beside each other.
ACROSS = 4
COLOURS: dict[Kind, str] = {"contestant": ACCENT, "baseline": MUTED, "ceiling": INK}
MARKERS: dict[Kind, str] = {"contestant": "o", "baseline": "s", "ceiling": "D"}


def draw_primary(result: BenchResult) -> str:
    """Draw every task's deciding measure for everybody, one panel a task; return SVG."""
    decided = [task for task in result.tasks if task.primary]
    down = max(1, -(-len(decided) // ACROSS))
    height = down * (0.24 * len(result.entrants) + 1.1)
    with mpl.rc_context({**STYLE, "font.size": 9}):
        figure = Figure(figsize=(11, height), layout=ConstrainedLayoutEngine(h_pad=0.12))
        panels = figure.subplots(down, ACROSS, squeeze=False).ravel()
        for i, panel in enumerate(panels):
            if i < len(decided):
                _draw_task(panel, decided[i], result, names=i % ACROSS == 0)
            else:
                panel.set_visible(False)
        return to_svg(figure, "The deciding measure of each task")


def _draw_task(ax: Axes, task: TaskScores, result: BenchResult, names: bool) -> None:
    scores = task.primary
    assert scores is not None
    for row, entrant in enumerate(result.entrants):
        score = scores.of(entrant.name)
        if score is not None and score.estimate.value == score.estimate.value:
            draw_interval(ax, row, score.estimate, COLOURS[entrant.kind], "", MARKERS[entrant.kind])
            if entrant.kind == "ceiling":
                ax.lines[-1].set_markerfacecolor("none")
    if (chance := scores.reference.chance) is not None:
        ax.axvline(chance, c=MUTED, lw=1, ls=(0, (3, 3)), zorder=0)
    finish_rows(ax, [e.name if names else "" for e in result.entrants], _axis(scores))
    ax.set_title(f"({task.letter}) {task.title}")


def _axis(scores: MeasureScores) -> str:
    arrow = {"higher": " →", "lower": " (less is better)", "neither": ""}
    return scores.measure.title + arrow[scores.measure.better]
