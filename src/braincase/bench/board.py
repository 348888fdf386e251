"""Leaderboard: results of several runs on the same cohort put together as one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from braincase.bench.result import BenchResult, Entrant, MeasureScores, TaskScores
from braincase.evaluate.results import Estimate


@dataclass(frozen=True)
class Board:
    """Results that may be compared: of the same people and splits.

    Parameters
    ----------
    result
        Everybody's scores; baselines are those of the first run.
    first_lines
        What each run says of its own first contestant.
    notes
        Which runs read other voxels than the first (another resolution, another processor).
    """

    result: BenchResult
    first_lines: tuple[str, ...]
    notes: tuple[str, ...]


def boards_of(results: Sequence[BenchResult], names: Sequence[str] = ()) -> list[Board]:
    """Put together what was scored on the same cohort; other cohorts are boards of their own.

    Parameters
    ----------
    results
        Of one run or several.
    names
        Of the runs, to tell apart contestants of one name.
    """
    together: dict[str, list[int]] = {}
    for i, result in enumerate(results):
        checksums = result.about.checksums
        together.setdefault(f"{checksums.people} {checksums.splits}", []).append(i)
    runs = list(names) or [str(i + 1) for i in range(len(results))]
    return [
        _board([results[i] for i in group], [runs[i] for i in group]) for group in together.values()
    ]


def _board(results: Sequence[BenchResult], runs: Sequence[str]) -> Board:
    merged, taken = results[0], {entrant.name for entrant in results[0].entrants}
    notes = [
        f"{run} read other voxels of the same people ({result.about.resolution_mm} mm); the "
        f"baselines shown read those of {runs[0]} ({results[0].about.resolution_mm} mm)."
        for result, run in zip(results, runs, strict=True)
        if result.about.checksums.images != results[0].about.checksums.images
    ]
    for result, run in zip(results[1:], runs[1:], strict=True):
        new = {
            e.name: e.name if e.name not in taken else f"{e.name} ({run})"
            for e in result.of_kind("contestant")
        }
        taken |= set(new.values())
        merged = _joined(merged, result, new)
    return Board(merged, tuple(result.first_line for result in results), tuple(notes))


def _joined(a: BenchResult, b: BenchResult, new: Mapping[str, str]) -> BenchResult:
    """Add the contestants of `b`, under new names, to `a`."""
    entrants: list[Entrant] = [replace(e, name=new[e.name]) for e in b.entrants if e.name in new]
    others = {task.letter: task for task in b.tasks}
    tasks = tuple(_joined_task(task, others.get(task.letter), new) for task in a.tasks)
    return replace(a, entrants=(*entrants, *a.entrants), tasks=tasks)


def _joined_task(a: TaskScores, b: TaskScores | None, new: Mapping[str, str]) -> TaskScores:
    if b is None:
        return a
    scores = {m.measure.key: m.scores for m in b.measures}

    def joined(measure: MeasureScores) -> MeasureScores:
        more = [
            replace(score, contestant=new[score.contestant])
            for score in scores.get(measure.measure.key, ())
            if score.contestant in new
        ]
        return replace(measure, scores=(*more, *measure.scores))

    return replace(a, measures=tuple(joined(measure) for measure in a.measures))


def mean_ahead(results: Sequence[BenchResult], letter: str, name: str) -> Estimate | None:
    """Return by how much a contestant leads on average over cohorts that have nobody in common.

    The people of two cohorts are drawn apart, so the squares of the half widths of the intervals
    add up. None where the contestant was not compared in every cohort.

    Parameters
    ----------
    results
        One of each cohort.
    letter, name
        The task's and the contestant's.
    """
    found = []
    for result in results:
        scores = next((t.primary for t in result.tasks if t.letter == letter), None)
        score = scores.of(name) if scores else None
        if score is None or score.ahead is None or score.ahead.estimate.low is None:
            return None
        found.append(score.ahead.estimate)
    mean = sum(e.value for e in found) / len(found)
    halves = [((e.high or 0.0) - (e.low or 0.0)) / 2 for e in found]
    half = math.sqrt(sum(h**2 for h in halves)) / len(found)
    return Estimate(mean, mean - half, mean + half)
