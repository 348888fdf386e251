"""Tasks (a) AD against CN and (b) all conditions: do the hits have the query's disease?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from braincase.bench.setting import Setting
from braincase.bench.tasks.task import Asked, Measure, Reference, Skipped, Task
from braincase.bench.views import Shown, View
from braincase.evaluate import resampling
from braincase.evaluate.answers import (
    answers_of_classifier,
    answers_of_distances,
    squared_distances,
)
from braincase.evaluate.ranking import RankingScores, rank_by_distance, score_ranking
from braincase.evaluate.resampling import Statistic, mean_of, one_vs_rest_auc
from braincase.evaluate.results import Rows
from braincase.evaluate.scores import HITS, VOTERS

MEASURES = (
    Measure("vote_f1", "macro-F1, 11 vote", "ranking", primary=True),
    Measure("nearest_f1", "macro-F1, nearest", "ranking"),
    Measure("precision", "P@10", "ranking"),
    Measure("mean_ap", "mAP", "ranking"),
    Measure("auc", "AUC", "ranking"),
    Measure("class_f1", "macro-F1", "class first"),
    Measure("class_ap", "mAP", "class first"),
    Measure("class_auc", "AUC", "class first"),
)


def disease_scores(
    view: View, setting: Setting, queries: Rows, gallery: Rows, classes: Sequence[str]
) -> Mapping[str, Statistic]:
    """Score the ranking by distance and the class-first answer of one contestant.

    Parameters
    ----------
    view
        Fitted for `classes`.
    queries, gallery
        Rows, one scan a person.
    classes
        What all of them have one of.
    """
    subjects, diagnosis = setting.text("subject"), setting.text("diagnosis")
    number = {name: i for i, name in enumerate(classes)}
    y, gallery_y = (np.array([number[d] for d in diagnosis[rows]]) for rows in (queries, gallery))
    distances = squared_distances(view.vectors[queries], view.vectors[gallery])
    by_distance = answers_of_distances("", "model", distances, gallery_y)
    by_class = answers_of_classifier("", view.evidence[queries], gallery_y)

    def ranked(distances: NDArray[np.float32], k: int) -> RankingScores:
        order = rank_by_distance(distances, subjects[queries], subjects[gallery])
        return score_ranking(order, diagnosis[queries], diagnosis[gallery], min(k, order.shape[1]))

    def f1(labels: NDArray[np.object_]) -> Statistic:
        named = np.array([number.get(str(name), -1) for name in labels])
        return lambda rows: resampling.macro_f1(y[rows], named[rows], range(len(classes)))

    hits, voters = ranked(distances, HITS), ranked(distances, VOTERS)
    first = ranked(by_class.distances, HITS)
    return {
        "vote_f1": f1(voters.vote),
        "nearest_f1": f1(hits.nearest),
        "precision": mean_of(hits.precision_at_k),
        "mean_ap": mean_of(hits.average_precision),
        "auc": one_vs_rest_auc(by_distance.evidence, y),
        "class_f1": f1(np.array(classes, object)[by_class.evidence.argmax(axis=1)]),
        "class_ap": mean_of(first.average_precision),
        "class_auc": one_vs_rest_auc(by_class.evidence, y),
    }


def ask_disease(
    setting: Setting,
    queries: Rows,
    gallery: Rows,
    classes: Sequence[str],
    pick: Callable[[Shown], View],
) -> Asked:
    """Put the question to people who have one of these classes."""
    diagnosis = setting.text("diagnosis")
    own = diagnosis[queries][:, None] == diagnosis[gallery]
    references = {
        "precision": Reference(chance=float(own.mean()), ceiling=1.0),
        "auc": Reference(0.5, 1.0),
        "class_auc": Reference(0.5, 1.0),
    }
    return Asked(
        diagnosis[queries],
        len(gallery),
        lambda shown: disease_scores(pick(shown), setting, queries, gallery, classes),
        references,
    )


def ask_pair(setting: Setting) -> Asked | Skipped:
    """Put AD against CN to a cohort."""
    queries, gallery = (
        setting.late(rows, *setting.pair) for rows in (setting.splits.query, setting.splits.gallery)
    )
    return ask_disease(setting, queries, gallery, setting.pair, lambda shown: shown.pair)


def ask_every(setting: Setting) -> Asked | Skipped:
    """Put all trained conditions to a cohort."""
    classes = setting.classes
    if len(classes) < 3:
        return Skipped(f"only {' and '.join(classes)} are here")
    diagnosis = setting.text("diagnosis")
    for part in ("gallery", "query"):
        missing = set(classes) - set(diagnosis[setting.splits.parts()[part]])
        if missing:
            return Skipped(f"nobody with {sorted(missing)[0]} in the {part} set")
    queries, gallery = setting.splits.query, setting.splits.gallery
    return ask_disease(setting, queries, gallery, classes, lambda shown: shown.every)


PAIR = Task(
    "a",
    "pair",
    "AD against CN",
    "Do hits have the query's diagnosis, of AD and CN?",
    MEASURES,
    ask_pair,
)
EVERY = Task(
    "b",
    "conditions",
    "All conditions",
    "Do hits have the query's condition, of all that are trained?",
    MEASURES,
    ask_every,
)
