"""Leaderboard page (HTML): one result of the benchmark, or several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from braincase.bench.board import Board, boards_of, mean_ahead
from braincase.bench.comparison import Difference
from braincase.bench.contestant import Kind
from braincase.bench.result import About, BenchResult, Entrant, MeasureScores, TaskScores, names_in
from braincase.evaluate.results import Estimate
from braincase.files import write_text
from braincase.purpose import PURPOSE
from braincase.report.bench_figures import draw_primary
from braincase.report.page import Cell, Drawing, Section, Table, render_page
from braincase.report.sections import estimate_cell

SIMULATED = (
    "All people and images are simulated: the numbers show how ways of searching compare, not how "
    "well they find disease in patients. For research."
)
#: What stands above the rows of each kind.
KINDS: Mapping[Kind, str] = {"contestant": "", "baseline": "baselines:", "ceiling": "ceiling:"}
VERIFIED = {
    "published": "cohort and splits are the published ones",
    "same people, other voxels": "the published people and splits; voxels differ in rounding",
    "same people, no voxels published": "the published people and splits",
    "unpublished": "not a published cohort: compare with no other run",
}


def write_page(path: Path, results: Sequence[BenchResult], names: Sequence[str] = ()) -> None:
    """Write the page of one result, or of several.

    Parameters
    ----------
    path
        The HTML file; it needs no other.
    results
        At least one.
    names
        Of the runs, where there are several.
    """
    boards = boards_of(results, names)
    lines = [line for board in boards for line in board.first_lines]
    worst = next((line for line in lines if line.startswith("A baseline")), lines[0])
    about = [*(line for line in lines if line != worst), SIMULATED, PURPOSE]
    sections = [section for board in boards for section in _sections(board, len(boards) > 1)]
    if len(boards) > 1:
        sections.insert(0, _over_cohorts(boards))
    write_text(path, render_page("Braincase bench: simulated people", worst, about, sections))


def _sections(board: Board, several: bool) -> list[Section]:
    result = board.result
    where = f", cohort seed {result.about.seed}" if several else ""
    return [
        _overview(board, where),
        *(_task_section(task, result, where) for task in result.tasks),
        _about_section(result, where),
    ]


def _overview(board: Board, where: str) -> Section:
    result = board.result
    decided = [task for task in result.tasks if task.primary]
    caption = (
        "The measure that decides each task: contestants in colour, baselines in grey, the ceiling "
        "(search by the true volumes) hollow; lines are 95 % intervals over people, the dashed "
        "line is chance. Bold in the table: best without the ceiling."
    )
    blocks: list[Table | Drawing] = [
        Drawing(Markup(draw_primary(result)), caption),
        _primary_table(result, decided),
    ]
    if any(score.ahead for task in decided if task.primary for score in task.primary.scores):
        blocks += [_ahead_table(result, decided), *_over_each_tables(result, decided)]
    return Section(f"All tasks{where}", blocks=blocks, notes=board.notes)


def _primary_table(result: BenchResult, decided: Sequence[TaskScores]) -> Table:
    columns = [f"({task.letter}) {task.primary.measure.title}" for task in decided if task.primary]
    measures = [task.primary for task in decided if task.primary]
    rows = _rows(result.entrants, measures, result)
    return Table(["", *columns], rows, _directions(measures))


def _directions(measures: Sequence[MeasureScores]) -> str:
    """Say in which measures lower is better; in the others higher is."""
    found = {m.measure.title: m.measure.better for m in measures}
    lower, neither = (
        ", ".join(title for title, better in found.items() if better == which)
        for which in ("lower", "neither")
    )
    text = f"Lower is better: {lower}. " if lower else "Higher is better. "
    return text + (f"Neither way is better: {neither}." if neither else "")


def _name(text: str) -> Cell:
    """Return the name of a row, which is not broken into lines."""
    return Cell(text.replace(" ", "\N{NO-BREAK SPACE}"))


def _ahead_table(result: BenchResult, decided: Sequence[TaskScores]) -> Table:
    contestants = result.of_kind("contestant")
    rows = []
    for task in decided:
        scores = task.primary
        if scores is None or scores.best_baseline is None:
            continue
        found = [scores.of(entrant.name) for entrant in contestants]
        cells = [_ahead_cell(score.ahead if score else None) for score in found]
        rows.append([_name(f"({task.letter}) {task.title}"), Cell(scores.best_baseline), *cells])
    caption = (
        "By how much each contestant is better than the best baseline of that measure (above 0 is "
        "better, whichever way the measure runs), with the 95 % interval over the same people and "
        "over training seeds. The best baseline is picked on the same people, which favours it. p "
        "is two-sided and corrected for the number of tasks (Holm); bold: below 0.05 and better."
    )
    columns = ["ahead of the best baseline", "best baseline", *(e.name for e in contestants)]
    return Table(columns, rows, caption)


def _over_each_tables(result: BenchResult, decided: Sequence[TaskScores]) -> list[Table]:
    """Say of each contestant by how much it is better than each baseline, task by task."""
    tables = []
    for entrant in result.of_kind("contestant"):
        found = [task.primary.of(entrant.name) for task in decided if task.primary]
        over = [{d.over: d for d in score.over_each} if score else {} for score in found]
        baselines = [b.name for b in result.of_kind("baseline") if any(b.name in o for o in over)]
        rows = [[_name(name), *(_over_cell(o.get(name)) for o in over)] for name in baselines]
        caption = (
            f"By how much {entrant.name} is better than each baseline, with 95 % intervals over "
            "the same people; bold: the interval is above 0. Not corrected for the number of "
            "baselines and tasks."
        )
        columns = [f"ahead of, {entrant.name}", *(f"({task.letter})" for task in decided)]
        tables += [Table(columns, rows, caption)] if rows else []
    return tables


def _ahead_cell(ahead: Difference | None) -> Cell:
    if ahead is None:
        return Cell("-")
    p = ahead.p if ahead.p_holm is None else ahead.p_holm
    low, high = ahead.estimate.low, ahead.estimate.high
    interval = "" if low is None or high is None else f"{_signed(low)} to {_signed(high)}, "
    better = p < 0.05 and ahead.estimate.value > 0
    return Cell(_signed(ahead.estimate.value), f"{interval}p {p:.3f}", better)


def _over_cell(over: Difference | None) -> Cell:
    if over is None or over.estimate.low is None or over.estimate.high is None:
        return Cell("-" if over is None else _signed(over.estimate.value))
    low, high = over.estimate.low, over.estimate.high
    return Cell(_signed(over.estimate.value), f"{_signed(low)} to {_signed(high)}", low > 0)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _task_section(task: TaskScores, result: BenchResult, where: str) -> Section:
    title = f"({task.letter}) {task.title}{where}"
    if task.skipped:
        return Section(title, task.question, notes=[f"Not asked: {task.skipped}."])
    groups: list[tuple[str, int]] = [("", 1)]
    for scores in task.measures:
        name = scores.measure.convention
        if groups[-1][0] == name:
            groups[-1] = (name, groups[-1][1] + 1)
        else:
            groups.append((name, 1))
    asked = [e for e in result.entrants if any(m.of(e.name) for m in task.measures)]
    rows = _rows(asked, task.measures, result)
    for what in ("chance", "ceiling"):
        cells = [_reference_cell(m, what) for m in task.measures]
        if any(cell.text for cell in cells):
            rows.append([_name({"chance": "chance", "ceiling": "most possible"}[what]), *cells])
    caption = (
        f"{task.people} people ask, {task.gallery} scans can be found. Small print: 95 % interval "
        f"over people; bold: best without the ceiling. {_directions(task.measures)}"
    )
    table = Table(["", *(m.measure.title for m in task.measures)], rows, caption, groups)
    return Section(title, task.question, [table])


def _rows(
    entrants: Sequence[Entrant], measures: Sequence[MeasureScores], result: BenchResult
) -> list[list[Cell]]:
    """Return one row an entrant, contestants first, each kind under its name."""
    rows = []
    for kind, title in KINDS.items():
        here = [entrant for entrant in entrants if entrant.kind == kind]
        if here and title:
            rows.append([Cell(title), *[Cell("")] * len(measures)])
        rows += [[_name(e.name), *(_cell(m, e.name, result) for m in measures)] for e in here]
    return rows


def _cell(scores: MeasureScores, name: str, result: BenchResult) -> Cell:
    score = scores.of(name)
    if score is None:
        return Cell("-")
    kinds = {entrant.name: entrant.kind for entrant in result.entrants}
    sign = {"higher": 1, "lower": -1, "neither": 0}[scores.measure.better]
    rivals = [s.estimate.value for s in scores.scores if kinds[s.contestant] != "ceiling"]
    defined = [sign * value for value in rivals if value == value]
    best = bool(
        sign
        and defined
        and kinds[name] != "ceiling"
        and sign * score.estimate.value == max(defined)
    )
    return estimate_cell(score.estimate, scores.measure.digits, best)


def _reference_cell(scores: MeasureScores, what: str) -> Cell:
    value = getattr(scores.reference, what)
    return Cell("" if value is None else f"{value:.{scores.measure.digits}f}")


def _about_section(result: BenchResult, where: str) -> Section:
    about = result.about
    conditions = list(dict.fromkeys(name for part in about.people.values() for name in part))
    people = [
        [Cell(part.replace("_", " ")), *(Cell(str(counts.get(name, "-"))) for name in conditions)]
        for part, counts in about.people.items()
    ]
    entrants = [
        [
            _name(e.name),
            Cell(str(e.numbers)),
            Cell(str(e.runs)),
            Cell(f"{e.seconds:.1f} s"),
            Cell(", ".join(f[:12] for f in e.fingerprints) or "-"),
        ]
        for e in result.entrants
    ]
    return Section(
        f"How these numbers came about{where}",
        blocks=[
            Table(["people", *conditions], people, "People by their part; nobody has two parts."),
            Table(
                ["", "numbers", "training seeds", "time", "fingerprint"],
                entrants,
                "Length of each vector, and the time to fit, embed and answer.",
            ),
        ],
        facts=_facts(about),
    )


def _facts(about: About) -> list[tuple[str, str]]:
    return [
        (
            "cohort",
            f"simulated, size {about.size}, {about.resolution_mm} mm, "
            f"seed {about.seed} ({about.role})",
        ),
        ("verified", VERIFIED[about.verified]),
        ("people", f"SHA-256 {about.checksums.people}"),
        ("splits", f"SHA-256 {about.checksums.splits}"),
        ("images", f"SHA-256 {about.checksums.images}"),
        ("resamples", f"{about.resamples} of the people who ask, within their condition"),
        ("versions", ", ".join(f"{k} {v}" for k, v in about.versions.items())),
        ("machine", about.machine),
        ("started", about.started),
        ("time", ", ".join(f"{k} {v:.0f} s" for k, v in about.seconds.items())),
    ]


def _over_cohorts(boards: Sequence[Board]) -> Section:
    """Average what was scored on several cohorts, which have nobody in common."""
    results = [board.result for board in boards]
    tasks = [task for task in results[0].tasks if task.primary]
    rows = []
    for name in names_in(results):
        cells = []
        for task in tasks:
            values = _values(results, task.letter, name)
            digits = task.primary.measure.digits if task.primary else 3
            spread = f"{min(values):.{digits}f} to {max(values):.{digits}f}" if values else ""
            cells.append(Cell(f"{np.mean(values):.{digits}f}" if values else "-", spread))
        rows.append([_name(name), *cells])
    columns = [f"({t.letter}) {t.primary.measure.title}" for t in tasks if t.primary]
    caption = (
        "Mean over cohorts of the measure that decides each task; small print: smallest to largest."
    )
    blocks = [Table(["", *columns], rows, caption)]
    contestants = {e.name for result in results for e in result.of_kind("contestant")}
    ahead = [
        [_name(name), *(_lead_cell(mean_ahead(results, task.letter, name)) for task in tasks)]
        for name in names_in(results)
        if name in contestants
    ]
    if ahead:
        columns = ["ahead of the best baseline", *(f"({t.letter}) {t.title}" for t in tasks)]
        caption = "Mean over cohorts of the lead over the best baseline, and its 95 % interval."
        blocks.append(Table(columns, ahead, caption))
    return Section(f"Mean of {len(boards)} cohorts", blocks=blocks)


def _lead_cell(lead: Estimate | None) -> Cell:
    if lead is None or lead.low is None or lead.high is None:
        return Cell("-")
    return Cell(_signed(lead.value), f"{_signed(lead.low)} to {_signed(lead.high)}", lead.low > 0)


def _values(results: Sequence[BenchResult], letter: str, name: str) -> list[float]:
    found = []
    for result in results:
        task = next((t for t in result.tasks if t.letter == letter), None)
        score = task.primary.of(name) if task and task.primary else None
        if score and score.estimate.value == score.estimate.value:
            found.append(score.estimate.value)
    return found
