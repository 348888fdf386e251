"""A cached listing of the newest gallery version: cases, columns, and principal components."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.view import grid_of_view
from braincase.gallery import Gallery, StoredCase
from braincase.gallery.columns import NumberColumn, columns_of_labels
from braincase.labels import Value, safe_cell, value_text
from braincase.web import schema

#: Values of a text column that are listed.
MOST_VALUES = 50
#: Filters whose cases are cached, for one version of the gallery.
CACHED_FILTERS = 32


@dataclass(frozen=True, eq=False)
class Layout:
    """A projection of codes on two principal components: `places` has shape (n_cases, 2).

    `mean` of shape (n_cells,) and `axes` of shape (2, n_cells) project any other code.
    """

    places: NDArray[np.float64]
    explained: tuple[float, ...]
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    def project(self, code: NDArray[np.floating]) -> tuple[float, float]:
        """Return the coordinates of a code, shape (n_cells,)."""
        x, y = self.axes @ (code.astype(np.float64) - self.mean)
        return float(x), float(y)


class Catalogue:
    """An LRU cache of the newest version's cases by filter, emptied when the gallery changes."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._lock = threading.Lock()
        self._version = -1
        self._cases_by_filter: OrderedDict[str, tuple[StoredCase, ...]] = OrderedDict()
        self._layout: Layout | None = None

    def cases(self, where: str = "") -> tuple[int, tuple[StoredCase, ...]]:
        """Return the newest version, and the cases a filter leaves, by scan_id.

        Raises
        ------
        UsageError
            If the filter cannot be understood.
        """
        with self._lock:
            info = self._gallery.info()
            if info.version != self._version:
                self._cases_by_filter.clear()
                self._version, self._layout = info.version, None
            if where not in self._cases_by_filter:
                passing = self._gallery.cases(where, info.version)
                self._cases_by_filter[where] = tuple(sorted(passing, key=lambda c: c.scan_id))
                if len(self._cases_by_filter) > CACHED_FILTERS:
                    self._cases_by_filter.popitem(last=False)
            self._cases_by_filter.move_to_end(where)
            return self._version, self._cases_by_filter[where]

    def layout(self) -> tuple[int, tuple[StoredCase, ...], Layout]:
        """Return version, cases and their first two principal components, cached for a version."""
        version, cases = self.cases()
        with self._lock:
            if self._layout is not None and self._version == version:
                return version, cases, self._layout
        n_cells = self._gallery.info().n_dimensions
        layout = lay_out(np.array([case.code for case in cases]).reshape(-1, n_cells))
        with self._lock:
            if self._version == version:
                self._layout = layout
        return version, cases, layout


def lay_out(codes: NDArray[np.floating]) -> Layout:
    """Return the first two principal components of codes, shape (n_cases, n_cells)."""
    from sklearn.decomposition import PCA  # two seconds, which a service that starts has not

    n_cases, n_cells = codes.shape
    n_components = min(2, n_cells, n_cases - 1)
    axes, explained = np.zeros((2, n_cells)), np.zeros(2)
    centre = codes.mean(axis=0, dtype=np.float64) if n_cases else np.zeros(n_cells)
    if n_components > 0:
        pca = PCA(n_components).fit(codes.astype(np.float64))
        axes[:n_components] = pca.components_
        explained[:n_components] = np.nan_to_num(pca.explained_variance_ratio_)
    places = (codes - centre) @ axes.T
    return Layout(places, (float(explained[0]), float(explained[1])), centre, axes)


def describe_columns(cases: tuple[StoredCase, ...]) -> list[schema.ColumnBody]:
    """Return the name, kind and range of every label."""
    described = []
    for name, column in columns_of_labels([case.labels for case in cases]).items():
        is_present = column.present()
        if isinstance(column, NumberColumn):
            numbers = column.values[is_present]
            described.append(
                schema.ColumnBody(
                    name=name,
                    kind="number",
                    values=None,
                    minimum=float(numbers.min()) if len(numbers) else None,
                    maximum=float(numbers.max()) if len(numbers) else None,
                )
            )
        else:
            counts = Counter(str(column.texts[index]) for index in column.indices[is_present])
            values = sorted(value for value, _ in counts.most_common(MOST_VALUES))
            described.append(schema.ColumnBody(name=name, kind="text", values=values))
    return described


def case_body(case: StoredCase) -> schema.CaseBody:
    """Return a case as JSON: never its code."""
    return schema.CaseBody(
        scan_id=case.scan_id,
        subject=case.subject,
        session=case.session,
        labels={name: finite(value) for name, value in case.labels.items()},
        view_mm=_view_mm(case),
    )


def _view_mm(case: StoredCase) -> int | None:
    grid = grid_of_view(case.view.name) if case.view and case.view_hash else None
    return grid.resolution_mm if grid else None


def finite(value: Value) -> Value:
    """Return a label, None for a number that is not finite: JSON has no NaN."""
    return value if not isinstance(value, float) or np.isfinite(value) else None


def tsv(rows: Sequence[Sequence[Value]]) -> str:
    """Return a table as tab-separated text; tabs and line ends inside values become blanks."""
    lines = [[safe_cell(" ".join(value_text(value).split())) for value in row] for row in rows]
    return "".join("\t".join(line) + "\n" for line in lines)
