"""Are percentiles of volumes right at every age? Of healthy simulated people of other cohorts.

    braincase simulate taught --size bench --resolution 4 --seed 1003
    braincase simulate asked --size paper --resolution 4 --seed 2001
    python benchmarks/percentiles.py taught asked [MORE...]

Norms are fitted to the true volumes of the first cohort's controls, one scan each; of every other
cohort, by age, it prints how often a volume of a healthy person lies beyond percentile 5 or 95: in
the direction of disease (small tissue, large fluid) and in the other. Right is 5 % each. Then the
same with one straight line of age, and how often a volume lies beyond either of few controls, of
those who are among them and of others.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braincase.cohort.cohort import open_cohort
from braincase.population import regression
from braincase.population.normative import FEWEST_CONTROLS
from braincase.population.regression import Regression, fit_regression
from braincase.population.volume_norms import MEASURES, percentiles_of
from braincase.simulate.truth import read_truth, volume_column

AGES = (18, 45, 65, 75, 80, 95)
DRAWS = 100
FLUID = np.array([name.endswith(("ventricle", "inferior-horn")) for name in MEASURES])


def controls_of(folder: Path) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return the healthy people of a cohort, the oldest scan of each, and their volumes in ml."""
    truth = read_truth(open_cohort(folder))
    healthy = truth[truth["diagnosis"] == "CN"].sort_values("age")
    healthy = healthy.drop_duplicates("subject", keep="last")
    volumes = [
        healthy[[volume_column(name) for name in parts]].to_numpy(np.float64).sum(axis=1) / 1000
        for parts in MEASURES.values()
    ]
    return healthy, np.stack(volumes, axis=1)


def ranked(folder: Path, norms: Regression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ages, and percentiles of shape (people, MEASURES), of those whom the norms cover."""
    people, volumes = controls_of(folder)
    known = zip(people["age"], people["sex"], volumes, strict=True)
    found = [
        (age, row)
        for age, sex, v in known
        if (row := percentiles_of(v, {"age": float(age), "sex": sex}, norms)) is not None
    ]
    return np.array([age for age, _ in found]), np.array([row for _, row in found])


def print_by_age(norms: Regression, asked: list[Path]) -> None:
    print("| cohort | age | people | towards disease, % | the other way, % | 4 or more of 22, % |")
    print("|---|---|---|---|---|---|")
    for folder in asked:
        ages, percentiles = ranked(folder, norms)
        low, high = percentiles < 5, percentiles > 95
        ill, other = np.where(FLUID, high, low), np.where(FLUID, low, high)
        for youngest, oldest in pairwise(AGES):
            of = (ages >= youngest) & (ages < oldest)
            if of.sum() >= 10:
                several = (ill[of].sum(axis=1) >= 4).mean()
                print(
                    f"| {folder.name} | {youngest} to {oldest} | {of.sum()} | {ill[of].mean():.1%}"
                    f" | {other[of].mean():.1%} | {several:.0%} |"
                )


def print_of_few(known: list[tuple[float, str]], volumes: NDArray[np.float64]) -> None:
    """Tell how often volumes of controls lie beyond norms of a few that hold them, or do not."""
    rng = np.random.default_rng(0)
    beyond: dict[bool, list[np.floating]] = {True: [], False: []}
    for _ in range(DRAWS):
        order = rng.permutation(len(known))
        few = order[:FEWEST_CONTROLS]
        norms = fit_regression([known[i] for i in few], np.log(volumes[few]))
        for i in order[: 2 * FEWEST_CONTROLS]:
            age, sex = known[i]
            row = percentiles_of(volumes[i], {"age": age, "sex": sex}, norms)
            if row is not None:
                outside = (np.array(row) < 5) | (np.array(row) > 95)
                beyond[bool(i in few)].append(outside.mean())
    own, others = np.mean(beyond[True]), np.mean(beyond[False])
    told = f"{own:.1%} of their own volumes, {others:.1%} of others'"
    print(f"\nbeyond 5 and 95 of {FEWEST_CONTROLS} controls: {told}")


def main(taught: Path, asked: list[Path]) -> None:
    people, volumes = controls_of(taught)
    known = [(float(age), str(sex)) for age, sex in zip(people["age"], people["sex"], strict=True)]
    norms = fit_regression(known, np.log(volumes))
    print(f"{norms.people} controls of {norms.ages[0]:.0f} to {norms.ages[1]:.0f} years")
    print_by_age(norms, asked)
    print("\nwith one straight line of age")
    regression.FEWEST_BESIDE = len(known)
    print_by_age(fit_regression(known, np.log(volumes)), asked)
    print_of_few(known, volumes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])
