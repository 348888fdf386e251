"""Run the benchmark: put every task to every contestant, and compare with the best baseline."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from braincase.bench.archive import Archive
from braincase.bench.baselines import baselines
from braincase.bench.comparison import (
    Difference,
    Resampled,
    best_of,
    difference,
    holm,
    people_of,
    resample,
)
from braincase.bench.contestant import Contestant, check_names
from braincase.bench.result import (
    About,
    BenchResult,
    Entrant,
    MeasureScores,
    Score,
    TaskScores,
)
from braincase.bench.setting import Setting, Truth, check_setting
from braincase.bench.tasks import archives, disease, lesions, scanners, severity
from braincase.bench.tasks.task import Asked, Measure, Reference, Skipped, Task
from braincase.bench.views import Shown, show
from braincase.evaluate.resampling import RESAMPLES, Statistic
from braincase.evaluate.results import Codes
from braincase.evaluate.study import library_versions, machine_name
from braincase.progress import progress

#: Every question of the benchmark, in order.
TASKS: tuple[Task, ...] = (
    disease.PAIR,
    disease.EVERY,
    lesions.LESIONS,
    severity.SEVERITY,
    severity.NEVER,
    scanners.SCANNER,
    archives.RARE,
    archives.CONFOUNDED,
)
#: One contestant's answers to all tasks: the statistics of each run, by task and measure.
Answers = Mapping[tuple[str, str], Sequence[Statistic]]


def run_bench(
    archive: Archive,
    contestants: Sequence[Contestant],
    truth: Truth,
    region_volumes: Codes,
    seconds: Mapping[str, float] | None = None,
    resamples: int = RESAMPLES,
) -> BenchResult:
    """Score contestants and baselines on every task of the benchmark.

    Parameters
    ----------
    archive
        Cohort and splits.
    contestants
        Who competes, the one that results speak of first.
    truth
        What is true of every scan.
    region_volumes
        Measured on the images, mm3, shape (scans, regions).
    seconds
        What steps before took.
    resamples
        Of the people who ask.

    Raises
    ------
    CohortError
        If a part of the cohort is too small, two contestants have one name, or one gives no
        vectors.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    setting = Setting(archive.cohort, archive.splits, truth, archive.seed)
    check_setting(setting)
    everybody = (*contestants, *baselines(setting, region_volumes))
    check_names(everybody)
    took = {**(seconds or {}), "features": time.perf_counter() - clock}
    asked = {task.letter: task.ask(setting) for task in TASKS}
    entrants, answers = _answer_all(setting, everybody, asked)
    took["contestants"] = sum(entrant.seconds for entrant in entrants)
    clock = time.perf_counter()
    tasks = _score_all(asked, entrants, answers, setting.seed, resamples)
    took["scores"] = time.perf_counter() - clock
    about = _about(archive, setting, resamples, started, took)
    return BenchResult(about, entrants, _corrected(tasks, entrants))


def _answer_all(
    setting: Setting, everybody: Sequence[Contestant], asked: Mapping[str, Asked | Skipped]
) -> tuple[tuple[Entrant, ...], Mapping[str, Answers]]:
    """Let one contestant after the other answer every task, so that one's vectors are in memory."""
    entrants, answers = [], {}
    with progress("contestants", sum(len(c.runs) for c in everybody)) as advance:
        for contestant in everybody:
            clock = time.perf_counter()
            by_measure: dict[tuple[str, str], list[Statistic]] = {}
            for run in range(len(contestant.runs)):
                shown, numbers = show(contestant, run, setting)
                for key, statistic in _answers_of(contestant, shown, asked):
                    by_measure.setdefault(key, []).append(statistic)
                advance(1, contestant.name)
            answers[contestant.name] = by_measure
            entrants.append(
                Entrant(
                    contestant.name,
                    contestant.kind,
                    contestant.fingerprints,
                    len(contestant.runs),
                    numbers,
                    round(time.perf_counter() - clock, 1),
                )
            )
    return tuple(entrants), answers


def _answers_of(
    contestant: Contestant, shown: Shown, asked: Mapping[str, Asked | Skipped]
) -> list[tuple[tuple[str, str], Statistic]]:
    found = []
    for task in TASKS:
        question = asked[task.letter]
        if isinstance(question, Skipped) or (task.reads_images and not contestant.reads_images):
            continue
        found += [((task.letter, k), s) for k, s in question.answer(shown).items()]
    return found


def _score_all(
    asked: Mapping[str, Asked | Skipped],
    entrants: Sequence[Entrant],
    answers: Mapping[str, Answers],
    seed: int,
    resamples: int,
) -> list[TaskScores]:
    scores = []
    for task in TASKS:
        question = asked[task.letter]
        words = (task.letter, task.key, task.title, task.question)
        if isinstance(question, Skipped):
            scores.append(TaskScores(*words, 0, 0, (), question.reason))
            continue
        people = people_of(question.strata, seed, resamples)
        measures = []
        for measure in task.measures:
            key = (task.letter, measure.key)
            measured = {
                e.name: resample(answers[e.name][key], people, seed)
                for e in entrants
                if key in answers[e.name]
            }
            reference = question.references.get(measure.key, Reference())
            if measured:
                measures.append(_scored(measure, reference, measured, entrants))
        scores.append(TaskScores(*words, people.shape[1], question.gallery, tuple(measures)))
    return scores


def _scored(
    measure: Measure,
    reference: Reference,
    measured: Mapping[str, Resampled],
    entrants: Sequence[Entrant],
) -> MeasureScores:
    """Compare every contestant with every baseline of this measure, on the same resamples."""
    kinds = {entrant.name: entrant.kind for entrant in entrants}
    rivals = {name: m for name, m in measured.items() if kinds[name] == "baseline"}
    best = best_of(rivals, measure.better) if measure.better != "neither" else None
    scores = []
    for name, found in measured.items():
        over: tuple[Difference, ...] = ()
        if best is not None and kinds[name] == "contestant":
            over = tuple(difference(found, m, n, measure.better) for n, m in rivals.items())
        ahead = next((d for d in over if d.over == best), None)
        scores.append(Score(name, found.estimate(), ahead, over))
    return MeasureScores(measure, reference, tuple(scores), best)


def _corrected(tasks: Sequence[TaskScores], entrants: Sequence[Entrant]) -> tuple[TaskScores, ...]:
    """Correct each contestant's p-values for the number of tasks that it was compared in."""
    corrected: dict[tuple[str, str], float] = {}
    for entrant in entrants:
        found = [
            (task.letter, score.ahead.p)
            for task in tasks
            if task.primary and (score := task.primary.of(entrant.name)) and score.ahead
        ]
        for (letter, _), p in zip(found, holm([p for _, p in found]), strict=True):
            corrected[letter, entrant.name] = p

    def of_score(task: TaskScores, score: Score) -> Score:
        p = corrected.get((task.letter, score.contestant))
        if score.ahead is None or p is None:
            return score
        return replace(score, ahead=replace(score.ahead, p_holm=p))

    def of_measure(task: TaskScores, scores: MeasureScores) -> MeasureScores:
        if not scores.measure.primary:
            return scores
        return replace(scores, scores=tuple(of_score(task, s) for s in scores.scores))

    return tuple(
        replace(task, measures=tuple(of_measure(task, m) for m in task.measures)) for task in tasks
    )


def _about(
    archive: Archive,
    setting: Setting,
    resamples: int,
    started: datetime,
    seconds: Mapping[str, float],
) -> About:
    return About(
        size=archive.size,
        seed=archive.seed,
        role=archive.role,
        checksums=archive.checksums,
        verified=archive.verified,
        people={
            part: _people(setting.text("subject")[rows], setting.text("diagnosis")[rows])
            for part, rows in archive.splits.parts().items()
        },
        resolution_mm=archive.cohort.grid.resolution_mm,
        resamples=resamples,
        versions=library_versions(),
        machine=machine_name(),
        started=started.isoformat(timespec="seconds"),
        seconds={name: round(value, 1) for name, value in seconds.items()},
    )


def _people(subjects: NDArray[np.str_], diagnosis: NDArray[np.str_]) -> Mapping[str, int]:
    return {str(d): len(set(subjects[diagnosis == d])) for d in np.unique(diagnosis)}
