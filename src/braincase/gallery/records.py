"""What goes into a gallery, what is asked of it and what comes back: small frozen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import UsageError
from braincase.labels import USUAL_COLUMNS, Value, value_text

Code = NDArray[np.float32]
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class NewCase:
    """One scan on its way into a gallery.

    Parameters
    ----------
    scan_id
        The identity of the scan, ``sub-X`` or ``sub-X_ses-Y``; one live case a scan.
    subject
        The person.
    code
        The model's code, shape (n_cells,), finite.
    session
        The visit, or None.
    labels
        What filters and tables see: diagnosis, age, sex, ...
    cohort, image
        Folder of the prepared cohort, and the standard volume's path relative to it.
    image_hash
        Hash of the standard volume; tells a repeated add from a changed scan, and finds duplicates.
    thumbnail
        A small picture, as `braincase.images.planes.thumbnail_of` makes it.
    """

    scan_id: str
    subject: str
    code: ArrayLike
    session: str | None = None
    labels: Mapping[str, Value] = field(default_factory=dict)
    cohort: Path | None = None
    image: str | None = None
    image_hash: str | None = None
    thumbnail: bytes | None = None


@dataclass(frozen=True, eq=False)
class StoredCase:
    """One case as the gallery holds it.

    `code` has shape (n_cells,); `image` is the standard volume's absolute path, which may have
    moved since; `since` is the gallery version that brought this state of the case.
    """

    scan_id: str
    subject: str
    session: str | None
    labels: Mapping[str, Value]
    code: Code
    image: Path | None
    image_hash: str | None
    since: int


@dataclass(frozen=True)
class Change:
    """What one call did to the gallery; `version` names the gallery after it.

    `duplicates` holds pairs (scan put in, scan with the same image under another identity).
    """

    version: int
    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Version:
    """One state of a gallery: its number, when it came about (UTC) and by what."""

    version: int
    at: str
    what: str


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery holds at one version."""

    url: str
    engine: str
    version: int
    fingerprint: str
    resolution_mm: int
    n_dimensions: int
    cases: int
    people: int
    columns: tuple[str, ...]
    changed: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.__dict__, "columns": list(self.columns)}


@dataclass(frozen=True, eq=False)
class Query:
    """What is looked for.

    Parameters
    ----------
    code
        The query scan's code, shape (n_cells,).
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

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.__dict__, "labels": dict(self.labels)}


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

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **self.__dict__,
            "hits": [hit.to_json() for hit in self.hits],
            "same_subject": [hit.to_json() for hit in self.same_subject],
            "query_labels": dict(self.query_labels),
            "notes": list(self.notes),
        }

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


def checked_code(code: ArrayLike, n_dimensions: int, where: str) -> Code:
    """Return a code as a float32 array of shape (n_dimensions,).

    Raises
    ------
    UsageError
        If the shape is another or a number is not finite.
    """
    array = np.ascontiguousarray(code, dtype=np.float32)
    if array.shape != (n_dimensions,):
        shape = "x".join(map(str, array.shape)) or "one number"
        raise UsageError(where, f"a code of {shape}", f"{n_dimensions} numbers")
    if not np.isfinite(array).all():
        raise UsageError(where, "a code with numbers that are not finite", "finite numbers")
    return array


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
