"""K-means accuracy and reconstruction error of held-out people: the protocol of Onga et al. 2019.

Group k-fold; on each held-out fold K-means with as many clusters as classes, its accuracy under the
best matching of clusters to classes, and the RMSE between input and reconstruction. The bootstrap
interval over people is ours; the paper gives mean and standard deviation over folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from braincase.cohort.cohort import Cohort
from braincase.evaluate.features import batches
from braincase.evaluate.linear_codes import MEAN_BRAIN, LinearCodes, voxel_gram
from braincase.evaluate.metrics import (
    bootstrap_interval,
    clustering_accuracy,
    kmeans_clusters,
    mean_squared_errors,
)
from braincase.evaluate.results import (
    Codes,
    Estimate,
    Fit,
    Fitted,
    Material,
    Provenance,
    Rows,
    Training,
)
from braincase.evaluate.study import Study, embed_rows, start_clock, train_fold, training_of
from braincase.json_values import Json, to_json, to_json_object
from braincase.progress import progress

MODELS = ("plain", "ddcml", "braincase")
#: Coronal through the hippocampi, axial through the lateral ventricles (MNI, mm): axis, position.
PLANES = (("coronal", 1, -22.0), ("axial", 2, 8.0))


@dataclass(frozen=True)
class Published:
    """What Onga et al. 2019 report for ADNI2: mean and standard deviation over five folds."""

    kmeans: float
    kmeans_sd: float
    rmse_percent: float


ONGA_2019: Mapping[str, Published] = MappingProxyType(
    {"plain": Published(0.547, 0.032, 6.49), "ddcml": Published(0.786, 0.087, 7.11)}
)


@dataclass(frozen=True)
class FoldSpread:
    """One number of each fold, their mean and standard deviation, and an interval over people."""

    folds: tuple[float, ...]
    mean: float
    sd: float
    low: float
    high: float

    @property
    def estimate(self) -> Estimate:
        """The mean with its interval over people."""
        return Estimate(self.mean, self.low, self.high)


@dataclass(frozen=True)
class PaperScore:
    """K-means accuracy and RMSE (% of the intensity range) of one model on held-out scans."""

    model: str
    kmeans: FoldSpread
    rmse_percent: FoldSpread


@dataclass(frozen=True)
class CodeMap:
    """t-SNE of the held-out codes of one model: x, y and class number of each scan."""

    model: str
    points: tuple[tuple[float, float], ...]
    y: tuple[int, ...]


@dataclass(frozen=True)
class SliceRow:
    """One plane of one held-out scan: the input, then each model's reconstruction (uint8, 2-D)."""

    title: str
    images: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True)
class PaperResult:
    """The paper's table and figures; build with `run_paper`.

    Parameters
    ----------
    references
        The mean brain, PCA-150 and PCA-150 + LDA in the same table; empty for very many scans.
    majority
        Accuracy of one cluster for all, the floor of the K-means accuracy.
    maps, slices
        Of the first held-out fold.
    """

    material: Material
    provenance: Provenance
    trainings: tuple[Training, ...]
    scores: tuple[PaperScore, ...]
    references: tuple[PaperScore, ...]
    majority: float
    maps: tuple[CodeMap, ...]
    slices: tuple[SliceRow, ...] = field(repr=False)

    def to_json(self) -> dict[str, Json]:
        """Return everything but the pictures as plain JSON types."""
        shown = to_json_object(replace(self, slices=()))
        del shown["slices"]
        return {"protocol": "paper", **shown, "published": to_json(ONGA_2019)}


@dataclass(frozen=True)
class HeldOut:
    """What one model makes of the scans of one fold."""

    fold: int
    name: str
    fitted: Fitted | None
    rows: Rows
    codes: Codes
    clusters: NDArray[np.intp]
    errors: NDArray[np.float64]


def run_paper(study: Study, fit: Fit, models: Sequence[str] = MODELS) -> PaperResult:
    """Carry out the paper's experiment, all models side by side on the same folds.

    Parameters
    ----------
    study
        Scans, classes and folds.
    fit
        Trains a model.
    models
        Names of the settings to train.

    Raises
    ------
    LeakError
        If a person stands on both sides of a fold.
    """
    stop_clock = start_clock(study)
    held_out: list[HeldOut] = []
    linear: list[HeldOut] = []
    gram = voxel_gram(study)
    trainings: list[Training] = []
    for number, fold in study.used_folds():
        fitted = train_fold(study, fit, number, models)
        trainings += [training_of(study, number, model) for model in fitted]
        held_out += [_hold_out(study, number, fold.test, model) for model in fitted]
        if gram is not None:
            codes = gram.linear_codes(study, fold.train, fold.test)
            linear += [_refer(study, number, fold.test, reference) for reference in codes]
    first = [part for part in held_out if part.fold == 0]
    return PaperResult(
        material=study.material(),
        provenance=stop_clock(),
        trainings=tuple(trainings),
        scores=tuple(_score(study, model.name, held_out) for model in first),
        references=tuple(_score(study, part.name, linear) for part in linear if part.fold == 0),
        majority=_majority(study, [fold.test for _, fold in study.used_folds()]),
        maps=tuple(_map_codes(part, study) for part in first),
        slices=tuple(_cut_slices(study, first)),
    )


def _hold_out(study: Study, number: int, test: Rows, fitted: Fitted) -> HeldOut:
    codes = embed_rows(fitted.embed, study.cohort, test)
    clusters = kmeans_clusters(codes, len(study.classes), study.seed)
    errors = _errors(study.cohort, test, fitted)
    return HeldOut(number, fitted.name, fitted, test, codes, clusters, errors)


def _refer(study: Study, number: int, test: Rows, reference: LinearCodes) -> HeldOut:
    """Cluster a linear reference's codes; the mean brain's are all one."""
    if reference.name == MEAN_BRAIN:
        clusters = np.zeros(len(test), np.intp)
    else:
        clusters = kmeans_clusters(reference.codes, len(study.classes), study.seed)
    return HeldOut(number, reference.name, None, test, reference.codes, clusters, reference.errors)


def _errors(cohort: Cohort, rows: Rows, fitted: Fitted) -> NDArray[np.float64]:
    """Return the mean squared error of each row's reconstruction."""
    errors = []
    with progress(f"reconstruct ({fitted.name})", len(rows)) as advance:
        for batch in batches(rows):
            volumes = cohort.volumes[batch]
            errors.append(mean_squared_errors(volumes, fitted.reconstruct(volumes)))
            advance(len(batch))
    return np.concatenate(errors)


def _score(study: Study, name: str, held_out: Sequence[HeldOut]) -> PaperScore:
    parts = [part for part in held_out if part.name == name]
    rows = np.concatenate([part.rows for part in parts])
    people, y = study.subjects[rows], study.y[rows]
    # Clusters and classes carry their fold's number, so that each fold is matched by itself.
    fold = np.concatenate([np.full(len(part.rows), part.fold) for part in parts])
    cluster = np.concatenate([part.clusters for part in parts]) + fold * len(study.classes)
    target = y + fold * len(study.classes)
    errors = np.concatenate([part.errors for part in parts])

    def accuracy(chosen: Rows) -> float:
        return clustering_accuracy(cluster[chosen], target[chosen])

    def rmse(chosen: Rows) -> float:
        return float(100 * np.sqrt(errors[chosen].mean()))

    where = [np.flatnonzero(fold == part.fold) for part in parts]
    return PaperScore(
        name,
        _spread([accuracy(w) for w in where], bootstrap_interval(accuracy, people, study.seed)),
        _spread([rmse(w) for w in where], bootstrap_interval(rmse, people, study.seed)),
    )


def _spread(values: Sequence[float], interval: tuple[float, float]) -> FoldSpread:
    return FoldSpread(tuple(values), float(np.mean(values)), float(np.std(values)), *interval)


def _majority(study: Study, tests: Sequence[Rows]) -> float:
    return float(np.mean([np.bincount(study.y[test]).max() / len(test) for test in tests]))


def _map_codes(part: HeldOut, study: Study) -> CodeMap:
    n = len(part.rows)
    points = np.zeros((n, 2))
    if n > 3 and np.ptp(part.codes, axis=0).any():  # else there is nothing to spread out
        perplexity = min(30.0, (n - 1) / 3)
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=study.seed)
        points = tsne.fit_transform(part.codes.astype(np.float64))
    pairs = tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)
    return CodeMap(part.name, pairs, tuple(int(y) for y in study.y[part.rows]))


def _cut_slices(study: Study, first: Sequence[HeldOut]) -> list[SliceRow]:
    """Show of each class the scan that the last model reconstructs with the median error."""
    rows: list[SliceRow] = []
    for i, name in enumerate(study.classes):
        of_class = np.flatnonzero(study.y[first[-1].rows] == i)
        if not len(of_class):
            continue
        by_error = of_class[np.argsort(first[-1].errors[of_class])]
        volume = study.cohort.volumes[first[-1].rows[[by_error[len(by_error) // 2]]]]
        models = [part.fitted for part in first if part.fitted is not None]
        versions = [volume[0], *(_as_uint8(model.reconstruct(volume)[0]) for model in models)]
        for plane, axis, mm in PLANES:
            affine = study.cohort.grid.affine
            index = round((mm - affine[axis, 3]) / affine[axis, axis])
            cuts = tuple(np.take(version, index, axis=axis) for version in versions)
            rows.append(SliceRow(f"{name}, {plane}", cuts))
    return rows


def _as_uint8(volume: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(volume * 255), 0, 255), np.uint8)
