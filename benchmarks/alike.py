"""Do 'same normal anatomy' and 'same abnormality' mean what they say?

    braincase demo demo --folds 5
    python benchmarks/alike.py demo

Held-out people of the demo's five folds (simulated) look for ten cases among the training people by
the code, by normal anatomy and by abnormality. Printed: how many of the ten have the asker's
diagnosis, how far their true severity lies from the asker's. By abnormality the disease should
agree as well as by the code; by normal anatomy no better than by chance.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.cohort import open_cohort
from braincase.evaluate import open_study
from braincase.gallery import NewCase, create_gallery
from braincase.models.embed import embedder
from braincase.models.model import load_model
from braincase.population.disease_axes import disease_axes_of

K = 10


def nearest(queries: NDArray[np.float64], cases: NDArray[np.float64]) -> NDArray[np.intp]:
    squares = ((queries[:, None] - cases[None]) ** 2).sum(axis=-1)
    return np.argsort(squares, axis=1)[:, :K]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("demo", type=Path)
    parser.add_argument("--settings", default="braincase")
    arguments = parser.parse_args()
    cohort = open_cohort(arguments.demo / "cohort")
    study = open_study(cohort, "diagnosis", ("CN", "AD"), 5, 5, 0)
    subjects, truth = (cohort.table[c].to_numpy(dtype=str) for c in ("subject", "diagnosis"))
    severity = cohort.table["true_severity"].to_numpy(float)
    labels = cohort.table[["diagnosis", "age", "sex"]].to_dict("records")
    scores: dict[str, list[NDArray[np.float64]]] = {}
    for number, fold in enumerate(study.folds):
        model = load_model(arguments.demo / "models" / f"{arguments.settings}-fold{number}")
        codes = embedder(model)(cohort.volumes[np.arange(len(cohort))])
        train, test = (
            rows[np.unique(subjects[rows], return_index=True)[1]]
            for rows in (fold.train, fold.test)
        )
        with tempfile.TemporaryDirectory() as folder:
            gallery = create_gallery(Path(folder) / "g", "model", 4, codes.shape[1])
            cases = [
                NewCase(f"sub-{subjects[r]}", subjects[r], codes[r], labels=labels[r])
                for r in train
            ]
            gallery.add(cases, "model")
            axes = disease_axes_of(gallery)
            gallery.close()
        build, illness = axes.parts(codes, labels)
        rng = np.random.default_rng(0)
        chance = np.stack([rng.permutation(len(train))[:K] for _ in test])
        for name, places in {
            "code": nearest(codes[test].astype(float), codes[train].astype(float)),
            "normal anatomy": nearest(build[test], build[train]),
            "abnormality": nearest(illness[test], illness[train]),
            "chance": chance,
        }.items():
            rows = train[places]
            same = (truth[rows] == truth[test][:, None]).mean(axis=1)
            apart = np.abs(severity[rows] - severity[test][:, None]).mean(axis=1)
            scores.setdefault(name, []).append(np.stack([same, apart]))
    for name, parts in scores.items():
        same, apart = np.concatenate(parts, axis=1).mean(axis=1)
        print(f"| {name} | {same:.3f} | {apart:.3f} |")


if __name__ == "__main__":
    main()
