"""A query and its search result: what is asked of a gallery, and the hits that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import UsageError
from braincase.gallery.cases import StoredCase
from braincase.json_values import Json, to_json_object
from braincase.labels import USUAL_COLUMNS, Value, value_text

Weights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Query:
    """A k-nearest-neighbour query: what is looked for.

    Parameters
    ----------
    code
        The query scan's code, shape (n_dimensions,).
    fingerprint
        The model that made the code; another one than the gallery's is refused.
    k
        Number of hits wanted.
    subject
        The query's person if known; their scans are set apart, never hits.
    scan_id, labels
        What is known of the query, for tables and pictures.
    where
        A filter in the language of `braincase.gallery.filter`; empty for all cases.
    weights
        One weight >= 0 a cell, shape (n_cells,), or None for the plain distance.
    weights_name
        What the weights mean, for example ``hippocampus``.
    image_hash
        Hash of the query's standard volume if known; finds the very same image in the gallery.
    as_of
        Search the gallery as it was at this version; None for now.
    own_code
        The scan's own code where `code` was moved away from it (examples, 'but older'); tells whose
        scan it is.
    """

    code: ArrayLike
    fingerprint: str
    k: int = 10
    subject: str | None = None
    scan_id: str | None = None
    labels: Mapping[str, Value] = field(default_factory=dict)
    where: str = ""
    weights: ArrayLike | None = None
    weights_name: str | None = None
    image_hash: str | None = None
    as_of: int | None = None
    own_code: ArrayLike | None = None


@dataclass(frozen=True)
class Hit:
    """One similar case: `distance` is Euclidean (lower is closer), `score` is in (0, 1]."""

    rank: int
    scan_id: str
    subject: str
    session: str | None
    distance: float
    score: float
    labels: Mapping[str, Value]

    def __repr__(self) -> str:
        """Name it in one line, with the usual labels."""
        shown = [value_text(self.labels[n]) for n in USUAL_COLUMNS if n in self.labels]
        return ", ".join([f"Hit({self.rank}, {self.scan_id}, {self.distance:.3f}", *shown]) + ")"

    def to_json(self) -> dict[str, Json]:
        """Serialise to a JSON object."""
        return to_json_object(self)


@dataclass(frozen=True)
class SearchResult:
    """The answer to one query, with everything needed to ask it again.

    Parameters
    ----------
    hits
        The k nearest cases of other people, nearest first.
    same_subject
        Earlier scans of the query's own person, nearest first; not subject to the filter.
    own_subject, subject_detected
        Who that is, or None; and whether it was told or concluded from the distance.
    gallery, gallery_version, fingerprint
        Where was searched, at which version, with which model.
    n_cases, n_selected, n_searched
        Cases in the gallery, those the filter leaves, and those left without the own person.
    exact
        True when the hits are certainly the nearest; an approximate engine says False.
    notes
        What the reader should know, one sentence each.
    """

    hits: tuple[Hit, ...]
    same_subject: tuple[Hit, ...]
    own_subject: str | None
    subject_detected: bool
    gallery: str
    gallery_version: int
    fingerprint: str
    n_cases: int
    n_selected: int
    n_searched: int
    k: int
    where: str = ""
    weights_name: str | None = None
    query_id: str | None = None
    query_labels: Mapping[str, Value] = field(default_factory=dict)
    exact: bool = True
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Name it in one line."""
        query = self.query_id or "a code"
        place = f"{self.gallery}, version {self.gallery_version}"
        return f"SearchResult({len(self.hits)} of {self.n_searched} cases like {query} in {place})"

    def to_json(self) -> dict[str, Json]:
        """Serialise to a JSON object."""
        return to_json_object(self)

    def rows(self, columns: Sequence[str] | None = None) -> tuple[list[str], list[list[str]]]:
        """Return the hits as a table of text: the header and one row a hit.

        Parameters
        ----------
        columns
            Labels to show; None for the usual ones (diagnosis, age, sex) that any hit has.
        """
        shown = _usual_columns(self.hits) if columns is None else list(columns)
        header = ["rank", "scan", "distance", "score", *shown]
        return header, [
            [str(hit.rank), hit.scan_id, f"{hit.distance:.3f}", f"{hit.score:.3f}"]
            + [value_text(hit.labels.get(column)) for column in shown]
            for hit in self.hits
        ]


def _usual_columns(hits: Sequence[Hit]) -> list[str]:
    return [name for name in USUAL_COLUMNS if any(name in hit.labels for hit in hits)]


def score_of(distance: float) -> float:
    """Turn a distance (0 and up, lower is closer) into a score (at most 1, higher is closer)."""
    return 1.0 / (1.0 + distance)


def hit_of(rank: int, case: StoredCase, distance: float) -> Hit:
    """Return a stored case as a hit: its rank from 1, at a distance from the query."""
    return Hit(
        rank, case.scan_id, case.subject, case.session, distance, score_of(distance), case.labels
    )


def checked_weights(weights: object, n_dimensions: int) -> Weights | None:
    """Return cell weights as float64 of shape (n_dimensions,), or None.

    Raises
    ------
    UsageError
        If the shape is another, a weight is negative or not finite, or all are zero.
    """
    if weights is None:
        return None
    array = np.asarray(weights, dtype=np.float64).reshape(-1)
    if array.shape != (n_dimensions,):
        raise UsageError("weights", f"{array.size} numbers", f"{n_dimensions}, one a cell")
    if not np.isfinite(array).all() or (array < 0).any() or not array.any():
        raise UsageError("weights", "a negative, infinite or only zero weights", "weights >= 0")
    return array
