"""Tasks (g) rare diseases and (h) confounded scanners: the same search in harder archives.

Archives are drawn from the gallery at random, the same ones for every contestant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from braincase.bench.setting import Setting
from braincase.bench.tasks.task import Asked, Measure, Reference, Skipped, Task
from braincase.bench.views import Shown
from braincase.evaluate.answers import squared_distances
from braincase.evaluate.resampling import Statistic, mean_of
from braincase.evaluate.results import Rows
from braincase.evaluate.scores import HITS

#: In task (g) one case in so many has the disease.
ONE_IN = 10
#: Random archives over which each query's precision is averaged.
DRAWS = 20
#: With fewer cases of a disease in the gallery nothing is asked about it.
FEWEST = 3


def precision_in(
    distances: NDArray[np.float32], relevant: NDArray[np.bool_], archive: Rows, k: int
) -> NDArray[np.float64]:
    """Return each query's share of relevant cases among the k nearest of an archive.

    Parameters
    ----------
    distances, relevant
        Shape (queries, gallery).
    archive
        Columns that can be found.
    k
        Hits looked at.
    """
    order = np.argsort(distances[:, archive], axis=1, kind="stable")[:, :k]
    return np.asarray(np.take_along_axis(relevant[:, archive], order, axis=1).mean(axis=1))


def rare_archives(ill: Rows, others: Rows, seed: Sequence[int]) -> list[Rows]:
    """Draw archives of which one case in `ONE_IN` is ill, as large as the gallery allows."""
    rng = np.random.default_rng(list(seed))
    n = min(len(ill), len(others) // (ONE_IN - 1))
    return [
        np.sort(np.concatenate([rng.choice(part, size, replace=False) for part, size in parts]))
        for parts in [((ill, n), (others, n * (ONE_IN - 1)))] * DRAWS
    ]


def ask_rare(setting: Setting) -> Asked | Skipped:
    """Ask for each disease in archives where it is rare; everybody else is in them too."""
    gallery, diagnosis = setting.splits.gallery, setting.text("diagnosis")
    archives = {}
    for i, name in enumerate(setting.classes):
        ill = np.flatnonzero(diagnosis[gallery] == name)
        others = np.flatnonzero(diagnosis[gallery] != name)
        if name != "CN" and min(len(ill), len(others) // (ONE_IN - 1)) >= FEWEST:
            archives[name] = rare_archives(ill, others, (setting.seed, i))
    queries = setting.of(setting.splits.query, *archives)
    if not len(queries):
        return Skipped(
            f"no disease with {FEWEST} cases in the gallery and nine times as many others"
        )
    relevant = diagnosis[queries][:, None] == diagnosis[gallery]

    def answer(shown: Shown) -> Mapping[str, Statistic]:
        vectors = shown.every.vectors
        distances = squared_distances(vectors[queries], vectors[gallery])
        share = np.zeros(len(queries))
        for name, drawn in archives.items():
            here = diagnosis[queries] == name
            k = min(HITS, len(drawn[0]) // ONE_IN)
            each = [precision_in(distances[here], relevant[here], archive, k) for archive in drawn]
            share[here] = np.mean(each, axis=0)
        return {"precision": mean_of(share)}

    references = {"precision": Reference(1 / ONE_IN, 1.0)}
    largest = max(len(drawn[0]) for drawn in archives.values())
    return Asked(diagnosis[queries], largest, answer, references)


def confounded_archives(
    scanner: NDArray[np.str_], is_ill: NDArray[np.bool_], scanners: Sequence[str]
) -> list[Rows]:
    """Return two archives in which the healthy were all scanned on one half of the scanners.

    Parameters
    ----------
    scanner, is_ill
        Of each gallery case.
    scanners
        All scanners, in order: the first half, and the second half.
    """
    first = np.isin(scanner, scanners[: len(scanners) // 2])
    return [np.flatnonzero(first != is_ill), np.flatnonzero(first == is_ill)]


def ask_confounded(setting: Setting) -> Asked | Skipped:
    """Ask AD and CN people in archives in which the scanner follows the diagnosis."""
    pair = setting.pair
    queries = setting.late(setting.splits.query, *pair)
    gallery = setting.late(setting.splits.gallery, *pair)
    scanner, diagnosis = setting.text("scanner"), setting.text("diagnosis")
    scanners = sorted(set(scanner[setting.splits.train]))
    is_ill = diagnosis[gallery] == pair[1]
    confounded = confounded_archives(scanner[gallery], is_ill, scanners)
    sizes = [(int((~is_ill[a]).sum()), int(is_ill[a].sum())) for a in confounded]
    if len(scanners) < 2 or min(min(size) for size in sizes) < FEWEST:
        return Skipped("too few people on each half of the scanners")
    rng = np.random.default_rng((setting.seed, 1))
    parts = (np.flatnonzero(~is_ill), np.flatnonzero(is_ill))
    even = [
        np.sort(
            np.concatenate(
                [rng.choice(p, n, replace=False) for p, n in zip(parts, size, strict=True)]
            )
        )
        for size in sizes
        for _ in range(DRAWS)
    ]
    relevant = diagnosis[queries][:, None] == diagnosis[gallery]
    k = min(HITS, *(n for size in sizes for n in size))

    def answer(shown: Shown) -> Mapping[str, Statistic]:
        vectors = shown.pair.vectors
        distances = squared_distances(vectors[queries], vectors[gallery])
        harder, fair = (
            np.mean([precision_in(distances, relevant, a, k) for a in archives], axis=0)
            for archives in (confounded, even)
        )
        return {"precision": mean_of(harder), "loss": mean_of(fair - harder)}

    chance = np.mean([relevant[:, a].mean() for a in confounded])
    references = {"precision": Reference(float(chance), 1.0), "loss": Reference(None, 0.0)}
    return Asked(diagnosis[queries], max(map(len, confounded)), answer, references)


RARE = Task(
    "g",
    "rare",
    "One case in ten",
    "Where one case in ten has the query's disease, how many of ten hits have it?",
    (Measure("precision", "P@10", "ranking", primary=True),),
    ask_rare,
)
CONFOUNDED = Task(
    "h",
    "confounded",
    "Confounded scanners",
    "Where all AD cases come from some scanners and all CN cases from others, one scan a person, "
    "do hits still have the query's diagnosis?",
    (
        Measure("precision", "P@10", "ranking", primary=True),
        Measure("loss", "lost against a fair archive", "ranking", "lower"),
    ),
    ask_confounded,
)
