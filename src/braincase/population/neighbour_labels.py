"""Label shares among the neighbours, with confidence intervals, calibrated on the gallery.

The unit is the person: a search finds each once, so that ten scans of one patient do not look like
ten patients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from braincase.errors import TooFewPeopleError, UsageError
from braincase.gallery import Gallery, Hit, SearchResult, Weights
from braincase.json_values import Json, to_json_object
from braincase.labels import Value, value_text
from braincase.population.cache import cached, search_identity
from braincase.population.leave_one_out import neighbours_of_others
from braincase.population.logistic import fit_logistic, softmax
from braincase.rounding import percent

#: People asked when a gallery is calibrated; more make it slower and hardly better.
MOST_PEOPLE = 500
#: Fewer people of a class than this say nothing about how often its share is right.
FEWEST_OF_A_CLASS = 10


@dataclass(frozen=True)
class LabelShare:
    """Share of the neighbours that have a label, in [0, 1], and its 95 % confidence interval."""

    label: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class NeighbourLabels:
    """Label shares of a result's people in one column, most frequent first.

    `people` is the number of people with a known label, on which the intervals rest; `unknown`
    those without; `probabilities` are the calibrated ones, where a calibration was given.
    """

    column: str
    people: int
    unknown: int
    shares: tuple[LabelShare, ...]
    probabilities: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values."""
        return to_json_object(self)

    def lines(self) -> list[str]:
        """Return what to tell the user, a line each."""
        lines = [
            f"{share.label}: {percent(share.share)} of {self.people} people"
            f" (95 % interval {percent(share.low)} to {percent(share.high)})"
            for share in self.shares
        ]
        if self.probabilities:
            calibrated = ", ".join(f"{k} {percent(v)}" for k, v in self.probabilities.items())
            lines.append(
                f"calibrated on this gallery: {calibrated} (too sure where the model was trained on"
                " its people)"
            )
        return lines


class CalibrationJson(TypedDict):
    """A `Calibration` as it is cached."""

    column: str
    classes: list[str]
    k: int
    slopes: list[list[float]]
    offsets: list[float]
    people: int
    brier_before: float
    brier_after: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """Probability calibration of the neighbours' shares, learned from the gallery itself.

    Parameters
    ----------
    column, classes, k
        The label, its values, and the number of neighbours it is for.
    slopes, offsets
        Multinomial logistic regression on log shares, shape (n_classes, n_classes), (n_classes,).
    people
        How many people it was learned from.
    brier_before, brier_after
        Mean squared error of shares and of probabilities on those people (0 to 2, lower is better);
        the second by cross-validation.
    """

    column: str
    classes: tuple[str, ...]
    k: int
    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]
    people: int
    brier_before: float
    brier_after: float

    def to_json(self) -> CalibrationJson:
        """Return plain JSON values, from which `calibration_of_json` makes it again."""
        return {
            "column": self.column,
            "classes": list(self.classes),
            "k": self.k,
            "slopes": self.slopes.tolist(),
            "offsets": self.offsets.tolist(),
            "people": self.people,
            "brier_before": self.brier_before,
            "brier_after": self.brier_after,
        }

    def probabilities(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn shares of shape (n, n_classes) into probabilities of that shape."""
        logits = _features(shares, self.k) @ self.slopes.T + self.offsets
        return softmax(logits)


def calibration_of_json(content: CalibrationJson) -> Calibration:
    """Return the calibration that `Calibration.to_json` described."""
    return Calibration(
        column=content["column"],
        classes=tuple(content["classes"]),
        k=content["k"],
        slopes=np.array(content["slopes"], dtype=np.float64),
        offsets=np.array(content["offsets"], dtype=np.float64),
        people=content["people"],
        brier_before=content["brier_before"],
        brier_after=content["brier_after"],
    )


def neighbour_labels(
    hits: Sequence[Hit], column: str, calibration: Calibration | None = None
) -> NeighbourLabels:
    """Count a label among the hits, each of another person, with Wilson's score interval.

    Parameters
    ----------
    hits
        The hits of a search.
    column
        A label, for example ``diagnosis``.
    calibration
        From `calibrate`, for the same column.
    """
    counts = _counts([hit.labels for hit in hits], column)
    people = counts.total()
    shares = [
        LabelShare(label, count / people, *_wilson(count / people, people))
        for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    probabilities = None
    if calibration is not None and people:
        row = np.array([_shares(counts, calibration.classes)])
        values = calibration.probabilities(row)[0]
        probabilities = dict(zip(calibration.classes, map(float, values), strict=True))
    unknown = len(hits) - people
    return NeighbourLabels(column, people, unknown, tuple(shares), probabilities)


def calibrate(
    gallery: Gallery,
    column: str,
    k: int,
    *,
    where: str = "",
    weights: Weights | None = None,
    most_people: int = MOST_PEOPLE,
    seed: int = 0,
    as_of: int | None = None,
) -> Calibration:
    """Calibrate the neighbours' shares on the gallery, by leave-one-out searches.

    Each of many people is taken out of the gallery in turn and searched for among the others; a
    logistic regression then tells which shares came with which true label.

    Parameters
    ----------
    gallery, where, weights, as_of
        As in the later searches.
    column
        The label.
    k
        Number of hits of the later searches.
    most_people
        How many people to take out at most.
    seed
        Chooses them.

    Raises
    ------
    UsageError
        If no label of the column is known.
    TooFewPeopleError
        If there are not two labels with enough people each.
    """
    people = gallery.one_scan_each(most_people, seed, as_of, where)
    labelled = [case for case in people if case.labels.get(column) is not None]
    if not labelled:
        raise UsageError(column, "no case has this label", "a label of the gallery")
    truth = [value_text(case.labels[column]) for case in labelled]
    counts = {label: truth.count(label) for label in sorted(set(truth))}
    classes = tuple(label for label, count in counts.items() if count >= FEWEST_OF_A_CLASS)
    if len(classes) < 2:
        found = ", ".join(f"{count} {label}" for label, count in counts.items())
        expected = f"two labels of {FEWEST_OF_A_CLASS} people or more"
        raise TooFewPeopleError(column, found, expected)
    doing = "learning how far neighbours can be believed"
    nearest = neighbours_of_others(
        gallery, labelled, k, doing, where=where, weights=weights, as_of=as_of
    )
    shares = [
        _shares(_counts([case.labels for case in near.cases], column), classes) for near in nearest
    ]
    rows = [i for i, label in enumerate(truth) if label in classes]
    classes_of_rows = np.array([classes.index(truth[i]) for i in rows])
    return _fitted(column, classes, k, np.array(shares)[rows], classes_of_rows)


def _counts(labels: Sequence[Mapping[str, Value]], column: str) -> Counter[str]:
    return Counter(value_text(of[column]) for of in labels if of.get(column) is not None)


def _shares(counts: Counter[str], classes: Sequence[str]) -> list[float]:
    people = max(counts.total(), 1)
    return [counts[label] / people for label in classes]


def _fitted(
    column: str,
    classes: tuple[str, ...],
    k: int,
    shares: NDArray[np.float64],
    truth: NDArray[np.int64],
) -> Calibration:
    out_of_fold = np.empty_like(shares)
    folds = np.arange(len(truth)) % 5
    for fold in range(5):
        model = _regression(shares[folds != fold], truth[folds != fold], len(classes), k)
        out_of_fold[folds == fold] = softmax(
            _features(shares[folds == fold], k) @ model[0].T + model[1]
        )
    slopes, offsets = _regression(shares, truth, len(classes), k)
    return Calibration(
        column, classes, k, slopes, offsets, len(truth),
        _brier(shares, truth), _brier(out_of_fold, truth),
    )  # fmt: skip


def _regression(
    shares: NDArray[np.float64], truth: NDArray[np.int64], n_classes: int, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit; a class that this fold lacks keeps a probability of almost nothing."""
    slopes, offsets = np.zeros((n_classes, n_classes)), np.full(n_classes, -20.0)
    present = np.unique(truth)
    if len(present) == 1:
        offsets[present] = 0.0
        return slopes, offsets
    classes = np.searchsorted(present, truth)
    slopes[present], offsets[present] = fit_logistic(_features(shares, k), classes)
    return slopes, offsets


def _features(shares: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return log shares; half a neighbour is added, so that none does not mean never."""
    return np.log(shares + 0.5 / k)


def _brier(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return float(((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(1).mean())


def _wilson(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share of n.

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.
    Journal of the American Statistical Association 22(158), 209-212.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - float(half)), min(1.0, centre + float(half))


def learned_calibration(
    gallery: Gallery,
    result: SearchResult,
    column: str,
    weights: Weights | None = None,
    *,
    learned_at: int | None = None,
) -> Calibration | None:
    """Return the calibration of a label's shares among a result's hits, from the cache if there.

    None if the gallery has too few people with two labels to tell.

    Parameters
    ----------
    gallery
        Where the search was made.
    result
        What it found.
    column
        The label.
    weights
        The cell weights of the search, shape (n_cells,), if it had any.
    learned_at
        As in `braincase.population.cache`.
    """

    def learn() -> CalibrationJson | None:
        try:
            return calibrate(
                gallery,
                column,
                result.k,
                where=result.where,
                weights=weights,
                as_of=result.gallery_version,
            ).to_json()
        except (TooFewPeopleError, UsageError):  # or nobody who passes the filter has a label
            return None

    def read(content: CalibrationJson | None) -> Calibration | None:
        return None if content is None else calibration_of_json(content)

    version = result.gallery_version
    depends_on = {"column": column, "k": result.k, **search_identity(result, weights)}
    return cached(gallery, version, "calibration", depends_on, learn, read, learned_at)
