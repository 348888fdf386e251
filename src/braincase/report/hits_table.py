"""Hits as a TSV table that `braincase prepare` and pandas read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from braincase.files import write_text
from braincase.gallery import Gallery, SearchResult
from braincase.labels import safe_cell


def write_hits(result: SearchResult, gallery: Gallery, path: Path) -> Path:
    """Save the hits as a table that ``braincase prepare`` and pandas read, and return its path.

    Columns: path (of the standard volume), subject, session, rank, distance, score, scan_id, and
    the labels.
    """
    cases = gallery.find([hit.scan_id for hit in result.hits], result.gallery_version)
    labels = list(dict.fromkeys(name for hit in result.hits for name in hit.labels))
    held = io.StringIO()
    writer = csv.writer(held, delimiter="\t", lineterminator="\n")
    first = ["path", "subject", "session", "rank", "distance", "score", "scan_id"]
    writer.writerow([*first, *map(safe_cell, labels)])
    for hit in result.hits:
        image = cases[hit.scan_id].image
        numbers = [hit.rank, f"{hit.distance:.6g}", f"{hit.score:.6g}"]
        known = [_cell(hit.labels.get(name)) for name in labels]
        writer.writerow(
            [
                safe_cell(str(image or "n/a")),
                safe_cell(hit.subject),
                safe_cell(hit.session or ""),
                *numbers,
                safe_cell(hit.scan_id),
                *known,
            ]
        )
    write_text(path, held.getvalue())
    return path


def _cell(value: object) -> str:
    """Return a label in full, ``n/a`` where BIDS tables say so."""
    return "n/a" if value is None else safe_cell(str(value))
