"""Columnar labels: those of all cases as NumPy arrays, so that a filter is a few operations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.labels import Value

Values = NDArray[np.float64] | NDArray[np.str_]
Predicate = Callable[[Values], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """Numbers, shape (n_rows,); NaN where missing."""

    values: NDArray[np.float64]

    def present(self) -> NDArray[np.bool_]:
        """Return which rows have a value."""
        return ~np.isnan(self.values)

    def where(self, predicate: Predicate) -> NDArray[np.bool_]:
        """Return which rows fulfil a predicate; arbitrary where the value is missing."""
        return np.asarray(predicate(self.values), dtype=bool)


@dataclass(frozen=True, eq=False)
class TextColumn:
    """Text as indices of shape (n_rows,) into the sorted distinct texts; -1 where missing."""

    indices: NDArray[np.int32]
    texts: NDArray[np.str_]

    def present(self) -> NDArray[np.bool_]:
        """Return which rows have a value."""
        return self.indices >= 0

    def index_of(self, text: str) -> int | None:
        """Return the index of exactly this text, or None if no row holds it."""
        index = bisect_left(self.texts, text)  # np.searchsorted would first copy all texts
        there = index < len(self.texts) and self.texts[index] == text
        return index if there else None

    def where(self, predicate: Predicate) -> NDArray[np.bool_]:
        """Return which rows fulfil a predicate, asked once a distinct text."""
        if not len(self.texts):
            return np.zeros(len(self.indices), bool)
        return np.asarray(predicate(self.texts), dtype=bool)[self.indices]


Column = NumberColumn | TextColumn


def distinct_values(column: Column, rows: NDArray[np.bool_]) -> list[str] | list[float]:
    """Return the different values that some rows have, in order; missing ones left out."""
    mask = rows & column.present()
    if isinstance(column, NumberColumn):
        numbers: list[float] = np.unique(column.values[mask]).tolist()
        return numbers
    texts: list[str] = column.texts[np.unique(column.indices[mask])].tolist()
    return texts


def column_of(values: Sequence[Value]) -> Column:
    """Return values as one column: numbers if every value that is there is one, otherwise text."""
    if all(value is None or isinstance(value, int | float) for value in values):
        numbers = [np.nan if value is None else float(value) for value in values]
        return NumberColumn(np.array(numbers, dtype=np.float64))
    return text_column([None if value is None else _text(value) for value in values])


def text_column(values: Sequence[str | None]) -> TextColumn:
    """Return texts as one column."""
    present = np.array([value is not None for value in values], dtype=bool)
    texts = np.array([value for value in values if value is not None], dtype=np.str_)
    distinct, inverse = np.unique(texts, return_inverse=True)
    indices = np.full(len(values), -1, np.int32)
    indices[present] = inverse
    return TextColumn(indices, distinct)


def missing_column(n_rows: int) -> Column:
    """Return a column whose values are all missing."""
    return NumberColumn(np.full(n_rows, np.nan))


def join_columns(columns: Sequence[Column]) -> Column:
    """Return the rows of all columns one after another; text wins over numbers."""
    numbers = [column.values for column in columns if isinstance(column, NumberColumn)]
    if len(numbers) == len(columns):
        return NumberColumn(np.concatenate(numbers))
    return join_texts([_as_text(column) for column in columns])


def join_texts(columns: Sequence[TextColumn]) -> TextColumn:
    """Return the rows of all columns, of which there is one at least, one after another."""
    texts = np.unique(np.concatenate([column.texts for column in columns]))
    return TextColumn(np.concatenate([_reindexed(column, texts) for column in columns]), texts)


def columns_of_labels(labels: Sequence[Mapping[str, Value]]) -> dict[str, Column]:
    """Return one column a label that any row has, in order of first appearance."""
    names = dict.fromkeys(name for row in labels for name in row)
    return {name: column_of([row.get(name) for row in labels]) for name in names}


def join_tables(tables: Sequence[tuple[Mapping[str, Column], int]]) -> dict[str, Column]:
    """Append tables, each with its number of rows; a column that one lacks is missing there."""
    tables = [(table, n_rows) for table, n_rows in tables if n_rows]
    names = dict.fromkeys(name for table, _ in tables for name in table)
    return {
        name: join_columns([table.get(name) or missing_column(n_rows) for table, n_rows in tables])
        for name in names
    }


def _as_text(column: Column) -> TextColumn:
    if isinstance(column, TextColumn):
        return column
    pairs = zip(column.values.tolist(), column.present(), strict=True)
    return text_column([_text(number) if present else None for number, present in pairs])


def _reindexed(column: TextColumn, texts: NDArray[np.str_]) -> NDArray[np.int32]:
    if not len(column.texts):
        return column.indices
    moved = np.searchsorted(texts, column.texts).astype(np.int32)
    return np.where(column.indices >= 0, moved[column.indices], np.int32(-1))


def _text(value: Value) -> str:
    """Return a value as text; whole numbers without a decimal point."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)
