"""Hits of a search as Python users expect them: a list, a table (pandas), a figure, HTML."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from braincase.answer.notebook import html_of_result
from braincase.gallery import Hit, open_gallery
from braincase.images.geometry import GRIDS
from braincase.report.hits_table import HIT_COLUMNS
from braincase.search.pipeline import FinishedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class Hits(list[Hit]):
    """The hits of a search, nearest first: a list of `Hit` that can be shown.

    Parameters
    ----------
    hits
        The hits.
    search
        The search that found them.
    """

    def __init__(self, hits: Iterable[Hit], search: FinishedSearch) -> None:
        super().__init__(hits)
        self._search = search

    def to_frame(self) -> DataFrame:
        """Return a table (pandas), a row a hit: rank, who, distance, score and every label."""
        from pandas import DataFrame

        rows = [
            {
                **{name: getattr(hit, name) for name in HIT_COLUMNS},
                **{_column(name): value for name, value in hit.labels.items()},
            }
            for hit in self
        ]
        names = dict.fromkeys((*HIT_COLUMNS, *(name for row in rows for name in row)))
        return DataFrame(rows, columns=list(names))

    def plot(self) -> Figure:
        """Draw the query and its hits, each in three planes, and return the figure (Matplotlib)."""
        from braincase.report.search_figure import search_figure
        from braincase.report.search_page import pictures_of

        path = self._search.result.gallery  # it may have been closed
        with closing(open_gallery(path)) as gallery:
            search = replace(self._search, gallery=gallery)
            simulated = gallery.info(search.result.gallery_version).simulated
            return search_figure(*pictures_of(search), simulated)

    def __repr__(self) -> str:
        header, rows = self._search.result.rows()
        table = [header, *rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        )

    def _repr_html_(self) -> str:
        """Return them for notebooks, with pictures."""
        scan, picture = self._search.scan, None
        if scan is not None:
            from braincase.images.planes import thumbnail_of

            grid = next(grid for grid in GRIDS.values() if grid.shape == scan.volume.shape)
            picture = thumbnail_of(scan.volume, grid)
        return html_of_result(self._search.result, self._search.notes, picture)

    def __reduce__(self) -> tuple[type[list[Hit]], tuple[list[Hit]]]:
        """Pickle and copy them as a plain list: a search holds an open gallery."""
        return list, (list(self),)


def _column(name: str) -> str:
    return f"{name}_label" if name in HIT_COLUMNS else name
