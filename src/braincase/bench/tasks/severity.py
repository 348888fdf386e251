"""Tasks (d) severity of the neighbours and (e) never-trained groups in their order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from braincase.bench.setting import ORDER, Setting
from braincase.bench.splits import NEVER_TRAINED
from braincase.bench.tasks.task import Asked, Measure, Reference, Skipped, Task
from braincase.bench.views import Shown, View
from braincase.evaluate.answers import answers_of_distances, squared_distances
from braincase.evaluate.ranking import rank_by_distance
from braincase.evaluate.resampling import Floats, Statistic, mean_of, spearman
from braincase.evaluate.results import Rows
from braincase.evaluate.scores import HITS
from braincase.labels import TRUE_SEVERITY


def ask_severity(setting: Setting) -> Asked | Skipped:
    """Put the question to people from health to Alzheimer's disease: one scale of severity."""
    queries, gallery = (
        setting.late(rows, *ORDER) for rows in (setting.splits.query, setting.splits.gallery)
    )
    if not setting.has(TRUE_SEVERITY) or len(gallery) < HITS:
        return Skipped(f"true severities of {len(gallery)} cases, fewer than {HITS}")
    severity, subjects = setting.numbers(TRUE_SEVERITY), setting.text("subject")
    apart = np.abs(severity[queries][:, None] - severity[gallery])

    def answer(shown: Shown) -> Mapping[str, Statistic]:
        vectors = shown.every.vectors
        distances = squared_distances(vectors[queries], vectors[gallery])
        hits = rank_by_distance(distances, subjects[queries], subjects[gallery])[:, :HITS]
        return {"difference": mean_of(np.take_along_axis(apart, hits, axis=1).mean(axis=1))}

    closest = np.sort(apart, axis=1)[:, :HITS]
    references = {"difference": Reference(float(apart.mean()), float(closest.mean()))}
    return Asked(setting.text("diagnosis")[queries], len(gallery), answer, references)


def ask_order(setting: Setting) -> Asked | Skipped:
    """Place never-trained people, and the query people of CN and AD, between CN and AD."""
    new, ends = setting.splits.never_trained, setting.late(setting.splits.query, *setting.pair)
    diagnosis = setting.text("diagnosis")
    if len(set(diagnosis[new])) < 2 or not setting.has(TRUE_SEVERITY):
        return Skipped("fewer than two groups that nothing is trained on")
    gallery = setting.late(setting.splits.gallery, *setting.pair)
    asking = np.concatenate([new, ends])
    groups, severity = diagnosis[asking], setting.numbers(TRUE_SEVERITY)[asking]
    is_new = np.isin(groups, NEVER_TRAINED)
    # People who are asked about come first, so that drawn rows can be told apart by their groups.
    present = [name for name in NEVER_TRAINED if name in groups]

    def answer(shown: Shown) -> Mapping[str, Statistic]:
        near, believed = placed(shown.pair, setting, asking, gallery)

        def rho(position: NDArray[np.float64]) -> Statistic:
            # Of the drawn people the first ones are of never-trained groups: strata keep columns.
            here = np.flatnonzero(is_new)
            return lambda rows: spearman(position[rows[..., here]], severity[rows[..., here]])

        return {
            "rho": rho(near),
            "class_rho": rho(believed),
            **{f"place_{name}": _mean_place(near, groups, name) for name in present},
        }

    references = {"rho": Reference(0.0, 1.0), "class_rho": Reference(0.0, 1.0)}
    return Asked(groups, len(gallery), answer, references)


def placed(
    view: View, setting: Setting, asking: Rows, gallery: Rows
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where people stand from CN to AD, by distance to both and by class evidence."""
    is_ill = (setting.text("diagnosis")[gallery] == setting.pair[1]).astype(np.intp)
    distances = squared_distances(view.vectors[asking], view.vectors[gallery])
    near = answers_of_distances("", "model", distances, is_ill).evidence.astype(np.float64)
    believed = view.evidence[asking].astype(np.float64)
    return near[:, 1] - near[:, 0], believed[:, 1] - believed[:, 0]


def _mean_place(position: NDArray[np.float64], groups: NDArray[np.str_], name: str) -> Statistic:
    """Return the mean position of one group, 0 where CN and 1 where AD stand on average."""

    def statistic(rows: Rows) -> Floats:
        mean = {g: position[rows[..., groups == g]].mean(axis=-1) for g in (name, "CN", "AD")}
        span = mean["AD"] - mean["CN"]
        return np.asarray((mean[name] - mean["CN"]) / np.where(span == 0, np.nan, span))

    return statistic


SEVERITY = Task(
    "d",
    "severity",
    "Severity of hits",
    "From CN to AD, how far is the true severity of ten hits from the query's?",
    (Measure("difference", "difference of ten hits", "ranking", "lower", primary=True),),
    ask_severity,
)
NEVER = Task(
    "e",
    "order",
    "Never-trained groups",
    "Are SMC, EMCI and LMCI, on which nothing was fitted, placed between CN and AD by severity?",
    (
        Measure("rho", "Spearman with severity", "ranking", primary=True),
        Measure("class_rho", "Spearman with severity", "class first"),
        *(
            Measure(f"place_{n}", f"place of {n} (CN 0, AD 1)", "ranking", "neither", digits=2)
            for n in NEVER_TRAINED
        ),
    ),
    ask_order,
)
