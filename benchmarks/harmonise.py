"""Harmonisation of codes over scanners (the ComBat family), before and after, on the benchmark.

Simulated people of ``braincase bench FOLDER`` (seed 0, development) and a model trained on its
training people. Every harmonisation is fitted on training people alone, their scanner as batch, and
applied to all by their scanner; nothing looks at the condition of who asks or is found. ComBat is
that of combatlearn (``pip install combatlearn``; it is no dependency of Braincase).

    python benchmarks/harmonise.py FOLDER MODEL

*Refitted*: network's numbers and read-out are harmonised first and the posterior is learned from
them, as training would. *Confounded*: only controls of one half of the scanners and patients of the
other half are seen by the harmonisation and by the posterior.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from combatlearn import ComBat
from numpy.typing import NDArray

from braincase.bench.archive import Archive, archive_of
from braincase.bench.comparison import Resampled, difference, people_of, resample
from braincase.bench.contestant import Contestant, Head
from braincase.bench.run import TASKS
from braincase.bench.setting import Setting, Truth
from braincase.bench.views import show
from braincase.cohort.cohort import open_cohort
from braincase.cohort.region_volumes import REGION_VOLUMES, cohort_region_volumes
from braincase.models.open_encoder import open_encoder
from braincase.models.search_code import SearchCode
from braincase.simulate.truth import lesion_masks, read_truth
from braincase.volumetry.code_layout import NETWORK, READ_OUT, READ_OUT_WEIGHT
from region_search import ASKED, differences

Codes = NDArray[np.float32]
Rows = NDArray[np.intp]
#: (codes, training rows) -> codes of all.
Harmonise = Callable[[Codes, Rows], Codes]
RESAMPLES = 1000
#: What is printed, and which way is better.
COLUMNS = {
    ("a", "vote_f1"): ("a F1", "higher"),
    ("b", "vote_f1"): ("b F1", "higher"),
    ("c", "dice"): ("c Dice", "higher"),
    ("d", "difference"): ("d", "lower"),
    ("e", "rho"): ("e", "higher"),
    ("f", "first_hit"): ("f own first", "higher"),
    ("f", "icc"): ("f ICC", "higher"),
    ("f", "scanner"): ("f scanner named", "lower"),
    ("g", "precision"): ("g P@10", "higher"),
    ("h", "precision"): ("h P@10", "higher"),
    ("h", "loss"): ("h lost", "lower"),
}
Scores = Mapping[tuple[str, str], Resampled]


@dataclass(frozen=True, eq=False)
class Bench:
    """The benchmark's people and questions, and what ComBat may know of everybody."""

    archive: Archive
    setting: Setting
    people: pd.DataFrame

    @property
    def train(self) -> Rows:
        """Rows of the training people."""
        return self.archive.splits.train


def main(folder: Path, model: str) -> None:
    bench = open_bench(folder)
    codes = codes_of(bench, model)
    ways = ways_of(bench)
    plain = tell_table("Codes", bench, {"as they are": codes} | applied(ways, codes, bench.train))
    asked = np.concatenate([bench.archive.splits.query, bench.archive.splits.never_trained])
    some = {n: ways[n](codes, bench.train) for n in ("ComBat", "ComBat, means, condition kept")}
    for changed in some.values():
        changed[asked] = codes[asked]
    title = "Scanner unknown: who asks is not harmonised, the gallery is"
    tell_table(title, bench, some, plain)
    tell_table("Refitted", bench, refits(bench, ways, codes, bench.train), plain)
    confounded = confounded_rows(bench)
    rows = f"Confounded ({len(confounded)} training scans)"
    tell_table(f"{rows}, posterior as it was", bench, applied(ways, codes, confounded), plain)
    tell_table(f"{rows}, refitted", bench, refits(bench, ways, codes, confounded), None)
    volumes = np.log(cohort_region_volumes(bench.archive.cohort, volumes_file(folder), 1))
    spread = volumes[bench.train].std(axis=0)
    for head in ("distance", "LDA"):
        both = {"as they are": volumes / spread} | applied(ways, volumes / spread, bench.train)
        tell_table(f"Region volumes ({head})", bench, both, None, head)
    tell_regions(bench, {"as they are": codes} | applied(ways, codes, bench.train))
    tell_library()


def open_bench(folder: Path) -> Bench:
    cohort = open_cohort(folder / "cohort")
    archive = archive_of(cohort, "bench", 0)
    setting = Setting(cohort, archive.splits, Truth(read_truth(cohort), lesion_masks), 0)
    columns = ["scanner", "diagnosis", "age", "sex"]
    people = cohort.table[columns].reset_index(drop=True)
    return Bench(archive, setting, people)


def volumes_file(folder: Path) -> Path:
    return folder / "cohort" / REGION_VOLUMES


def codes_of(bench: Bench, model: str) -> Codes:
    encoder, cohort = open_encoder(model), bench.archive.cohort
    parts = np.array_split(np.arange(len(cohort)), 20)
    return np.concatenate([encoder.embed(cohort.volumes[part]) for part in parts])


def ways_of(bench: Bench) -> Mapping[str, Harmonise]:
    """Return the harmonisations that need nothing of who asks but scanner, age and sex.

    A condition that is kept in the fit cancels where only means are corrected. With variances it
    does not: such a ComBat has to be told the diagnosis of who asks, and is not here.
    """
    age, sex, condition = (bench.people[[n]] for n in ("age", "sex", "diagnosis"))
    known = {"discrete_covariates": sex, "continuous_covariates": age}
    kept = {"discrete_covariates": sex.join(condition), "continuous_covariates": age}

    def combat(**options: object) -> Harmonise:
        return lambda codes, train: by_combat(bench, codes, train, **options)

    return {
        "ComBat": combat(method="johnson"),
        "ComBat, means": combat(method="johnson", mean_only=True),
        "ComBat, age and sex kept": combat(method="fortin", **known),
        "ComBat, means, condition kept": combat(method="fortin", mean_only=True, **kept),
        "CovBat, age and sex kept": combat(method="chen", **known),
        "means of scanners": lambda codes, train: by_means(bench, codes, train),
        "directions of scanners": lambda codes, train: off_directions(bench, codes, train),
    }


def by_combat(bench: Bench, codes: Codes, train: Rows, **options: object) -> Codes:
    frame = pd.DataFrame(codes.astype(np.float64))
    model = ComBat(batch=bench.people["scanner"], **options)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(frame.iloc[train])
        changed = model.transform(frame).to_numpy(np.float32, copy=True)
    for text in sorted({str(w.message).split(". ")[0] for w in said}):
        print(f"combatlearn says: {text}", flush=True)
    return changed


def by_means(bench: Bench, codes: Codes, train: Rows) -> Codes:
    """Take each scanner's mean of the training people off, nothing else known."""
    scanner, changed = bench.people["scanner"].to_numpy(str), codes.copy()
    for name in np.unique(scanner[train]):
        mean = codes[train[scanner[train] == name]].mean(axis=0)
        changed[scanner == name] += codes[train].mean(axis=0) - mean
    return changed


def off_directions(bench: Bench, codes: Codes, train: Rows) -> Codes:
    """Project off the directions in which scanners differ at equal condition, age and sex."""
    design = pd.get_dummies(
        bench.people.iloc[train], columns=["scanner", "diagnosis", "sex"], dtype=float
    )
    is_scanner = design.columns.str.startswith("scanner_")
    fit = np.linalg.lstsq(design.to_numpy(float), codes[train].astype(float), rcond=None)[0]
    apart = fit[is_scanner] - fit[is_scanner].mean(axis=0)
    axes = np.linalg.svd(apart, full_matrices=False)[2][: len(apart) - 1]
    return np.asarray(codes - codes @ axes.T @ axes, np.float32)


def applied(ways: Mapping[str, Harmonise], codes: Codes, train: Rows) -> dict[str, Codes]:
    return {name: way(codes, train) for name, way in ways.items()}


def refits(
    bench: Bench, ways: Mapping[str, Harmonise], codes: Codes, train: Rows
) -> dict[str, Codes]:
    """Learn the posterior from harmonised parts, on the same training people."""
    parts = np.concatenate([codes[:, NETWORK], codes[:, READ_OUT] / READ_OUT_WEIGHT], axis=1)
    labels = np.unique(bench.people["diagnosis"].iloc[train], return_inverse=True)[1]

    def refit(changed: Codes) -> Codes:
        network, readout = changed[:, NETWORK], changed[:, NETWORK.stop :]
        search = SearchCode()
        search.fit(network[train], readout[train], labels)
        return search.fitted().join(network, readout)

    both = {"as they are": parts} | applied(ways, parts, train)
    return {name: refit(changed) for name, changed in both.items()}


def confounded_rows(bench: Bench) -> Rows:
    """Keep controls of the first half of the scanners, and patients of the second."""
    scanner = bench.people["scanner"].to_numpy(str)[bench.train]
    first = np.isin(scanner, sorted(set(scanner))[: len(set(scanner)) // 2])
    control = bench.people["diagnosis"].to_numpy(str)[bench.train] == "CN"
    return bench.train[first == control]


def tell_table(
    title: str,
    bench: Bench,
    contestants: Mapping[str, Codes],
    before: Scores | None = None,
    head: Head = "distance",
) -> Scores:
    """Print the benchmark's scores; marked: 95 % interval of the difference excludes 0.

    Compared with `before`, or with the first of them. Returns what was compared with.
    """
    print(f"\n**{title}.**\n\n| | {' | '.join(name for name, _ in COLUMNS.values())} |")
    print(f"|---|{'---|' * len(COLUMNS)}")
    for name, codes in contestants.items():
        started = time.perf_counter()
        scores = scores_of(bench, codes, head)
        before = before or scores
        cells = [cell(scores[key], before[key], COLUMNS[key][1]) for key in COLUMNS]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        print(f"  {time.perf_counter() - started:.0f} s", file=sys.stderr)
    assert before is not None
    return before


def cell(found: Resampled, before: Resampled, better: str) -> str:
    ahead = difference(found, before, "before", better).estimate
    if found is before or ahead.low is None or ahead.low <= 0 <= ahead.high:
        return f"{found.value:.3f}"
    return f"**{found.value:.3f} {'better' if ahead.value > 0 else 'worse'}**"


def scores_of(bench: Bench, codes: Codes, head: Head) -> Scores:
    contestant = Contestant("codes", "contestant", (lambda cohort, train, rows: codes[rows],), head)
    shown, _ = show(contestant, 0, bench.setting)
    scores: dict[tuple[str, str], Resampled] = {}
    for task in TASKS:
        question = task.ask(bench.setting)
        people = people_of(question.strata, 0, RESAMPLES)
        for key, statistic in question.answer(shown).items():
            if (task.letter, key) in COLUMNS:
                scores[task.letter, key] = resample([statistic], people, 0)
    return scores


def tell_regions(bench: Bench, contestants: Mapping[str, Codes]) -> None:
    """Print how alike hits of a search by region are in that region (`region_search.py`)."""
    print("\n**Search by region**: difference of the true volume of ten hits, standard deviations")
    print(f"\n| | mean of {len(ASKED)} | hippocampus | ventricles |\n|---|---|---|---|")
    for name, codes in contestants.items():
        apart = {region: differences(bench.archive, codes, region)[2] for region in ASKED}
        mean = np.mean(list(apart.values()))
        print(f"| {name} | {mean:.3f} | {apart['hippocampus']:.3f} | {apart['ventricles']:.3f} |")


def tell_library() -> None:
    """Print what the library does to numbers of two scanners that do not differ at all."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(0, [10, 3, 1, 1, 0.3, 0.1], (400, 6)))
    batch = pd.Series(np.tile(["A", "B"], len(frame) // 2))
    print("\n**The library**: standard deviations of six random numbers, two scanners alike\n")
    print(f"as they are: {frame.std().round(2).tolist()}")
    for method in ("johnson", "fortin", "chen"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            after = ComBat(batch=batch, method=method).fit(frame).transform(frame)
        print(f"{method}: {after.std().round(2).tolist()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
