"""The design of a study: which scans, which classes, which people on which side of each fold."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braincase.cohort.cohort import Cohort, class_names
from braincase.cohort.splits import Fold, check_no_leak, group_folds
from braincase.errors import CohortError, LeakError, UsageError, some_of
from braincase.evaluate.features import batches
from braincase.evaluate.results import Codes, Fit, Fitted, Material, Provenance, Rows, Training
from braincase.json_values import JsonObject, parse_json
from braincase.labels import USUAL_LABEL, is_of_simulation
from braincase.models.encoder import Embed
from braincase.parallel import default_workers

#: Groups between which a model is trained when nothing else is asked for.
USUAL_CLASSES = ("CN", "AD")
#: A column of numbers with more different values than this is a quantity, not a category.
MOST_CATEGORIES = 12
#: How many of some names an error tells.
NAMED = 8
LIBRARIES = ("braincase", "numpy", "scipy", "scikit-learn", "torch")


@dataclass(frozen=True)
class Attribute:
    """One column of a cohort as numbers, NaN where unknown.

    Parameters
    ----------
    name
        Of the column.
    values
        A quantity as it is, a category as its number in alphabetical order; shape (scans,).
    quantity
        True for quantities.
    """

    name: str
    values: NDArray[np.float64]
    quantity: bool


@dataclass(frozen=True)
class Study:
    """A cohort, its classes and its subject-disjoint folds; build with `open_study`.

    Parameters
    ----------
    cohort
        The prepared scans.
    label
        Column that holds the classes.
    classes
        The classes, each told apart from the others.
    y
        Class number of every row of the cohort's table, -1 for rows of no class.
    folds
        Rows of training and held-out scans, all of some class.
    run_folds
        How many of the folds are held out in turn.
    seed
        Decides folds, clustering, resampling.
    """

    cohort: Cohort
    label: str
    classes: tuple[str, ...]
    y: NDArray[np.intp]
    folds: tuple[Fold, ...]
    run_folds: int
    seed: int

    @property
    def subjects(self) -> NDArray[np.str_]:
        """Every row's subject."""
        return self.cohort.table["subject"].to_numpy(dtype=str)

    def used_folds(self) -> Iterator[tuple[int, Fold]]:
        """Yield the number and rows of each fold that is held out in this run."""
        yield from list(enumerate(self.folds))[: self.run_folds]

    def first_scans(self, rows: Rows) -> Rows:
        """Keep each person's first scan of `rows`."""
        return one_scan_a_person(self.subjects, rows)

    def other_groups(self) -> Mapping[str, Rows]:
        """Return the rows of each group that is no class: never trained on, one scan a person.

        People who also have scans of some class are left out: their anatomy may have been trained.
        """
        labels = clean_labels(self.cohort, self.label)
        trained = set(self.subjects[self.y >= 0])
        free = labels.notna().to_numpy() & ~np.isin(self.subjects, list(trained))
        groups = sorted(set(labels[free & (self.y < 0)]))
        of_group = {name: np.flatnonzero(free & (labels == name).to_numpy()) for name in groups}
        return {name: self.first_scans(rows) for name, rows in of_group.items()}

    def material(self) -> Material:
        """Describe what is evaluated."""
        labels = clean_labels(self.cohort, self.label)
        people = {c: len(set(self.subjects[self.y == i])) for i, c in enumerate(self.classes)}
        return Material(
            data=data_set_name(self.cohort),
            simulated=is_of_simulation(self.cohort.recipe),
            resolution_mm=self.cohort.grid.resolution_mm,
            label=self.label,
            people=people,
            scans={c: int((self.y == i).sum()) for i, c in enumerate(self.classes)},
            others={group: len(rows) for group, rows in self.other_groups().items()},
            unlabelled=int(labels.isna().sum()),
            census=_read_json(self.cohort, "census.json"),
            recipe=self.cohort.recipe,
        )


def open_study(
    cohort: Cohort,
    label: str = USUAL_LABEL,
    classes: Sequence[str] = (),
    n_folds: int = 5,
    run_folds: int = 0,
    seed: int = 0,
) -> Study:
    """Choose the scans and deal the people into folds; every mistake shows here, before training.

    Parameters
    ----------
    cohort
        The prepared scans.
    label
        Column that holds the classes.
    classes
        Its values to tell apart; empty means CN and AD where both exist, else all of them.
    n_folds
        Number of parts the people are dealt into.
    run_folds
        How many of them to hold out in turn; 0 means all.
    seed
        Decides folds, clustering, resampling.

    Raises
    ------
    UsageError
        If there is no such column or class, a class has fewer people than there are folds, or
        `run_folds` does not fit `n_folds`.
    CohortError
        If there is one class only.
    LeakError
        If a subject, or one image under two names, stands on both sides of a fold.
    """
    if not 0 <= run_folds <= n_folds or n_folds < 2:
        raise UsageError("folds", f"{run_folds} of {n_folds} to run", "at least 2, and no more run")
    labels = clean_labels(cohort, label)
    chosen = _choose_classes(cohort, label, labels, classes)
    numbers = {name: i for i, name in enumerate(chosen)}
    y = np.array([numbers.get(str(name), -1) for name in labels], np.intp)
    rows = np.flatnonzero(y >= 0)
    names = np.array(chosen)[y[rows]]
    within = group_folds(cohort.table["subject"].to_numpy()[rows], names, n_folds, seed)
    folds = tuple(Fold(train=rows[fold.train], test=rows[fold.test]) for fold in within)
    for fold in folds:
        check_sides(cohort, fold)
    return Study(cohort, label, chosen, y, folds, run_folds or n_folds, seed)


def check_sides(cohort: Cohort, fold: Fold) -> None:
    """Refuse data leakage: a person, or one image under two names, trained on and held out.

    Raises
    ------
    LeakError
        Names the subjects.
    """
    table = cohort.table
    check_no_leak(table["subject"].to_numpy(dtype=str), fold)
    train, test = table.iloc[fold.train], table.iloc[fold.test]
    twice = set(train["image_hash"]) & set(test["image_hash"])
    if twice:
        both = pd.concat([train, test])
        names = some_of(sorted(set(both.loc[both["image_hash"].isin(twice), "subject"])), NAMED)
        raise LeakError(
            cohort.folder,
            f"one image under the names of {names} would be trained on and held out",
            "each image once",
            "Remove the duplicates that the census lists.",
        )


def train_fold(study: Study, fit: Fit, number: int, models: Sequence[str]) -> list[Fitted]:
    """Train the models on one fold's training scans, after a last look for leaks.

    Raises
    ------
    UsageError
        If no model is asked for, or two of one name.
    LeakError
        If a person stands on both sides of the fold.
    """
    fold = study.folds[number]
    check_sides(study.cohort, fold)
    fitted = [fit(study.cohort, fold.train, name, number) for name in models]
    names = [model.name for model in fitted]
    if not names or len(set(names)) < len(names):
        raise UsageError("models", some_of(names, NAMED) or "none", "one or more, each once")
    return fitted


def one_scan_a_person(subjects: NDArray[np.str_], rows: Rows) -> Rows:
    """Keep of `rows` the first of each subject, which is the first session; ascending."""
    ascending = np.sort(rows)
    _, first = np.unique(subjects[ascending], return_index=True)
    return np.asarray(ascending[np.sort(first)], np.intp)


def embed_rows(embed: Embed, cohort: Cohort, rows: Rows) -> Codes:
    """Embed these rows of the cohort, a batch of volumes at a time; shape (len(rows), length)."""
    codes = [embed(cohort.volumes[batch]) for batch in batches(rows)]
    return np.concatenate(codes) if codes else np.empty((0, 0), np.float32)


def training_of(study: Study, number: int, fitted: Fitted) -> Training:
    """Note what one model of one fold was and what it cost."""
    train = study.folds[number].train
    return Training(
        model=fitted.name,
        fold=number,
        people=len(set(study.subjects[train])),
        scans=len(train),
        seconds=round(fitted.seconds, 1),
        fingerprint=fitted.fingerprint,
        settings=fitted.settings,
    )


def start_clock(study: Study) -> Callable[[], Provenance]:
    """Start the wall clock; the function returned stops it and tells how the numbers came about."""
    started, clock = datetime.now(UTC), time.perf_counter()

    def stop() -> Provenance:
        return Provenance(
            seed=study.seed,
            folds=len(study.folds),
            run_folds=study.run_folds,
            seconds=round(time.perf_counter() - clock, 1),
            started=started.isoformat(timespec="seconds"),
            versions=library_versions(),
            machine=machine_name(),
        )

    return stop


def clean_labels(cohort: Cohort, label: str) -> pd.Series[str]:
    """Return the label column as text; blank and missing ones as NaN.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    return class_names(cohort.column(label))


def attribute_of(cohort: Cohort, name: str) -> Attribute:
    """Return a column as numbers; numbers of many values are a quantity, all else categories.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    text = clean_labels(cohort, name)
    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.notna().sum() == text.notna().sum() and numbers.nunique() > MOST_CATEGORIES:
        return Attribute(name, numbers.to_numpy(dtype=np.float64), True)
    codes, _ = pd.factorize(text, sort=True)
    return Attribute(name, np.where(codes >= 0, codes, np.nan).astype(np.float64), False)


def data_set_name(cohort: Cohort) -> str:
    """Return the name that stands over the data set's columns."""
    if is_of_simulation(cohort.recipe):
        return "simulated"
    return str(_read_json(cohort, "dataset_description.json").get("Name") or cohort.folder.name)


def _choose_classes(
    cohort: Cohort, label: str, labels: pd.Series[str], classes: Sequence[str]
) -> tuple[str, ...]:
    values = sorted(set(labels.dropna()))
    usual = USUAL_CLASSES if set(USUAL_CLASSES) <= set(values) else tuple(values)
    chosen = tuple(dict.fromkeys(classes)) or usual
    if unknown := [name for name in chosen if name not in values]:
        found = f"no scan with {label} {some_of(unknown, NAMED)}"
        raise UsageError(cohort.folder, found, f"some of {some_of(values, NAMED)}")
    if len(chosen) < 2:
        found = f"one class only in {label!r} ({chosen[0]})" if chosen else f"no value in {label!r}"
        advice = "Add scans of another class or name another label."
        raise CohortError(cohort.folder, found, "at least two classes", advice)
    return chosen


def _read_json(cohort: Cohort, name: str) -> JsonObject:
    path = cohort.folder / name
    return dict(parse_json(path.read_text(encoding="utf-8"))) if path.exists() else {}


def machine_name() -> str:
    """Return what numbers were computed on: processor, cores, system."""
    return f"{platform.machine()}, {default_workers()} cores, {platform.system()}"


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
