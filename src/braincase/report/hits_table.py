"""Hits as a table: rows of values, and the TSV file that `braincase prepare` and pandas read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from braincase.files import write_text
from braincase.gallery import Gallery, Hit, SearchResult
from braincase.labels import Value, safe_cell

#: What every hit has, in the order of its table.
HIT_COLUMNS = ("rank", "scan_id", "subject", "session", "distance", "score")


def hits_table(
    hits: Sequence[Hit], columns: Sequence[str] = HIT_COLUMNS
) -> tuple[list[str], list[list[Value]]]:
    """Return hits as a table: the header, and one row a hit.

    Parameters
    ----------
    hits
        The hits of a search.
    columns
        Some of `HIT_COLUMNS`, in the order wanted; all labels that any hit has follow. Distance and
        score have six digits.
    """
    labels = list(dict.fromkeys(name for hit in hits for name in hit.labels))
    rows = []
    for hit in hits:
        fields: dict[str, Value] = {
            "rank": hit.rank,
            "scan_id": hit.scan_id,
            "subject": hit.subject,
            "session": hit.session,
            "distance": f"{hit.distance:.6g}",
            "score": f"{hit.score:.6g}",
        }
        values = [fields[name] for name in columns]
        rows.append(values + [hit.labels.get(name) for name in labels])
    return [*columns, *labels], rows


def write_hits(result: SearchResult, gallery: Gallery, path: Path) -> Path:
    """Save the hits as TSV that ``braincase prepare`` and pandas read, and return its path.

    Columns: path (of the standard volume), subject, session, rank, distance, score, scan_id, and
    the labels.
    """
    cases = gallery.find([hit.scan_id for hit in result.hits], result.gallery_version)
    columns = ("subject", "session", "rank", "distance", "score", "scan_id")
    header, rows = hits_table(result.hits, columns)
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["path", *map(safe_cell, header)])
    for hit, row in zip(result.hits, rows, strict=True):
        image = cases[hit.scan_id].image
        subject, session, *rest = row
        start = [str(image or "n/a"), str(subject), str(session or "")]
        writer.writerow([*map(safe_cell, start), *map(_cell, rest)])
    write_text(path, text.getvalue())
    return path


def _cell(value: Value) -> str:
    """Return a value in full, ``n/a`` where BIDS tables say so."""
    return "n/a" if value is None else safe_cell(str(value))
